"""Between the journal and the engine, in virtual time: when it is flushed, and what happens when it cannot be."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from tests.support.virtual_time import run_virtual

from tocsin.model.duration import Duration
from tocsin.model.errors import StoreError
from tocsin.model.series import SampleBatch
from tocsin.runtime.clock import LoopClock
from tocsin.runtime.offload import InlineOffload
from tocsin.runtime.telemetry import Telemetry
from tocsin.store.samples.journal import Journal, NewSeries
from tocsin.store.samples.staging import Staging


class SlowOffload(InlineOffload):
    """Work takes a second of virtual time."""

    async def run(self, work, /, *args, **kwargs):  # type: ignore[no-untyped-def] # the same as what it overrides
        await asyncio.sleep(1)
        return work(*args, **kwargs)


class Engine:
    """What was inserted: when, the new series, and the values."""

    def __init__(self) -> None:
        self.inserts: list[tuple[float, list[int], list[float]]] = []
        self.failure: Exception | None = None

    def insert(self, series: NewSeries, batches: Sequence[SampleBatch]) -> None:
        if self.failure is not None:
            raise self.failure
        values = [value for batch in batches for value in batch.values.tolist()]
        at_s = round(asyncio.get_running_loop().time(), 3)
        self.inserts.append((at_s, [series_id for series_id, _ in series], values))


def one(*values: float) -> SampleBatch:
    return SampleBatch(np.zeros(len(values), np.uint64), np.zeros(len(values), np.int64), np.array(values, np.float64))


def commit(staging: Staging, *values: float, series: NewSeries = ()) -> None:
    staging.commit(series, one(*values))
    staging.arrange()


def play(
    folder: Path, story: Callable[[Staging, Engine], Awaitable[None]], *, write: InlineOffload | None = None
) -> Engine:
    engine = Engine()

    async def main() -> None:
        staging = Staging(
            Journal(folder, fsync=False),
            engine.insert,
            flush_wait=Duration(5_000),
            flush_rows=3,
            clock=LoopClock(asyncio.get_running_loop(), 0),
            telemetry=Telemetry(),
            journaling=InlineOffload(),
            write=write or InlineOffload(),
        )
        await story(staging, engine)
        await staging.close()

    run_virtual(main)
    return engine


def kept(folder: Path) -> list[float]:
    records = Journal(folder, fsync=False).replay()
    return [value for record in records for value in record.batch.values.tolist()]


def test_what_is_staged_is_flushed_when_the_first_of_it_is_old_enough(tmp_path: Path) -> None:
    async def story(staging: Staging, engine: Engine) -> None:
        commit(staging, 1.0, series=[(9, "{}")])
        await asyncio.sleep(4)
        commit(staging, 2.0)
        assert kept(tmp_path) == [1.0, 2.0]
        await asyncio.sleep(2)
        assert engine.inserts == [(5.0, [9], [1.0, 2.0])]
        assert staging.rows == 0
        assert kept(tmp_path) == []

    play(tmp_path, story)


def test_enough_rows_are_flushed_at_once(tmp_path: Path) -> None:
    async def story(staging: Staging, engine: Engine) -> None:
        commit(staging, 1.0, 2.0)
        commit(staging, 3.0)
        await asyncio.sleep(0.5)
        assert engine.inserts == [(0.0, [], [1.0, 2.0, 3.0])]

    play(tmp_path, story)


def test_a_read_waits_for_what_was_committed_before_it(tmp_path: Path) -> None:
    async def story(staging: Staging, engine: Engine) -> None:
        commit(staging, 1.0)
        first = asyncio.create_task(staging.settle())
        await asyncio.sleep(0.5)
        commit(staging, 2.0)
        await staging.settle()
        assert [values for _, _, values in engine.inserts] == [[1.0], [2.0]]
        await first

    play(tmp_path, story, write=SlowOffload())


def test_readers_of_one_moment_share_a_flush(tmp_path: Path) -> None:
    async def story(staging: Staging, engine: Engine) -> None:
        commit(staging, 1.0)
        await asyncio.gather(*(staging.settle() for _ in range(10)))
        assert len(engine.inserts) == 1

    play(tmp_path, story, write=SlowOffload())


def test_a_reader_that_leaves_does_not_stop_the_flush(tmp_path: Path) -> None:
    async def story(staging: Staging, engine: Engine) -> None:
        commit(staging, 1.0)
        reader = asyncio.create_task(staging.settle())
        await asyncio.sleep(0.5)
        reader.cancel()
        await asyncio.sleep(2)
        assert [values for _, _, values in engine.inserts] == [[1.0]]

    play(tmp_path, story, write=SlowOffload())


def test_a_flush_that_failed_is_tried_again_before_what_came_later(tmp_path: Path) -> None:
    async def story(staging: Staging, engine: Engine) -> None:
        commit(staging, 1.0)
        engine.failure = StoreError("full")
        with pytest.raises(StoreError, match="full"):
            await staging.flush()
        commit(staging, 2.0)
        await staging.settle()  # does not fail: a read goes on without
        assert staging.rows == 2
        assert kept(tmp_path) == [1.0, 2.0]
        engine.failure = None
        await asyncio.sleep(10)
        assert [values for _, _, values in engine.inserts] == [[1.0], [2.0]]
        assert kept(tmp_path) == []

    play(tmp_path, story)


def test_an_error_that_nobody_foresaw_is_tried_again_too(tmp_path: Path) -> None:
    async def story(staging: Staging, engine: Engine) -> None:
        commit(staging, 1.0)
        engine.failure = KeyError("odd")
        with pytest.raises(StoreError, match="odd"):
            await staging.flush()
        engine.failure = None
        await asyncio.sleep(2)
        assert [values for _, _, values in engine.inserts] == [[1.0]]
        assert kept(tmp_path) == []

    play(tmp_path, story)


def test_what_cannot_be_flushed_at_the_close_stays_in_the_journal(tmp_path: Path) -> None:
    async def story(staging: Staging, engine: Engine) -> None:
        engine.failure = StoreError("full")
        commit(staging, 1.0, series=[(9, "{}")])

    assert play(tmp_path, story).inserts == []
    assert kept(tmp_path) == [1.0]


def test_the_close_flushes(tmp_path: Path) -> None:
    async def story(staging: Staging, engine: Engine) -> None:
        commit(staging, 1.0)

    assert [values for _, _, values in play(tmp_path, story).inserts] == [[1.0]]
    assert list(tmp_path.iterdir()) == []
