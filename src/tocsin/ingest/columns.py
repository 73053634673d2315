"""Rows as a parser finds them, one sample or many at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tocsin.ingest.rows import Rows
from tocsin.model.labels import Labels
from tocsin.model.series import FloatArray, TimeArray


class Columns:
    """A series is known again by its labels' identity: parsers give one object for the same bytes."""

    def __init__(self) -> None:
        self._places: dict[int, int] = {}
        self._series: list[Labels] = []
        self._which: list[int] = []
        self._times: list[int] = []
        self._values: list[float] = []
        self._index: list[int] = []

    def __len__(self) -> int:
        return len(self._times)

    def add(self, labels: Labels, time_ms: int, value: float, index: int) -> None:
        self._which.append(self._place(labels))
        self._times.append(time_ms)
        self._values.append(value)
        self._index.append(index)

    def add_many(self, labels: Labels, times: Sequence[int], values: Sequence[float], index: int) -> None:
        """Samples of one series that were written in one place."""
        self._which += [self._place(labels)] * len(times)
        self._times += times
        self._values += values
        self._index += [index] * len(times)

    def rows(self) -> Rows:
        times: TimeArray = np.array(self._times, np.int64)
        values: FloatArray = np.array(self._values, np.float64)
        which, index = np.array(self._which, np.int64), np.array(self._index, np.int64)
        return Rows(tuple(self._series), which, times, values, index)

    def _place(self, labels: Labels) -> int:
        place = self._places.get(id(labels))
        if place is None:
            place = self._places[id(labels)] = len(self._series)
            self._series.append(labels)
        return place
