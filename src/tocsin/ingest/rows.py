"""Samples on their way in, before they have ids."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tocsin.model.labels import Labels
from tocsin.model.series import FloatArray, TimeArray

IndexArray: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Sample i is values[i] of series[which[i]] at times[i] (ms UTC).

    which, times and index are int64[n], values float64[n]. index[i] is where the sender wrote the
    sample, counted from 0; a rejection is told by it. Later rows win over earlier ones of the same
    series and time.
    """

    series: tuple[Labels, ...]
    which: IndexArray
    times: TimeArray
    values: FloatArray
    index: IndexArray

    def __len__(self) -> int:
        return len(self.times)


class Refusal(StrEnum):
    """Why a sample was refused, as the label of a counter."""

    MALFORMED = "malformed"
    TOO_MANY_LABELS = "too many labels"
    TOO_LONG = "too long"
    PAST_RETENTION = "past retention"
    FUTURE = "future"
    SERIES_LIMIT = "series limit"
    METRIC_SERIES_LIMIT = "metric series limit"
    ID_TAKEN = "id taken"
    HISTOGRAM = "native histogram"


@dataclass(frozen=True, slots=True)
class Rejection:
    """`index` counts from 0 in the sender's order; `reason` is a sentence for the sender."""

    index: int
    reason: str
    kind: Refusal = Refusal.MALFORMED


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of an append; rejected in the sender's order."""

    stored: int
    rejected: tuple[Rejection, ...] = ()
