"""Answers of queries as rules see them: rows of labels and a value, at one moment."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import numpy as np

from tocsin.model.labels import Labels
from tocsin.promql.values import Scalar, Text, Value, Vector
from tocsin.rules.alerting import RuleError

Row: TypeAlias = tuple[Labels, float]

Query: TypeAlias = Callable[[str, int], Awaitable[Value]]
"""An expression and a moment in ms UTC to what it gives then. Raises TocsinError."""


def rows(value: Value) -> list[Row]:
    """A scalar is one row without labels. Raises RuleError for what is neither that nor a vector."""
    match value:
        case Scalar():
            return [(Labels(), float(value.values[0]))]
        case Vector():
            present = np.flatnonzero(value.present[:, 0]).tolist()
            numbers = value.values[:, 0].tolist()
            return [(value.frame.labels(row), numbers[row]) for row in present]
        case Text():
            raise RuleError("rule result is not a vector or scalar")
    raise RuleError("rule result is not a vector or scalar")
