from __future__ import annotations

import asyncio

import numpy as np
import pytest
from tests.ingest.fakes import KeptFor, MemoryIndex, MemorySink, Seen, appender_into

from tocsin.ingest.appender import AT_ONCE
from tocsin.ingest.rows import Refusal, Rejection, Rows
from tocsin.model.duration import DAY_MS, MINUTE_MS
from tocsin.model.errors import QueueFullError, StoreError
from tocsin.model.labels import Labels
from tocsin.model.series import MetricInfo
from tocsin.runtime.clock import FixedClock
from tocsin.runtime.telemetry import Telemetry

NOW = FixedClock().at_ms


def rows(*samples: tuple[str, int, float]) -> Rows:
    series = tuple(dict.fromkeys(Labels.metric(name) for name, _, _ in samples))
    return Rows(
        series,
        np.array([series.index(Labels.metric(name)) for name, _, _ in samples], np.int64),
        np.array([time for _, time, _ in samples], np.int64),
        np.array([value for _, _, value in samples], np.float64),
        np.arange(len(samples)),
    )


def counted(telemetry: Telemetry, name: str, **labels: str) -> float:
    return telemetry.registry.get_sample_value(f"tocsin_{name}_total", labels) or 0.0


async def test_every_sample_is_stored_under_the_id_of_its_series() -> None:
    sink = MemorySink(MemoryIndex())
    done = await appender_into(sink).append(rows(("a", NOW, 1.0), ("b", NOW, 2.0), ("a", NOW + 1, 3.0)), "json")
    assert sink.samples() == [("a", NOW, 1.0), ("b", NOW, 2.0), ("a", NOW + 1, 3.0)]
    assert (done.stored, done.rejected) == (3, ())


async def test_rows_of_one_series_and_time_keep_their_order_so_that_the_last_wins() -> None:
    sink = MemorySink(MemoryIndex())
    await appender_into(sink).append(rows(("a", NOW, 1.0), ("a", NOW, 2.0)), "json")
    assert [value for _, _, value in sink.samples()] == [1.0, 2.0]


async def test_a_sample_past_its_retention_rejects_only_itself() -> None:
    sink = MemorySink(MemoryIndex())
    old = NOW - 7 * DAY_MS - 1
    done = await appender_into(sink).append(rows(("a", old, 1.0), ("b", NOW - 7 * DAY_MS, 2.0)), "json")
    assert [name for name, _, _ in sink.samples()] == ["b"]
    assert [(one.index, one.kind) for one in done.rejected] == [(0, Refusal.PAST_RETENTION)]
    assert "7d" in done.rejected[0].reason


async def test_a_series_none_of_whose_samples_may_be_stored_gets_no_id() -> None:
    sink = MemorySink(MemoryIndex())
    await appender_into(sink).append(rows(("a", 0, 1.0), ("b", NOW, 2.0)), "json")
    assert [labels.name for labels in sink.index.ids] == ["b"]


async def test_a_sample_more_than_ten_minutes_ahead_is_refused() -> None:
    sink = MemorySink(MemoryIndex())
    ahead = NOW + 10 * MINUTE_MS
    done = await appender_into(sink).append(rows(("a", ahead, 1.0), ("a", ahead + 1, 2.0)), "json")
    assert sink.samples() == [("a", ahead, 1.0)]
    assert [(one.index, one.kind) for one in done.rejected] == [(1, Refusal.FUTURE)]


async def test_samples_of_1970_are_stored_where_the_retention_reaches_that_far() -> None:
    sink = MemorySink(MemoryIndex())
    appender = appender_into(sink, kept=KeptFor(100 * 365 * DAY_MS))
    done = await appender.append(rows(("a", 0, 1.0), ("a", -1, 2.0)), "json")
    assert sink.samples() == [("a", 0, 1.0)]
    assert done.rejected == (Rejection(1, "The sample is dated before 1970.", Refusal.PAST_RETENTION),)


async def test_a_series_without_room_is_refused_while_known_ones_keep_flowing() -> None:
    sink = MemorySink(MemoryIndex(series_max=1))
    appender = appender_into(sink)
    await appender.append(rows(("a", NOW, 1.0)), "json")
    done = await appender.append(rows(("b", NOW, 2.0), ("a", NOW + 1, 3.0), ("b", NOW + 1, 4.0)), "json")
    assert sink.samples()[1:] == [("a", NOW + 1, 3.0)]
    assert [(one.index, one.kind) for one in done.rejected] == [(0, Refusal.SERIES_LIMIT), (2, Refusal.SERIES_LIMIT)]


async def test_a_metric_with_too_many_series_is_told_from_an_index_that_is_full() -> None:
    telemetry = Telemetry()
    sink = MemorySink(MemoryIndex())
    sink.index.metric_series_max = 1
    appender = appender_into(sink, telemetry=telemetry)
    series = tuple(Labels.metric("a", {"n": n}) for n in "xy")
    done = await appender.append(Rows(series, np.arange(2), np.full(2, NOW), np.ones(2), np.arange(2)), "json")
    assert [(one.index, one.kind) for one in done.rejected] == [(1, Refusal.METRIC_SERIES_LIMIT)]
    assert "of a" in done.rejected[0].reason
    assert counted(telemetry, "samples_rejected", source="json", reason="metric series limit") == 1


async def test_others_have_a_turn_while_many_new_series_are_interned() -> None:
    sink = MemorySink(MemoryIndex())
    appender = appender_into(sink)
    many = rows(*((f"m{number}", NOW, 1.0) for number in range(3 * AT_ONCE)))
    large = asyncio.create_task(appender.append(many, "json"))
    await asyncio.sleep(0)
    await appender.append(rows(("known", NOW, 2.0)), "json")
    assert [name for name, _, _ in sink.samples()] == ["known"]
    assert (await large).stored == 3 * AT_ONCE


async def test_a_series_whose_id_is_taken_is_refused_by_itself() -> None:
    sink = MemorySink(MemoryIndex(id_of=lambda labels: len(labels.name)))
    done = await appender_into(sink).append(rows(("a", NOW, 1.0), ("b", NOW, 2.0), ("cc", NOW, 3.0)), "json")
    assert [name for name, _, _ in sink.samples()] == ["a", "cc"]
    assert [(one.index, one.kind) for one in done.rejected] == [(1, Refusal.ID_TAKEN)]


async def test_rejections_of_parser_and_appender_come_in_the_senders_order() -> None:
    appender = appender_into(MemorySink(MemoryIndex()))
    done = await appender.append(rows(("a", 0, 1.0)), "json", (Rejection(1, "bad"),))
    assert [one.index for one in done.rejected] == [0, 1]


async def test_nothing_is_written_when_nothing_may_be_stored() -> None:
    sink, seen = MemorySink(MemoryIndex()), Seen()
    done = await appender_into(sink, observers=[seen]).append(rows(("a", 0, 1.0)), "json")
    assert (done.stored, sink.batches, seen.batches) == (0, [], [])


async def test_observers_see_what_was_stored_and_when() -> None:
    sink, seen = MemorySink(MemoryIndex()), Seen()
    await appender_into(sink, observers=[seen]).append(rows(("a", 0, 1.0), ("a", NOW, 2.0)), "json")
    [(batch, at_ms)] = seen.batches
    assert (batch is sink.batches[0], at_ms) == (True, NOW)


async def test_observers_see_nothing_that_is_not_durable() -> None:
    sink, seen = MemorySink(MemoryIndex()), Seen()
    sink.error = QueueFullError("full", retry_after_s=1.0)
    with pytest.raises(QueueFullError):
        await appender_into(sink, observers=[seen]).append(rows(("a", NOW, 1.0)), "json")
    assert seen.batches == []


async def test_an_observer_that_fails_is_told_to_the_sender() -> None:
    failing = Seen(StoreError("away"))
    with pytest.raises(StoreError):
        await appender_into(MemorySink(MemoryIndex()), observers=[failing]).append(rows(("a", NOW, 1.0)), "json")


async def test_a_changed_retention_holds_at_once() -> None:
    sink, kept = MemorySink(MemoryIndex()), KeptFor(DAY_MS)
    appender = appender_into(sink, kept=kept)
    await appender.append(rows(("a", NOW - DAY_MS, 1.0)), "json")
    kept.length_ms = DAY_MS - 1
    await appender.append(rows(("a", NOW - DAY_MS, 2.0)), "json")
    assert len(sink.samples()) == 1


async def test_each_series_may_be_as_late_as_its_own_retention_allows() -> None:
    sink, kept = MemorySink(MemoryIndex()), KeptFor(2 * DAY_MS, {"short": DAY_MS, "long": 9 * DAY_MS})
    given = rows(
        ("short", NOW - DAY_MS, 1.0),
        ("short", NOW - DAY_MS - 1, 2.0),
        ("long", NOW - 9 * DAY_MS, 3.0),
        ("long", NOW - 9 * DAY_MS - 1, 4.0),
        ("other", NOW - 2 * DAY_MS, 5.0),
        ("other", NOW - 2 * DAY_MS - 1, 6.0),
    )
    done = await appender_into(sink, kept=kept).append(given, "json")
    assert [value for _, _, value in sink.samples()] == [1.0, 3.0, 5.0]
    told = [(one.index, one.reason) for one in done.rejected]
    assert told == [
        (1, "The sample is older than the 1d that samples are kept."),
        (3, "The sample is older than the 9d that samples are kept."),
        (5, "The sample is older than the 2d that samples are kept."),
    ]


async def test_the_retention_of_a_series_is_looked_up_for_late_samples_alone() -> None:
    kept = KeptFor(2 * DAY_MS)
    appender = appender_into(MemorySink(MemoryIndex()), kept=kept)
    await appender.append(rows(*((str(at), NOW, 1.0) for at in range(100)), ("late", NOW - 3 * DAY_MS, 1.0)), "json")
    assert kept.asked == [Labels.metric("late")]


async def test_stored_and_refused_samples_are_counted_by_source_and_reason() -> None:
    telemetry = Telemetry()
    appender = appender_into(MemorySink(MemoryIndex()), telemetry=telemetry)
    await appender.append(rows(("a", NOW, 1.0), ("a", 0, 1.0), ("a", 1, 1.0)), "json", (Rejection(3, "bad"),))
    assert counted(telemetry, "samples_ingested", source="json") == 1
    assert counted(telemetry, "samples_rejected", source="json", reason="past retention") == 2
    assert counted(telemetry, "samples_rejected", source="json", reason="malformed") == 1


async def test_what_is_known_of_a_metric_is_passed_on_once() -> None:
    sink = MemorySink(MemoryIndex())
    appender = appender_into(sink)
    await appender.describe([MetricInfo("a", "By")])
    await appender.describe([MetricInfo("a", "By")])
    await appender.describe([MetricInfo("a", "s")])
    assert (sink.described, sink.infos["a"].unit) == (2, "s")


async def test_what_could_not_be_kept_of_a_metric_is_passed_on_again() -> None:
    sink = MemorySink(MemoryIndex())
    appender = appender_into(sink)
    sink.error = StoreError("away")
    with pytest.raises(StoreError):
        await appender.describe([MetricInfo("a", "By")])
    sink.error = None
    await appender.describe([MetricInfo("a", "By")])
    assert sink.infos["a"].unit == "By"
