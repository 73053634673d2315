"""StatsD's readings, added up between two flushes into samples that PromQL can use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np

from tocsin.ingest.rows import Refusal, Rejection, Rows
from tocsin.ingest.settings import IngestSettings
from tocsin.ingest.wire.statsd import Reading, labels_of
from tocsin.model.labels import METRIC_NAME, Labels
from tocsin.model.series import MetricInfo

QUANTILES = (0.5, 0.9, 0.95, 0.99)
VALUES_MAX = 1_000
"""Values that a timer keeps for its quantiles; with more, every second, fourth, … is kept."""

MEMBERS_MAX = 10_000
TIMED_MAX = 10_000
"""Gauges with a time of their own that wait for the flush."""

AT_ONCE = 200
"""Aggregates in one batch of samples: a few ms of work where all are busy timers."""


@dataclass(slots=True)
class _Aggregate:
    """`columns` are the series that it becomes: one, but for a timer count, sum, min, max and the quantiles."""

    kind: str
    columns: tuple[Labels, ...]
    total: float = 0.0
    count: float = 0.0
    low: float = inf
    high: float = -inf
    values: list[float] = field(default_factory=list)
    stride: int = 1
    seen: int = 0
    members: set[int] = field(default_factory=set)
    idle: int = 0

    def add(self, reading: Reading) -> None:
        self.idle = 0
        for value in reading.values:
            if isinstance(value, bytes):
                if len(self.members) < MEMBERS_MAX:
                    self.members.add(hash(value))
            elif self.kind == "c":
                self.total += value * reading.weight
            elif self.kind == "g":
                self.total = self.total + value if reading.relative else value
            else:
                self._time(value, reading.weight)

    def _time(self, value: float, weight: float) -> None:
        self.total += value * weight
        self.count += weight
        self.low = min(self.low, value)
        self.high = max(self.high, value)
        if self.seen % self.stride == 0:
            self.values.append(value)
            if len(self.values) >= VALUES_MAX:
                del self.values[1::2]
                self.stride *= 2
        self.seen += 1

    def take(self) -> list[float]:
        """A value for each column, or for the first few; what belongs to one interval alone starts anew."""
        self.idle += 1
        if self.kind == "s":
            counted = float(len(self.members))
            self.members.clear()
            return [counted]
        if self.kind != "t":
            return [self.total]
        taken = [self.count, self.total]
        if self.values:
            self.values.sort()
            last = len(self.values) - 1
            taken += [self.low, self.high, *(self.values[round(each * last)] for each in QUANTILES)]
        self.low, self.high, self.stride, self.seen = inf, -inf, 1, 0
        self.values.clear()
        return taken


class Aggregates:
    """Counters and timers' counts and sums only rise, until they are idle for long and forgotten."""

    def __init__(self, limits: IngestSettings, *, series_max: int, idle_flushes: int) -> None:
        self._limits = limits
        self._series_max = series_max
        self._idle_flushes = idle_flushes
        self._known: dict[tuple[str, tuple[bytes, bytes]], _Aggregate] = {}
        self._timed: list[tuple[Labels, int, float]] = []
        self.news: list[MetricInfo] = []
        """Of metrics that came since it was last cleared; who has passed it on clears it."""

    def __len__(self) -> int:
        return len(self._known)

    def add(self, reading: Reading) -> Rejection | None:
        """Why it was not added, where it was not."""
        if reading.kind == "c" and any(value < 0 for value in reading.values if isinstance(value, float)):
            return Rejection(0, "A counter cannot fall; use a gauge for what can.")
        key = (reading.kind, reading.series)
        known = self._known.get(key)
        if known is None:
            made = self._make(reading)
            if isinstance(made, Rejection):
                return made
            known = self._known[key] = made
        if reading.kind == "g" and reading.time_ms is not None:
            return self._add_timed(known, reading, reading.time_ms)
        known.add(reading)
        return None

    def _make(self, reading: Reading) -> _Aggregate | Rejection:
        if len(self._known) >= self._series_max:
            reason = f"{self._series_max} StatsD series are aggregated already; raise statsd.series_max."
            return Rejection(0, reason, Refusal.SERIES_LIMIT)
        labels = labels_of(reading.series, self._limits)
        if isinstance(labels, Rejection):
            return labels
        name = labels.name
        if reading.kind == "c":
            self.news.append(MetricInfo(name, kind="counter"))
        if reading.kind != "t":
            return _Aggregate(reading.kind, (labels,))
        self.news += [MetricInfo(f"{name}_count", kind="counter"), MetricInfo(f"{name}_sum", kind="counter")]
        named = [labels.with_(**{METRIC_NAME: f"{name}_{what}"}) for what in ("count", "sum", "min", "max")]
        return _Aggregate("t", (*named, *(labels.with_(quantile=str(each)) for each in QUANTILES)))

    def _add_timed(self, known: _Aggregate, reading: Reading, time_ms: int) -> Rejection | None:
        if len(self._timed) + len(reading.values) > TIMED_MAX:
            return Rejection(0, f"More than {TIMED_MAX} gauges with a time came between two flushes.")
        self._timed += [(known.columns[0], time_ms, value) for value in reading.values if isinstance(value, float)]
        return None

    def flush(self, at_ms: int) -> Iterator[Rows]:
        """Samples of that time, in batches, so that the loop gets its turns between them."""
        timed, self._timed = self._timed, []
        if timed:
            yield _rows(*zip(*timed, strict=True))
        keys = list(self._known)
        for start in range(0, len(keys), AT_ONCE):
            series: list[Labels] = []
            values: list[float] = []
            for key in keys[start : start + AT_ONCE]:
                known = self._known[key]
                if known.idle >= self._idle_flushes:
                    del self._known[key]
                    continue
                taken = known.take()
                series += known.columns[: len(taken)]
                values += taken
            if series:
                yield _rows(series, [at_ms] * len(series), values)


def _rows(series: Sequence[Labels], times: Sequence[int], values: Sequence[float]) -> Rows:
    order = np.arange(len(series), dtype=np.int64)
    return Rows(tuple(series), order, np.array(times, np.int64), np.array(values, np.float64), order)
