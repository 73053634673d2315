"""The tree of an expression: frozen, checked, with the place in the text that each node came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from tocsin.model.matcher import Matcher


@dataclass(frozen=True, slots=True)
class Span:
    """Characters [start, end) of the text."""

    start: int
    end: int


class ValueType(StrEnum):
    """What an expression gives; the names are those of the HTTP API's `resultType`."""

    SCALAR = "scalar"
    STRING = "string"
    VECTOR = "vector"
    MATRIX = "matrix"


class Edge(StrEnum):
    """`@ start()` and `@ end()`: the first or last step of the query."""

    START = "start"
    END = "end"


At: TypeAlias = int | Edge | None
"""An `@` modifier: ms UTC, an edge of the query, or none."""


@dataclass(frozen=True, slots=True)
class Number:
    value: float
    span: Span


@dataclass(frozen=True, slots=True)
class String:
    value: str
    span: Span


@dataclass(frozen=True, slots=True)
class Selector:
    """An instant vector selector. `name` is the metric where it stands before the braces; `matchers` hold it too."""

    name: str
    matchers: tuple[Matcher, ...]
    offset_ms: int
    at: At
    span: Span


@dataclass(frozen=True, slots=True)
class RangeSelector:
    """`selector[range]`: samples with t - range < time ≤ t, the offset being the selector's."""

    selector: Selector
    range_ms: int
    span: Span


@dataclass(frozen=True, slots=True)
class Subquery:
    """`expr[range:step]`; a step of None is the server's evaluation interval."""

    expr: Expr
    range_ms: int
    step_ms: int | None
    offset_ms: int
    at: At
    span: Span


@dataclass(frozen=True, slots=True)
class Call:
    function: str
    args: tuple[Expr, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Aggregate:
    """`op by (labels) (param, expr)`; with `without` the labels are those that go."""

    op: str
    expr: Expr
    param: Expr | None
    labels: tuple[str, ...]
    without: bool
    span: Span


class Card(StrEnum):
    """How many series of either side may belong together."""

    ONE_TO_ONE = "one-to-one"
    MANY_TO_ONE = "many-to-one"
    ONE_TO_MANY = "one-to-many"
    MANY_TO_MANY = "many-to-many"


@dataclass(frozen=True, slots=True)
class Matching:
    """How two vectors meet: `on` the labels or ignoring them; `include` are the labels of group_left or group_right.

    `fill_left` stands for a missing series of the left side, `fill_right` for one of the right; with group_right, as in
    Prometheus, the sides are the other way round.
    """

    card: Card
    on: bool
    labels: tuple[str, ...]
    include: tuple[str, ...] = ()
    fill_left: float | None = None
    fill_right: float | None = None


@dataclass(frozen=True, slots=True)
class Binary:
    """`matching` is None unless both sides are vectors; `as_bool` is the `bool` modifier."""

    op: str
    left: Expr
    right: Expr
    matching: Matching | None
    as_bool: bool
    span: Span


@dataclass(frozen=True, slots=True)
class Unary:
    """`op` is + or -."""

    op: str
    expr: Expr
    span: Span


@dataclass(frozen=True, slots=True)
class Paren:
    expr: Expr
    span: Span


Expr: TypeAlias = Number | String | Selector | RangeSelector | Subquery | Call | Aggregate | Binary | Unary | Paren


def children(expr: Expr) -> tuple[Expr, ...]:
    """In the order of the text; a range's selector is its child."""
    match expr:
        case Number() | String() | Selector():
            return ()
        case RangeSelector():
            return (expr.selector,)
        case Subquery() | Unary() | Paren():
            return (expr.expr,)
        case Call():
            return expr.args
        case Aggregate():
            return (expr.expr,) if expr.param is None else (expr.param, expr.expr)
        case Binary():
            return (expr.left, expr.right)


def walk(expr: Expr) -> Iterator[Expr]:
    """The node and all below it, parents first."""
    yield expr
    for child in children(expr):
        yield from walk(child)


def unwrapped(expr: Expr) -> Expr:
    """Without the parentheses around it."""
    while isinstance(expr, Paren):
        expr = expr.expr
    return expr


_TYPES: Mapping[type, ValueType] = {
    Number: ValueType.SCALAR,
    String: ValueType.STRING,
    Selector: ValueType.VECTOR,
    Aggregate: ValueType.VECTOR,
    RangeSelector: ValueType.MATRIX,
    Subquery: ValueType.MATRIX,
}
SCALAR_FUNCTIONS = frozenset({"time", "pi", "scalar"})


def type_of(expr: Expr) -> ValueType:
    """What it gives."""
    match expr:
        case Unary() | Paren():
            return type_of(expr.expr)
        case Binary():
            both = {type_of(expr.left), type_of(expr.right)}
            return ValueType.SCALAR if both == {ValueType.SCALAR} else ValueType.VECTOR
        case Call():
            return ValueType.SCALAR if expr.function in SCALAR_FUNCTIONS else ValueType.VECTOR
        case _:
            return _TYPES[type(expr)]
