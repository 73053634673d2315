"""Roll-ups of the engine: what is read from them, what outlives what, and what a kill leaves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tests.support.samples import batch, open_store

from tocsin.model.duration import DAY_MS, HOUR_MS, MINUTE_MS
from tocsin.model.labels import Labels
from tocsin.model.matcher import Matcher, MatchOp
from tocsin.model.retention import Lengths
from tocsin.model.series import StepBlock
from tocsin.runtime.clock import FixedClock
from tocsin.store.samples.native import Shape
from tocsin.store.samples.rollup import Kept, Span, plan
from tocsin.store.samples.schema import BUCKETS
from tocsin.store.samples.store import SampleStore

ROOT = Path(__file__).parents[3]
NOW = 20_800 * DAY_MS + 12 * HOUR_MS
LONG_AGO = NOW - 5 * DAY_MS
M = Labels.metric("m")
ALL = (Matcher("__name__", MatchOp.REGEX, ".*"),)
KEPT = Kept(NOW - 7 * DAY_MS, NOW - 90 * DAY_MS, NOW - 730 * DAY_MS)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
async def store(tmp_path: Path, clock: FixedClock) -> AsyncIterator[SampleStore]:
    async with open_store(tmp_path / "samples", clock) as opened:
        yield opened


async def put(store: SampleStore, *given: tuple[int, float]) -> None:
    await store.append(batch(store, [(M, at_ms, value) for at_ms, value in given]))
    await store.flush()


async def rolled(store: SampleStore) -> None:
    while await store.roll_up():
        pass


async def chart(store: SampleStore, step_ms: int = HOUR_MS, days: int = 30) -> StepBlock:
    at_ms = store._clock.now_ms() // DAY_MS * DAY_MS
    return await store.steps(ALL, at_ms - days * DAY_MS, at_ms + DAY_MS, step_ms)


def present(block: StepBlock) -> list[float]:
    return [value for value in block.avg.ravel().tolist() if not np.isnan(value)]


@pytest.mark.parametrize(
    ("days", "step_ms", "resolution"),
    [
        (5, MINUTE_MS, "raw"),
        (0.2, 5 * MINUTE_MS, "raw"),
        (5, 7 * MINUTE_MS, "raw"),
        (5, 5 * MINUTE_MS, "5m"),
        (5, 2 * HOUR_MS, "1h"),
        (30, 7 * MINUTE_MS, "5m"),
        (200, 10 * MINUTE_MS, "1h"),
    ],
)
def test_the_resolution_follows_the_range_and_the_step(days: float, step_ms: int, resolution: str) -> None:
    assert plan(Span(NOW - int(days * DAY_MS), NOW), step_ms, KEPT, ()).resolution == resolution


def test_many_open_hours_hide_no_closed_hour_whose_raw_samples_are_gone() -> None:
    raw_ms = 500 * HOUR_MS
    opened = [Span(at * HOUR_MS, (at + 1) * HOUR_MS) for at in (300, *range(500, 800, 2))]
    found = plan(Span(0, 1_000 * HOUR_MS), 2 * HOUR_MS, Kept(raw_ms, 0, 0), opened)
    read = sorted((*found.raw, *found.five_minutes, *found.hours), key=lambda span: span.start_ms)
    missing = [Span(one.end_ms, two.start_ms) for one, two in pairwise(read) if one.end_ms != two.start_ms]
    assert missing == []  # the open hour whose raw samples are past is read as it was rolled up
    assert (read[0].start_ms, read[-1].end_ms) == (0, 1_000 * HOUR_MS)


def test_the_parts_of_a_plan_cover_the_range_without_overlap() -> None:
    opened = (Span(NOW - 3 * HOUR_MS, NOW + HOUR_MS), Span(NOW - 90 * HOUR_MS, NOW - 88 * HOUR_MS))
    found = plan(Span(NOW - 100 * DAY_MS - 17, NOW + 13), 5 * MINUTE_MS, KEPT, opened)
    spans = sorted((span.start_ms, span.end_ms) for span in (*found.raw, *found.five_minutes, *found.hours))
    assert all(before[1] == after[0] for before, after in pairwise(spans))
    assert spans[0][0] == NOW - 100 * DAY_MS
    assert spans[-1][1] == NOW + 13


async def test_a_chart_says_that_it_reads_rollups(store: SampleStore) -> None:
    await put(store, (LONG_AGO, 1.0), (LONG_AGO + 1, 3.0))
    await rolled(store)
    assert (await chart(store)).resolution == "1h"
    assert (await chart(store, 5 * MINUTE_MS)).resolution == "5m"
    store._parts.writing.run("truncate table samples")
    assert present(await chart(store)) == present(await chart(store, 5 * MINUTE_MS)) == [2.0]


async def test_rollups_outlive_their_samples(store: SampleStore, clock: FixedClock) -> None:
    await put(store, (LONG_AGO, 1.0), (LONG_AGO + 1, 3.0))
    clock.advance(10 * DAY_MS)
    assert await store.clean_up(clock.now_ms()) == 2  # rolled up just before
    assert present(await chart(store)) == [2.0]


async def test_a_late_sample_does_not_replace_a_bucket_whose_samples_are_gone(
    store: SampleStore, clock: FixedClock
) -> None:
    await put(store, (LONG_AGO, 1.0), (LONG_AGO + 1, 3.0))
    clock.advance(10 * DAY_MS)
    await store.clean_up(clock.now_ms())
    await put(store, (LONG_AGO + 2, 100.0))
    await rolled(store)
    await store.clean_up(clock.now_ms())
    assert present(await chart(store)) == [2.0]


async def test_each_resolution_ends_at_its_own_retention(store: SampleStore, clock: FixedClock) -> None:
    await put(store, (LONG_AGO, 1.0))
    await rolled(store)
    clock.advance(100 * DAY_MS)
    assert (await chart(store, 10 * MINUTE_MS, 120)).resolution == "1h"
    store.cuts.defaults = replace(store.cuts.defaults, hours_ms=90 * DAY_MS)
    assert present(await chart(store, HOUR_MS, 120)) == []
    store.cuts.defaults = replace(store.cuts.defaults, five_minutes_ms=30 * DAY_MS)
    await store.clean_up(clock.now_ms() + 100 * DAY_MS)
    store.cuts.defaults = Lengths(7 * DAY_MS, 1_000 * DAY_MS, 1_000 * DAY_MS)
    assert present(await chart(store, HOUR_MS, 120)) == []


async def test_the_first_and_last_values_are_kept_for_rates(store: SampleStore) -> None:
    await put(store, (LONG_AGO + 10 * MINUTE_MS, 7.0), (LONG_AGO, 5.0), (LONG_AGO + 2, 9.0))
    await rolled(store)
    shape = Shape({"first_t": "Int64", "first_v": "Float64", "last_t": "Int64", "last_v": "Float64", "n": "UInt64"})
    rows = store._parts.writing.read(f"select {shape.names} from rollup_1h final", shape)
    assert [rows[name].tolist() for name in shape.types] == [[LONG_AGO], [5.0], [LONG_AGO + 10 * MINUTE_MS], [7.0], [3]]


async def test_samples_that_come_while_their_hour_is_computed_keep_it_open(store: SampleStore) -> None:
    await put(store, (LONG_AGO, 1.0))
    opened, writing = store._parts.opened, store._parts.writing
    work = opened.take(2**40)
    assert work is not None
    await put(store, (LONG_AGO + 1, 3.0))
    opened.finish(writing, work)
    assert opened.spans
    await rolled(store)
    assert not opened.spans
    assert present(await chart(store)) == [2.0]


async def test_what_a_failed_round_had_taken_is_taken_again_with_all_its_series(store: SampleStore) -> None:
    await put(store, (LONG_AGO, 1.0))
    opened = store._parts.opened
    before = opened.take(2**40)
    other = Labels.metric("other")
    await store.append(batch(store, [(other, LONG_AGO, 3.0)]))
    await store.flush()
    after = opened.take(2**40)
    assert before is not None
    assert after is not None
    assert after.ids is not None
    assert set(after.ids.tolist()) == {M.series_id(), other.series_id()}


async def test_samples_of_the_older_schema_are_rolled_up(tmp_path: Path, clock: FixedClock) -> None:
    async with open_store(tmp_path / "samples", clock) as older:
        await put(older, (LONG_AGO, 1.0))
        for table in ("rollup_5m", "rollup_1h", "rollup_hours", "series_days"):
            older._parts.writing.run(f"drop table {table}")
        older._parts.writing.run("truncate table schema_version")
        older._parts.writing.run("insert into schema_version values (1)")
    async with open_store(tmp_path / "samples", clock) as newer:
        assert newer._parts.opened.spans
        await rolled(newer)
        assert (await chart(newer)).resolution == "1h"
        assert present(await chart(newer)) == [1.0]


@pytest.mark.parametrize(
    "pieces",
    [
        [[1.5, 1.25, 3.0, -2.75]],
        [[1.5], [1.25], [3.0, 2.125]],
        [[1.5, np.nan, 2.25], [np.nan]],
        [[100 / 3, 200 / 7, 1e-9]],
        [[2.0**60, 3.0, 2.0**55]],
        [[9e15, 9e15, 9e15, 1.0]],
        [[np.inf, 1.0, -np.inf]],
        [[0.1] * 30],
        [[5e-324, 1e300]],
    ],
    ids=["decimals", "more digits", "gaps", "bits", "large", "large sum", "infinite", "many", "extreme"],
)
@pytest.mark.parametrize(("table", "bucket_ms"), [("rollup_5m", 5 * MINUTE_MS), ("rollup_1h", HOUR_MS)])
async def test_the_values_of_a_bucket_are_those_of_its_samples_to_the_bit(
    store: SampleStore, pieces: list[list[float]], table: str, bucket_ms: int
) -> None:
    given: list[tuple[int, float]] = []
    for piece in pieces:
        rows = [(LONG_AGO + 100_000 * (len(given) + number), value) for number, value in enumerate(piece)]
        await put(store, *rows)
        given += rows
    await rolled(store)
    found = store._parts.writing.read(f"select {BUCKETS.names} from {table} final order by t", BUCKETS)
    for at, bucket in enumerate(found["t"].tolist()):
        inside = np.array([v for at_ms, v in given if at_ms // bucket_ms * bucket_ms == bucket and not np.isnan(v)])
        assert found["n"][at] == len(inside)
        if len(inside):
            expected = np.array([inside.min(), inside.max(), inside[0], inside[-1]])
            kept = np.array([found[name][at] for name in ("low", "high", "first_v", "last_v")])
            assert np.array_equal(kept.view(np.int64), expected.view(np.int64))
            with np.errstate(invalid="ignore"):
                assert np.isclose(found["total"][at], inside.sum(), rtol=1e-15, equal_nan=True)
    assert found["n"].sum() == sum(not np.isnan(value) for _, value in given)


CHILD = f"""
import asyncio, os, signal, sys
from pathlib import Path
from tests.support.samples import batch, open_store
from tocsin.model.labels import Labels
from tocsin.runtime.clock import FixedClock

async def main():
    async with open_store(Path(sys.argv[1]), FixedClock({NOW})) as store:
        rows = lambda add, value: batch(store, [(Labels.metric("m"), {LONG_AGO} + add, value)])
        await store.append(rows(0, 1.0))
        while await store.roll_up():
            pass
        await store.append(rows(1, 3.0))  # late
        await store.append(rows(0, 2.0))  # rewritten
        if sys.argv[2] == "computing":
            store._parts.opened.take(2**40)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def run_child(path: Path, moment: str) -> None:
    subprocess.run([sys.executable, "-c", CHILD, str(path), moment], cwd=ROOT, timeout=60, check=False)


@pytest.mark.process
@pytest.mark.parametrize("moment", ["waiting", "computing"])
async def test_late_samples_are_rolled_up_after_a_kill(tmp_path: Path, clock: FixedClock, moment: str) -> None:
    path = tmp_path / "samples"
    run_child(path, moment)
    async with open_store(path, clock) as store:
        assert present(await chart(store, days=6)) == [2.5]
        await rolled(store)
        assert not store._parts.opened.spans
        store._parts.writing.run("truncate table samples")
        assert present(await chart(store, days=6)) == [2.5]
