"""Trigonometric and hyperbolic functions, in radians."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tocsin.promql.functions.apply import Apply, each
from tocsin.promql.here import Here
from tocsin.promql.values import Scalar, Value


def _pi(args: Sequence[Value], here: Here) -> Value:  # noqa: ARG001 - all functions are called in one way
    return Scalar(np.full(here.grid.count, np.pi))


FAMILY: Mapping[str, Apply] = {
    "acos": each(np.arccos),
    "acosh": each(np.arccosh),
    "asin": each(np.arcsin),
    "asinh": each(np.arcsinh),
    "atan": each(np.arctan),
    "atanh": each(np.arctanh),
    "cos": each(np.cos),
    "cosh": each(np.cosh),
    "deg": each(lambda values: values * 180 / np.pi),
    "pi": _pi,
    "rad": each(lambda values: values * np.pi / 180),
    "sin": each(np.sin),
    "sinh": each(np.sinh),
    "tan": each(np.tan),
    "tanh": each(np.tanh),
}
