"""The far side of ingest's ports, in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from tocsin.ingest.appender import Appender
from tocsin.ingest.ports import RawRetention, SampleObserver
from tocsin.ingest.settings import IngestSettings
from tocsin.model.duration import DAY_MS
from tocsin.model.errors import ConflictError, LimitError, MetricLimitError
from tocsin.model.labels import Labels
from tocsin.model.series import MetricInfo, SampleBatch, TimeArray
from tocsin.runtime.clock import Clock, FixedClock
from tocsin.runtime.telemetry import Telemetry


class MemoryIndex:
    def __init__(self, series_max: int = 1_000_000, id_of: Callable[[Labels], int] | None = None) -> None:
        self.series_max = series_max
        self.id_of = id_of
        self.ids: dict[Labels, int] = {}
        self.by_id: dict[int, Labels] = {}
        self.generation = 0
        self.asked = 0
        self.metric_series_max: int | None = None

    def intern(self, labels: Labels) -> int:
        self.asked += 1
        series_id = self.ids.get(labels)
        if series_id is None:
            if len(self.ids) >= self.series_max:
                raise LimitError("There is no room for another series.")
            metric_max = self.metric_series_max
            if metric_max is not None and sum(one.name == labels.name for one in self.ids) >= metric_max:
                raise MetricLimitError(f"There is no room for another series of {labels.name}.")
            series_id = labels.series_id() if self.id_of is None else self.id_of(labels)
            if series_id in self.by_id:
                raise ConflictError("Another series has this id.")
            self.ids[labels] = series_id
            self.by_id[series_id] = labels
        return series_id

    def labels(self, series_id: int) -> Labels:
        return self.by_id[series_id]


class MemorySink:
    """Keeps what it is given, or raises `error` instead."""

    def __init__(self, index: MemoryIndex) -> None:
        self.index = index
        self.batches: list[SampleBatch] = []
        self.infos: dict[str, MetricInfo] = {}
        self.described = 0
        self.error: Exception | None = None

    async def append(self, batch: SampleBatch) -> None:
        if self.error is not None:
            raise self.error
        self.batches.append(batch)

    async def describe(self, infos: Sequence[MetricInfo]) -> None:
        if self.error is not None:
            raise self.error
        self.described += 1
        self.infos.update((info.name, info) for info in infos)

    def samples(self) -> list[tuple[str, int, float]]:
        """(series as text, time, value) of all that was stored, in order."""
        return [
            (str(self.index.labels(int(series_id))), int(time), float(value))
            for batch in self.batches
            for series_id, time, value in zip(batch.ids, batch.times, batch.values, strict=True)
        ]


class Seen:
    """An observer that writes down what it is shown, or raises."""

    def __init__(self, error: Exception | None = None) -> None:
        self.batches: list[tuple[SampleBatch, int]] = []
        self.error = error

    async def observe(self, batch: SampleBatch, at_ms: int) -> None:
        if self.error is not None:
            raise self.error
        self.batches.append((batch, at_ms))


@dataclass
class KeptFor:
    """Every series for the same time, but the metrics in `by_name`."""

    length_ms: int
    by_name: dict[str, int] = field(default_factory=dict)
    asked: list[Labels] = field(default_factory=list)

    @property
    def raw_shortest_ms(self) -> int:
        return min(self.length_ms, *self.by_name.values()) if self.by_name else self.length_ms

    def raw_ms(self, series: Sequence[Labels]) -> TimeArray:
        self.asked += series
        return np.array([self.by_name.get(labels.name, self.length_ms) for labels in series], np.int64)


def appender_into(
    sink: MemorySink,
    *,
    observers: Sequence[SampleObserver] = (),
    clock: Clock | None = None,
    telemetry: Telemetry | None = None,
    settings: IngestSettings | None = None,
    kept: RawRetention | None = None,
) -> Appender:
    return Appender(
        sink.index,
        sink,
        sink,
        observers,
        clock=clock or FixedClock(),
        telemetry=telemetry or Telemetry(),
        settings=settings or IngestSettings(),
        kept=kept or KeptFor(7 * DAY_MS),
    )
