"""Types: what the grammar lets through and still makes no sense."""

from __future__ import annotations

from dataclasses import replace

from tocsin.promql import ast
from tocsin.promql.ast import Card, ValueType, type_of
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


def checked(tree: ast.Expr, text: str) -> ast.Expr:
    """The tree, with what is left out filled in. Raises ParseError."""
    return _Checker(text).node(tree)


class _Checker:
    def __init__(self, text: str) -> None:
        self._text = text

    def node(self, expr: ast.Expr) -> ast.Expr:  # noqa: PLR0911 - one a kind of node
        match expr:
            case ast.Selector():
                self._selector(expr)
            case ast.RangeSelector():
                self._selector(expr.selector)
            case ast.Subquery():
                inner = self.node(expr.expr)
                self._expect(inner, ValueType.VECTOR, "subquery is only allowed on instant vector, got {got} instead")
                return replace(expr, expr=inner)
            case ast.Paren():
                return replace(expr, expr=self.node(expr.expr))
            case ast.Unary():
                return self._unary(expr)
            case ast.Binary():
                return self._binary(expr)
            case ast.Aggregate():
                return self._aggregate(expr)
            case ast.Call():
                return self._call(expr)
            case _:
                pass
        return expr

    def _error(self, sentence: str, expr: ast.Expr) -> ParseError:
        return ParseError(sentence, self._text, expr.span.start)

    def _expect(self, expr: ast.Expr, wanted: ValueType, sentence: str) -> None:
        got = type_of(expr)
        if got is not wanted:
            raise self._error(sentence.format(wanted=WORDS[wanted], got=WORDS[got]), expr)

    def _selector(self, expr: ast.Selector) -> None:
        if all(matcher.matches_value("") for matcher in expr.matchers):
            raise self._error("vector selector must contain at least one non-empty matcher", expr)

    def _unary(self, expr: ast.Unary) -> ast.Expr:
        inner = self.node(expr.expr)
        kind = type_of(inner)
        if kind not in (ValueType.SCALAR, ValueType.VECTOR):
            raise self._error(
                f'unary expression only allowed on expressions of type scalar or instant vector, got "{WORDS[kind]}"',
                expr,
            )
        return replace(expr, expr=inner)

    def _binary(self, expr: ast.Binary) -> ast.Expr:
        left, right = self.node(expr.left), self.node(expr.right)
        kinds = type_of(left), type_of(right)
        for side, kind in zip((left, right), kinds, strict=True):
            if kind not in (ValueType.SCALAR, ValueType.VECTOR):
                raise self._error("binary expression must contain only scalar and instant vector types", side)
        scalars = kinds.count(ValueType.SCALAR)
        if scalars == 2 and expr.op in COMPARISONS and not expr.as_bool:
            raise self._error("comparisons between scalars must use BOOL modifier", expr)
        if scalars and expr.op in SETS:
            raise self._error(f'set operator "{expr.op}" not allowed in binary scalar expression', expr)
        matching = expr.matching
        if scalars and matching is not None:
            raise self._error("vector matching only allowed between instant vectors", expr)
        if not scalars and matching is None:
            card = Card.MANY_TO_MANY if expr.op in SETS else Card.ONE_TO_ONE
            matching = ast.Matching(card, on=False, labels=())
        return replace(expr, left=left, right=right, matching=matching)

    def _aggregate(self, expr: ast.Aggregate) -> ast.Expr:
        inner = self.node(expr.expr)
        sentence = "expected type {wanted} in aggregation expression, got {got}"
        self._expect(inner, ValueType.VECTOR, sentence)
        param = None
        wanted = AGGREGATIONS[expr.op]
        if expr.param is not None and wanted is not None:
            param = self.node(expr.param)
            self._expect(param, wanted, "expected type {wanted} in aggregation parameter, got {got}")
        return replace(expr, expr=inner, param=param)

    def _call(self, expr: ast.Call) -> ast.Expr:
        signature = SIGNATURES[expr.function]
        got = len(expr.args)
        least, most = signature.least, signature.most
        if got < least or (most is not None and got > most):
            bound = "" if least == most else "at least " if got < least else "at most "
            wanted = least if got < least else most
            raise self._error(f'expected {bound}{wanted} argument(s) in call to "{expr.function}", got {got}', expr)
        args = tuple(map(self.node, expr.args))
        for at, arg in enumerate(args):
            kind = signature.takes[min(at, len(signature.takes) - 1)]
            self._expect(arg, kind, f'expected type {{wanted}} in call to function "{expr.function}", got {{got}}')
        return replace(expr, args=args)
