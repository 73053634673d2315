"""Roll-ups in place of raw samples: the same numbers where windows are whole buckets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.support.samples import UNSYNCED, batch, open_store

from tocsin.model.duration import HOUR_MS, MINUTE_MS
from tocsin.model.labels import Labels
from tocsin.model.matcher import parse_selector
from tocsin.promql.ports import Ask, Budget
from tocsin.promql.values import Grid, Vector
from tocsin.runtime.clock import FixedClock
from tocsin.store.samples import coarse
from tocsin.store.samples.native import Columns, Shape
from tocsin.store.samples.rollup import Plan, Span

NOW = 1_800_000_000_000 // HOUR_MS * HOUR_MS
START = NOW - 12 * HOUR_MS
SELECTOR = parse_selector("m")
FIVE = Plan((Span(NOW - 2 * HOUR_MS, NOW + 1),), (Span(START, NOW - 2 * HOUR_MS),))
HOURS = Plan((Span(NOW - 2 * HOUR_MS, NOW + 1),), (), (Span(START, NOW - 2 * HOUR_MS),))


@pytest.mark.parametrize("function", [*coarse.COLUMNS, coarse.AVG])
@pytest.mark.parametrize(("plan", "window_ms"), [(FIVE, 5 * MINUTE_MS), (FIVE, 30 * MINUTE_MS), (HOURS, HOUR_MS)])
async def test_whole_buckets_say_what_their_samples_say(
    tmp_path: Path, function: str, plan: Plan, window_ms: int
) -> None:
    chance = np.random.default_rng(1)
    async with open_store(tmp_path / "samples", FixedClock(NOW + HOUR_MS), UNSYNCED) as store:
        for number in range(5):
            labels = Labels.metric("m", {"n": str(number)})
            times = START + 7_001 + np.arange(12 * 60) * MINUTE_MS  # none on an edge
            kept = times[chance.random(len(times)) < 0.9]
            values = np.round(chance.normal(50, 20, len(kept)), 2)
            values[::37] = np.nan
            rows = [(labels, int(at_ms), float(value)) for at_ms, value in zip(kept, values, strict=True)]
            await store.append(batch(store, [row for row in rows if not np.isnan(row[2])]))
        await store.flush()
        while await store.roll_up():
            pass
        ask = Ask(SELECTOR, Grid(START + window_ms, 5 * MINUTE_MS, 130), window_ms, function)
        if plan is HOURS:
            ask = replace(ask, grid=Grid(START + window_ms, HOUR_MS, 11))
        raw = (await store.gather([ask], Budget()))[ask].found
        assert isinstance(raw, Vector)
        ids = np.sort(np.array([store.intern(labels) for labels in raw.frame], np.uint64))

        def read(sql: str, shape: Shape, some: np.ndarray) -> Columns:
            return store._parts.pool.use(lambda connection: connection.read(sql, shape, some))

        values, present, rows_read = coarse.compute(read, ask, ids, plan, 1_000_000)
        assert np.array_equal(present, raw.present)
        np.testing.assert_allclose(values[present], raw.values[present], rtol=1e-9)
        assert rows_read < 5 * 12 * 60 * 2 // 3


def test_windows_shorter_than_a_bucket_and_other_functions_are_read_raw() -> None:
    assert coarse.fits(Ask(SELECTOR, Grid(NOW), 5 * MINUTE_MS, "newest"))
    assert not coarse.fits(Ask(SELECTOR, Grid(NOW), 4 * MINUTE_MS, "max_over_time"))
    assert not coarse.fits(Ask(SELECTOR, Grid(NOW), HOUR_MS, "rate"))
