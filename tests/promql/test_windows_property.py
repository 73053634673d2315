"""The kernels against the loops of `reference/windows`, to the last bit."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.promql.reference.windows import Sample, evaluate

from tocsin.model.labels import Labels
from tocsin.model.series import STALE, SeriesBlock
from tocsin.promql import windows
from tocsin.promql.values import Grid

QUIET_NAN = math.nan
VALUES = (
    st.integers(-20, 20).map(float)
    | st.floats(-1e6, 1e6)
    | st.sampled_from([QUIET_NAN, math.inf, -math.inf, STALE, -0.0, 1.7e308, -1.7e308, 5e-324, 1e16, 0.1])
)
TIMES = st.integers(-200_000, 200_000) | st.integers(-50, 50).map(lambda n: n * 1000)


@st.composite
def series(draw: st.DrawFn) -> list[Sample]:
    times = sorted(draw(st.sets(TIMES, max_size=40)))
    kind = draw(st.sampled_from(["any", "counter", "regular"]))
    if kind == "any":
        return [Sample(time, draw(VALUES)) for time in times]
    if kind == "regular":
        start = draw(TIMES)
        return [Sample(start + 5000 * at, draw(VALUES)) for at in range(len(times))]
    total, out = 0.0, []
    for time in times:
        step = draw(st.integers(-1, 9))
        total = 0.0 if step < 0 else total + step
        out.append(Sample(time, total))
    return out


GRIDS = st.builds(
    Grid,
    st.integers(-300_000, 300_000) | st.integers(-60, 60).map(lambda n: n * 1000),
    st.sampled_from([0, 1, 250, 1000, 5000, 30_000, 10**9]),
    st.integers(1, 25),
)
RANGES = st.sampled_from([0, 1, 999, 1000, 4000, 7001, 60_000, 10**12, 1 << 60])
FACTORS = st.floats(0.01, 0.99)
PARAMS = {
    "quantile_over_time": (st.floats(-0.5, 1.5) | st.sampled_from([math.nan, 0.0, 0.5, 1.0]),),
    "double_exponential_smoothing": (FACTORS, FACTORS),
    "holt_winters": (FACTORS, FACTORS),
    "predict_linear": (st.floats(-1e5, 1e5), st.integers(-100_000, 100_000).map(float)),
}


def block_of(all_: list[list[Sample]]) -> SeriesBlock:
    return SeriesBlock(
        tuple(Labels.of({"n": str(at)}) for at in range(len(all_))),
        np.cumsum([0, *map(len, all_)], dtype=np.int64),
        np.array([sample.time for each in all_ for sample in each], np.int64),
        np.array([sample.value for each in all_ for sample in each], np.float64),
    )


def bits(value: float) -> bytes:
    """Any NaN that is none of the markers is as good as any other."""
    return struct.pack("<d", math.nan if math.isnan(value) else value)


@pytest.mark.parametrize("function", windows.FUNCTIONS)
@settings(max_examples=50)
@given(data=st.data())
def test_a_kernel_gives_what_the_definition_gives(function: str, data: st.DataObject) -> None:
    all_ = data.draw(st.lists(series(), max_size=3))
    grid, range_ms = data.draw(GRIDS), data.draw(RANGES)
    columns = [
        data.draw(st.one_of(strategy, st.lists(strategy, min_size=grid.count, max_size=grid.count)))
        for strategy in PARAMS.get(function, ())
    ]
    params = [np.array(each) if isinstance(each, list) else each for each in columns]

    values, present = windows.reduce(function, block_of(all_), grid, range_ms, params)

    assert values.shape == present.shape == (len(all_), grid.count)
    for row, samples in enumerate(all_):
        for at, time in enumerate(grid.times.tolist()):
            here = [each[at] if isinstance(each, list) else each for each in columns]
            expected = evaluate(function, samples, time, range_ms, here)
            assert present[row, at] == (expected is not None)
            if expected is not None:
                # Sorting does not say which of 0 and -0 comes first.
                found, expected = (values[row, at] + 0.0, expected + 0.0) if here else (values[row, at], expected)
                assert bits(found) == bits(expected), (function, samples, time, range_ms, here)


LONG = [name for name in windows.FUNCTIONS if not windows.FUNCTIONS[name].params or name == "quantile_over_time"]


@pytest.mark.parametrize("function", LONG)
def test_windows_that_overlap_much_give_what_the_definition_gives(function: str) -> None:
    chance = np.random.default_rng(11)
    times = np.cumsum(chance.choice([400, 500, 600, 40_000], 400, p=[0.3, 0.39, 0.3, 0.01]))
    values = chance.choice([*np.arange(30.0), math.nan, math.inf, STALE], 400)
    samples = [Sample(int(time), value) for time, value in zip(times, values.tolist(), strict=True)]
    grid, params = Grid(0, 1100, 320), (0.3,) if function == "quantile_over_time" else ()

    found, present = windows.reduce(function, block_of([samples]), grid, 21_000, params)

    expected = [evaluate(function, samples, time, 21_000, params) for time in grid.times.tolist()]
    assert present[0].tolist() == [value is not None for value in expected]
    assert [bits(value) for value in found[present]] == [bits(value) for value in expected if value is not None]
