"""Operators between two values, and the sign before one.

Source: Prometheus promql/engine.go, VectorBinop, VectorscalarBinop and resultMetric.
"""

from __future__ import annotations

import numpy as np

from tocsin.model.series import FloatArray
from tocsin.promql import ast
from tocsin.promql.here import EvaluationError, Here
from tocsin.promql.matching import matched
from tocsin.promql.merge import nameless
from tocsin.promql.operators import ARITHMETIC, SETS, compared, computed
from tocsin.promql.sets import combined
from tocsin.promql.values import Scalar, Value, Vector


def binary(node: ast.Binary, left: Value, right: Value, here: Here) -> Value:  # noqa: ARG001 - as all that the walk calls
    """Raises EvaluationError where series cannot be told apart; how they meet is `node.matching`."""
    match left, right:
        case Scalar(), Scalar():
            return Scalar(_scalars(node.op, left.values, right.values))
        case Vector(), Scalar():
            return _with_scalar(node, left, right.values, scalar_first=False)
        case Scalar(), Vector():
            return _with_scalar(node, right, left.values, scalar_first=True)
        case Vector(), Vector():
            return combined(node, left, right) if node.op in SETS else matched(node, left, right)
        case _:
            raise EvaluationError(f"{node.op} stands between numbers and instant vectors only.")


def negated(value: Value, here: Here) -> Value:  # noqa: ARG001 - as all that the walk calls
    """`-value`. The name goes. Raises EvaluationError where series cannot be told apart without it."""
    match value:
        case Scalar():
            return Scalar(-value.values)
        case Vector():
            return nameless(Vector(value.frame, -value.values, value.present, value.sorted))
        case _:
            raise EvaluationError("A sign stands before a number or an instant vector only.")


def _scalars(op: str, left: FloatArray, right: FloatArray) -> FloatArray:
    if op in ARITHMETIC:
        return computed(op, left, right)
    return compared(op, left, right).astype(np.float64)


def _with_scalar(node: ast.Binary, vector: Vector, scalar: FloatArray, *, scalar_first: bool) -> Vector:
    """A comparison keeps the series' own values, on whichever side they stand."""
    left, right = (scalar, vector.values) if scalar_first else (vector.values, scalar)
    if node.op in ARITHMETIC:
        values = computed(node.op, left, right)
        return nameless(Vector(vector.frame, values, vector.present, vector.sorted))
    holds = compared(node.op, left, right)
    if node.as_bool:
        return nameless(Vector(vector.frame, holds.astype(np.float64), vector.present, vector.sorted))
    return Vector(vector.frame, vector.values, vector.present & holds, vector.sorted)
