"""Window functions from their definitions: one window at a time, a loop over its samples, and nothing clever.

Source: Prometheus 3, promql/functions.go and quantile.go. The order of additions is that of Prometheus, so that answers
are equal to the last bit.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from tocsin.model.series import STALE


class Sample(NamedTuple):
    time: int
    """In ms."""
    value: float


class Window(NamedTuple):
    """`samples` are those in (end - range_ms, end] without stale markers; at least one."""

    samples: Sequence[Sample]
    end: int
    range_ms: int

    @property
    def values(self) -> list[float]:
        return [sample.value for sample in self.samples]


Answer: TypeAlias = float | None
"""None: there is no value."""


def evaluate(function: str, samples: Sequence[Sample], end: int, range_ms: int, params: Sequence[float] = ()) -> Answer:
    """Of one series (times rising) at one moment."""
    inside = [sample for sample in samples if end - range_ms < sample.time <= end]
    if function in {"newest", "newest_time"}:
        if not inside or is_stale(inside[-1].value):
            return None
        return inside[-1].value if function == "newest" else inside[-1].time / 1000
    real = [sample for sample in inside if not is_stale(sample.value)]
    return FUNCTIONS[function](Window(real, end, range_ms), *params) if real else None


def is_stale(value: float) -> bool:
    return struct.pack("<d", value) == struct.pack("<d", STALE)


# Counters


def rate(window: Window) -> Answer:
    return extrapolated(window, counter=True, per_second=True)


def increase(window: Window) -> Answer:
    return extrapolated(window, counter=True, per_second=False)


def delta(window: Window) -> Answer:
    return extrapolated(window, counter=False, per_second=False)


def extrapolated(window: Window, *, counter: bool, per_second: bool) -> Answer:
    samples = window.samples
    if len(samples) < 2:
        return None
    first, last = samples[0], samples[-1]
    rise = last.value - first.value
    if counter:
        for before, after in pairwise(samples):
            if after.value < before.value:
                rise += before.value
    to_start = (first.time - (window.end - window.range_ms)) / 1000
    to_end = (window.end - last.time) / 1000
    sampled = (last.time - first.time) / 1000
    average = sampled / (len(samples) - 1)
    if to_start >= average * 1.1:
        to_start = average / 2
    if counter and rise > 0 and first.value >= 0:
        to_zero = sampled * (first.value / rise)
        to_start = min(to_start, to_zero)
    if to_end >= average * 1.1:
        to_end = average / 2
    factor = (sampled + to_start + to_end) / sampled
    if per_second:
        factor /= window.range_ms // 1000 + window.range_ms % 1000 * 1_000_000 / 1e9
    return rise * factor


def irate(window: Window) -> Answer:
    if len(window.samples) < 2:
        return None
    before, last = window.samples[-2:]
    rise = last.value if last.value < before.value else last.value - before.value
    return rise / ((last.time - before.time) / 1000)


def idelta(window: Window) -> Answer:
    return window.values[-1] - window.values[-2] if len(window.samples) > 1 else None


def resets(window: Window) -> Answer:
    return float(sum(after < before for before, after in pairwise(window.values)))


def changes(window: Window) -> Answer:
    return float(
        sum(
            after != before and not (math.isnan(after) and math.isnan(before))
            for before, after in pairwise(window.values)
        )
    )


# Sums


def kahan(value: float, total: float, rest: float) -> tuple[float, float]:
    """The total with the value, and the rest that its rounding left."""
    longer = total + value
    if math.isinf(longer):
        return longer, 0.0
    if abs(total) >= abs(value):
        return longer, rest + ((total - longer) + value)
    return longer, rest + ((value - longer) + total)


def sum_over_time(window: Window) -> Answer:
    total = rest = 0.0
    for value in window.values:
        total, rest = kahan(value, total, rest)
    return total if math.isinf(total) else total + rest


def avg_over_time(window: Window) -> Answer:
    total, rest, mean = window.values[0], 0.0, 0.0
    incremental = False
    for count, value in enumerate(window.values[1:], 2):
        if not incremental:
            longer, longer_rest = kahan(value, total, rest)
            if not math.isinf(longer):
                total, rest = longer, longer_rest
                continue
            incremental = True
            mean = total / (count - 1)
            rest /= count - 1
        share = (count - 1) / count
        mean, rest = kahan(value / count, share * mean, share * rest)
    return mean + rest if incremental else total / len(window.samples) + rest / len(window.samples)


def stdvar_over_time(window: Window) -> Answer:
    mean = mean_rest = squares = squares_rest = 0.0
    for count, value in enumerate(window.values, 1):
        distance = value - (mean + mean_rest)
        mean, mean_rest = kahan(distance / count, mean, mean_rest)
        squares, squares_rest = kahan(distance * (value - (mean + mean_rest)), squares, squares_rest)
    return (squares + squares_rest) / len(window.samples)


def stddev_over_time(window: Window) -> Answer:
    variance = stdvar_over_time(window)
    assert variance is not None
    return math.sqrt(variance) if variance >= 0 else math.nan


# Lines and curves


def line(samples: Sequence[Sample], origin: int) -> tuple[float, float]:
    """The slope by the second, and the height at the origin."""
    if all(sample.value == samples[0].value for sample in samples[1:]):
        return (math.nan, math.nan) if math.isinf(samples[0].value) else (0.0, samples[0].value)
    sums = dict.fromkeys(("x", "y", "xy", "xx"), (0.0, 0.0))
    for time, value in samples:
        x = (time - origin) / 1e3
        for name, term in (("x", x), ("y", value), ("xy", x * value), ("xx", x * x)):
            sums[name] = kahan(term, *sums[name])
    n = len(samples)
    x, y, xy, xx = (sum(sums[name]) for name in ("x", "y", "xy", "xx"))
    slope = divided(xy - x * y / n, xx - x * x / n)
    return slope, y / n - slope * x / n


def divided(one: float, two: float) -> float:
    """As the machine divides."""
    if two:
        return one / two
    return math.nan if one == 0 or math.isnan(one) else math.copysign(math.inf, one) * math.copysign(1.0, two)


def deriv(window: Window) -> Answer:
    return line(window.samples, window.samples[0].time)[0] if len(window.samples) > 1 else None


def predict_linear(window: Window, ahead_s: float, later_ms: float = 0.0) -> Answer:
    if len(window.samples) < 2:
        return None
    slope, height = line(window.samples, window.end + int(later_ms))
    return slope * ahead_s + height


def double_exponential_smoothing(window: Window, smoothing: float, trending: float) -> Answer:
    values = window.values
    if len(values) < 2:
        return None
    before, level, trend = 0.0, values[0], values[1] - values[0]
    for at, value in enumerate(values[1:]):
        if at:
            trend = trending * (level - before) + (1 - trending) * trend
        before, level = level, smoothing * value + (1 - smoothing) * (level + trend)
    return level


# Extremes


def min_over_time(window: Window) -> Answer:
    best = window.values[0]
    for value in window.values:
        if value < best or math.isnan(best):
            best = value
    return best


def max_over_time(window: Window) -> Answer:
    best = window.values[0]
    for value in window.values:
        if value > best or math.isnan(best):
            best = value
    return best


def ts_of_min_over_time(window: Window) -> Answer:
    best = window.samples[0]
    for sample in window.samples:
        if sample.value <= best.value or math.isnan(best.value):
            best = sample
    return best.time / 1000


def ts_of_max_over_time(window: Window) -> Answer:
    best = window.samples[0]
    for sample in window.samples:
        if sample.value >= best.value or math.isnan(best.value):
            best = sample
    return best.time / 1000


# Quantiles


def quantile(share: float, values: Sequence[float]) -> float:
    """NaN is the smallest value."""
    if not values or math.isnan(share):
        return math.nan
    if share < 0:
        return -math.inf
    if share > 1:
        return math.inf
    ordered = sorted(values, key=lambda value: (not math.isnan(value), 0.0 if math.isnan(value) else value))
    rank = share * (len(ordered) - 1)
    low = math.floor(rank)
    high = min(len(ordered) - 1, low + 1)
    weight = rank - low
    return ordered[low] * (1 - weight) + ordered[high] * weight


def quantile_over_time(window: Window, share: float) -> Answer:
    return quantile(share, window.values)


def mad_over_time(window: Window) -> Answer:
    median = quantile(0.5, window.values)
    return quantile(0.5, [abs(value - median) for value in window.values])


FUNCTIONS: dict[str, Callable[..., Answer]] = {
    "rate": rate,
    "increase": increase,
    "delta": delta,
    "irate": irate,
    "idelta": idelta,
    "deriv": deriv,
    "predict_linear": predict_linear,
    "changes": changes,
    "resets": resets,
    "avg_over_time": avg_over_time,
    "sum_over_time": sum_over_time,
    "min_over_time": min_over_time,
    "max_over_time": max_over_time,
    "count_over_time": lambda window: float(len(window.samples)),
    "first_over_time": lambda window: window.values[0],
    "last_over_time": lambda window: window.values[-1],
    "present_over_time": lambda window: 1.0,
    "quantile_over_time": quantile_over_time,
    "stddev_over_time": stddev_over_time,
    "stdvar_over_time": stdvar_over_time,
    "mad_over_time": mad_over_time,
    "double_exponential_smoothing": double_exponential_smoothing,
    "holt_winters": double_exponential_smoothing,
    "ts_of_min_over_time": ts_of_min_over_time,
    "ts_of_max_over_time": ts_of_max_over_time,
    "ts_of_first_over_time": lambda window: window.samples[0].time / 1000,
    "ts_of_last_over_time": lambda window: window.samples[-1].time / 1000,
}
