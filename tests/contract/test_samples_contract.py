"""What every sample store must do: run on ClickHouse and on the memory twin."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.clickhouse import Front, server_url
from tests.support.samples import UNSYNCED, AnyStore, Row, batch, floats, open_store, rows, vault_for

from tocsin.model.duration import DAY_MS, HOUR_MS, Duration
from tocsin.model.errors import LimitError, UserError
from tocsin.model.labels import Labels
from tocsin.model.matcher import Matcher, MatchOp, parse_matcher
from tocsin.model.retention import Lengths
from tocsin.model.series import MetricInfo, SampleBatch
from tocsin.runtime.clock import FixedClock
from tocsin.store.memory import MemorySampleStore
from tocsin.store.settings import RetentionSettings, StoreSettings

NOW = 1_800_000_000_000
CPU = Labels.metric("system.cpu.usage", {"host": "a"})
CPU_B = Labels.metric("system.cpu.usage", {"host": "b"})
DISK = Labels.metric("system.disk.usage", {"host": "a", "mount": "/"})
STALE = floats(0x7FF0000000000002)
ALL = (Matcher("__name__", MatchOp.REGEX, ".*"),)
KINDS = ("memory", "clickhouse", "encrypted clickhouse", "served", "cluster")
LIMITED = StoreSettings(fsync=False, series_max=5, read_series_max=2, read_points_max=10)
CENTURY = RetentionSettings(raw=Duration(100 * 365 * DAY_MS))


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


async def opened(
    kind: str, path: Path, server: Front, clock: FixedClock, store_settings: StoreSettings, kept: RetentionSettings
) -> AsyncIterator[AnyStore]:
    if kind == "memory":
        async with MemorySampleStore(store_settings, kept, clock=clock) as twin:
            yield twin
    else:
        url = server_url(kind, server)
        async with open_store(
            path / "samples", clock, replace(store_settings, url=url), kept, vault=vault_for(kind)
        ) as real:
            yield real


@pytest.fixture(params=KINDS)
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, clickhouse_server: Front, clock: FixedClock
) -> AsyncIterator[AnyStore]:
    async for each in opened(request.param, tmp_path, clickhouse_server, clock, UNSYNCED, RetentionSettings()):
        yield each


@pytest.fixture(params=KINDS)
async def limited(
    request: pytest.FixtureRequest, tmp_path: Path, clickhouse_server: Front, clock: FixedClock
) -> AsyncIterator[AnyStore]:
    async for each in opened(request.param, tmp_path, clickhouse_server, clock, LIMITED, RetentionSettings()):
        yield each


@pytest.fixture(params=KINDS)
async def century(
    request: pytest.FixtureRequest, tmp_path: Path, clickhouse_server: Front, clock: FixedClock
) -> AsyncIterator[AnyStore]:
    async for each in opened(request.param, tmp_path, clickhouse_server, clock, UNSYNCED, CENTURY):
        yield each


def named(name: str) -> tuple[Matcher, ...]:
    return (Matcher("__name__", MatchOp.EQUAL, name),)


async def put(store: AnyStore, *given: Row) -> None:
    await store.append(batch(store, given))


async def everything(store: AnyStore) -> list[Row]:
    return rows(await store.select(ALL, -(2**62), 2**62))


async def test_what_was_appended_is_selected(store: AnyStore) -> None:
    await put(store, (CPU, NOW - 2, 1.5), (DISK, NOW - 1, 2.5), (CPU, NOW, 3.5))
    assert rows(await store.select(named("system.cpu.usage"), NOW - 10, NOW + 1)) == [
        (CPU, NOW - 2, 1.5),
        (CPU, NOW, 3.5),
    ]


async def test_the_end_is_left_out_and_the_start_is_not(store: AnyStore) -> None:
    await put(store, *((CPU, NOW + at, float(at)) for at in range(4)))
    assert [at for _, at, _ in rows(await store.select(ALL, NOW + 1, NOW + 3))] == [NOW + 1, NOW + 2]


async def test_series_come_in_the_order_of_their_ids_with_rising_times(store: AnyStore) -> None:
    series = [Labels.metric("m", {"n": str(n)}) for n in range(20)]
    await put(store, *((labels, NOW - at, float(at)) for at in range(3) for labels in series))
    block = await store.select(named("m"), NOW - 10, NOW + 1)
    ids = [labels.series_id() for labels in block.series]
    assert ids == sorted(ids)
    assert len(block) == 20
    assert all(times.tolist() == [NOW - 2, NOW - 1, NOW] for _, times, _ in block)


async def test_many_callers_at_once_lose_nothing(store: AnyStore) -> None:
    await asyncio.gather(*(put(store, (CPU, NOW - at, float(at))) for at in range(200)))
    assert [value for _, _, value in await everything(store)] == [float(at) for at in reversed(range(200))]


async def test_an_empty_batch_is_nothing(store: AnyStore) -> None:
    await put(store)
    assert await everything(store) == []


async def test_the_later_of_two_equal_times_wins_within_a_batch(store: AnyStore) -> None:
    await put(store, (CPU, NOW, 1.0), (DISK, NOW, 5.0), (CPU, NOW, 2.0), (CPU, NOW - 1, 7.0), (CPU, NOW, 3.0))
    assert {(labels.name, value) for labels, at, value in await everything(store) if at == NOW} == {
        ("system.cpu.usage", 3.0),
        ("system.disk.usage", 5.0),
    }


async def test_the_later_batch_wins_before_and_after_a_merge(store: AnyStore) -> None:
    for value in range(10):
        await put(store, (CPU, NOW, float(value)), (CPU, NOW - 1, -float(value)))
    assert await everything(store) == [(CPU, NOW - 1, -9.0), (CPU, NOW, 9.0)]
    await store.merge()
    assert await everything(store) == [(CPU, NOW - 1, -9.0), (CPU, NOW, 9.0)]
    await put(store, (CPU, NOW, 0.5))
    assert await everything(store) == [(CPU, NOW - 1, -9.0), (CPU, NOW, 0.5)]


async def test_a_retried_batch_changes_nothing(store: AnyStore) -> None:
    same = batch(store, [(CPU, NOW - at, float(at)) for at in range(50)])
    await store.append(same)
    before = await everything(store)
    await store.append(same)
    assert await everything(store) == before


async def test_late_samples_take_their_place(store: AnyStore) -> None:
    for at in (5, 1, 3, 2, 4):
        await put(store, (CPU, NOW + at, float(at)))
    assert [value for _, _, value in await everything(store)] == [1.0, 2.0, 3.0, 4.0, 5.0]


async def test_1970_the_years_before_and_the_far_future_are_kept(century: AnyStore) -> None:
    times = (-5 * 365 * DAY_MS - 1, -DAY_MS - 1, -DAY_MS, -1, 0, 1, DAY_MS - 1, DAY_MS, NOW, NOW + 50 * 365 * DAY_MS)
    await put(century, *((CPU, at, float(at)) for at in times))
    assert await everything(century) == [(CPU, at, float(at)) for at in times]
    assert [at for _, at, _ in rows(await century.select(ALL, -DAY_MS, 1))] == [-DAY_MS, -1, 0]


async def test_a_batch_may_span_many_days(century: AnyStore) -> None:
    await put(century, *((CPU, day * DAY_MS, float(day)) for day in range(250)))
    assert [value for _, _, value in await everything(century)] == [float(day) for day in range(250)]


async def test_every_bit_of_a_nan_survives(store: AnyStore) -> None:
    given = floats(0x7FF0000000000002, 0x7FF8000000000001, 0xFFF8000000000000, 0x7FF0000000000001, 0x7FFFFFFFFFFFFFFF)
    series_id = store.intern(CPU)
    odd = SampleBatch(np.full(5, series_id, np.uint64), NOW + np.arange(5), given)
    for _ in range(3):
        await store.append(odd)
        assert (await store.select(ALL, NOW, NOW + 9)).values.view(np.uint64).tolist() == given.view(np.uint64).tolist()
    await store.merge()
    assert (await store.select(ALL, NOW, NOW + 9)).values.view(np.uint64).tolist() == given.view(np.uint64).tolist()


async def test_infinities_and_minus_zero_survive(store: AnyStore) -> None:
    await put(store, (CPU, NOW, math.inf), (CPU, NOW + 1, -math.inf), (CPU, NOW + 2, -0.0))
    values = (await store.select(ALL, NOW, NOW + 9)).values
    assert values[:2].tolist() == [math.inf, -math.inf]
    assert np.signbit(values[2])


async def test_nothing_past_its_retention_is_returned(store: AnyStore, clock: FixedClock) -> None:
    edge = NOW - 7 * DAY_MS
    await put(store, (CPU, edge - 1, 1.0), (CPU, edge, 2.0))
    assert await everything(store) == [(CPU, edge, 2.0)]
    assert (await store.steps(ALL, edge - HOUR_MS, edge + 1, HOUR_MS)).max.tolist()[0][-1] == 2.0
    assert np.nanmin((await store.steps(ALL, edge - HOUR_MS, edge + 1, HOUR_MS)).min) == 2.0
    clock.advance(1)
    assert await everything(store) == []
    assert len(await store.latest(ALL, 0)) == 0
    assert (await store.steps(ALL, edge - HOUR_MS, edge + 1, HOUR_MS)).series == ()


async def test_the_retention_can_be_changed_while_it_runs(store: AnyStore) -> None:
    await put(store, (CPU, NOW - 2 * DAY_MS, 1.0), (CPU, NOW, 2.0))
    store.cuts.defaults = replace(store.cuts.defaults, raw_ms=DAY_MS)
    assert await everything(store) == [(CPU, NOW, 2.0)]
    store.cuts.defaults = replace(store.cuts.defaults, raw_ms=3 * DAY_MS)
    assert len(await everything(store)) == 2


async def test_clean_up_drops_whole_days_and_says_how_many_samples_went(store: AnyStore) -> None:
    today = NOW // DAY_MS * DAY_MS
    at_ms = today + 7 * DAY_MS + HOUR_MS
    await put(
        store,
        (CPU, today - DAY_MS, 1.0),
        (CPU, today - 1, 2.0),
        (DISK, today - 1, 2.5),
        (CPU, today, 3.0),
        (CPU, today + DAY_MS, 4.0),
    )
    assert await store.clean_up(at_ms) == 3
    assert await store.clean_up(at_ms) == 0
    assert [value for _, _, value in await everything(store)] == [3.0, 4.0]


async def test_clean_up_also_drops_days_before_1970(century: AnyStore) -> None:
    await put(century, *((CPU, day * DAY_MS - 1, 1.0) for day in (-200, -1, 0, 1)), (CPU, NOW, 2.0))
    assert await century.clean_up(99 * 365 * DAY_MS) == 0
    century.cuts.defaults = replace(century.cuts.defaults, raw_ms=DAY_MS)
    assert await century.clean_up(NOW) == 4
    assert (await century.stats()).samples == 1


async def test_steps_cover_the_range_and_are_aligned(store: AnyStore) -> None:
    await put(store, (CPU, NOW + 1, 1.0), (CPU, NOW + 9_999, 3.0), (CPU, NOW + 25_000, 5.0))
    block = await store.steps(ALL, NOW - 5_000, NOW + 30_001, 10_000)
    assert block.times.tolist() == [NOW - 10_000, NOW, NOW + 10_000, NOW + 20_000, NOW + 30_000]
    assert block.step_ms == 10_000
    assert block.min.tolist()[0][1:4:2] == [1.0, 5.0]
    assert block.avg.tolist()[0][1:4:2] == [2.0, 5.0]
    assert block.max.tolist()[0][1:4:2] == [3.0, 5.0]
    assert np.isnan(block.avg[0]).tolist() == [True, False, True, False, True]


async def test_steps_leave_stale_markers_out_and_count_a_duplicate_once(store: AnyStore) -> None:
    await put(store, (CPU, NOW, 100.0), (CPU, NOW + 1, 4.0))
    await put(store, (CPU, NOW, 2.0), (CPU, NOW + 2, float(STALE[0])))
    await put(store, (DISK, NOW, float(STALE[0])))
    block = await store.steps(ALL, NOW, NOW + 10, 10)
    assert block.series == (CPU,)
    assert (block.min.tolist(), block.avg.tolist(), block.max.tolist()) == ([[2.0]], [[3.0]], [[4.0]])


async def test_a_sample_outside_the_range_is_in_no_step(store: AnyStore) -> None:
    await put(store, (CPU, NOW + 1, 1.0), (CPU, NOW + 5, 5.0), (CPU, NOW + 9, 9.0))
    block = await store.steps(ALL, NOW + 2, NOW + 9, 10)
    assert (block.min.tolist(), block.max.tolist()) == ([[5.0]], [[5.0]])


async def test_no_time_has_no_steps(store: AnyStore) -> None:
    await put(store, (CPU, NOW, 1.0))
    block = await store.steps(ALL, NOW, NOW, 10)
    assert (block.times.tolist(), block.series) == ([], ())


async def test_a_step_of_nothing_is_refused(store: AnyStore) -> None:
    with pytest.raises(UserError, match="at least 1 millisecond"):
        await store.steps(ALL, NOW, NOW + 1, 0)


async def test_latest_is_the_newest_sample_of_each_series(store: AnyStore) -> None:
    await put(store, (CPU, NOW, 1.0), (CPU, NOW + 1, 2.0), (DISK, NOW - 5, 3.0), (CPU_B, NOW - 50, 4.0))
    await put(store, (CPU, NOW + 1, 2.5))
    assert sorted(rows(await store.latest(ALL, NOW - 10)), key=str) == sorted(
        [(CPU, NOW + 1, 2.5), (DISK, NOW - 5, 3.0)], key=str
    )


async def test_latest_shows_a_stale_marker_bit_by_bit(store: AnyStore) -> None:
    await store.append(SampleBatch(np.array([store.intern(CPU)], np.uint64), np.array([NOW]), STALE))
    assert (await store.latest(ALL, NOW)).values.view(np.uint64).tolist() == [0x7FF0000000000002]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('host="a"', {CPU, DISK}),
        ('host!="a"', {CPU_B}),
        ('host=~"a|b"', {CPU, CPU_B, DISK}),
        ('host!~"b.*"', {CPU, DISK}),
        ('mount=""', {CPU, CPU_B}),
        ('mount!=""', {DISK}),
        ('mount=~".*"', {CPU, CPU_B, DISK}),
        ('mount=~".+"', {DISK}),
        ('mount!~"/"', {CPU, CPU_B}),
        ('host=~"aa"', set()),
        ('host="c"', set()),
        ('nowhere="x"', set()),
        ('nowhere!="x"', {CPU, CPU_B, DISK}),
        ('__name__=~"system[.]cpu.*"', {CPU, CPU_B}),
    ],
)
async def test_matchers_of_all_four_kinds(store: AnyStore, text: str, found: set[Labels]) -> None:
    await put(store, (CPU, NOW, 1.0), (CPU_B, NOW, 2.0), (DISK, NOW, 3.0))
    matcher = parse_matcher(text)
    assert set((await store.select([matcher], NOW, NOW + 1)).series) == found
    assert set(await store.series([matcher])) == found


async def test_all_matchers_must_fit(store: AnyStore) -> None:
    await put(store, (CPU, NOW, 1.0), (CPU_B, NOW, 2.0), (DISK, NOW, 3.0))
    both = [*named("system.cpu.usage"), parse_matcher('host!="b"')]
    assert await store.series(both) == (CPU,)
    assert set(await store.series([])) == {CPU, CPU_B, DISK}


async def test_series_are_listed_by_when_they_may_have_samples(store: AnyStore) -> None:
    await put(store, (CPU, NOW - 30, 1.0), (CPU, NOW - 10, 1.0), (CPU_B, NOW - 5, 1.0), (DISK, NOW, 1.0))
    assert set(await store.series([], NOW - 10, NOW - 5)) == {CPU, CPU_B}
    assert set(await store.series([], NOW - 20, NOW - 20)) == {CPU}  # between its first and its last
    assert await store.series([], NOW + 1, NOW + 9) == ()
    assert set(await store.series(named("system.disk.usage"), None, NOW)) == {DISK}
    assert len(await store.series([], NOW - 30, NOW, limit=2)) == 2
    assert await store.label_names([]) == ("__name__", "host", "mount")
    assert await store.label_names([], NOW - 30, NOW - 1) == ("__name__", "host")
    assert await store.label_names([], limit=2) == ("__name__", "host")
    assert await store.label_values("host", []) == ("a", "b")
    assert await store.label_values("host", [], NOW - 5, NOW) == ("a", "b")
    assert await store.label_values("host", named("system.disk.usage"), NOW - 5, NOW) == ("a",)
    assert await store.label_values("host", [], NOW - 9, NOW - 1, limit=1) == ("b",)
    assert await store.label_values("nowhere", []) == ()
    assert await store.count(named("system.cpu.usage")) == 2
    assert await store.count([parse_matcher('host=~"a|c"')]) == 2


async def test_a_series_whose_samples_were_refused_is_in_no_time(store: AnyStore) -> None:
    store.intern(CPU)
    assert await store.series([], -(2**62), 2**62) == ()


async def test_cardinality_counts_series_and_values(store: AnyStore) -> None:
    await put(store, (CPU, NOW, 1.0), (CPU_B, NOW, 2.0), (DISK, NOW, 3.0))
    told = await store.cardinality(1)
    assert (told.series, told.metrics) == (3, (("system.cpu.usage", 2),))
    assert (told.labels, told.pairs) == ((("__name__", 2),), (("__name__", "system.cpu.usage", 2),))


async def test_cardinality_is_also_told_of_some_series(store: AnyStore) -> None:
    await put(store, (CPU, NOW, 1.0), (CPU_B, NOW + 5, 2.0), (DISK, NOW + 9, 3.0))
    told = await store.cardinality(1, named("system.cpu.usage"))
    assert (told.series, told.metrics) == (2, (("system.cpu.usage", 2),))
    assert (told.first_ms, told.last_ms) == (NOW, NOW + 5)
    assert (await store.cardinality(1, named("none"))).last_ms is None


async def test_frames_hold_the_labels_of_several_selectors_in_order(store: AnyStore) -> None:
    await put(store, (DISK, NOW, 3.0), (CPU_B, NOW, 2.0), (CPU, NOW, 1.0))
    asked = [named("system.cpu.usage"), [parse_matcher('__name__=~".+"')]]
    every = sorted((CPU, CPU_B, DISK), key=lambda labels: labels.pairs)
    assert list(await store.frame(asked)) == every
    assert list(await store.frame(asked, limit=2)) == every[:2]
    assert list(await store.frame(asked[:1], NOW, NOW)) == [one for one in every if one.name == CPU.name]
    assert list(await store.frame(asked, NOW + 2 * DAY_MS)) == []
    assert list(await store.frame([])) == []


async def test_a_forgotten_series_is_gone_until_it_comes_again(store: AnyStore) -> None:
    await put(store, (CPU, NOW, 1.0), (DISK, NOW, 2.0))
    generation = store.generation
    assert await store.forget(np.array([CPU.series_id(), CPU_B.series_id()], np.uint64)) == 1
    assert store.generation != generation
    assert await store.series([]) == (DISK,)
    assert [labels for labels, _, _ in await everything(store)] == [DISK]
    await put(store, (CPU, NOW + 1, 3.0))
    assert set(await store.series([], NOW + 1, NOW + 1)) == {CPU}


async def test_samples_that_were_under_way_bring_a_forgotten_series_back(store: AnyStore) -> None:
    under_way = batch(store, [(CPU, NOW, 1.0)])
    await store.forget(under_way.ids)
    await store.append(under_way)
    assert await everything(store) == [(CPU, NOW, 1.0)]


async def test_series_without_samples_are_forgotten_when_all_their_retentions_have_passed(
    store: AnyStore, clock: FixedClock
) -> None:
    await put(store, (CPU, NOW, 1.0), (DISK, NOW, 1.0))
    week = 7 * DAY_MS
    store.cuts.defaults = Lengths(week, week, week)
    await store.clean_up(NOW + week)
    assert await store.count([]) == 2
    clock.advance(2 * DAY_MS)
    await put(store, (DISK, NOW + 2 * DAY_MS, 2.0))
    await store.clean_up(NOW + week + DAY_MS)
    assert await store.series([]) == (DISK,)


async def test_an_index_that_is_nearly_full_lets_go_of_what_has_no_samples_but_old_rollups(
    limited: AnyStore, clock: FixedClock
) -> None:
    old = [Labels.metric("old", {"n": str(n)}) for n in range(4)]
    await put(limited, *((labels, NOW + at, 1.0) for at, labels in enumerate(old)))
    clock.advance(8 * DAY_MS)
    await put(limited, (CPU, clock.now_ms(), 1.0))
    with pytest.raises(LimitError):
        limited.intern(DISK)
    await limited.clean_up(clock.now_ms())
    assert await limited.count([]) == 4
    assert await limited.series(named("old"), None, NOW) == ()
    limited.intern(DISK)


async def test_names_and_labels_may_be_any_text(store: AnyStore) -> None:
    odd = [
        Labels.metric("système.größe.温度", {"ort": "Zürich 🏔", "path": 'C:\\x "y"\n', "a b": "\x00\x01'; drop"}),
        Labels.metric("a.b-c/d", {"{ids}": "{ids}", "tab": "\t"}),
    ]
    await put(store, *((labels, NOW, 1.0) for labels in odd))
    for labels in odd:
        assert (await store.select(named(labels.name), NOW, NOW + 1)).series == (labels,)


async def test_nothing_is_found_where_nothing_is(store: AnyStore) -> None:
    assert await everything(store) == []
    assert len(await store.latest(ALL, 0)) == 0
    assert (await store.steps(ALL, NOW, NOW + 30, 10)).avg.shape == (0, 3)
    assert await store.metrics() == ()
    await put(store, (CPU, NOW, 1.0))
    assert len(await store.select(ALL, NOW + 1, NOW + 2)) == 0
    assert len(await store.select(ALL, NOW + 1, NOW - 2)) == 0


async def test_too_many_series_are_refused_before_they_are_fetched(limited: AnyStore) -> None:
    await put(limited, (CPU, NOW, 1.0), (CPU_B, NOW, 1.0), (DISK, NOW, 1.0))
    for read in (
        limited.select(ALL, NOW, NOW + 1),
        limited.steps(ALL, NOW, NOW + 1, 1),
        limited.latest(ALL, NOW),
    ):
        with pytest.raises(LimitError, match="3 series fit, and one read may have 2"):
            await read


async def test_too_many_samples_or_steps_are_refused(limited: AnyStore) -> None:
    await put(limited, *((CPU, NOW + at, 1.0) for at in range(11)))
    with pytest.raises(LimitError, match="shorter time"):
        await limited.select(ALL, NOW, NOW + 20)
    assert len((await limited.select(ALL, NOW, NOW + 10)).times) == 10
    with pytest.raises(LimitError, match="longer step"):
        await limited.steps(ALL, NOW, NOW + 11, 1)
    with pytest.raises(LimitError, match="longer step"):
        await limited.steps(ALL, 0, 2**62, 1)


async def test_too_many_different_series_are_refused(limited: AnyStore) -> None:
    ids = [limited.intern(Labels.metric("m", {"n": str(n)})) for n in range(5)]
    with pytest.raises(LimitError, match="5 series already"):
        limited.intern(CPU)
    assert limited.intern(Labels.metric("m", {"n": "0"})) == ids[0]


async def test_an_id_is_that_of_its_labels(store: AnyStore) -> None:
    assert store.intern(CPU) == CPU.series_id()
    assert store.labels(CPU.series_id()) == CPU
    with pytest.raises(KeyError):
        store.labels(1)


async def test_metrics_are_listed_by_name_with_what_is_known(store: AnyStore) -> None:
    await put(store, (DISK, NOW, 1.0), (CPU, NOW, 1.0), (CPU_B, NOW, 1.0))
    await store.describe([MetricInfo("system.cpu.usage", "%", "gauge", "Used"), MetricInfo("never.seen", "s")])
    assert await store.metrics() == (
        MetricInfo("system.cpu.usage", "%", "gauge", "Used"),
        MetricInfo("system.disk.usage"),
    )


async def test_the_last_description_wins_and_an_empty_field_changes_nothing(store: AnyStore) -> None:
    await put(store, (CPU, NOW, 1.0))
    await store.describe([MetricInfo("system.cpu.usage", "%", "gauge", "old")])
    await store.describe(
        [MetricInfo("system.cpu.usage", "", "counter", ""), MetricInfo("system.cpu.usage", help="ü 'x'")]
    )
    assert await store.metrics() == (MetricInfo("system.cpu.usage", "%", "gauge", "ü 'x'"),)


async def test_stats_count_samples_series_and_days(store: AnyStore) -> None:
    await put(store, (CPU, NOW, 1.0), (CPU_B, NOW, 1.0), (CPU, NOW - DAY_MS, 1.0))
    stats = await store.stats()
    assert (stats.samples, stats.series, stats.days) == (3, 2, 2)
    assert stats.bytes > 0
    await store.check()


async def test_a_caller_may_reuse_its_arrays(store: AnyStore) -> None:
    mine = batch(store, [(CPU, NOW, 1.0)])
    await store.append(mine)
    mine.values[0] = 9.0
    assert await everything(store) == [(CPU, NOW, 1.0)]


SERIES = tuple(Labels.metric("m", {"n": str(n)}) for n in range(3))
SAMPLE = st.tuples(
    st.sampled_from(SERIES),
    st.integers(-40, 40).map(lambda at: at * 7),
    st.one_of(st.floats(-1e9, 1e9), st.just(float("nan"))),
)


@settings(max_examples=25, deadline=None)
@given(
    batches=st.lists(st.lists(SAMPLE, max_size=30), max_size=4),
    start=st.integers(-300, 300),
    length=st.integers(0, 500),
    step=st.integers(1, 120),
)
@pytest.mark.parametrize("kind", KINDS[:3])
def test_reads_agree_with_plain_python(
    kind: str,
    tmp_path_factory: pytest.TempPathFactory,
    clickhouse_server: Front,
    batches: list[list[Row]],
    start: int,
    length: int,
    step: int,
) -> None:
    async def check(store: AnyStore) -> None:
        for each in batches:
            await put(store, *each)
        oracle = {(labels, at): value for each in batches for labels, at, value in each}
        inside = {key: value for key, value in oracle.items() if start <= key[1] < start + length}
        got = rows(await store.select(ALL, start, start + length))
        assert {(labels, at): repr(value) for labels, at, value in got} == {
            key: repr(value) for key, value in inside.items()
        }
        assert len(got) == len(inside)
        await compare_steps(store, inside)

    async def compare_steps(store: AnyStore, inside: dict[tuple[Labels, int], float]) -> None:
        block = await store.steps(ALL, start, start + length, step)
        firsts = range(start // step * step, start + length, step) if length else range(0)
        assert block.times.tolist() == list(firsts)
        for at, labels in enumerate(block.series):
            for column, first in enumerate(firsts):
                values = [
                    value
                    for (owner, time), value in inside.items()
                    if owner == labels and first <= time < first + step and not math.isnan(value)
                ]
                told = (block.min[at, column], block.avg[at, column], block.max[at, column])
                if values:
                    assert told == pytest.approx((min(values), sum(values) / len(values), max(values)))
                else:
                    assert all(map(math.isnan, told))
        assert set(block.series) == {labels for (labels, _), value in inside.items() if not math.isnan(value)}

    async def run() -> None:
        folder = tmp_path_factory.mktemp("oracle")
        async for store in opened(kind, folder, clickhouse_server, FixedClock(0), UNSYNCED, CENTURY):
            await check(store)

    asyncio.run(run())
