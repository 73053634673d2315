"""What an expression will read: every selector with its moments and what is to be made of its samples.

`evaluate` walks the tree in the same way and finds the answers by the same asks, which are equal where they are the
same. The functions here say which moments and asks belong to a node; neither knows more than the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tocsin.model.errors import LimitError
from tocsin.promql import ast
from tocsin.promql.ports import Ask
from tocsin.promql.values import Grid
from tocsin.promql.windows import FUNCTIONS

NEWEST, NEWEST_TIME, SAMPLES = "newest", "newest_time", ""
ABSENT_OVER_TIME, PRESENT_OVER_TIME = "absent_over_time", "present_over_time"
PREDICT_LINEAR = "predict_linear"

SUBQUERY_STEPS_MAX = 1_000_000


@dataclass(frozen=True, slots=True)
class Query:
    """A whole query: its moments, and what `start()`, `end()`, look-back and subqueries without a step refer to."""

    grid: Grid
    lookback_ms: int
    default_step_ms: int
    ranging: bool = False
    """Whether it is a range query, be it of one step."""


def asks(node: ast.Expr, query: Query) -> tuple[Ask, ...]:
    """Each once, in the order of the text."""
    return tuple(dict.fromkeys(_asks(node, query.grid, query)))


def _asks(node: ast.Expr, grid: Grid, query: Query) -> Iterator[Ask]:
    match node:
        case ast.Selector():
            yield newest(node, grid, query)
        case ast.RangeSelector():
            yield samples(node, grid, query)
        case ast.Subquery():
            inner = inner_grid(node, grid, query)
            if inner.count:  # a range shorter than its step may hold no moment at all
                yield from _asks(node.expr, inner, query)
        case ast.Call():
            yield from _asks_of_call(node, grid, query)
        case _:
            for child in ast.children(node):
                yield from _asks(child, grid, query)


def _asks_of_call(call: ast.Call, grid: Grid, query: Query) -> Iterator[Ask]:
    ask = ask_of_call(call, grid, query)
    if ask is not None:
        yield ask
    else:
        for arg in call.args:
            yield from _asks(arg, grid, query)


def ask_of_call(call: ast.Call, grid: Grid, query: Query) -> Ask | None:
    """The ask that answers a call as a whole, or None where it is computed from its arguments."""
    if call.function == "timestamp":
        selector = ast.unwrapped(call.args[0])
        return newest(selector, grid, query, NEWEST_TIME) if isinstance(selector, ast.Selector) else None
    over = range_of(call)
    if not isinstance(over, ast.RangeSelector):
        return None
    params = [constant(arg) for arg in call.args if ast.unwrapped(arg) is not over]
    if call.function == PREDICT_LINEAR:  # it looks ahead from the step, not from where an offset has moved the window
        params.append(None if over.selector.at is not None else float(over.selector.offset_ms))
    if any(param is None for param in params):
        return None
    return Ask(
        over.selector.matchers,
        moments(over.selector, grid, query),
        over.range_ms,
        window_of(call.function),
        tuple(param for param in params if param is not None),
    )


def window_of(function: str) -> str:
    """The window function that a function over a range vector is computed by."""
    return PRESENT_OVER_TIME if function == ABSENT_OVER_TIME else function


def range_of(call: ast.Call) -> ast.RangeSelector | ast.Subquery | None:
    """The range vector among the arguments of a function over one."""
    if window_of(call.function) not in FUNCTIONS:
        return None
    for arg in map(ast.unwrapped, call.args):
        if isinstance(arg, ast.RangeSelector | ast.Subquery):
            return arg
    return None


def newest(selector: ast.Selector, grid: Grid, query: Query, function: str = NEWEST) -> Ask:
    return Ask(selector.matchers, moments(selector, grid, query), query.lookback_ms, function)


def samples(node: ast.RangeSelector, grid: Grid, query: Query) -> Ask:
    return Ask(node.selector.matchers, moments(node.selector, grid, query), node.range_ms, SAMPLES)


def moments(node: ast.Selector | ast.Subquery, grid: Grid, query: Query) -> Grid:
    """When it is looked at: the grid less the offset, or one moment for all steps where `@` fixes it."""
    if node.at is None:
        return grid.shifted(node.offset_ms)
    edges = {ast.Edge.START: query.grid.start_ms, ast.Edge.END: query.grid.end_ms}
    at_ms = edges[node.at] if isinstance(node.at, ast.Edge) else node.at
    return Grid(at_ms - node.offset_ms)


def inner_grid(node: ast.Subquery, grid: Grid, query: Query) -> Grid:
    """The moments at which the inside of a subquery is evaluated: multiples of its step since 1970, whatever asks.

    Raises LimitError where they are too many.
    """
    outer = moments(node, grid, query)
    step_ms = node.step_ms or query.default_step_ms
    first = (outer.start_ms - node.range_ms) // step_ms + 1
    count = outer.end_ms // step_ms - first + 1
    if count > SUBQUERY_STEPS_MAX:
        raise LimitError(
            f"A subquery would be evaluated at {count:,} moments, of which {SUBQUERY_STEPS_MAX:,} are allowed. "
            "Ask for a longer step or a shorter range."
        )
    return Grid(first * step_ms, step_ms, max(0, count))


def constant(node: ast.Expr) -> float | None:
    """The number that a scalar expression is wherever it stands; None where that takes evaluation."""
    node = ast.unwrapped(node)
    if isinstance(node, ast.Number):
        return node.value
    if isinstance(node, ast.Unary):
        value = constant(node.expr)
        return -value if value is not None and node.op == "-" else value
    return None
