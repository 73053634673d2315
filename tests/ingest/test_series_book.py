"""Series that a parser recognises: interned once, and judged as any others."""

from __future__ import annotations

import numpy as np
from tests.ingest.fakes import MemoryIndex, MemorySink, appender_into

from tocsin.ingest.rows import Refusal, Rows, SeriesBook
from tocsin.model.labels import Labels
from tocsin.runtime.clock import FixedClock

NOW = FixedClock().at_ms


class Shelf:
    """A book whose slots are the names that were put on the shelf."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)
        self.read = 0
        self.book = SeriesBook(self._labels, lambda: len(self.names))

    def _labels(self, slot: int) -> Labels:
        self.read += 1
        return Labels.metric(self.names[slot])

    def rows(self, *samples: tuple[str, int, float], book: SeriesBook | None = None) -> Rows:
        return Rows(
            book or self.book,
            np.array([self.names.index(name) for name, _, _ in samples], np.int64),
            np.array([time for _, time, _ in samples], np.int64),
            np.array([value for _, _, value in samples], np.float64),
            np.arange(len(samples)),
        )


async def test_series_are_interned_once() -> None:
    sink, shelf = MemorySink(MemoryIndex()), Shelf("a", "b", "unused")
    appender = appender_into(sink)
    for at in range(3):
        await appender.append(shelf.rows(("b", NOW + at, 1.0), ("a", NOW + at, 2.0), ("b", NOW + at, 3.0)), "json")
    assert sink.samples()[:3] == [("b", NOW, 1.0), ("a", NOW, 2.0), ("b", NOW, 3.0)]
    assert sink.index.asked == 2
    assert shelf.read == 2


async def test_a_book_may_grow() -> None:
    sink, shelf = MemorySink(MemoryIndex()), Shelf("a")
    appender = appender_into(sink)
    await appender.append(shelf.rows(("a", NOW, 1.0)), "json")
    shelf.names += [f"n{number}" for number in range(100)]
    await appender.append(shelf.rows(("n99", NOW, 2.0), ("a", NOW, 3.0)), "json")
    assert sink.samples() == [("a", NOW, 1.0), ("n99", NOW, 2.0), ("a", NOW, 3.0)]


async def test_after_series_were_forgotten_all_are_interned_again() -> None:
    sink, shelf = MemorySink(MemoryIndex()), Shelf("a")
    appender = appender_into(sink)
    await appender.append(shelf.rows(("a", NOW, 1.0)), "json")
    sink.index.ids.clear()
    sink.index.by_id.clear()
    sink.index.generation += 1
    await appender.append(shelf.rows(("a", NOW, 2.0)), "json")
    assert [labels.name for labels in sink.index.ids] == ["a"]


async def test_series_without_room_are_refused_and_the_known_ones_flow() -> None:
    sink, shelf = MemorySink(MemoryIndex(series_max=1)), Shelf("a", "b")
    appender = appender_into(sink)
    await appender.append(shelf.rows(("a", NOW, 1.0)), "json")
    for _ in range(2):
        done = await appender.append(shelf.rows(("b", NOW, 1.0), ("a", NOW, 2.0), ("b", NOW, 3.0)), "json")
        assert [(one.index, one.kind) for one in done.rejected] == [
            (0, Refusal.SERIES_LIMIT),
            (2, Refusal.SERIES_LIMIT),
        ]
    assert [name for name, _, _ in sink.samples()] == ["a", "a", "a"]


async def test_a_series_none_of_whose_samples_may_be_stored_gets_no_id() -> None:
    sink, shelf = MemorySink(MemoryIndex()), Shelf("a", "b")
    done = await appender_into(sink).append(shelf.rows(("a", 0, 1.0), ("b", NOW, 2.0)), "json")
    assert [(one.index, one.kind) for one in done.rejected] == [(0, Refusal.PAST_RETENTION)]
    assert [labels.name for labels in sink.index.ids] == ["b"]


async def test_a_changed_book_has_the_same_slots_and_ids_of_its_own() -> None:
    sink, shelf = MemorySink(MemoryIndex()), Shelf("a", "b")
    appender = appender_into(sink)
    mine = shelf.book.changed("mine", lambda labels: labels.with_(team="mine"))
    assert shelf.book.changed("mine", lambda labels: labels) is mine
    await appender.append(shelf.rows(("b", NOW, 1.0)), "json")
    await appender.append(shelf.rows(("b", NOW, 2.0), book=mine), "json")
    assert [str(labels) for labels in sink.index.ids] == ["b", 'b{team="mine"}']
    assert len(mine) == len(shelf.book) == 2
    assert [labels.name for labels in mine] == ["a", "b"]
