"""The operators on numbers: arrays in, arrays out, with the corner cases of Go's `math`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tocsin.model.series import FloatArray
from tocsin.promql.values import BoolArray

ARITHMETIC: Mapping[str, Callable[..., Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,  # the sign of the dividend, as math.Mod
    "^": np.power,
    "atan2": np.arctan2,
}
COMPARISONS: Mapping[str, Callable[..., Any]] = {
    "==": np.equal,
    "!=": np.not_equal,
    ">": np.greater,
    "<": np.less,
    ">=": np.greater_equal,
    "<=": np.less_equal,
}
SETS = ("and", "or", "unless")


def computed(op: str, left: FloatArray, right: FloatArray) -> FloatArray:
    """An arithmetic operator; nothing is an error, as 0/0 is NaN."""
    with np.errstate(all="ignore"):
        answer: FloatArray = ARITHMETIC[op](left, right)
    return answer


def compared(op: str, left: FloatArray, right: FloatArray) -> BoolArray:
    """A comparison; NaN differs from everything."""
    with np.errstate(all="ignore"):
        answer: BoolArray = COMPARISONS[op](left, right)
    return answer
