"""Text to tree, by recursive descent: every node and every error knows its place. See docs/adr/0014.

The grammar is that of Prometheus 3, promql/parser/generated_parser.y.
"""

from __future__ import annotations

import re

from tocsin.model.errors import UserError
from tocsin.model.labels import METRIC_NAME
from tocsin.model.matcher import Matcher, MatchOp
from tocsin.promql import ast, literals
from tocsin.promql.ast import Card, Span
from tocsin.promql.check import checked
from tocsin.promql.cursor import Cursor
from tocsin.promql.parse_error import ParseError
from tocsin.promql.signatures import AGGREGATIONS, EXPERIMENTAL, SIGNATURES
from tocsin.promql.tokens import Kind, Token, shortened

__all__ = ["ParseError", "parse"]

CHARS_MAX = 100_000
NESTED_MAX = 100
"""Brackets and signs within one another."""
DEPTH_MAX = 250
"""Levels of the tree, of which a chain of operators makes one each: whoever walks it has a bounded stack."""

PRECEDENCE = {
    "or": 1,
    **dict.fromkeys(("and", "unless"), 2),
    **dict.fromkeys(("==", "!=", ">", "<", ">=", "<="), 3),
    **dict.fromkeys(("+", "-"), 4),
    **dict.fromkeys(("*", "/", "%", "atan2"), 5),
    "^": 7,
}
UNARY = 6
"""Binds more than `*`, and less than `^`."""
SET_OPERATORS = frozenset(("and", "or", "unless"))
COMPARISONS = frozenset(("==", "!=", ">", "<", ">=", "<="))
NO_METRIC = frozenset(("bool", "on", "ignoring", "group_left", "group_right", "atan2"))
"""Words that cannot be a metric's name without quotes."""
_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half a pair, which is no character and cannot be sent or stored."""
MATCH_OPS = {op.value: op for op in MatchOp}


def parse(text: str) -> ast.Expr:
    """The tree of an expression, its types checked. Raises ParseError."""
    if len(text) > CHARS_MAX:
        raise ParseError(f"the expression is longer than {CHARS_MAX:,} characters", text, 0)
    if (broken := _SURROGATE.search(text)) is not None:
        raise ParseError("invalid UTF-8 rune", text, broken.start())
    parser = _Parser(text)
    tree = parser.expression(0)
    parser.end()
    _check_depth(tree, text)
    return checked(tree, text)


def _check_depth(tree: ast.Expr, text: str) -> None:
    level: list[ast.Expr] = [tree]
    for _ in range(DEPTH_MAX):
        level = [child for node in level for child in ast.children(node)]
        if not level:
            return
    raise ParseError("the expression is nested too deeply", text, level[0].span.start)


class _Parser(Cursor):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    # expressions

    def expression(self, least: int) -> ast.Expr:
        """Operators that bind at least so much."""
        self._depth += 1
        if self._depth > NESTED_MAX:
            raise self._error("the expression is nested too deeply", self._next.start)
        left = self._operand()
        while PRECEDENCE.get(self._next.word, -1) >= least:
            left = self._binary(left, self._next.word)
        self._depth -= 1
        return left

    def _binary(self, left: ast.Expr, op: str) -> ast.Expr:
        self._take()
        as_bool = self._taken("bool")
        if as_bool is not None and op not in COMPARISONS:
            raise self._error("bool modifier can only be used on comparison operators", as_bool.start)
        matching = self._matching(op)
        level = PRECEDENCE[op]
        right = self.expression(level if op == "^" else level + 1)
        return ast.Binary(op, left, right, matching, as_bool is not None, Span(left.span.start, right.span.end))

    def _matching(self, op: str) -> ast.Matching | None:
        """As it is written; None where nothing is, which `checked` completes between vectors."""
        said = self._taken("on", "ignoring")
        on = said is not None and said.word == "on"
        labels = self._labels() if said is not None else ()
        side = self._taken("group_left", "group_right") if said is not None else None
        include = self._labels() if side is not None and self._is("(") else ()
        if side is not None:
            self._check_side(op, side, labels if on else (), include)
        fills = self._fills(op)
        if said is None and not fills:
            return None
        card = Card.ONE_TO_ONE
        if op in SET_OPERATORS:
            card = Card.MANY_TO_MANY
        elif side is not None:
            card = Card.MANY_TO_ONE if side.word == "group_left" else Card.ONE_TO_MANY
        return ast.Matching(card, on, labels, include, fills.get("left"), fills.get("right"))

    def _check_side(self, op: str, side: Token, on: tuple[str, ...], include: tuple[str, ...]) -> None:
        if op in SET_OPERATORS:
            raise self._error(f'no grouping allowed for "{op}" operation', side.start)
        for label in include:
            if label in on:
                raise self._error(f'label "{label}" must not occur in ON and GROUP clause at once', side.start)

    def _fills(self, op: str) -> dict[str, float]:
        found: dict[str, float] = {}
        while self._is("fill", "fill_left", "fill_right") and self._words[self._at + 1].text == "(":
            word = self._take()
            if op in SET_OPERATORS:
                raise self._error("filling in missing series not allowed for set operators", word.start)
            self._expect("(", "fill modifier")
            value = self._signed_number("fill modifier")
            self._expect(")", "fill modifier")
            side = word.word.removeprefix("fill").removeprefix("_")
            found |= {"left": value, "right": value} if not side else {side: value}
        return found

    def _operand(self) -> ast.Expr:
        sign = self._taken("-", "+")
        if sign is None:
            return self._with_modifiers(self._primary())
        inner = self.expression(UNARY)
        span = Span(sign.start, inner.span.end)
        if isinstance(inner, ast.Number):
            return ast.Number(-inner.value if sign.text == "-" else inner.value, span)
        return ast.Unary(sign.text, inner, span)

    def _primary(self) -> ast.Expr:
        word = self._next
        match word.kind:
            case Kind.NUMBER | Kind.DURATION:
                return self._number()
            case Kind.STRING:
                self._take()
                return ast.String(self._string(word), Span(word.start, word.end))
            case Kind.WORD:
                return self._named()
        if self._is("{"):
            return self._selector(None)
        if self._is("("):
            self._take()
            inner = self.expression(0)
            self._close_parenthesis(word)
            return ast.Paren(inner, Span(word.start, self._last_end))
        if word.kind is Kind.END and self._at == 0:
            raise self._error("no expression found in input", 0)
        raise self._unexpected()

    def _number(self) -> ast.Expr:
        word = self._take()
        return ast.Number(self._value(word), Span(word.start, word.end))

    # what begins with a word

    def _named(self) -> ast.Expr:
        word = self._take()
        text = word.word
        if text in AGGREGATIONS and self._is("(", "by", "without"):
            return self._aggregate(word, text)
        if text in literals.SPECIAL and not self._is("{", "("):
            return ast.Number(literals.SPECIAL[text], Span(word.start, word.end))
        if text in NO_METRIC:
            raise self._error(f"unexpected {word.described}", word.start)
        if self._is("("):
            return self._call(word)
        return self._selector(word)

    def _aggregate(self, word: Token, op: str) -> ast.Expr:
        before = self._grouping()
        args = self._arguments()
        after = self._grouping() if before is None else None
        labels, without = before or after or ((), False)
        param, expr = (args[0], args[1]) if len(args) == 2 else (None, args[0] if args else None)
        wanted = 1 if AGGREGATIONS[op] is None else 2
        span = Span(word.start, self._last_end)
        if len(args) != wanted or expr is None:
            raise self._error(
                f"wrong number of arguments for aggregate expression provided, expected {wanted}, got {len(args)}"
                if args
                else "no arguments for aggregate expression provided",
                word.start,
            )
        return ast.Aggregate(op, expr, param, labels, without, span)

    def _grouping(self) -> tuple[tuple[str, ...], bool] | None:
        said = self._taken("by", "without")
        return None if said is None else (self._labels(), said.word == "without")

    def _labels(self) -> tuple[str, ...]:
        self._expect("(", "grouping opts")
        found: list[str] = []
        while not self._is(")"):
            word = self._next
            if word.kind is Kind.STRING:
                name = self._string(self._take())
                if not name:
                    raise self._error("a label has no name", word.start)
                found.append(name)
            elif word.kind is Kind.WORD and ":" not in word.text:
                found.append(self._take().text)
            else:
                raise self._unexpected("grouping opts", "label")
            if not self._taken(","):
                break
        if not self._taken(")"):
            raise self._unexpected("grouping opts", '"," or ")"')
        return tuple(dict.fromkeys(found))

    def _call(self, word: Token) -> ast.Expr:
        if word.text in EXPERIMENTAL:
            raise self._error(f"{word.text}() is experimental in Prometheus and not supported", word.start)
        if word.text not in SIGNATURES:
            raise self._error(f'unknown function with name "{shortened(word.text)}"', word.start)
        args = self._arguments()
        return ast.Call(word.text, tuple(args), Span(word.start, self._last_end))

    def _arguments(self) -> list[ast.Expr]:
        opened = self._expect("(", "aggregation")
        args: list[ast.Expr] = []
        while not self._is(")"):
            if self._next.kind is Kind.END:
                raise self._error("unclosed left parenthesis", opened.start)
            args.append(self.expression(0))
            comma = self._taken(",")
            if comma is None:
                break
            if self._is(")"):
                raise self._error("trailing commas not allowed in function call args", comma.start)
        self._close_parenthesis(opened)
        return args

    def _close_parenthesis(self, opened: Token) -> None:
        if self._next.kind is Kind.END:
            raise self._error("unclosed left parenthesis", opened.start)
        if not self._taken(")"):
            raise self._unexpected()

    # selectors

    def _selector(self, word: Token | None) -> ast.Expr:
        start = self._next.start if word is None else word.start
        name = "" if word is None else word.text
        matchers = [Matcher(METRIC_NAME, MatchOp.EQUAL, name)] if name else []
        if self._is("{"):
            matchers += self._matchers(name)
        return ast.Selector(name, tuple(matchers), 0, None, Span(start, self._last_end))

    def _matchers(self, name: str) -> list[Matcher]:
        self._take()
        found: list[Matcher] = []
        while not self._is("}"):
            found.append(self._matcher(name))
            if not self._taken(","):
                break
        if self._next.kind is Kind.END:
            raise self._error("unexpected end of input inside braces", self._next.start)
        if not self._taken("}"):
            raise self._unexpected("label matching", '"," or "}"')
        return found

    def _matcher(self, name: str) -> Matcher:
        word = self._next
        if word.kind is Kind.END:
            raise self._error("unexpected end of input inside braces", word.start)
        if word.kind is Kind.STRING:
            label = self._string(self._take())
            if self._is(",", "}"):
                return self._quoted_name(label, name, word)
        elif word.kind is Kind.LABEL:
            label = self._take().text
        else:
            raise self._unexpected("label matching", 'identifier or "}"')
        op = self._next
        if op.text not in MATCH_OPS or op.kind is not Kind.MARK:
            raise self._unexpected("label matching", "label matching operator")
        self._take()
        said = self._next
        if said.kind is not Kind.STRING:
            raise self._unexpected("label matching", "string")
        matcher = Matcher(label, MATCH_OPS[op.text], self._string(self._take()))
        if label == METRIC_NAME and name:
            raise self._error(
                f'metric name must not be set twice: "{shortened(name)}" or "{shortened(matcher.value)}"', word.start
            )
        try:
            matcher.check()
        except UserError as error:
            raise self._error(str(error), said.start) from error
        return matcher

    def _quoted_name(self, text: str, name: str, word: Token) -> Matcher:
        if name:
            raise self._error(
                f'metric name must not be set twice: "{shortened(name)}" or "{shortened(text)}"', word.start
            )
        if not text:
            raise self._error("a metric has no name", word.start)
        return Matcher(METRIC_NAME, MatchOp.EQUAL, text)

    def _with_modifiers(self, expr: ast.Expr) -> ast.Expr:
        while True:
            if self._is("["):
                expr = self._ranged(expr)
            elif self._is("offset"):
                expr = self._offset(expr)
            elif self._is("@"):
                expr = self._at_modifier(expr)
            elif self._is("anchored", "smoothed"):
                word = self._next
                raise self._error(f"{word.word} modifier is experimental in Prometheus and not supported", word.start)
            else:
                return expr

    def _ranged(self, expr: ast.Expr) -> ast.Expr:
        opened = self._take()
        range_ms = self._duration("subquery or range selector", "number or duration")
        if self._taken(":"):
            step_ms = None if self._is("]") else self._duration("subquery selector", 'number, duration, or "]"')
            self._close("subquery selector", '"]"')
            return ast.Subquery(expr, range_ms, step_ms, 0, None, Span(expr.span.start, self._last_end))
        self._close("subquery or range", '":" or "]"')
        if not isinstance(expr, ast.Selector):
            raise self._error("ranges only allowed for vector selectors", opened.start)
        if expr.offset_ms:
            raise self._error("no offset modifiers allowed before range", opened.start)
        if expr.at is not None:
            raise self._error("no @ modifiers allowed before range", opened.start)
        return ast.RangeSelector(expr, range_ms, Span(expr.span.start, self._last_end))

    def _close(self, where: str, expected: str) -> None:
        if self._next.kind is Kind.END:
            raise self._error("unclosed left bracket", self._next.start)
        if not self._taken("]"):
            raise self._unexpected(where, expected)

    def _duration(self, where: str, expected: str) -> int:
        word = self._next
        if word.kind is Kind.END:
            raise self._error("unclosed left bracket", word.start)
        negative = self._taken("-")
        if self._next.kind not in (Kind.NUMBER, Kind.DURATION):
            raise self._unexpected(where, expected)
        ms = self._ms(self._take())
        if negative or ms <= 0:
            raise self._error("duration must be greater than 0", word.start)
        return ms

    def _offset(self, expr: ast.Expr) -> ast.Expr:
        said = self._take()
        signed = self._taken("-", "+")
        if self._next.kind not in (Kind.NUMBER, Kind.DURATION):
            raise self._unexpected("offset", "number or duration")
        offset_ms = self._ms(self._take()) * (-1 if signed is not None and signed.word == "-" else 1)
        selector = self._modified(expr, "offset", said)
        if selector.offset_ms:
            raise self._error("offset may not be set multiple times", said.start)
        return self._changed(expr, offset_ms, selector.at)

    def _at_modifier(self, expr: ast.Expr) -> ast.Expr:
        said = self._take()
        if self._is("start", "end"):
            at: ast.At = ast.Edge(self._take().word)
            self._expect("(", "@")
            self._expect(")", "@")
        else:
            seconds = self._signed_number("@")
            if not abs(seconds) < 1e15:  # NaN too
                raise self._error(f"timestamp out of bounds for @ modifier: {seconds:f}", said.start)
            at = round(seconds * 1_000)
        selector = self._modified(expr, "@", said)
        if selector.at is not None:
            raise self._error("@ <timestamp> may not be set multiple times", said.start)
        return self._changed(expr, selector.offset_ms, at)

    def _modified(self, expr: ast.Expr, what: str, said: Token) -> ast.Selector | ast.Subquery:
        if isinstance(expr, ast.RangeSelector):
            return expr.selector
        if isinstance(expr, ast.Selector | ast.Subquery):
            return expr
        raise self._error(
            f"{what} modifier must be preceded by an instant vector selector or range vector selector or a subquery",
            said.start,
        )

    def _changed(self, expr: ast.Expr, offset_ms: int, at: ast.At) -> ast.Expr:
        span = Span(expr.span.start, self._last_end)
        match expr:
            case ast.Selector():
                return ast.Selector(expr.name, expr.matchers, offset_ms, at, span)
            case ast.Subquery():
                return ast.Subquery(expr.expr, expr.range_ms, expr.step_ms, offset_ms, at, span)
            case ast.RangeSelector():
                inner = expr.selector
                moved = ast.Selector(inner.name, inner.matchers, offset_ms, at, inner.span)
                return ast.RangeSelector(moved, expr.range_ms, span)
        raise AssertionError(expr)
