"""Is it rising, falling or flat?

The slope is Theil–Sen's, the median of the slopes between all pairs of points, which a quarter of the points cannot
spoil. Whether it is more than chance is asked of Mann and Kendall's test. That test takes every point for news,
and readings of a machine are not: each is like the one before. So the test sees the series with its echo taken out
(trend-free pre-whitening after Yue et al. 2002, with the autocorrelation corrected for its bias in short series).
Without that, half of all trendless series with an echo of 0.8 would be called rising or falling.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from tocsin.model.duration import HOUR_MS
from tocsin.model.series import FloatArray, TimeArray

POINTS_MAX = 300
"""More are averaged in as many spans of time: pairs grow with the square."""

SIGNIFICANT_Z = 1.96
"""5 % chance of a false alarm, both sides together."""

CLEAR_TAU = 0.7
"""So nearly all pairs point one way that nobody who sees the chart asks for a test: Kendall's tau, 1 where all do.

It is what decides for a handful of points, which no test can, and for one smooth rise, which is all echo.
"""

NOTICEABLE = 0.005
"""A change below this share of the usual size of the values is flat, however certain it is."""

ECHO_MAX = 0.99


class Direction(StrEnum):
    UP = "up"
    DOWN = "down"
    FLAT = "flat"
    NO_DATA = "no_data"


@dataclass(frozen=True, slots=True)
class Trend:
    """`change` is how far the fitted line moves from the first sample to the last, in the values' unit.

    All numbers are 0 where there is no data.
    """

    direction: Direction
    avg: float = 0.0
    min: float = 0.0
    max: float = 0.0
    slope_per_hour: float = 0.0
    change: float = 0.0
    samples: int = 0


def trend(times_ms: TimeArray, values: FloatArray) -> Trend:
    """times_ms int64[n] in any order, values float64[n]. NaN and infinities are no readings and are left out."""
    finite = np.isfinite(values)
    if not finite.all():
        times_ms, values = times_ms[finite], values[finite]
    if not len(values):
        return Trend(Direction.NO_DATA)
    low, high = float(values.min()), float(values.max())
    size = max(abs(low), abs(high)) or 1.0
    scaled = values / size  # to within ±1, so that no sum overflows and no limit depends on the unit
    avg = min(max(float(scaled.mean()) * size, low), high)  # rounding may carry a mean past the values
    if low == high:
        return Trend(Direction.FLAT, avg, low, high, samples=len(values))
    at_ms, points = thinned((times_ms - times_ms.min()).astype(np.float64), scaled)
    slope = theil_sen(at_ms, points)
    change = slope * float(at_ms[-1] - at_ms[0])
    noticeable = abs(change) >= NOTICEABLE * float(np.abs(scaled).mean())
    direction = Direction.FLAT
    if noticeable and is_trend(at_ms, points, slope):
        direction = Direction.UP if slope > 0 else Direction.DOWN
    return Trend(direction, avg, low, high, slope * HOUR_MS * size, change * size, len(values))


def thinned(at_ms: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Sorted by time; where there are more than POINTS_MAX, the means of as many equal spans of time at most."""
    if (at_ms[1:] < at_ms[:-1]).any():
        order = np.argsort(at_ms, kind="stable")
        at_ms, values = at_ms[order], values[order]
    if len(at_ms) <= POINTS_MAX:
        return at_ms, values
    edges = np.linspace(at_ms[0], at_ms[-1], POINTS_MAX, endpoint=False)
    starts = np.unique(np.searchsorted(at_ms, edges))  # spans without a sample have no start of their own
    counts = np.diff(starts, append=len(at_ms))
    return np.add.reduceat(at_ms, starts) / counts, np.add.reduceat(values, starts) / counts


def theil_sen(at_ms: FloatArray, values: FloatArray) -> float:
    """The median slope per ms between all pairs of points at different times; 0 where there are none."""
    one, other = np.triu_indices(len(at_ms), 1)
    apart = at_ms[other] - at_ms[one]
    later = apart > 0
    if not later.any():
        return 0.0
    return float(np.median((values[other] - values[one])[later] / apart[later]))


def is_trend(at_ms: FloatArray, values: FloatArray, slope: float) -> bool:
    """Whether the slope is plain to see, or more than an echo of chance.

    The echo is taken out forwards and backwards, and both must hold: a series read from its end has the
    opposite trend, and no other.
    """
    way = np.sign(slope)
    tau, _ = mann_kendall(at_ms, values)
    if way * tau >= CLEAR_TAU:
        return True
    echo = autocorrelation(values - slope * at_ms)
    needed = needed_z(len(values) * (1 - echo) / (1 + echo))
    _, forwards = mann_kendall(at_ms[1:], values[1:] - echo * values[:-1])
    _, backwards = mann_kendall(at_ms[:-1], values[:-1] - echo * values[1:])
    return bool(way * forwards >= needed and way * backwards >= needed)


def needed_z(news: float) -> float:
    """What z must reach with the news of so many independent points: Student's quantile, by Cornish and Fisher.

    The echo is itself an estimate, and a poor one where there is little news.
    """
    freedom = news - 2
    if freedom < 1:
        return np.inf
    z = SIGNIFICANT_Z
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def mann_kendall(at_ms: FloatArray, values: FloatArray) -> tuple[float, float]:
    """Kendall's tau-b and the test's z, both 0 where nothing can be said. Source: Kendall 1975, with ties."""
    count = len(values)
    pairs = count * (count - 1) / 2
    one, other = np.triu_indices(count, 1)
    score = float((np.sign(values[other] - values[one]) * np.sign(at_ms[other] - at_ms[one])).sum())
    ties = np.unique(values, return_counts=True)[1].astype(np.float64)
    tied = float((ties * (ties - 1) / 2).sum())
    variance = (count * (count - 1) * (2 * count + 5) - float((ties * (ties - 1) * (2 * ties + 5)).sum())) / 18
    if variance <= 0 or score == 0:
        return 0.0, 0.0
    return score / float(np.sqrt(pairs * (pairs - tied))), (score - np.sign(score)) / float(np.sqrt(variance))


def autocorrelation(rest: FloatArray) -> float:
    """How much of each point is the one before, 0 to ECHO_MAX, of what is left beside the trend.

    Of ranks, so that an outlier counts no more than any other point. A series of n points shows (2 + 4 r) / n too
    little of it when a line was taken away (van Giersbergen 2005).
    """
    count = len(rest)
    even = np.round(rest, 12)  # rounding of the line must not decide between points that lie on it
    ranks = np.sign(even[:, None] - even).sum(axis=1)
    power = float((ranks * ranks).sum())
    if power == 0:
        return 0.0
    seen = float((ranks[1:] * ranks[:-1]).sum()) / power
    return min(max(0.0, seen + (2 + 4 * seen) / count), ECHO_MAX)
