"""Random series and random expressions over them, from a seed: for comparing two evaluators."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

from tocsin.model.labels import Labels
from tocsin.model.series import STALE, FloatArray, TimeArray

INTERVAL_MS = 15_000
PHASE_MS = 3_217
"""Samples lie this far past a multiple of the interval, so that none is on the edge of a window."""
JOBS, INSTANCES, CODES, BOUNDS = (
    ("api", "db", "web"),
    ("a", "b", "c"),
    ("200", "404", "500"),
    ("0.1", "0.5", "1", "+Inf"),
)

Series = dict[Labels, tuple[TimeArray, FloatArray]]


def some_series(seed: int, start_ms: int, steps: int) -> Series:
    """Counters with resets, gauges with gaps, stale markers, NaN and infinities, a classic histogram."""
    chance = np.random.default_rng(seed)
    found: Series = {}
    times = start_ms // INTERVAL_MS * INTERVAL_MS + PHASE_MS + np.arange(steps, dtype=np.int64) * INTERVAL_MS
    for job in JOBS:
        for instance in INSTANCES:
            for code in CODES:
                labels = Labels.metric("requests_total", {"job": job, "instance": instance, "code": code})
                found[labels] = _with_gaps(chance, times, _counter(chance, steps))
            tags = {"job": job, "instance": instance}
            found[Labels.metric("temperature", tags)] = _with_gaps(chance, times, _gauge(chance, steps))
            found[Labels.metric("limit", {**tags, "zone": chance.choice(["n", "s"])})] = (
                times,
                np.full(steps, float(chance.integers(1, 5))),
            )
        buckets = np.cumsum(chance.poisson(3, (len(BOUNDS), steps)), axis=0)
        for bound, counts in zip(BOUNDS, buckets, strict=True):
            labels = Labels.metric("latency_bucket", {"job": job, "le": bound})
            found[labels] = (times, 1e4 + np.cumsum(counts).astype(float))
    return found


def _counter(chance: np.random.Generator, steps: int) -> FloatArray:
    rises = chance.poisson(5, steps).astype(float)
    values = 1e4 + np.cumsum(rises)
    for reset in chance.integers(1, steps, chance.integers(0, 3)):
        values[reset:] -= values[reset] - float(chance.integers(5_000, 9_000))
    return np.maximum(values, 5_000)


def _gauge(chance: np.random.Generator, steps: int) -> FloatArray:
    values = np.round(20 + np.cumsum(chance.standard_normal(steps)), int(chance.integers(0, 4)))
    odd = chance.random(steps)
    values[odd < 0.01] = np.nan
    values[(odd > 0.01) & (odd < 0.015)] = np.inf
    values[(odd > 0.015) & (odd < 0.02)] = -np.inf
    values[odd > 0.985] = STALE
    return values


def _with_gaps(chance: np.random.Generator, times: TimeArray, values: FloatArray) -> tuple[TimeArray, FloatArray]:
    kept = chance.random(len(times)) < 0.95
    for start in chance.integers(0, len(times), 2):
        kept[start : start + int(chance.integers(1, 60))] = False
    return times[kept], values[kept]


OVER_TIME = (
    *("avg_over_time", "sum_over_time", "min_over_time", "max_over_time", "count_over_time", "last_over_time"),
    *("stddev_over_time", "stdvar_over_time", "present_over_time", "changes", "resets", "deriv", "delta", "idelta"),
)
COUNTING = ("rate", "increase", "irate")
MATHS = (
    *("abs", "ceil", "floor", "exp", "sqrt", "ln", "log2", "log10", "sgn", "sin", "cos", "tanh", "atan", "deg", "rad"),
    *("day_of_month", "day_of_week", "day_of_year", "days_in_month", "hour", "minute", "month", "year", "timestamp"),
)
ARITHMETIC, COMPARISONS, SETS = (
    ("+", "-", "*", "/", "%", "^", "atan2"),
    ("==", "!=", ">", "<", ">=", "<="),
    ("and", "or", "unless"),
)
FOLDS = ("sum", "avg", "min", "max", "count", "group", "stddev", "stdvar")
LABELS = ("job", "instance", "code", "zone")


class Expressions:
    """Random expressions, of types that fit; `chance` decides all."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def vector(self, depth: int) -> str:
        if depth <= 0:
            return self._selector()
        kinds: tuple[Callable[[int], str], ...] = (
            *(self._over_time, self._over_time, self._counting, self._folded, self._folded, self._maths),
            *(
                self._with_scalar,
                self._compared,
                self._joined,
                self._set,
                self._ranked,
                self._relabelled,
                self._quantile,
            ),
            *(
                self._clamped,
                self._absent,
                self._vector_of,
                self._histogram,
                self._subquery,
                self._negated,
                self._grouped_left,
            ),
        )
        return self._chance.choice(kinds)(depth - 1)

    def scalar(self, depth: int) -> str:
        kind = self._chance.random()
        if depth <= 0 or kind < 0.6:
            return self._chance.choice(("0", "1", "2.5", "-3", "1e3", "0.1", "20", "NaN", "Inf", "time()", "pi()"))
        if kind < 0.8:
            return f"scalar({self.vector(depth - 1)})"
        return f"({self.scalar(depth - 1)} {self._chance.choice(ARITHMETIC)} {self.scalar(depth - 1)})"

    def _selector(self) -> str:
        chance = self._chance
        metric = chance.choice(("requests_total", "temperature", "temperature", "limit", "latency_bucket"))
        matchers = []
        if chance.random() < 0.5:
            matchers.append(f'job{chance.choice(("=", "!=", "=~", "!~"))}"{chance.choice((*JOBS, "a.*", "x|db", ""))}"')
        if chance.random() < 0.3:
            matchers.append(f'instance=~"{chance.choice(("a", "a|b", "[bc]", ".*"))}"')
        if chance.random() < 0.1:
            return f'{{__name__=~"temperature|limit"{"".join(f",{each}" for each in matchers)}}}{self._modifiers()}'
        return f"{metric}{{{','.join(matchers)}}}{self._modifiers()}"

    def _modifiers(self) -> str:
        chance = self._chance.random()
        if chance < 0.75:
            return ""
        if chance < 0.9:
            return f" offset {self._chance.choice(('1m', '7m', '-2m', '30s'))}"
        return self._chance.choice((" @ start()", " @ end()", " @ end() offset 5m"))

    def _range(self) -> str:
        selector = self._selector()
        at = selector.rindex("}") + 1
        return f"{selector[:at]}[{self._chance.choice(('1m', '5m', '10m', '90s', '20m'))}]{selector[at:]}"

    def _over_time(self, _: int) -> str:
        if self._chance.random() < 0.15:
            return f"quantile_over_time({self._chance.choice(('0', '0.5', '0.9', '1', '-1', '2'))}, {self._range()})"
        if self._chance.random() < 0.1:
            return f"predict_linear({self._range()}, {self._chance.choice(('60', '3600', '-30'))})"
        return f"{self._chance.choice(OVER_TIME)}({self._range()})"

    def _counting(self, _: int) -> str:
        range_ = self._chance.choice(("1m", "5m", "10m", "90s", "20m"))
        return f'{self._chance.choice(COUNTING)}(requests_total{{job=~"{self._chance.choice(JOBS)}|db"}}[{range_}])'

    def _subquery(self, depth: int) -> str:
        size = self._chance.choice(("5m:1m", "10m:30s", "7m:", "3m:17s"))
        return f"{self._chance.choice(OVER_TIME[:7])}(({self.vector(min(depth, 1))})[{size}])"

    def _folded(self, depth: int) -> str:
        return f"{self._chance.choice(FOLDS)} {self._grouping()}({self.vector(depth)})"

    def _grouping(self) -> str:
        labels = ", ".join(self._chance.sample(LABELS, self._chance.randint(0, 2)))
        return self._chance.choice((f"by ({labels})", f"without ({labels})", ""))

    def _quantile(self, depth: int) -> str:
        share = self._chance.choice(("0.5", "0.9", "0", "1", "1.5"))
        return f"quantile {self._grouping()}({share}, {self.vector(depth)})"

    def _ranked(self, depth: int) -> str:
        how = self._chance.choice(("topk", "bottomk"))
        return f"{how} {self._grouping()}({self._chance.choice('1235')}, {self.vector(depth)})"

    def _maths(self, depth: int) -> str:
        if self._chance.random() < 0.2:
            return f"round({self.vector(depth)}, {self._chance.choice(('1', '0.5', '10'))})"
        return f"{self._chance.choice(MATHS)}({self.vector(depth)})"

    def _with_scalar(self, depth: int) -> str:
        sides = [self.vector(depth), self.scalar(1)]
        self._chance.shuffle(sides)
        return f"({sides[0]}) {self._chance.choice(ARITHMETIC)} ({sides[1]})"

    def _compared(self, depth: int) -> str:
        word = self._chance.choice(("", "bool "))
        return f"({self.vector(depth)}) {self._chance.choice(COMPARISONS)} {word}({self.scalar(1)})"

    def _joined(self, depth: int) -> str:
        operator = self._chance.choice((*ARITHMETIC, *COMPARISONS))
        one, other = (f"sum by (job, instance)({self.vector(depth - 1)})" for _ in range(2))
        how = self._chance.choice(("", "on (job, instance) ", "ignoring (zone) "))
        return f"{one} {operator} {how}{other}"

    def _grouped_left(self, depth: int) -> str:
        operator = self._chance.choice((*ARITHMETIC, *COMPARISONS))
        other = f"sum by (job)({self.vector(depth - 1)})"
        one = f"max without (__none__)({self._selector()})" if self._chance.random() < 0.2 else self._selector()
        if self._chance.random() < 0.3:
            return f"{other} {operator} on (job) group_right () {one}"
        return f"{one} {operator} on (job) group_left () {other}"

    def _set(self, depth: int) -> str:
        how = self._chance.choice(("", "on (job) ", "ignoring (code) ", "on () "))
        return f"({self.vector(depth)}) {self._chance.choice(SETS)} {how}({self.vector(depth)})"

    def _relabelled(self, depth: int) -> str:
        if self._chance.random() < 0.4:
            return f'label_join({self.vector(depth)}, "both", "-", "job", "instance")'
        change = self._chance.choice(
            ('"job", "x$1", "instance", "(.*)"', '"new", "$1", "job", "(.).*"', '"job", "", "job", ".*"')
        )
        return f"label_replace({self.vector(depth)}, {change})"

    def _clamped(self, depth: int) -> str:
        vector = self.vector(depth)
        return self._chance.choice((f"clamp({vector}, 1, 20)", f"clamp_min({vector}, 3)", f"clamp_max({vector}, 10)"))

    def _absent(self, depth: int) -> str:
        if self._chance.random() < 0.5:
            return f'absent(temperature{{job="{self._chance.choice((*JOBS, "none"))}", x="y"}})'
        return f"absent_over_time({self._range()})" if depth else f"absent({self._selector()})"

    def _vector_of(self, depth: int) -> str:
        return f"vector({self.scalar(depth)})"

    def _negated(self, depth: int) -> str:
        return f"-({self.vector(depth)})"

    def _histogram(self, _: int) -> str:
        share = self._chance.choice(("0.5", "0.9", "0", "1", "0.99"))
        inner = self._chance.choice(
            ("rate(latency_bucket[5m])", "latency_bucket", "sum by (le)(rate(latency_bucket[10m]))")
        )
        return f"histogram_quantile({share}, {inner})"
