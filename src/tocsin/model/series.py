"""Samples in bulk: columns, never a million objects."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tocsin.model.labels import Labels

IdArray: TypeAlias = npt.NDArray[np.uint64]
TimeArray: TypeAlias = npt.NDArray[np.int64]
FloatArray: TypeAlias = npt.NDArray[np.float64]

STALE: float = struct.unpack("<d", struct.pack("<Q", 0x7FF0_0000_0000_0002))[0]
"""Prometheus' stale marker, a NaN: the series ends here. Its bits survive the way through the store."""


@dataclass(frozen=True, slots=True, eq=False)
class SampleBatch:
    """Samples on their way in: ids uint64[n], times int64[n] in ms UTC, values float64[n].

    Later rows win over earlier ones with the same id and time.
    """

    ids: IdArray
    times: TimeArray
    values: FloatArray

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, eq=False)
class SeriesBlock:
    """Samples on their way out: series i owns times and values [offsets[i]:offsets[i+1]].

    offsets int64[series + 1]; times int64[points] ms UTC, rising within a series and free of
    duplicates; values float64[points]. NaN payloads are kept.
    """

    series: tuple[Labels, ...]
    offsets: TimeArray
    times: TimeArray
    values: FloatArray

    def __len__(self) -> int:
        return len(self.series)

    def __iter__(self) -> Iterator[tuple[Labels, TimeArray, FloatArray]]:
        for at, labels in enumerate(self.series):
            span = slice(int(self.offsets[at]), int(self.offsets[at + 1]))
            yield labels, self.times[span], self.values[span]


EMPTY_BLOCK = SeriesBlock((), np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0))


@dataclass(frozen=True, slots=True, eq=False)
class StepBlock:
    """A chart's worth of samples: float64[series, steps] each, NaN where a step has no sample.

    times int64[steps] are the starts of the steps: step k covers [times[k], times[k] + step_ms).
    `resolution` is the coarsest of what was read for it: "raw", "5m" or "1h".
    """

    series: tuple[Labels, ...]
    step_ms: int
    times: TimeArray
    min: FloatArray
    avg: FloatArray
    max: FloatArray
    resolution: str = "raw"


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """What a metric measures. `unit` is a UCUM code (`%`, `By`, `s`, `{packet}`), as OpenTelemetry writes it."""

    name: str
    unit: str = ""
    kind: str = "gauge"
    help: str = ""


@dataclass(frozen=True, slots=True)
class Cardinality:
    """How many series there are, and of what: the largest first.

    `metrics` are (name, series), `labels` (name, different values), `pairs` (name, value, series);
    `label_pairs` is how many different pairs there are. A `metric_series_max` of 0 is no limit. The first and the last
    sample of all are known to the UTC day, or better; None where there is no series.
    """

    series: int
    series_max: int
    metric_series_max: int
    label_pairs: int
    metrics: tuple[tuple[str, int], ...]
    labels: tuple[tuple[str, int], ...]
    pairs: tuple[tuple[str, str, int], ...]
    first_ms: int | None = None
    last_ms: int | None = None
