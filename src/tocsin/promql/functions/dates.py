"""The time of a step, and parts of dates in UTC.

A value that is no moment (NaN, infinite, beyond 64 bits) has no date: NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tocsin.model.series import FloatArray
from tocsin.promql.functions.apply import Apply, vector_of, with_values
from tocsin.promql.functions.shape import single
from tocsin.promql.here import Here
from tocsin.promql.values import Scalar, Value

_Whole: TypeAlias = npt.NDArray[np.int64]
_DAY_S = 86_400


def _time(args: Sequence[Value], here: Here) -> Value:  # noqa: ARG001 - all functions are called in one way
    return Scalar(here.grid.times / 1000)


def _timestamp(args: Sequence[Value], here: Here) -> Value:
    """Of computed values: the step's. Those of samples are asked of the store."""
    vector = vector_of(args[0])
    return with_values(vector, np.broadcast_to(here.grid.times / 1000, vector.values.shape))


def _part(of: Callable[[_Whole], Any]) -> Apply:
    """A part of the date of every value, or of the step where there is no argument."""

    def apply(args: Sequence[Value], here: Here) -> Value:
        if not args:
            return single(np.asarray(of(here.grid.times // 1000), np.float64))
        vector = vector_of(args[0])
        return with_values(vector, _dated(vector.values, of))

    return apply


def _dated(values: FloatArray, of: Callable[[_Whole], Any]) -> FloatArray:
    known = np.abs(values) < 2.0**62
    seconds = np.where(known, values, 0.0).astype(np.int64)
    return np.where(known, of(seconds), np.nan)


def _days(seconds: _Whole) -> npt.NDArray[np.datetime64]:
    return (seconds // _DAY_S).astype("M8[D]")


def _months(seconds: _Whole) -> npt.NDArray[np.datetime64]:
    return _days(seconds).astype("M8[M]")


def _since(days: npt.NDArray[np.datetime64], unit: str) -> Any:
    """Days since the month or year began, from 1."""
    return (days - days.astype(unit).astype("M8[D]")).astype(np.int64) + 1


def _days_in_month(seconds: _Whole) -> Any:
    months = _months(seconds)
    return ((months + 1).astype("M8[D]") - months.astype("M8[D]")).astype(np.int64)


FAMILY: Mapping[str, Apply] = {
    "day_of_month": _part(lambda seconds: _since(_days(seconds), "M8[M]")),
    "day_of_week": _part(lambda seconds: (seconds // _DAY_S + 4) % 7),  # 1 January 1970 was a Thursday
    "day_of_year": _part(lambda seconds: _since(_days(seconds), "M8[Y]")),
    "days_in_month": _part(_days_in_month),
    "hour": _part(lambda seconds: seconds % _DAY_S // 3600),
    "minute": _part(lambda seconds: seconds % 3600 // 60),
    "month": _part(lambda seconds: _months(seconds).astype(np.int64) % 12 + 1),
    "time": _time,
    "timestamp": _timestamp,
    "year": _part(lambda seconds: _days(seconds).astype("M8[Y]").astype(np.int64) + 1970),
}
