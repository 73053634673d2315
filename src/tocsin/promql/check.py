"""Types: what the grammar lets through and still makes no sense."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

from tocsin.promql import ast
from tocsin.promql.ast import Card, ValueType
from tocsin.promql.parse_error import ParseError
from tocsin.promql.signatures import AGGREGATIONS, SIGNATURES

WORDS = {
    ValueType.SCALAR: "scalar",
    ValueType.STRING: "string",
    ValueType.VECTOR: "instant vector",
    ValueType.MATRIX: "range vector",
}
COMPARISONS = frozenset(("==", "!=", ">", "<", ">=", "<="))
SETS = frozenset(("and", "or", "unless"))
NUMERIC = frozenset((ValueType.SCALAR, ValueType.VECTOR))

Typed: TypeAlias = tuple[ast.Expr, ValueType]
"""A node with what is left out filled in (the same node where nothing is), and what it gives."""


def checked(tree: ast.Expr, text: str) -> ast.Expr:
    """The tree, with what is left out filled in. Raises ParseError."""
    return _Checker(text).typed(tree)[0]


class _Checker:
    def __init__(self, text: str) -> None:
        self._text = text

    def typed(self, expr: ast.Expr) -> Typed:  # noqa: PLR0911 - one a kind of node
        match expr:
            case ast.Selector():
                self._selector(expr)
                return expr, ValueType.VECTOR
            case ast.RangeSelector():
                self._selector(expr.selector)
                return expr, ValueType.MATRIX
            case ast.Number():
                return expr, ValueType.SCALAR
            case ast.Call():
                return self._call(expr)
            case ast.Aggregate():
                return self._aggregate(expr), ValueType.VECTOR
            case ast.Binary():
                return self._binary(expr)
            case ast.Paren():
                inner, kind = self.typed(expr.expr)
                return _around(expr, inner), kind
            case ast.Unary():
                return self._unary(expr)
            case ast.Subquery():
                inner = self._expected(
                    expr.expr, ValueType.VECTOR, "subquery is only allowed on instant vector, got {got} instead"
                )
                return _around(expr, inner), ValueType.MATRIX
            case ast.String():
                return expr, ValueType.STRING

    def _error(self, sentence: str, expr: ast.Expr) -> ParseError:
        return ParseError(sentence, self._text, expr.span.start)

    def _expected(self, expr: ast.Expr, wanted: ValueType, sentence: str) -> ast.Expr:
        inner, got = self.typed(expr)
        if got is not wanted:
            raise self._error(sentence.format(wanted=WORDS[wanted], got=WORDS[got]), expr)
        return inner

    def _selector(self, expr: ast.Selector) -> None:
        if not expr.name and all(matcher.matches_value("") for matcher in expr.matchers):
            raise self._error("vector selector must contain at least one non-empty matcher", expr)

    def _unary(self, expr: ast.Unary) -> Typed:
        inner, kind = self.typed(expr.expr)
        if kind not in NUMERIC:
            raise self._error(
                f'unary expression only allowed on expressions of type scalar or instant vector, got "{WORDS[kind]}"',
                expr,
            )
        return _around(expr, inner), kind

    def _binary(self, expr: ast.Binary) -> Typed:
        left, left_kind = self.typed(expr.left)
        right, right_kind = self.typed(expr.right)
        vectors = left_kind is right_kind is ValueType.VECTOR
        matching = expr.matching
        if not vectors:
            self._scalars(expr, left_kind, right_kind)
            matching = None
        elif matching is None:
            matching = _SETS_MATCHED if expr.op in SETS else _MATCHED
        if left is not expr.left or right is not expr.right or matching is not expr.matching:
            expr = ast.Binary(expr.op, left, right, matching, expr.as_bool, expr.span)
        return expr, ValueType.VECTOR if ValueType.VECTOR in (left_kind, right_kind) else ValueType.SCALAR

    def _scalars(self, expr: ast.Binary, left: ValueType, right: ValueType) -> None:
        """An operator of which at least one side is no vector."""
        for side, kind in ((expr.left, left), (expr.right, right)):
            if kind not in NUMERIC:
                raise self._error("binary expression must contain only scalar and instant vector types", side)
        if left is right and expr.op in COMPARISONS and not expr.as_bool:
            raise ParseError(
                "comparisons between scalars must use BOOL modifier", self._text, self._behind(expr.left.span.end)
            )
        matching = expr.matching
        if matching is not None and matching.labels:
            raise self._error("vector matching only allowed between instant vectors", expr)
        if matching is not None and (matching.fill_left is not None or matching.fill_right is not None):
            raise self._error("filling in missing series only allowed between instant vectors", expr)
        if expr.op in SETS:
            raise self._error(f'set operator "{expr.op}" not allowed in binary scalar expression', expr)

    def _behind(self, at: int) -> int:
        """Where the next word begins."""
        rest = self._text[at:]
        return at + len(rest) - len(rest.lstrip())

    def _aggregate(self, expr: ast.Aggregate) -> ast.Expr:
        sentence = "expected type {wanted} in aggregation expression, got {got}"
        inner = self._expected(expr.expr, ValueType.VECTOR, sentence)
        param, wanted = expr.param, AGGREGATIONS[expr.op]
        if param is not None and wanted is not None:
            param = self._expected(param, wanted, "expected type {wanted} in aggregation parameter, got {got}")
        if inner is expr.expr and param is expr.param:
            return expr
        return replace(expr, expr=inner, param=param)

    def _call(self, expr: ast.Call) -> Typed:
        signature = SIGNATURES[expr.function]
        got, least, most = len(expr.args), signature.least, signature.most
        if got < least or (most is not None and got > most):
            bound = "" if least == most else "at least " if got < least else "at most "
            wanted = least if got < least else most
            raise self._error(f'expected {bound}{wanted} argument(s) in call to "{expr.function}", got {got}', expr)
        last = len(signature.takes) - 1
        sentence = f'expected type {{wanted}} in call to function "{expr.function}", got {{got}}'
        args = tuple(self._expected(arg, signature.takes[min(at, last)], sentence) for at, arg in enumerate(expr.args))
        same = all(one is other for one, other in zip(args, expr.args, strict=True))
        return (expr if same else ast.Call(expr.function, args, expr.span)), signature.gives


_MATCHED = ast.Matching(Card.ONE_TO_ONE, on=False, labels=())
_SETS_MATCHED = ast.Matching(Card.MANY_TO_MANY, on=False, labels=())


def _around(expr: ast.Paren | ast.Unary | ast.Subquery, inner: ast.Expr) -> ast.Expr:
    return expr if inner is expr.expr else replace(expr, expr=inner)
