"""Long charts on every sample store: they say what the samples say, rolled up or not."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.support.clickhouse import Front, server_url
from tests.support.samples import UNSYNCED, AnyStore, batch, floats, open_store, vault_for

from tocsin.model.duration import DAY_MS, HOUR_MS, MINUTE_MS
from tocsin.model.labels import Labels
from tocsin.model.matcher import Matcher, MatchOp
from tocsin.model.series import SampleBatch, StepBlock
from tocsin.runtime.clock import FixedClock
from tocsin.store.memory import MemorySampleStore

NOW = 20_800 * DAY_MS + 12 * HOUR_MS
SERIES = tuple(Labels.metric("m", {"n": str(n)}) for n in range(3))
ALL = (Matcher("__name__", MatchOp.REGEX, ".*"),)
EVERY_MS = 50_000


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture(params=("memory", "clickhouse", "encrypted clickhouse", "served", "cluster"))
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, clickhouse_server: Front, clock: FixedClock
) -> AsyncIterator[AnyStore]:
    if request.param == "memory":
        async with MemorySampleStore(UNSYNCED, clock=clock) as twin:
            yield twin
    else:
        url = server_url(request.param, clickhouse_server)
        async with open_store(
            tmp_path / "samples", clock, replace(UNSYNCED, url=url), vault=vault_for(request.param)
        ) as real:
            yield real


def walk(store: AnyStore, start_ms: int, end_ms: int) -> SampleBatch:
    times = np.arange(start_ms, end_ms, EVERY_MS)
    ids = np.repeat(np.array([store.intern(labels) for labels in SERIES], np.uint64), len(times))
    values = np.round(np.random.default_rng(1).normal(0, 10, len(ids)), 2)
    return SampleBatch(ids, np.tile(times, len(SERIES)), values)


async def rolled(store: AnyStore) -> None:
    while await store.roll_up():
        pass


async def exact(store: AnyStore, start_ms: int, end_ms: int, step_ms: int) -> StepBlock:
    """The chart, after comparing it with what the samples themselves make."""
    block = await store.steps(ALL, start_ms, end_ms, step_ms)
    samples = await store.select(ALL, start_ms, end_ms)
    assert block.series == samples.series
    for at, (_, times, values) in enumerate(samples):
        for step, first in enumerate(block.times.tolist()):
            inside = values[(times >= first) & (times < first + step_ms) & ~np.isnan(values)]
            if len(inside):
                assert (block.min[at, step], block.max[at, step]) == (inside.min(), inside.max())
                assert math.isclose(block.avg[at, step], inside.mean(), rel_tol=1e-9, abs_tol=1e-9)
            else:
                assert math.isnan(block.avg[at, step])
    return block


@pytest.mark.parametrize("step_ms", [5 * MINUTE_MS, 10 * MINUTE_MS, HOUR_MS, 6 * HOUR_MS, 7 * MINUTE_MS])
async def test_a_long_chart_is_the_same_before_and_after_rolling_up(store: AnyStore, step_ms: int) -> None:
    await store.append(walk(store, NOW - 30 * HOUR_MS, NOW))
    start_ms = (NOW - 30 * HOUR_MS) // step_ms * step_ms
    await exact(store, start_ms, NOW + 1, step_ms)
    await rolled(store)
    await exact(store, start_ms, NOW + 1, step_ms)
    await exact(store, start_ms + 123_456, NOW - 7_654_321, step_ms)


async def test_late_rewritten_and_repeated_samples_count_once_in_a_long_chart(store: AnyStore) -> None:
    walked = walk(store, NOW - 30 * HOUR_MS, NOW)
    await store.append(walked)
    await rolled(store)
    at_ms = int(walked.times[100])
    late = batch(
        store, [(SERIES[0], at_ms, 999.0), (SERIES[1], at_ms + 1, -999.0), (SERIES[2], NOW - 40 * HOUR_MS, 5.0)]
    )
    for _ in range(2):
        await store.append(late)
        await exact(store, NOW - 48 * HOUR_MS, NOW, HOUR_MS)
        await rolled(store)
        block = await exact(store, NOW - 48 * HOUR_MS, NOW, HOUR_MS)
        assert (np.nanmin(block.min), np.nanmax(block.max)) == (-999.0, 999.0)


async def test_a_bucket_whose_samples_become_stale_markers_is_empty(store: AnyStore) -> None:
    at_ms = NOW - 20 * HOUR_MS
    await store.append(batch(store, [(SERIES[0], at_ms, 1.0), (SERIES[0], at_ms + 3 * HOUR_MS, 2.0)]))
    await rolled(store)
    await store.append(batch(store, [(SERIES[0], at_ms, float(floats(0x7FF0000000000002)[0]))]))
    await rolled(store)
    block = await exact(store, NOW - 24 * HOUR_MS, NOW, HOUR_MS)
    assert np.count_nonzero(~np.isnan(block.avg)) == 1
