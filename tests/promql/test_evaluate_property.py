"""Whatever is asked of whatever series: the answer is that of the reference, moment by moment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.promql import expressions
from tests.promql.reference.evaluator import Answer, Reference, Series
from tests.promql.reference.instant import RefusedError
from tests.promql.world import alike, at, same

from tocsin.model.labels import Labels
from tocsin.model.matcher import matches_all
from tocsin.model.series import SeriesBlock
from tocsin.promql import ast, plan, windows
from tocsin.promql.evaluate import Evaluation
from tocsin.promql.frame import LabelFrame
from tocsin.promql.here import EvaluationError
from tocsin.promql.notes import Notes
from tocsin.promql.ports import Ask, Gathered
from tocsin.promql.values import Grid, Ranges, Scalar, Value, Vector

GRID = Grid(expressions.START_MS, expressions.STEP_MS, expressions.STEPS)
LOOKBACK_MS, STEP_MS = 300_000, 60_000


def gathered(ask: Ask, series: Series) -> Gathered:
    """As a store would answer, from a list."""
    known = [(Labels.of(labels), points) for labels, points in series]
    found = [(labels, points) for labels, points in known if matches_all(ask.matchers, labels)]
    samples = [sample for _, points in found for sample in points]
    offsets = np.cumsum([0, *(len(points) for _, points in found)]).astype(np.int64)
    times = np.array([sample.time for sample in samples], np.int64)
    block = SeriesBlock((), offsets, times, np.array([sample.value for sample in samples], np.float64))
    frame = LabelFrame.of([labels for labels, _ in found])
    if not ask.function:
        return Gathered(Ranges(frame, block, ask.grid, ask.range_ms))
    return Gathered(Vector(frame, *windows.reduce(ask.function, block, ask.grid, ask.range_ms, ask.params)))


def evaluated(node: ast.Expr, series: Series, grid: Grid) -> Value | None:
    """None where it has no answer."""
    query = plan.Query(grid, LOOKBACK_MS, STEP_MS)
    answers = {ask: gathered(ask, series) for ask in plan.asks(node, query)}
    try:
        return Evaluation(query, answers, Notes(), lambda: None).value(node, grid)
    except EvaluationError:
        return None


def expected(node: ast.Expr, series: Series, grid: Grid) -> Sequence[Answer] | None:
    try:
        return Reference(series, grid.start_ms, grid.end_ms, LOOKBACK_MS, STEP_MS).value(node, grid.times.tolist())
    except RefusedError:
        return None


def agree(found: Value | None, answers: Sequence[Answer] | None) -> None:
    if found is None or answers is None:
        assert (found, answers) == (None, None)
        return
    for step, answer in enumerate(answers):
        if isinstance(found, Scalar):
            assert isinstance(answer, float)
            assert alike(float(found.values[step]), answer)
        else:
            assert isinstance(found, Vector)
            assert isinstance(answer, list)
            assert same(at(found, step), answer, rel=1e-12), (step, at(found, step), answer)


@settings(max_examples=300)
@given(expressions.series(), expressions.vectors(), st.booleans())
def test_expressions_mean_what_the_reference_says(series: Series, node: ast.Expr, instant: bool) -> None:
    grid = Grid(GRID.start_ms) if instant else GRID
    agree(evaluated(node, series, grid), expected(node, series, grid))
