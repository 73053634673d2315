"""Trees as text, with a parenthesis around everything: for other servers to read, and people who debug."""

from __future__ import annotations

from tocsin.model.labels import quote
from tocsin.promql import ast


def text(node: ast.Expr) -> str:
    match node:
        case ast.Number():
            return repr(node.value)
        case ast.String():
            return quote(node.value)
        case ast.Selector():
            inner = ",".join(map(str, node.matchers))
            return f"{{{inner}}}{_when(node)}"
        case ast.RangeSelector():
            inner = ",".join(map(str, node.selector.matchers))
            return f"{{{inner}}}[{node.range_ms}ms]{_when(node.selector)}"
        case ast.Subquery():
            step = "" if node.step_ms is None else f"{node.step_ms}ms"
            return f"({text(node.expr)})[{node.range_ms}ms:{step}]{_when(node)}"
        case ast.Call():
            return f"{node.function}({', '.join(map(text, node.args))})"
        case ast.Aggregate():
            args = [node.expr] if node.param is None else [node.param, node.expr]
            grouping = "without" if node.without else "by"
            return f"{node.op} {grouping} ({', '.join(node.labels)}) ({', '.join(map(text, args))})"
        case ast.Binary():
            as_bool = " bool" if node.as_bool else ""
            return f"({text(node.left)}) {node.op}{as_bool}{_matching(node.matching)} ({text(node.right)})"
        case ast.Unary():
            return f"{node.op}({text(node.expr)})"
        case ast.Paren():
            return f"({text(node.expr)})"


def _when(node: ast.Selector | ast.Subquery) -> str:
    at = f" @ {node.at}()" if isinstance(node.at, ast.Edge) else "" if node.at is None else f" @ {node.at / 1000}"
    return f"{at} offset {node.offset_ms}ms" if node.offset_ms else at


def _matching(matching: ast.Matching | None) -> str:
    if matching is None:
        return ""
    on = f" {'on' if matching.on else 'ignoring'} ({', '.join(matching.labels)})"
    side = {ast.Card.MANY_TO_ONE: " group_left", ast.Card.ONE_TO_MANY: " group_right"}.get(matching.card, "")
    return f"{on}{side} ({', '.join(matching.include)})" if side else on
