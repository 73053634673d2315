"""Random series and random expressions over them, as trees.

Functions whose last bit depends on the C library (exp, sin, ^) are left out, so that every answer can be compared
exactly: a comparison of two answers that differ in a bit would otherwise be a difference of its own.
"""

from __future__ import annotations

from hypothesis import strategies as st
from tests.promql.reference.evaluator import Series
from tests.promql.reference.windows import Sample
from tests.promql.world import SPAN

from tocsin.model.matcher import Matcher, MatchOp
from tocsin.model.series import STALE
from tocsin.promql import ast

START_MS, STEP_MS, STEPS = 1_200_000, 90_000, 4
NUMBERS = st.sampled_from([0.0, 1.0, 2.0, -1.5, 0.25, 3.0, 10.0, float("nan"), float("inf")])
NAMES = st.sampled_from(["a", "b_total", "h_bucket"])
LABEL = st.sampled_from(["x", "y", "le"])
LABELS = st.lists(LABEL, unique=True, max_size=2).map(tuple)


@st.composite
def series(draw: st.DrawFn) -> Series:
    """Up to eight, scraped every 30 to 90 seconds, with gaps and stale markers."""
    sets = st.fixed_dictionaries(
        {"__name__": NAMES},
        optional={"x": st.sampled_from("12"), "y": st.sampled_from("12"), "le": st.sampled_from(["1", "2", "+Inf"])},
    )
    known = draw(st.lists(sets, min_size=3, max_size=8, unique_by=lambda each: tuple(sorted(each.items()))))
    ordinary = st.floats(0, 100, width=16) | st.sampled_from([0.0, 1.0, 5.0])
    values = st.one_of(*[ordinary] * 9, st.sampled_from([float("nan"), STALE]))
    gaps = st.one_of(*[st.integers(30_000, 90_000)] * 9, st.just(400_000))
    found = []
    for labels in known:
        at, points = draw(st.integers(300_000, 700_000)), []
        for gap, value in draw(st.lists(st.tuples(gaps, values), min_size=5, max_size=25)):
            points.append(Sample(at, value))
            at += gap
        found.append((labels, points))
    return found


FIXED: list[ast.At] = [None, None, None, None, ast.Edge.START, ast.Edge.END, 900_000]
AT = st.sampled_from(FIXED)
OFFSET = st.sampled_from([0, 0, 0, 60_000, -45_000])


@st.composite
def selectors(draw: st.DrawFn) -> ast.Selector:
    name = draw(NAMES)
    plain = st.builds(Matcher, LABEL, st.sampled_from([MatchOp.EQUAL, MatchOp.NOT_EQUAL]), st.sampled_from(["1", ""]))
    more = [draw(plain)] if draw(st.integers(0, 3)) == 3 else []
    loose = Matcher("__name__", MatchOp.REGEX, draw(st.sampled_from(["a|b_total", ".+"])))
    first = draw(st.sampled_from([Matcher("__name__", MatchOp.EQUAL, name)] * 3 + [loose]))
    named = name if first.op is MatchOp.EQUAL else ""
    return ast.Selector(named, (first, *more), draw(OFFSET), draw(AT), SPAN)


RANGES = st.builds(ast.RangeSelector, selectors(), st.sampled_from([60_000, 150_000, 600_000]), st.just(SPAN))
WINDOWS = st.sampled_from(
    [
        "rate",
        "increase",
        "delta",
        "irate",
        "idelta",
        "changes",
        "resets",
        "last_over_time",
        "first_over_time",
        "avg_over_time",
        "sum_over_time",
        "min_over_time",
        "max_over_time",
        "count_over_time",
        "present_over_time",
        "absent_over_time",
        "stddev_over_time",
        "stdvar_over_time",
    ]
)
SIMPLE = st.sampled_from(
    ["abs", "ceil", "floor", "sqrt", "sgn", "round", "hour", "day_of_week", "days_in_month", "absent", "timestamp"]
)
ARITHMETIC, COMPARISONS = ["+", "-", "*", "/", "%"], ["==", "!=", ">", "<", ">=", "<="]
FOLDS = st.sampled_from(["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"])


def call(function: str, *args: ast.Expr) -> ast.Call:
    return ast.Call(function, args, SPAN)


def number(value: float) -> ast.Number:
    return ast.Number(value, SPAN)


def texts(*values: str) -> list[ast.String]:
    return [ast.String(value, SPAN) for value in values]


@st.composite
def scalars(draw: st.DrawFn, depth: int) -> ast.Expr:
    match draw(st.integers(0, 3 if depth else 1)):
        case 0:
            return number(draw(NUMBERS))
        case 1:
            return call("time")
        case 2:
            return call("scalar", draw(vectors(depth - 1)))
        case _:
            op = draw(st.sampled_from(ARITHMETIC + COMPARISONS))
            left, right = draw(scalars(depth - 1)), draw(scalars(depth - 1))
            return ast.Binary(op, left, right, None, op in COMPARISONS, SPAN)


@st.composite
def windowed(draw: st.DrawFn, depth: int) -> ast.Expr:
    over: ast.Expr = draw(RANGES)
    if depth and draw(st.booleans()):
        step = draw(st.sampled_from([None, 45_000, 100_000]))
        inside = draw(vectors(depth - 1))
        over = ast.Subquery(
            inside, draw(st.sampled_from([131_000, 311_000, 21_000])), step, draw(OFFSET), draw(AT), SPAN
        )
    match draw(st.integers(0, 5)):
        case 0:
            return call("quantile_over_time", draw(scalars(min(depth, 1))), over)
        case 1:
            return call("predict_linear", over, draw(scalars(0)))
        case _:
            return call(draw(WINDOWS), over)


@st.composite
def matchings(draw: st.DrawFn) -> ast.Matching:
    card = draw(st.sampled_from([ast.Card.ONE_TO_ONE, ast.Card.ONE_TO_ONE, ast.Card.MANY_TO_ONE, ast.Card.ONE_TO_MANY]))
    on, names = draw(st.booleans()), draw(LABELS)
    include: tuple[str, ...] = ()
    if card is not ast.Card.ONE_TO_ONE:
        include = tuple(name for name in draw(LABELS) if not (on and name in names))
    return ast.Matching(card, on, names, include)


@st.composite
def combined(draw: st.DrawFn, depth: int) -> ast.Expr:
    left = draw(vectors(depth - 1))
    kind = draw(st.integers(0, 3))
    op = draw(st.sampled_from(ARITHMETIC + COMPARISONS))
    as_bool = op in COMPARISONS and draw(st.booleans())
    if kind == 0:
        sides = [left, draw(scalars(depth - 1))]
        first, second = sides if draw(st.booleans()) else sides[::-1]
        return ast.Binary(op, first, second, None, as_bool, SPAN)
    right = draw(vectors(depth - 1))
    if kind == 1:
        sets = ast.Matching(ast.Card.MANY_TO_MANY, draw(st.booleans()), draw(LABELS))
        return ast.Binary(draw(st.sampled_from(["and", "or", "unless"])), left, right, sets, as_bool=False, span=SPAN)
    return ast.Binary(op, left, right, draw(matchings()), as_bool, SPAN)


@st.composite
def aggregated(draw: st.DrawFn, depth: int) -> ast.Expr:
    inside, labels, without = draw(vectors(depth - 1)), draw(LABELS), draw(st.booleans())
    match draw(st.integers(0, 5)):
        case 0:
            return ast.Aggregate("quantile", inside, draw(scalars(0)), labels, without, SPAN)
        case 1:
            return ast.Aggregate("count_values", inside, ast.String("v", SPAN), labels, without, SPAN)
        case _:
            return ast.Aggregate(draw(FOLDS), inside, None, labels, without, SPAN)


@st.composite
def called(draw: st.DrawFn, depth: int) -> ast.Expr:
    inside = draw(vectors(depth - 1))
    match draw(st.integers(0, 6)):
        case 0:
            return call("label_replace", inside, *texts("y", "n$1", "x", "(1)|2"))
        case 1:
            return call("label_join", inside, *texts("z", "-", "x", "y"))
        case 2:
            return call("histogram_quantile", draw(scalars(0)), inside)
        case 3:
            return call("vector", draw(scalars(depth - 1)))
        case 4:
            return call("clamp", inside, draw(scalars(0)), draw(scalars(0)))
        case _:
            return call(draw(SIMPLE), inside)


@st.composite
def vectors(draw: st.DrawFn, depth: int = 3) -> ast.Expr:
    if not depth:
        return draw(selectors())
    match draw(st.integers(0, 6)):
        case 0:
            return draw(selectors())
        case 1:
            return ast.Unary("-", draw(vectors(depth - 1)), SPAN)
        case 2:
            return draw(windowed(depth))
        case 3:
            return draw(aggregated(depth))
        case 4:
            return draw(called(depth))
        case _:
            return draw(combined(depth))
