"""Window functions: the samples of many series, reduced to one value of each series for each moment of a grid.

The loops are compiled (`kernels`, docs/adr/0013). They hold no lock of the interpreter, so that threads may share the
series of one question among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from tocsin.model.series import FloatArray, SeriesBlock, TimeArray
from tocsin.promql import kernels
from tocsin.promql.here import EvaluationError
from tocsin.promql.values import BoolArray, Grid

MOMENT_MAX = 1 << 61
"""Moments and ranges in ms stay below this, so that no sum or difference of them leaves int64."""
_TOO_FAR = "The times of this query are too far away; ask for times within 73 million years of 1970"
_NOTHING = np.zeros(1)


@dataclass(frozen=True, slots=True)
class WindowFunction:
    """`params` is how many numbers it takes beside the samples, of which the last `optional` may be left out (0)."""

    code: int
    params: int = 0
    optional: int = 0


_PARAMS = {
    "quantile_over_time": (1, 0),
    "double_exponential_smoothing": (2, 0),
    "holt_winters": (2, 0),
    "predict_linear": (2, 1),
}

FUNCTIONS = MappingProxyType(
    {name: WindowFunction(code, *_PARAMS.get(name, (0, 0))) for name, code in kernels.CODES.items()}
)
"""By name: PromQL's, "newest" (the instant selector) and "newest_time" (when that sample was, in seconds).

`predict_linear` takes the seconds ahead, and by how many ms the moment of evaluation is later than the window's end
(the selector's offset; one for each moment under `@`). `quantile_over_time` takes φ, `double_exponential_smoothing`
the smoothing and the trend factor. `absent_over_time` is not one: it is about all series at once.
"""

Params: TypeAlias = Sequence[float | FloatArray]
"""Of each parameter one number, or float64[moments]."""


def reduce(
    function: str, block: SeriesBlock, grid: Grid, range_ms: int, params: Params = ()
) -> tuple[FloatArray, BoolArray]:
    """values float64[series, grid.count], present bool[series, grid.count].

    At each moment t the window holds the samples with t - range_ms < time ≤ t. Stale markers are no samples; only
    "newest" and "newest_time" look at them: a series whose newest sample is one is absent. Where nothing is present
    the value is NaN. The grid's step may be 0: the same window for each moment's parameters.

    Raises EvaluationError for smoothing factors outside (0, 1), where there are series. Source: Prometheus 3,
    promql/functions.go.
    """
    out = np.empty((len(block.offsets) - 1, grid.count))
    present = np.empty(out.shape, np.bool_)
    reduce_into(function, block.offsets, block.times, block.values, grid, range_ms, out, present, params=params)
    return out, present


def reduce_into(
    function: str,
    offsets: TimeArray,
    times: TimeArray,
    values: FloatArray,
    grid: Grid,
    range_ms: int,
    out: FloatArray,
    present: BoolArray,
    *,
    row: int = 0,
    params: Params = (),
) -> None:
    """As `reduce`, into the rows from `row` on: one for each series of the offsets, which may begin after 0.

    All arrays are C-contiguous; the offsets of some series are a slice of those of all. Every value of the rows is
    written. May be called by several threads for different rows.
    """
    found = FUNCTIONS[function]
    _check_grid(grid, range_ms)
    one, two = _columns(function, found, params)
    if len(offsets) > 1:
        _check_params(found, one, two)
    kernels.reduce_into(
        found.code,
        offsets,
        times,
        values,
        grid.start_ms,
        grid.step_ms,
        grid.count,
        range_ms,
        one,
        two,
        out,
        present.view(np.uint8),
        row,
    )


def _check_grid(grid: Grid, range_ms: int) -> None:
    if max(abs(grid.start_ms), abs(grid.end_ms), range_ms, grid.step_ms) >= MOMENT_MAX:
        raise EvaluationError(_TOO_FAR)


def _columns(function: str, found: WindowFunction, params: Params) -> tuple[FloatArray, FloatArray]:
    if not found.params - found.optional <= len(params) <= found.params:
        raise TypeError(f"{function} takes {found.params} parameters")
    columns = [np.atleast_1d(np.ascontiguousarray(each, np.float64)) for each in params]
    one, two, *_ = *columns, _NOTHING, _NOTHING
    return one, two


def _check_params(found: WindowFunction, one: FloatArray, two: FloatArray) -> None:
    if found == FUNCTIONS["double_exponential_smoothing"]:
        _check_factor("smoothing", one)
        _check_factor("trend", two)
    elif found == FUNCTIONS["predict_linear"] and not (np.abs(two) < MOMENT_MAX).all():
        raise EvaluationError(_TOO_FAR)


def _check_factor(name: str, factors: FloatArray) -> None:
    wrong = factors[(factors <= 0) | (factors >= 1)]
    if len(wrong):
        raise EvaluationError(f"invalid {name} factor. Expected: 0 < factor < 1, got: {wrong[0]:f}")
