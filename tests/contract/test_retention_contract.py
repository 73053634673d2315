"""Retention policies on every sample store: what each series may show, and what is removed for good."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.clickhouse import Front, server_url
from tests.support.samples import UNSYNCED, AnyStore, Row, batch, open_store, rows

from tocsin.model.duration import DAY_MS, HOUR_MS, Duration
from tocsin.model.labels import Labels
from tocsin.model.matcher import Matcher, MatchOp, matches_all, parse_selector
from tocsin.model.retention import Policy
from tocsin.runtime.clock import FixedClock
from tocsin.store.memory import MemorySampleStore
from tocsin.store.settings import RetentionSettings

NOW = 20_800 * DAY_MS + 12 * HOUR_MS
ALL = (Matcher("__name__", MatchOp.REGEX, ".*"),)
WEEK = Duration(7 * DAY_MS)
KEPT = RetentionSettings(raw=WEEK, five_minutes=WEEK, hours=WEEK)
DEV = Labels.metric("cpu", {"team": "dev"})
OPS = Labels.metric("cpu", {"team": "ops"})
SLO = Labels.metric("slo.errors", {"team": "dev"})
SERIES = (DEV, OPS, SLO, Labels.metric("slo.latency"))
KINDS = ("memory", "clickhouse", "served", "cluster")


def policy(selector: str, days: float, name: str = "") -> Policy:
    length_ms = round(days * DAY_MS)
    return Policy(0, name or selector, parse_selector(selector), length_ms, length_ms, length_ms)


SHORT_DEV = policy('{team="dev"}', 2)
LONG_SLO = policy('{__name__=~"slo\\\\..*"}', 30)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture(params=KINDS)
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, clickhouse_server: Front, clock: FixedClock
) -> AsyncIterator[AnyStore]:
    if request.param == "memory":
        async with MemorySampleStore(UNSYNCED, KEPT, clock=clock) as twin:
            yield twin
    else:
        where = replace(UNSYNCED, url=server_url(request.param, clickhouse_server))
        async with open_store(tmp_path / "samples", clock, where, KEPT) as real:
            yield real


async def put(store: AnyStore, *given: Row) -> None:
    await store.append(batch(store, given))


async def put_days(store: AnyStore, days: int, series: Sequence[Labels] = SERIES) -> None:
    await put(store, *((labels, NOW - day * DAY_MS, float(day)) for labels in series for day in range(days)))


async def ages(store: AnyStore) -> dict[Labels, list[float]]:
    """How many days old the samples are that each series shows, and that all ways of reading agree on it."""
    block = await store.select(ALL, 0, 2**62)
    found = {labels: [round((NOW - at) / DAY_MS, 3) for at in times.tolist()] for labels, times, _ in block}
    steps = await store.steps(ALL, NOW - 60 * DAY_MS, NOW + HOUR_MS, HOUR_MS)
    stepped = np.isfinite(steps.avg).sum(axis=1).tolist()
    assert dict(zip(steps.series, stepped, strict=True)) == {labels: len(some) for labels, some in found.items()}
    latest = await store.latest(ALL, 0)
    assert {labels: times[-1] for labels, times, _ in latest} == {labels: times[-1] for labels, times, _ in block}
    return found


async def enforced(store: AnyStore, at_ms: int) -> int:
    removed = await store.clean_up(at_ms)
    while True:
        done = await store.enforce(at_ms)
        removed += done.samples
        if not done.more:
            return removed


async def test_a_policy_holds_at_once_whatever_is_still_on_the_disk(store: AnyStore) -> None:
    await put_days(store, 10)
    assert {labels: len(days) for labels, days in (await ages(store)).items()} == dict.fromkeys(SERIES, 8)
    await store.keep((LONG_SLO, SHORT_DEV))
    assert {labels: len(days) for labels, days in (await ages(store)).items()} == {
        DEV: 3,
        OPS: 8,
        SLO: 10,
        SERIES[3]: 10,
    }
    await store.keep((SHORT_DEV,))
    assert len((await ages(store))[SLO]) == 3
    await store.keep(())
    assert len((await ages(store))[SLO]) == 8


async def test_the_first_policy_that_fits_wins(store: AnyStore) -> None:
    await put_days(store, 10, [SLO])
    await store.keep((SHORT_DEV, LONG_SLO))
    assert len((await ages(store))[SLO]) == 3
    await store.keep((LONG_SLO, SHORT_DEV))
    assert len((await ages(store))[SLO]) == 10


async def test_series_that_come_after_the_policy_fall_under_it(store: AnyStore) -> None:
    await store.keep((LONG_SLO, SHORT_DEV))
    await put_days(store, 10, [DEV])
    await ages(store)
    await put_days(store, 10, [SLO, OPS])
    assert {labels: len(days) for labels, days in (await ages(store)).items()} == {DEV: 3, OPS: 8, SLO: 10}


async def test_a_length_that_is_not_given_is_the_defaults_also_when_that_changes(store: AnyStore) -> None:
    await put_days(store, 10, [DEV])
    await store.keep((Policy(0, "hours only", SHORT_DEV.matchers, hours_ms=2 * DAY_MS),))
    assert len((await store.select(ALL, 0, 2**62)).times) == 8
    store.cuts.defaults = RetentionSettings(raw=Duration(DAY_MS)).lengths
    assert len((await store.select(ALL, 0, 2**62)).times) == 2


async def test_late_samples_are_admitted_as_far_back_as_their_own_series_goes(store: AnyStore) -> None:
    assert store.cuts.raw_shortest_ms == 7 * DAY_MS
    await store.keep((LONG_SLO, SHORT_DEV))
    assert (store.cuts.raw_shortest_ms, store.cuts.raw_longest_ms) == (2 * DAY_MS, 30 * DAY_MS)
    days = (store.cuts.raw_ms([SLO, OPS, DEV, OPS]) // DAY_MS).tolist()
    assert days == [30, 7, 2, 7]


async def test_what_is_past_is_removed_and_nothing_else(store: AnyStore) -> None:
    await put_days(store, 34)
    await store.keep((LONG_SLO, SHORT_DEV))
    seen = await ages(store)
    # whole days alone: of dev all but 3, of ops all but 8, of the two slo all but 31
    assert await enforced(store, NOW) == 31 + 26 + 2 * 3
    assert await ages(store) == seen
    await store.keep(())
    store.cuts.defaults = RetentionSettings(raw=Duration(60 * DAY_MS)).lengths
    left = await store.select(ALL, 0, 2**62)
    assert {labels: len(times) for labels, times, _ in left} == {DEV: 3, OPS: 8, SLO: 31, SERIES[3]: 31}


async def test_a_second_round_finds_nothing_until_another_day_is_past(store: AnyStore) -> None:
    await put_days(store, 10)
    await store.keep((SHORT_DEV,))
    assert await enforced(store, NOW) == 2 * 7 + 2 * 2
    assert await enforced(store, NOW + HOUR_MS) == 0
    assert await enforced(store, NOW + DAY_MS) == 4


async def test_a_policy_without_series_keeps_no_day(store: AnyStore) -> None:
    await put_days(store, 12, [OPS])
    await store.keep((LONG_SLO,))
    assert await store.clean_up(NOW) == 4
    assert (await store.stats()).days == 8


async def test_the_preview_counts_what_is_then_no_longer_there(store: AnyStore) -> None:
    await put_days(store, 10)
    nothing = await store.preview((LONG_SLO,))
    assert (nothing.samples, nothing.series, nothing.approximate) == (0, 0, False)
    await store.keep((LONG_SLO,))
    lost = await store.preview((SHORT_DEV,))
    before = sum(len(days) for days in (await ages(store)).values())
    await store.keep((SHORT_DEV,))
    after = sum(len(days) for days in (await ages(store)).values())
    assert (lost.samples, lost.series) == (before - after, 3)


SELECTORS = ('{team="dev"}', '{team!="dev",__name__="cpu"}', '{__name__=~"slo.*"}', '{__name__="slo.latency"}')
POLICIES = st.lists(st.tuples(st.sampled_from(SELECTORS), st.integers(1, 400)), max_size=3)
SAMPLES = st.lists(st.tuples(st.integers(0, len(SERIES) - 1), st.integers(-400, 0)), max_size=60)
SLOT_MS = DAY_MS // 10
STEPS = st.lists(st.one_of(SAMPLES, SAMPLES, POLICIES.map(tuple), st.integers(1, 30)), min_size=1, max_size=5)


def said(chosen: Sequence[tuple[str, int]]) -> tuple[Policy, ...]:
    return tuple(policy(selector, tenths / 10, f"{at}") for at, (selector, tenths) in enumerate(chosen))


@pytest.mark.parametrize("kind", KINDS[:2])
@settings(max_examples=8, deadline=None)
@given(steps=STEPS)
def test_reads_and_clean_ups_agree_with_a_naive_oracle(kind: str, steps: list[object]) -> None:
    asyncio.run(_agree(kind, steps))


async def _agree(kind: str, steps: list[object]) -> None:
    clock = FixedClock(NOW)
    if kind == "memory":
        async with MemorySampleStore(UNSYNCED, KEPT, clock=clock) as twin:
            await _walk(twin, clock, steps)
        return
    with TemporaryDirectory() as folder:
        async with open_store(Path(folder) / "samples", clock, UNSYNCED, KEPT) as real:
            await _walk(real, clock, steps)


async def _walk(store: AnyStore, clock: FixedClock, steps: list[object]) -> None:
    policies: tuple[Policy, ...] = ()
    held: dict[tuple[Labels, int], float] = {}

    def kept(key: tuple[Labels, int]) -> bool:
        fitting = (one.raw_ms for one in policies if matches_all(one.matchers, key[0]))
        return key[1] >= clock.at_ms - next((length for length in fitting if length is not None), int(WEEK))

    for number, step in enumerate(steps):
        if isinstance(step, int):  # tenths of days go by, then the hourly work is done
            clock.at_ms += step * SLOT_MS
            await enforced(store, clock.at_ms)
        elif isinstance(step, tuple):
            policies = said(step)
            await store.keep(policies)
        elif isinstance(step, list):
            sent = [(SERIES[at], clock.at_ms + slot * SLOT_MS, float(number)) for at, slot in step]
            admitted = [row for row in sent if kept(row[:2])]
            await put(store, *admitted)
            held |= {(labels, at_ms): value for labels, at_ms, value in admitted}
        # what was past once may be gone for good, and is asked for no more
        held = {key: value for key, value in held.items() if kept(key)}
        found = {(labels, at_ms): value for labels, at_ms, value in rows(await store.select(ALL, 0, 2**62))}
        assert all(map(kept, found))
        assert {key: value for key, value in found.items() if key in held} == held


async def test_series_are_erased_by_any_of_several_selectors_and_start_anew(store: AnyStore) -> None:
    await put_days(store, 3)
    selectors = (parse_selector('{team="ops"}'), parse_selector("slo.latency"))
    lost = await store.fitting(selectors)
    assert (lost.samples, lost.series) == (6, 2)
    assert await store.erase(selectors) == 2
    assert set(await store.series(ALL)) == {DEV, SLO}
    assert {labels: len(days) for labels, days in (await ages(store)).items()} == {DEV: 3, SLO: 3}
    assert (await store.fitting(selectors)).series == 0
    assert await store.erase(selectors) == 0
    await put(store, (OPS, NOW, 7.0))
    assert (await ages(store))[OPS] == [0.0]


async def test_partitions_can_be_dropped_before_their_time(store: AnyStore) -> None:
    await put_days(store, 4, [OPS])
    raw = [one for one in await store.partitions() if one.table.name == "samples"]
    assert [(one.end_ms - one.start_ms, one.rows) for one in raw] == [(DAY_MS, 1)] * 4
    await store.drop(raw[:2], NOW)
    found = await store.select(ALL, 0, 2**62)
    assert found.times.tolist() == [NOW - DAY_MS, NOW]
