"""What the library `promql-parser` makes of an expression, as our tree without places."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import promql_parser as library

from tocsin.model.labels import METRIC_NAME
from tocsin.model.matcher import Matcher, MatchOp
from tocsin.promql import ast
from tocsin.promql.ast import Card, Span, ValueType, type_of

_NOWHERE = Span(0, 0)
_OPS = {
    "Equal": MatchOp.EQUAL,
    "NotEqual": MatchOp.NOT_EQUAL,
    "Re": MatchOp.REGEX,
    "NotRe": MatchOp.NOT_REGEX,
}
_CARDS = {
    "OneToOne": Card.ONE_TO_ONE,
    "ManyToOne": Card.MANY_TO_ONE,
    "OneToMany": Card.ONE_TO_MANY,
    "ManyToMany": Card.MANY_TO_MANY,
}


def tree_of(text: str) -> ast.Expr:
    return _node(library.parse(text))


def _name(value: object) -> str:
    return str(value).rsplit(".", 1)[-1]


def _ms(delta: timedelta | None) -> int:
    return 0 if delta is None else round(delta.total_seconds() * 1_000)


def _at(modifier: Any) -> ast.At:
    if modifier is None:
        return None
    edges = {"Start": ast.Edge.START, "End": ast.Edge.END}
    return edges.get(_name(modifier.type)) or round(modifier.at.timestamp() * 1_000)


def _selector(node: Any) -> ast.Selector:
    matchers = [Matcher(each.name, _OPS[_name(each.op)], each.value) for each in node.matchers.matchers]
    if node.name:
        matchers.insert(0, Matcher(METRIC_NAME, MatchOp.EQUAL, node.name))
    return ast.Selector(node.name or "", tuple(matchers), _ms(node.offset), _at(node.at), _NOWHERE)


def _node(node: Any) -> ast.Expr:
    match type(node).__name__:
        case "NumberLiteral":
            return ast.Number(node.val, _NOWHERE)
        case "StringLiteral":
            return ast.String(node.val, _NOWHERE)
        case "VectorSelector":
            return _selector(node)
        case "MatrixSelector":
            return ast.RangeSelector(_selector(node.vector_selector), _ms(node.range), _NOWHERE)
        case "SubqueryExpr":
            step_ms = _ms(node.step) or None
            return ast.Subquery(_node(node.expr), _ms(node.range), step_ms, _ms(node.offset), _at(node.at), _NOWHERE)
        case "ParenExpr":
            return ast.Paren(_node(node.expr), _NOWHERE)
        case "UnaryExpr":
            return ast.Unary("-", _node(node.expr), _NOWHERE)
        case "Call":
            return ast.Call(node.func.name, tuple(map(_node, node.args)), _NOWHERE)
        case "AggregateExpr":
            by = node.modifier
            param = None if node.param is None else _node(node.param)
            labels, without = ((), False) if by is None else (tuple(by.labels), _name(by.type) == "Without")
            return ast.Aggregate(str(node.op), _node(node.expr), param, labels, without, _NOWHERE)
        case "BinaryExpr":
            left, right = _node(node.lhs), _node(node.rhs)
            op, modifier = str(node.op), node.modifier
            as_bool = modifier is not None and modifier.return_bool
            vectors = type_of(left) is type_of(right) is ValueType.VECTOR
            return ast.Binary(op, left, right, _matching(op, modifier) if vectors else None, as_bool, _NOWHERE)
        case other:
            raise AssertionError(other)


def _matching(op: str, modifier: Any) -> ast.Matching:
    card = Card.ONE_TO_ONE if modifier is None else _CARDS[_name(modifier.card)]
    if op in ("and", "or", "unless"):
        card = Card.MANY_TO_MANY
    said = None if modifier is None else modifier.matching
    if said is None:
        return ast.Matching(card, on=False, labels=())
    return ast.Matching(card, _name(said.type) == "Include", tuple(said.labels), tuple(modifier.group_labels or ()))
