from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.analysis.trend import POINTS_MAX, Direction, Trend, thinned, trend
from tocsin.model.duration import HOUR_MS, MINUTE_MS
from tocsin.model.series import FloatArray

START = 1_800_000_000_000


def of(values: Sequence[float] | FloatArray, every_ms: int = MINUTE_MS) -> Trend:
    return trend(START + every_ms * np.arange(len(values)), np.asarray(values, np.float64))


def ar1(echo: float, count: int, chance: np.random.Generator) -> FloatArray:
    """A trendless series each of whose points is `echo` of the one before, and news."""
    news = chance.standard_normal(count + 100)
    out = np.zeros_like(news)
    for at in range(1, len(news)):
        out[at] = echo * out[at - 1] + news[at]
    return out[100:]


def test_no_samples_are_no_data_and_all_numbers_are_zero() -> None:
    assert of([]) == Trend(Direction.NO_DATA, 0.0, 0.0, 0.0, 0.0, 0.0, 0)
    assert of([]).direction == "no_data"


def test_samples_without_a_number_are_no_data() -> None:
    assert of([np.nan, np.nan, np.inf]).direction == "no_data"


def test_missing_numbers_are_left_out() -> None:
    found = of([np.nan, 1, 2, np.nan, 3, 4, 5, np.inf, 6])
    assert (found.direction, found.avg, found.min, found.max, found.samples) == ("up", 3.5, 1.0, 6.0, 6)


@pytest.mark.parametrize(
    ("values", "direction"),
    [
        (range(1, 11), "up"),
        (range(10, 0, -1), "down"),
        (range(-10, 0), "up"),
        ([5] * 10, "flat"),
        ([0] * 10, "flat"),
        ([5], "flat"),
        ([1, 2], "up"),
        ([2, 1], "down"),
        ([50, 60, 70], "up"),
        ([50, 40, 30], "down"),
        ([50, 70, 60], "flat"),
        ([50, 50], "flat"),
        ([50, 50.1, 50.2], "flat"),
        ([0, 0, 0, 0, 100, 0, 0, 0, 0], "flat"),
        ([1, 9, 2, 8, 3, 7, 4, 6, 5], "flat"),
        ([10, 12, 11, 14, 13, 16, 15, 18], "up"),
    ],
)
def test_the_answer_is_the_obvious_one(values: Sequence[float], direction: str) -> None:
    assert of(values).direction == direction


@pytest.mark.parametrize(
    ("curve", "direction"),
    [
        (lambda x: 50 + x, "up"),
        (lambda x: np.exp(3 * x), "up"),
        (np.sqrt, "up"),
        (lambda x: 1 / (1 + np.exp(12 * x - 6)) + 1, "down"),
        (lambda x: np.round(50 + 2 * x), "up"),
        (lambda x: 50 + (x > 0.5), "up"),
        (lambda x: 50 + 1e-6 * x, "flat"),
        (lambda x: 5 + np.sin(2 * np.pi * x), "flat"),
        (lambda x: 5 + np.sin(14 * np.pi * x), "flat"),
        (lambda x: 5 + np.sin(np.pi * x), "flat"),
        (lambda x: 50 + 50 * (x == 0.5), "flat"),
    ],
)
def test_a_curve_is_called_what_its_chart_shows(curve: Callable[[FloatArray], FloatArray], direction: str) -> None:
    assert of(curve(np.linspace(0, 1, 301))).direction == direction


def test_slope_and_change_are_in_the_values_unit() -> None:
    found = of([10, 20, 30, 40], every_ms=HOUR_MS // 2)
    assert found.slope_per_hour == pytest.approx(20.0)
    assert found.change == pytest.approx(30.0)


def test_outliers_turn_no_trend() -> None:
    values = np.linspace(10, 20, 100)
    values[::7] = 1_000
    values[3] = -1_000
    found = of(values)
    assert found.direction == "up"
    assert found.change == pytest.approx(10, rel=0.2)


def test_uneven_spacing_counts_by_time_and_not_by_position() -> None:
    times = START + np.concatenate([np.arange(0, 60), [3_600, 7_200, 10_800]]) * 1_000
    values = (times - START) / 1_000 / 3_600 + 5
    found = trend(times, values)
    assert found.direction == "up"
    assert found.slope_per_hour == pytest.approx(1.0)


def test_samples_of_one_instant_have_no_trend() -> None:
    assert trend(np.full(5, START), np.arange(5.0)).direction == "flat"


def test_samples_may_come_in_any_order() -> None:
    order = np.random.default_rng(1).permutation(64)
    assert trend(START + MINUTE_MS * order, order.astype(np.float64)) == of(range(64))


def test_many_samples_are_thinned_to_means_of_equal_spans() -> None:
    times = np.concatenate([np.linspace(0, 1e6, 5_000), np.linspace(9e6, 1e7, 100)])
    thin, values = thinned(times, times * 2)
    assert 50 < len(thin) <= POINTS_MAX
    assert values == pytest.approx(thin * 2)
    assert (np.diff(thin) > 0).all()


def test_a_trend_under_noise_is_seen_in_many_samples() -> None:
    chance = np.random.default_rng(7)
    drift = np.linspace(0, 2, 50_000)
    assert of(100 + 3 * chance.standard_normal(50_000) + 3 * drift, every_ms=1_000).direction == "up"


@pytest.mark.parametrize(
    ("echo", "count"), [(0.0, 20), (0.0, 300), (0.5, 50), (0.8, 30), (0.8, 100), (0.8, 300), (0.9, 300)]
)
def test_one_trendless_series_in_ten_at_most_is_called_a_trend(echo: float, count: int) -> None:
    chance = np.random.default_rng(2)
    called = [of(20 + ar1(echo, count, chance)).direction != "flat" for _ in range(100 if count > 100 else 300)]
    assert np.mean(called) <= 0.10


@pytest.mark.parametrize("echo", [0.0, 0.5, 0.8])
def test_a_trend_of_three_times_the_noise_is_nearly_always_seen(echo: float) -> None:
    chance = np.random.default_rng(3)
    rise = np.linspace(0, 3 / np.sqrt(1 - echo**2), 300)
    seen = [of(20 + rise + ar1(echo, 300, chance)).direction == "up" for _ in range(40)]
    assert np.mean(seen) >= 0.85


numbers = st.lists(st.integers(-1_000, 1_000), min_size=1, max_size=40)


@given(numbers)
def test_reversal_turns_up_into_down(values: list[int]) -> None:
    there, back = of(values), of(values[::-1])
    assert back.change == pytest.approx(-there.change)
    assert (back.direction, there.direction) in {("up", "down"), ("down", "up"), ("flat", "flat")}


@given(numbers)
def test_a_mirrored_series_has_the_mirrored_trend(values: list[int]) -> None:
    there, mirrored = of(values), of([-value for value in values])
    assert mirrored.change == pytest.approx(-there.change)
    assert {there.direction, mirrored.direction} in ({"up", "down"}, {"flat"})


@given(numbers, st.sampled_from([2.0**-1000, 2.0**-20, 0.5, 8.0, 2.0**1000]))
def test_another_unit_changes_nothing(values: list[int], factor: float) -> None:
    there, scaled = of(values), of([value * factor for value in values])
    assert scaled.direction == there.direction
    assert scaled.change == pytest.approx(there.change * factor)
    assert scaled.avg == pytest.approx(there.avg * factor)


@given(numbers, st.integers(-10_000, 10_000))
def test_a_shift_moves_the_values_and_not_the_slope(values: list[int], shift: int) -> None:
    there, moved = of(values), of([value + shift for value in values])
    assert moved.change == pytest.approx(there.change, abs=1e-6)
    assert moved.avg == pytest.approx(there.avg + shift, abs=1e-6)


@given(numbers, st.integers(1, 10_000_000), st.integers(0, 10**12))
def test_when_and_how_often_changes_nothing(values: list[int], every_ms: int, start_ms: int) -> None:
    there = of(values)
    times = start_ms + every_ms * np.arange(len(values))
    moved = trend(times, np.asarray(values, np.float64))
    assert moved.direction == there.direction
    assert moved.change == pytest.approx(there.change)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=30))
@settings(max_examples=200)
def test_any_numbers_have_an_answer_within_their_bounds(values: list[float]) -> None:
    found = of(values)
    assert found.direction in set(Direction)
    assert found.min <= found.avg <= found.max
    assert all(np.isfinite([found.avg, found.min, found.max]))
