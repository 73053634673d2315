"""Window functions: flat cases, with the numbers that Prometheus gives."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tocsin.model.labels import Labels
from tocsin.model.series import STALE, SeriesBlock
from tocsin.promql import kernels, windows
from tocsin.promql.here import EvaluationError
from tocsin.promql.values import Grid

NAN, INF = math.nan, math.inf
MINUTE = 60_000


def block(*series: list[tuple[int, float]]) -> SeriesBlock:
    return SeriesBlock(
        tuple(Labels.of({"n": str(at)}) for at in range(len(series))),
        np.cumsum([0, *map(len, series)], dtype=np.int64),
        np.array([time for each in series for time, _ in each], np.int64),
        np.array([value for each in series for _, value in each], np.float64),
    )


def every(step_ms: int, values: list[float], start: int = 0) -> list[tuple[int, float]]:
    return [(start + step_ms * at, value) for at, value in enumerate(values)]


def at(function: str, samples: list[tuple[int, float]], end: int, range_ms: int, *params: float) -> float | None:
    values, present = windows.reduce(function, block(samples), Grid(end), range_ms, params)
    return float(values[0, 0]) if present[0, 0] else None


def over(
    function: str, samples: list[tuple[int, float]], grid: Grid, range_ms: int, *params: float
) -> list[float | None]:
    values, present = windows.reduce(function, block(samples), grid, range_ms, params)
    return [value if there else None for value, there in zip(values[0].tolist(), present[0].tolist(), strict=True)]


FIVE = every(1000, [5.0, 3.0, 4.0, 1.0, 2.0])


@pytest.mark.parametrize(
    ("function", "params", "expected"),
    [
        ("sum_over_time", (), 15.0),
        ("avg_over_time", (), 3.0),
        ("min_over_time", (), 1.0),
        ("max_over_time", (), 5.0),
        ("count_over_time", (), 5.0),
        ("first_over_time", (), 5.0),
        ("last_over_time", (), 2.0),
        ("present_over_time", (), 1.0),
        ("stdvar_over_time", (), 2.0),
        ("stddev_over_time", (), math.sqrt(2)),
        ("mad_over_time", (), 1.0),
        ("quantile_over_time", (0.5,), 3.0),
        ("quantile_over_time", (0.875,), 4.5),
        ("quantile_over_time", (-0.1,), -INF),
        ("quantile_over_time", (1.1,), INF),
        ("changes", (), 4.0),
        ("resets", (), 2.0),
        ("idelta", (), 1.0),
        ("irate", (), 1.0),
        ("deriv", (), -0.8),
        ("predict_linear", (10.0,), 1.4 - 8.0),
        ("predict_linear", (10.0, 1000.0), 0.6 - 8.0),
        ("ts_of_first_over_time", (), 0.0),
        ("ts_of_last_over_time", (), 4.0),
        ("ts_of_min_over_time", (), 3.0),
        ("ts_of_max_over_time", (), 0.0),
        ("newest", (), 2.0),
        ("newest_time", (), 4.0),
    ],
)
def test_five_samples_are_reduced(function: str, params: tuple[float, ...], expected: float) -> None:
    assert at(function, FIVE, 4000, 5000, *params) == pytest.approx(expected, abs=1e-12)


def test_a_window_leaves_out_its_left_edge_and_takes_in_its_right() -> None:
    assert at("sum_over_time", every(1000, [1.0, 10.0, 100.0]), 2000, 2000) == 110.0
    assert at("count_over_time", every(1000, [1.0, 10.0, 100.0]), 1999, 2000) == 2.0
    assert at("count_over_time", [(0, 1.0)], 0, 0) is None


@pytest.mark.parametrize("function", ["rate", "increase", "delta", "irate", "idelta", "deriv"])
def test_one_sample_makes_no_rate(function: str) -> None:
    assert at(function, [(0, 1.0)], 0, MINUTE) is None


def test_a_steady_counter_has_its_rate() -> None:
    counter = every(10_000, [100.0 + 10 * n for n in range(31)])
    assert at("rate", counter, 300_000, 5 * MINUTE) == pytest.approx(1.0)
    assert at("increase", counter, 300_000, 5 * MINUTE) == pytest.approx(300.0)


def test_what_a_counter_lost_is_added_again() -> None:
    counter = every(5 * MINUTE, [0.0, 10, 20, 30, 40, 50, 0, 10, 20, 30, 40])
    assert at("increase", counter, 50 * MINUTE, 50 * MINUTE + 1) == pytest.approx(90.0, rel=1e-4)
    assert at("resets", counter, 50 * MINUTE, 51 * MINUTE) == 1.0


def test_a_counter_is_not_carried_on_below_zero() -> None:
    # It was 0 five seconds before its first sample, nearer than the window's edge at ten.
    samples = [(20_000, 0.5), (30_000, 1.5), (40_000, 2.5)]
    assert at("delta", samples, 40_000, 30_000) == pytest.approx(3.0)
    assert at("increase", samples, 40_000, 30_000) == pytest.approx(2.5)
    assert at("increase", [(20_000, 0.0), (30_000, 1.0)], 30_000, 20_500) == pytest.approx(1.0)


def test_a_series_that_begins_inside_the_window_is_carried_on_by_half_a_distance() -> None:
    gauge = every(10_000, [10.0, 20.0, 30.0], start=100_000)
    assert at("delta", gauge, 125_000, 60_000) == pytest.approx(20.0 * (20 + 5 + 5) / 20)


def test_an_edge_that_is_a_tenth_further_than_a_distance_is_too_far() -> None:
    gauge = [(20_000, 10.0), (30_000, 20.0)]
    assert at("delta", gauge, 30_000, 20_999) == pytest.approx(10.0 * (10 + 10.999) / 10)
    assert at("delta", gauge, 30_000, 21_000) == pytest.approx(10.0 * (10 + 5) / 10)
    assert at("delta", gauge, 40_999, 21_999) == pytest.approx(10.0 * (10 + 1 + 10.999) / 10)
    assert at("delta", gauge, 41_000, 22_000) == pytest.approx(10.0 * (10 + 5 + 1) / 10)


def test_irate_after_a_reset_is_the_new_value() -> None:
    assert at("irate", [(0, 50.0), (10_000, 30.0)], 10_000, MINUTE) == 3.0
    assert at("idelta", [(0, 50.0), (10_000, 30.0)], 10_000, MINUTE) == -20.0


def test_sums_keep_what_rounding_would_lose() -> None:
    values = [1.0, 1e100, 1.0, -1e100]
    assert at("sum_over_time", every(1000, values), 3000, 4000) == 2.0
    assert at("avg_over_time", every(1000, values), 3000, 4000) == 0.5


def test_a_mean_does_not_overflow_where_the_sum_does() -> None:
    assert at("avg_over_time", every(1000, [1.7e308] * 3), 2000, 3000) == pytest.approx(1.7e308)
    assert at("sum_over_time", every(1000, [1.7e308] * 3), 2000, 3000) == INF


@pytest.mark.parametrize(
    ("values", "total", "mean"),
    [
        ([INF, 1.0], INF, INF),
        ([1.0, -INF], -INF, -INF),
        ([INF, -INF], NAN, NAN),
        ([INF, NAN], NAN, NAN),
    ],
)
def test_infinities_are_summed(values: list[float], total: float, mean: float) -> None:
    found = [at(function, every(1000, values), 1000, 2000) for function in ("sum_over_time", "avg_over_time")]
    np.testing.assert_equal(found, [total, mean])


@pytest.mark.parametrize("filler", [0, 40])
def test_extremes_leave_nan_out_unless_there_is_nothing_else(filler: int) -> None:
    samples = every(1000, [NAN, 2.0, NAN, 1.0, NAN])
    grid = Grid(4000, 1, filler + 1)  # many moments make a queue of it, one a scan
    assert over("max_over_time", samples, grid, 100_000) == [2.0] * grid.count
    assert over("min_over_time", samples, grid, 100_000) == [1.0] * grid.count
    np.testing.assert_equal(over("min_over_time", [(0, NAN), (1, NAN)], grid, 100_000), [NAN] * grid.count)


def test_the_times_of_extremes_are_those_of_the_latest() -> None:
    samples = every(1000, [1.0, 3.0, 1.0, 3.0, 2.0])
    assert at("ts_of_max_over_time", samples, 4000, 10_000) == 3.0
    assert at("ts_of_min_over_time", samples, 4000, 10_000) == 2.0
    assert at("ts_of_max_over_time", [(1000, NAN), (2000, NAN)], 2000, 10_000) == 2.0


def test_from_nan_to_nan_is_no_change() -> None:
    samples = every(1000, [1.0, NAN, NAN, 1.0, 1.0])
    assert at("changes", samples, 4000, 10_000) == 2.0
    assert at("resets", samples, 4000, 10_000) == 0.0


def test_nan_is_the_smallest_value_of_a_quantile() -> None:
    samples = every(1000, [1.0, NAN, 2.0])
    assert at("quantile_over_time", samples, 2000, 10_000, 1.0) == 2.0
    np.testing.assert_equal(at("quantile_over_time", samples, 2000, 10_000, 0.0), NAN)
    np.testing.assert_equal(at("quantile_over_time", samples, 2000, 10_000, NAN), NAN)


def test_any_order_of_values_has_its_quantile() -> None:
    rising = [float(n) for n in range(1001)]
    organ_pipe = [float(min(n, 1000 - n)) for n in range(1001)]
    for values in (rising, rising[::-1], organ_pipe, [7.0] * 1001, rising[::2] + rising[1::2]):
        expected = sorted(values)[900]
        assert at("quantile_over_time", every(1, values), 1000, 2000, 0.9) == pytest.approx(expected)


def test_a_flat_line_has_no_slope_and_an_infinite_one_none_that_is_known() -> None:
    assert at("deriv", every(1000, [4.0] * 4), 3000, 10_000) == 0.0
    assert at("predict_linear", every(1000, [4.0] * 4), 3000, 10_000, 3600.0) == 4.0
    np.testing.assert_equal(at("deriv", every(1000, [INF] * 4), 3000, 10_000), NAN)


def test_a_line_far_from_1970_is_as_exact() -> None:
    start = 1_700_000_000_000
    samples = every(15_000, [3.0 + 0.5 * n for n in range(20)], start=start)
    assert at("deriv", samples, start + 300_000, 10 * MINUTE) == pytest.approx(0.5 / 15, rel=1e-12)


def test_smoothing_follows_values_and_trend() -> None:
    samples = every(1000, [10.0, 20.0, 30.0, 40.0])
    for name in ("double_exponential_smoothing", "holt_winters"):
        assert at(name, samples, 3000, 10_000, 0.5, 0.1) == pytest.approx(40.0)
        assert at(name, samples[:1], 3000, 10_000, 0.5, 0.1) is None


@pytest.mark.parametrize(("factors", "which"), [((0.0, 0.5), "smoothing"), ((0.5, 1.0), "trend")])
def test_a_factor_outside_of_0_to_1_is_refused(factors: tuple[float, float], which: str) -> None:
    with pytest.raises(EvaluationError, match=f"invalid {which} factor"):
        windows.reduce("double_exponential_smoothing", block(FIVE), Grid(0), 1000, factors)
    windows.reduce("double_exponential_smoothing", block(), Grid(0), 1000, factors)


def test_stale_markers_are_no_samples_of_a_window() -> None:
    samples = every(1000, [1.0, STALE, 3.0, STALE])
    assert at("count_over_time", samples, 3000, 10_000) == 2.0
    assert at("last_over_time", samples, 3000, 10_000) == 3.0
    assert at("idelta", samples, 3000, 10_000) == 2.0
    assert at("count_over_time", [(0, STALE)], 3000, 10_000) is None


def test_the_newest_sample_is_absent_where_it_is_a_stale_marker() -> None:
    samples = every(1000, [1.0, STALE, 3.0, NAN])
    np.testing.assert_equal(over("newest", samples, Grid(0, 1000, 5), 1500), [1.0, None, 3.0, NAN, NAN])
    assert over("newest_time", samples, Grid(0, 1000, 6), 1500) == [0.0, None, 2.0, 3.0, 3.0, None]


def test_parameters_may_differ_from_moment_to_moment() -> None:
    grid = Grid(4000, 0, 3)
    values, _ = windows.reduce("quantile_over_time", block(FIVE), grid, 5000, (np.array([0.0, 0.5, 1.0]),))
    assert values.tolist() == [[1.0, 3.0, 5.0]]


def test_moments_before_and_after_the_samples_have_no_value() -> None:
    assert over("count_over_time", FIVE, Grid(-1000, 5000, 3), 3000) == [None, 3.0, None]


def test_slices_of_series_are_written_into_rows_of_one_answer() -> None:
    whole = block(FIVE, [], every(1000, [1.0, 2.0]), [(3000, 7.0)])
    grid = Grid(1000, 1000, 4)
    expected, there = windows.reduce("sum_over_time", whole, grid, 2500)
    out, present = np.full((6, 4), -1.0), np.ones((6, 4), np.bool_)
    for first, stop in ((0, 1), (1, 4)):
        windows.reduce_into(
            "sum_over_time",
            whole.offsets[first : stop + 1],
            whole.times,
            whole.values,
            grid,
            2500,
            out,
            present,
            row=1 + first,
        )
    np.testing.assert_array_equal(out[1:5], expected)
    np.testing.assert_array_equal(present[1:5], there)
    assert (out[[0, 5]] == -1.0).all()


@pytest.mark.parametrize(
    ("offsets", "samples", "rows", "sentence"),
    [
        ([0, 3, 2], 3, 2, "offsets never fall"),
        ([0, 4], 3, 1, "offsets go past the samples"),
        ([-1, 2], 3, 1, "offsets begin at 0"),
        ([0, 1, 2], 3, 1, "no room"),
    ],
)
def test_arrays_that_do_not_fit_one_another_are_refused(
    offsets: list[int], samples: int, rows: int, sentence: str
) -> None:
    times = np.arange(samples, dtype=np.int64)
    out, present = np.zeros((rows, 1)), np.zeros((rows, 1), np.bool_)
    with pytest.raises(ValueError, match=sentence):
        windows.reduce_into(
            "sum_over_time", np.array(offsets, np.int64), times, times.astype(float), Grid(0), 1, out, present
        )


@pytest.mark.parametrize("size", range(9))
@pytest.mark.parametrize(("zeros", "first"), [((0.0, -0.0), 1.0), ((-0.0, 0.0), -1.0)])
def test_of_two_zeros_the_first_is_the_extreme(size: int, zeros: tuple[float, float], first: float) -> None:
    least = every(1000, [NAN, *[1.0] * size, *zeros, 1.0])
    greatest = every(1000, [NAN, *[-1.0] * size, *zeros, -1.0])
    for function, samples in (("min_over_time", least), ("max_over_time", greatest)):
        found = at(function, samples, 1_000_000, 2_000_000)
        assert found == 0
        assert math.copysign(1.0, found) == first


def test_threads_may_write_rows_of_one_answer() -> None:
    whole = block(*[every(10, [float(n * row % 17) for n in range(2000)]) for row in range(40)])
    grid = Grid(0, 100, 200)
    expected, there = windows.reduce("rate", whole, grid, 1000)
    out, present = np.empty_like(expected), np.empty_like(there)

    def reduce_slice(first: int) -> None:
        windows.reduce_into(
            "rate", whole.offsets[first : first + 6], whole.times, whole.values, grid, 1000, out, present, row=first
        )

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(reduce_slice, range(0, 40, 5)))
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(present, there)


def test_times_beyond_all_reason_are_refused() -> None:
    with pytest.raises(EvaluationError, match="too far away"):
        windows.reduce("predict_linear", block(FIVE), Grid(0), 1000, (1.0, NAN))
    with pytest.raises(EvaluationError, match="too far away"):
        windows.reduce("newest", block(FIVE), Grid(1 << 61), 1000)


def test_a_function_takes_its_own_number_of_parameters() -> None:
    with pytest.raises(TypeError, match="takes 1 param"):
        windows.reduce("quantile_over_time", block(FIVE), Grid(0), 1000)


def test_every_kernel_has_a_name() -> None:
    assert sorted(set(kernels.CODES.values())) == list(range(28))
