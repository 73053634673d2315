"""How many series of one key are there, step by step."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tocsin.promql import folds
from tocsin.promql.frame import RowArray
from tocsin.promql.values import BoolArray

Mask: TypeAlias = npt.NDArray[np.uint8]


def mask(present: BoolArray) -> Mask:
    """As the compiled folds read it."""
    return np.ascontiguousarray(present).view(np.uint8)


def members(present: BoolArray, keys: RowArray, count: int) -> RowArray:
    """int64[count, steps]: how many series with each key are there; keys int64[series] < count."""
    return folds.counts(mask(present), keys, count)


def some(present: BoolArray, keys: RowArray, count: int) -> BoolArray:
    """bool[count, steps]: whether any is."""
    there: BoolArray = members(present, keys, count) > 0
    return there


def crowded(present: BoolArray, keys: RowArray, count: int) -> BoolArray:
    """bool[count, steps]: whether two series or more with one key are there at one step."""
    if np.bincount(keys, minlength=1).max() < 2:
        return np.zeros((count, present.shape[1]), np.bool_)
    there: BoolArray = members(present, keys, count) > 1
    return there
