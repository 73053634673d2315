"""How a function is called, and what most of them have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from tocsin.model.series import FloatArray
from tocsin.promql import ast
from tocsin.promql.here import EvaluationError, Here
from tocsin.promql.merge import nameless
from tocsin.promql.values import Scalar, Text, Value, Vector

Apply: TypeAlias = Callable[[Sequence[Value], Here], Value]


def vector_of(value: Value) -> Vector:
    """Raises EvaluationError where it is none: whatever checked the types let something through."""
    if not isinstance(value, Vector):
        raise EvaluationError("An instant vector is expected here.")
    return value


def numbers_of(value: Value) -> FloatArray:
    """float64[steps]. Raises EvaluationError where it is no scalar."""
    if not isinstance(value, Scalar):
        raise EvaluationError("A scalar is expected here.")
    return value.values


def text_of(value: Value) -> str:
    """Raises EvaluationError where it is no string."""
    if not isinstance(value, Text):
        raise EvaluationError("A string is expected here.")
    return value.value


def argument(here: Here, at: int) -> ast.Expr:
    """The node of an argument, without parentheses around it."""
    assert isinstance(here.node, ast.Call)
    return ast.unwrapped(here.node.args[at])


def with_values(vector: Vector, values: FloatArray) -> Vector:
    """Other numbers, and so without the name."""
    return nameless(Vector(vector.frame, values, vector.present, vector.sorted))


def each(change: Callable[..., Any]) -> Apply:
    """A function of every value by itself; nothing is an error, as the logarithm of -1 is NaN."""

    def apply(args: Sequence[Value], here: Here) -> Value:  # noqa: ARG001 - all functions are called in one way
        vector = vector_of(args[0])
        with np.errstate(all="ignore"):
            return with_values(vector, np.asarray(change(vector.values), np.float64))

    return apply
