"""From a tree and what was gathered for it to numbers: no I/O, no await."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tocsin.model.series import EMPTY_BLOCK, FloatArray, SeriesBlock
from tocsin.promql import ast, plan, windows
from tocsin.promql.aggregate import aggregate, quantile_warning
from tocsin.promql.binary import binary, negated
from tocsin.promql.frame import EMPTY_FRAME
from tocsin.promql.functions.absent import absent_labels
from tocsin.promql.functions.counters import counter_note
from tocsin.promql.functions.registry import FUNCTIONS
from tocsin.promql.here import Here
from tocsin.promql.merge import bare, nameless
from tocsin.promql.notes import Notes
from tocsin.promql.ports import Answers, Ask
from tocsin.promql.values import Grid, Ranges, Scalar, Text, Value, Vector

NAMED = frozenset({"last_over_time", "first_over_time"})
"""Functions over range vectors that keep the metric's name."""
COUNTING = frozenset({"rate", "increase"})
SORTING = frozenset({"sort", "sort_desc", "sort_by_label", "sort_by_label_desc"})


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`check` is called at every node, and raises where time has run out."""

    query: plan.Query
    answers: Answers
    notes: Notes
    check: Callable[[], None]

    def value(self, node: ast.Expr, grid: Grid) -> Value:  # noqa: PLR0911 - one a kind of node
        """With a column for each moment of the grid. Raises EvaluationError."""
        self.check()
        match node:
            case ast.Number():
                return Scalar(np.full(grid.count, node.value))
            case ast.String():
                return Text(node.value)
            case ast.Paren():
                return self.value(node.expr, grid)
            case ast.Selector():
                return self._asked(plan.newest(node, grid, self.query), grid)
            case ast.RangeSelector():
                return self._samples(plan.samples(node, grid, self.query))
            case ast.Subquery():
                return self._subquery(node, grid)
            case ast.Unary():
                value = self.value(node.expr, grid)
                return negated(value, self._here(node, grid)) if node.op == "-" else value
            case ast.Binary():
                return binary(node, self.value(node.left, grid), self.value(node.right, grid), self._here(node, grid))
            case ast.Aggregate():
                param = None if node.param is None else self.value(node.param, grid)
                return aggregate(node, _vector(self.value(node.expr, grid)), param, self._here(node, grid))
            case ast.Call():
                return self._call(node, grid)

    def _here(self, node: ast.Expr, grid: Grid) -> Here:
        return Here(grid, node, self.notes)

    def _asked(self, ask: Ask, grid: Grid) -> Vector:
        found = self.answers[ask].found
        assert isinstance(found, Vector)
        return _spread(found, grid)

    def _samples(self, ask: Ask) -> Ranges:
        found = self.answers[ask].found
        assert isinstance(found, Ranges)
        return found

    def _subquery(self, node: ast.Subquery, grid: Grid) -> Ranges:
        inner = plan.inner_grid(node, grid, self.query)
        if not inner.count:
            return Ranges(EMPTY_FRAME, EMPTY_BLOCK, plan.moments(node, grid, self.query), node.range_ms)
        vector = _vector(self.value(node.expr, inner))
        block = _block(vector, inner)
        return Ranges(vector.frame, block, plan.moments(node, grid, self.query), node.range_ms)

    def _call(self, call: ast.Call, grid: Grid) -> Value:
        ask = plan.ask_of_call(call, grid, self.query)
        over = plan.range_of(call)
        if ask is not None and over is None:  # timestamp() of a selector
            return nameless(self._asked(ask, grid))
        if over is None:
            if call.function in SORTING and self.query.ranging:
                self.notes.warn(
                    "PromQL warning: sort is ineffective for range queries since results are always ordered by labels",
                    call.span,
                )
            args = [self.value(arg, grid) for arg in call.args]
            return FUNCTIONS[call.function].apply(args, self._here(call, grid))
        if call.function == "quantile_over_time":
            self._check_quantile(call.args[0], grid)
        found = self._asked(ask, grid) if ask is not None else self._reduced(call, over, grid)
        return self._of_windows(call, found, grid)

    def _reduced(self, call: ast.Call, over: ast.RangeSelector | ast.Subquery, grid: Grid) -> Vector:
        """A function over a range vector that is here, as one of a subquery is."""
        ranges = self.value(over, grid)
        assert isinstance(ranges, Ranges)
        params = [self._param(arg, grid) for arg in call.args if ast.unwrapped(arg) is not over]
        if call.function == plan.PREDICT_LINEAR:
            params.append((grid.times - ranges.grid.times).astype(np.float64))
        steps = ranges.grid
        if steps.count < grid.count and any((param != param[0]).any() for param in params):
            steps = Grid(steps.start_ms, 0, grid.count)  # one moment for all steps, but a parameter for each
        elif steps.count < grid.count:
            params = [param[:1] for param in params]
        values, present = windows.reduce(plan.window_of(call.function), ranges.block, steps, ranges.range_ms, params)
        return _spread(Vector(ranges.frame, values, present), grid)

    def _check_quantile(self, node: ast.Expr, grid: Grid) -> None:
        for phi in np.unique(self._param(node, grid)).tolist():
            if not 0 <= phi <= 1:
                self.notes.warn(quantile_warning(phi), node.span)

    def _param(self, node: ast.Expr, grid: Grid) -> FloatArray:
        value = self.value(node, grid)
        assert isinstance(value, Scalar)
        return value.values

    def _of_windows(self, call: ast.Call, found: Vector, grid: Grid) -> Vector:
        if call.function == plan.ABSENT_OVER_TIME:
            absent = np.logical_not(found.present.any(axis=0, keepdims=True))
            return Vector(absent_labels(call.args[0]), np.ones((1, grid.count)), absent)
        if call.function in COUNTING:
            counter_note(found.compacted().frame, self._here(call, grid))
        return found if call.function in NAMED else bare(found)


def _vector(value: Value) -> Vector:
    assert isinstance(value, Vector), value
    return value


def _spread(vector: Vector, grid: Grid) -> Vector:
    """What was asked at one moment, for every step."""
    if vector.values.shape[1] == grid.count:
        return vector
    shape = (len(vector), grid.count)
    return Vector(
        vector.frame, np.broadcast_to(vector.values, shape), np.broadcast_to(vector.present, shape), vector.sorted
    )


def _block(vector: Vector, grid: Grid) -> SeriesBlock:
    counts = vector.present.sum(axis=1)
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    times = np.broadcast_to(grid.times, vector.present.shape)[vector.present]
    return SeriesBlock((), offsets, times, vector.values[vector.present])
