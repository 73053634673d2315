"""How rows become blocks: shared by the reader and the memory twin, pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tocsin.model.errors import LimitError, UserError
from tocsin.model.labels import Labels
from tocsin.model.series import EMPTY_BLOCK, FloatArray, IdArray, SeriesBlock, StepBlock, TimeArray

LabelsOf = Callable[[int], Labels]


@dataclass(frozen=True, slots=True)
class Grid:
    """Steps that cover [start, end): step k is [(first + k) * step_ms, (first + k + 1) * step_ms)."""

    first: int
    count: int
    step_ms: int

    @property
    def times(self) -> TimeArray:
        return (self.first + np.arange(self.count, dtype=np.int64)) * self.step_ms


def grid(start_ms: int, end_ms: int, step_ms: int) -> Grid:
    """Raises UserError where the step is no time at all."""
    if step_ms <= 0:
        raise UserError("The step must be at least 1 millisecond.", field="step")
    first = start_ms // step_ms
    return Grid(first, max(0, -(-end_ms // step_ms) - first) if end_ms > start_ms else 0, step_ms)


def check_series(found: int, series_max: int) -> None:
    if found > series_max:
        raise LimitError(f"{found} series fit, and one read may have {series_max}. Ask for fewer with more matchers.")


def check_points(found: int, points_max: int) -> None:
    if found > points_max:
        raise LimitError(
            f"There are more than {points_max} samples, which is what one read may have. "
            "Ask for a shorter time, fewer series or steps."
        )


def check_cells(series: int, steps: int, points_max: int) -> None:
    if series * steps > points_max:
        raise LimitError(
            f"{series} series of {steps} steps are {series * steps} values, and one read may have {points_max}. "
            "Ask for a longer step, a shorter time or fewer series."
        )


def series_block(ids: IdArray, times: TimeArray, values: FloatArray, labels_of: LabelsOf) -> SeriesBlock:
    """From rows that are sorted by id and time, without duplicates."""
    if not len(ids):
        return EMPTY_BLOCK
    starts = np.flatnonzero(np.concatenate(([True], ids[1:] != ids[:-1])))
    offsets = np.append(starts, len(ids)).astype(np.int64)
    return SeriesBlock(tuple(labels_of(series_id) for series_id in ids[starts].tolist()), offsets, times, values)


def step_block(
    steps: Grid,
    ids: IdArray,
    ticks: TimeArray,
    columns: tuple[FloatArray, FloatArray, FloatArray],
    labels_of: LabelsOf,
) -> StepBlock:
    """From one row of min, avg and max for each id and step; `ticks` are step numbers (time // step_ms)."""
    present = np.unique(ids)
    at = (np.searchsorted(present, ids), ticks - steps.first)
    filled: list[FloatArray] = []
    for column in columns:
        matrix = np.full((len(present), steps.count), np.nan)
        matrix[at] = column
        filled.append(matrix)
    labels = tuple(labels_of(series_id) for series_id in present.tolist())
    low, mean, high = filled
    return StepBlock(labels, steps.step_ms, steps.times, low, mean, high)
