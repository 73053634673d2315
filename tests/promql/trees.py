"""Random trees that the parser could have made: every kind of node, with the types right."""

from __future__ import annotations

from hypothesis import strategies as st

from tocsin.model.labels import METRIC_NAME
from tocsin.model.matcher import Matcher, MatchOp
from tocsin.promql import ast
from tocsin.promql.ast import Card, Span, ValueType
from tocsin.promql.signatures import AGGREGATIONS, SIGNATURES, Signature

NOWHERE = Span(0, 0)
ARITHMETIC = ("+", "-", "*", "/", "%", "^", "atan2")
COMPARISONS = ("==", "!=", ">", "<", ">=", "<=")
SETS = ("and", "or", "unless")

_names = st.sampled_from(("up", "job:rate:5m", "sum", "by", "offset", "start", "fill", "_x1"))
_labels = st.sampled_from(("job", "le", "on", "bool", "inf", "a.b", "é", "with space", "nan"))
_label_lists = st.lists(_labels, max_size=3, unique=True).map(tuple)
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
_durations = st.sampled_from((1, 999, 1_000, 90_000, 5_400_000, 604_800_000, 31_536_000_000, 90_061_001))
_offsets = st.sampled_from((0, 0, 300_000, -300_000, 86_400_000))
_ats = st.sampled_from((None, None, 0, -1_500, 1_700_000_000_123, ast.Edge.START, ast.Edge.END))
_numbers = st.builds(ast.Number, st.floats(), st.just(NOWHERE))
_strings = st.builds(ast.String, _texts, st.just(NOWHERE))


@st.composite
def _matchers(draw: st.DrawFn, name: str) -> tuple[Matcher, ...]:
    found = draw(st.lists(st.builds(Matcher, _labels, st.sampled_from(MatchOp), st.just("a|b")), max_size=3))
    if not name:  # some matcher must not match the empty string
        found.append(Matcher(METRIC_NAME, MatchOp.EQUAL, draw(_texts.filter(bool))))
    named = [Matcher(METRIC_NAME, MatchOp.EQUAL, name)] if name else []
    return (*named, *found)


@st.composite
def selectors(draw: st.DrawFn) -> ast.Selector:
    name = draw(st.one_of(_names, st.just("")))
    return ast.Selector(name, draw(_matchers(name)), draw(_offsets), draw(_ats), NOWHERE)


def _ranges() -> st.SearchStrategy[ast.Expr]:
    return st.builds(ast.RangeSelector, selectors(), _durations, st.just(NOWHERE))


@st.composite
def _subqueries(draw: st.DrawFn, inner: st.SearchStrategy[ast.Expr]) -> ast.Expr:
    expr, step_ms = draw(inner), draw(st.one_of(st.none(), _durations))
    return ast.Subquery(_closed(expr), draw(_durations), step_ms, draw(_offsets), draw(_ats), NOWHERE)


def _closed(expr: ast.Expr) -> ast.Expr:
    """In parentheses where what comes behind or before would take a part of it."""
    return ast.Paren(expr, NOWHERE) if isinstance(expr, ast.Binary | ast.Unary) or _signed(expr) else expr


def _signed(expr: ast.Expr) -> bool:
    return isinstance(expr, ast.Number) and repr(expr.value).startswith("-")


@st.composite
def _matchings(draw: st.DrawFn, op: str) -> ast.Matching:
    fills = st.one_of(st.none(), st.sampled_from((0.0, -1.5, 1e9, float("inf"))))
    labels = draw(_label_lists)
    on = draw(st.booleans())
    if op in SETS:
        return ast.Matching(Card.MANY_TO_MANY, on, labels)
    card = draw(st.sampled_from((Card.ONE_TO_ONE, Card.MANY_TO_ONE, Card.ONE_TO_MANY)))
    include = () if card is Card.ONE_TO_ONE else tuple(each for each in draw(_label_lists) if each not in labels)
    return ast.Matching(card, on, labels, include, draw(fills), draw(fills))


@st.composite
def _binaries(draw: st.DrawFn, scalars: st.SearchStrategy[ast.Expr], vectors: st.SearchStrategy[ast.Expr]) -> ast.Expr:
    left, right = _closed(draw(vectors)), _closed(draw(st.one_of(vectors, scalars)))
    both = ast.type_of(right) is ValueType.VECTOR
    op = draw(st.sampled_from((*ARITHMETIC, *COMPARISONS, *(SETS if both else ()))))
    matching = draw(_matchings(op)) if both else None
    as_bool = op in COMPARISONS and draw(st.booleans())
    if draw(st.booleans()) and not both:
        left, right = right, left
    return ast.Binary(op, left, right, matching, as_bool, NOWHERE)


@st.composite
def _scalar_binaries(draw: st.DrawFn, scalars: st.SearchStrategy[ast.Expr]) -> ast.Expr:
    op = draw(st.sampled_from((*ARITHMETIC, *COMPARISONS)))
    return ast.Binary(op, _closed(draw(scalars)), _closed(draw(scalars)), None, op in COMPARISONS, NOWHERE)


def _unaries(inner: st.SearchStrategy[ast.Expr]) -> st.SearchStrategy[ast.Expr]:
    within = inner.map(_closed).filter(lambda expr: not isinstance(expr, ast.Number))  # a number takes its sign
    return st.builds(ast.Unary, st.sampled_from("+-"), within, st.just(NOWHERE))


@st.composite
def _aggregates(
    draw: st.DrawFn, scalars: st.SearchStrategy[ast.Expr], vectors: st.SearchStrategy[ast.Expr]
) -> ast.Expr:
    op = draw(st.sampled_from(sorted(AGGREGATIONS)))
    kind = AGGREGATIONS[op]
    param = None if kind is None else draw(_strings if kind is ValueType.STRING else scalars)
    return ast.Aggregate(op, draw(vectors), param, draw(_label_lists), draw(st.booleans()), NOWHERE)


@st.composite
def _calls(
    draw: st.DrawFn, gives: ValueType, scalars: st.SearchStrategy[ast.Expr], vectors: st.SearchStrategy[ast.Expr]
) -> ast.Expr:
    name = draw(st.sampled_from(sorted(name for name, each in SIGNATURES.items() if each.gives is gives)))
    matrices = st.one_of(_ranges(), _subqueries(vectors))
    kinds = {
        ValueType.SCALAR: scalars,
        ValueType.STRING: _strings,
        ValueType.VECTOR: vectors,
        ValueType.MATRIX: matrices,
    }
    args = tuple(draw(kinds[kind]) for kind in _taken(SIGNATURES[name], draw(st.integers(0, 2))))
    return ast.Call(name, args, NOWHERE)


def _taken(signature: Signature, more: int) -> tuple[ValueType, ...]:
    if signature.repeated:
        return signature.takes[:-1] + signature.takes[-1:] * more
    return signature.takes[: len(signature.takes) - min(more, signature.optional)]


def _parens(inner: st.SearchStrategy[ast.Expr]) -> st.SearchStrategy[ast.Expr]:
    return st.builds(ast.Paren, inner, st.just(NOWHERE))


def _scalars(depth: int) -> st.SearchStrategy[ast.Expr]:
    if depth == 0:
        return _numbers
    inner, vectors = _scalars(depth - 1), _vectors(depth - 1)
    return st.one_of(
        _numbers, _parens(inner), _unaries(inner), _scalar_binaries(inner), _calls(ValueType.SCALAR, inner, vectors)
    )


def _vectors(depth: int) -> st.SearchStrategy[ast.Expr]:
    if depth == 0:
        return selectors()
    inner, scalars = _vectors(depth - 1), _scalars(depth - 1)
    return st.one_of(
        selectors(),
        _parens(inner),
        _unaries(inner),
        _binaries(scalars, inner),
        _aggregates(scalars, inner),
        _calls(ValueType.VECTOR, scalars, inner),
    )


def expressions() -> st.SearchStrategy[ast.Expr]:
    """Of every type, up to four levels deep."""
    return st.one_of(_vectors(3), _scalars(2), _strings, _ranges(), _subqueries(_vectors(1)))
