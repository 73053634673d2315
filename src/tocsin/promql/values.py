"""What expressions come to: one value for each step of a grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tocsin.model.series import FloatArray, SeriesBlock, TimeArray
from tocsin.promql.frame import LabelFrame, RowArray

BoolArray: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Grid:
    """Moments at which something is evaluated: `count` of them, `step_ms` apart, the first at `start_ms`.

    A `count` of 1 is an instant query; its step is of no importance and 1.
    """

    start_ms: int
    step_ms: int = 1
    count: int = 1

    @property
    def end_ms(self) -> int:
        """The last moment."""
        return self.start_ms + self.step_ms * (self.count - 1)

    @property
    def times(self) -> TimeArray:
        """int64[count], ms UTC."""
        return self.start_ms + self.step_ms * np.arange(self.count, dtype=np.int64)

    def shifted(self, offset_ms: int) -> Grid:
        """So much earlier."""
        return Grid(self.start_ms - offset_ms, self.step_ms, self.count)


@dataclass(frozen=True, slots=True, eq=False)
class Vector:
    """Series by steps: values float64[series, steps] and whether there is one, bool[series, steps].

    Where nothing is present the value is of no importance, but never a signal: NaN or any number. A series may be
    without any value; `compacted` leaves those out. `sorted` says that the order of the series is part of the answer.
    """

    frame: LabelFrame
    values: FloatArray
    present: BoolArray
    sorted: bool = False

    def __len__(self) -> int:
        return len(self.frame)

    def take(self, rows: RowArray) -> Vector:
        return Vector(self.frame.take(rows), self.values[rows], self.present[rows], self.sorted)

    def compacted(self) -> Vector:
        some = self.present.any(axis=1)
        return self if some.all() else self.take(np.flatnonzero(some))


def empty_vector(steps: int) -> Vector:
    return Vector(LabelFrame(0, {}), np.zeros((0, steps)), np.zeros((0, steps), np.bool_))


@dataclass(frozen=True, slots=True, eq=False)
class Scalar:
    """values float64[steps]."""

    values: FloatArray


@dataclass(frozen=True, slots=True)
class Text:
    value: str


@dataclass(frozen=True, slots=True, eq=False)
class Ranges:
    """Range vectors: the samples of each series from which every window of the grid is cut.

    At moment k the window holds the samples with times[k] - range < time ≤ times[k]; `grid` is shifted by the
    offset already, and has one moment for all steps where `@` fixes it. The block's series are rows of `frame`.
    """

    frame: LabelFrame
    block: SeriesBlock
    grid: Grid
    range_ms: int


Value: TypeAlias = Vector | Scalar | Text | Ranges
