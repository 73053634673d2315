"""The tree as JSON, as `/api/v1/parse_query` answers it and Prometheus' web page draws it.

Source of the form: Prometheus web/api/v1/translate_ast.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from tocsin.model.labels import METRIC_NAME
from tocsin.model.matcher import Matcher
from tocsin.promql import ast
from tocsin.promql.numerals import positional
from tocsin.promql.signatures import SIGNATURES

Outline: TypeAlias = dict[str, Any]


def outline(expr: ast.Expr) -> Outline:  # noqa: PLR0911 - one a kind of node
    """Times and durations in ms; numbers as text, as JSON has no NaN."""
    match expr:
        case ast.Number():
            return {"type": "numberLiteral", "val": positional(expr.value)}
        case ast.String():
            return {"type": "stringLiteral", "val": expr.value}
        case ast.Selector():
            return {"type": "vectorSelector", **_selector(expr)}
        case ast.RangeSelector():
            return {"type": "matrixSelector", **_selector(expr.selector), "range": expr.range_ms}
        case ast.Subquery():
            inner = {"expr": outline(expr.expr), "range": expr.range_ms, "step": expr.step_ms or 0}
            return {"type": "subquery", **inner, **_moved(expr)}
        case ast.Call():
            return {"type": "call", "func": _function(expr.function), "args": [outline(arg) for arg in expr.args]}
        case ast.Aggregate():
            return {
                "type": "aggregation",
                "op": expr.op,
                "expr": outline(expr.expr),
                "param": None if expr.param is None else outline(expr.param),
                "grouping": list(expr.labels),
                "without": expr.without,
            }
        case ast.Binary():
            return {
                "type": "binaryExpr",
                "op": expr.op,
                "lhs": outline(expr.left),
                "rhs": outline(expr.right),
                "matching": None if expr.matching is None else _matching(expr.matching),
                "bool": expr.as_bool,
            }
        case ast.Unary():
            return {"type": "unaryExpr", "op": expr.op, "expr": outline(expr.expr)}
        case ast.Paren():
            return {"type": "parenExpr", "expr": outline(expr.expr)}


def _selector(node: ast.Selector) -> Outline:
    return {
        "name": node.name,
        "matchers": [_matcher(each) for each in _name_last(node)],
        **_moved(node),
        "anchored": False,
        "smoothed": False,
    }


def _name_last(node: ast.Selector) -> Iterable[Matcher]:
    """Prometheus puts a name that stands before the braces behind what is within them."""
    return sorted(node.matchers, key=lambda each: bool(node.name) and each.label == METRIC_NAME)


def _matcher(matcher: Matcher) -> Outline:
    return {"name": matcher.label, "value": matcher.value, "type": matcher.op.value}


def _moved(node: ast.Selector | ast.Subquery) -> Outline:
    edge = isinstance(node.at, ast.Edge)
    return {
        "offset": node.offset_ms,
        "timestamp": None if edge else node.at,
        "startOrEnd": str(node.at) if edge else None,
    }


def _function(name: str) -> Outline:
    """`variadic` is how many arguments may be left out or, if -1, that the last may come any number of times."""
    signature = SIGNATURES[name]
    return {
        "name": name,
        "argTypes": [kind.value for kind in signature.takes],
        "variadic": -1 if signature.repeated else signature.optional,
        "returnType": signature.gives.value,
    }


def _matching(matching: ast.Matching) -> Outline:
    return {
        "card": matching.card.value,
        "labels": list(matching.labels),
        "on": matching.on,
        "include": list(matching.include),
        "fillValues": {"lhs": matching.fill_left, "rhs": matching.fill_right},
    }
