"""Scalars to vectors and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tocsin.model.series import FloatArray
from tocsin.promql.frame import LabelFrame
from tocsin.promql.functions.apply import Apply, numbers_of, vector_of
from tocsin.promql.here import Here
from tocsin.promql.values import Scalar, Value, Vector


def single(values: FloatArray) -> Vector:
    """One series without labels; values float64[steps]."""
    return Vector(LabelFrame(1, {}), values[np.newaxis], np.ones((1, len(values)), np.bool_))


def _vector(args: Sequence[Value], here: Here) -> Value:  # noqa: ARG001 - all functions are called in one way
    return single(numbers_of(args[0]))


def _scalar(args: Sequence[Value], here: Here) -> Value:
    """The value where there is exactly one, otherwise NaN."""
    vector = vector_of(args[0])
    if not len(vector):
        return Scalar(np.full(here.grid.count, np.nan))
    rows = vector.present.argmax(axis=0)
    alone = vector.present.sum(axis=0) == 1
    return Scalar(np.where(alone, vector.values[rows, np.arange(len(rows))], np.nan))


FAMILY: Mapping[str, Apply] = {"scalar": _scalar, "vector": _vector}
