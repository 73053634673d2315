"""A template's text to its tree, by recursive descent.

Source: Go's text/template/parse, parse.go; its words for what is wrong are kept, as people search for them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from tocsin.model.templates.errors import TemplateError
from tocsin.model.templates.lex import Kind, Token, tokens, unquote
from tocsin.model.templates.limits import DEPTH_MAX, TEXT_MAX
from tocsin.model.templates.tree import (
    Action,
    Branch,
    BranchKind,
    Chain,
    Command,
    Dot,
    Include,
    Leave,
    Literal,
    Node,
    Operand,
    Pipeline,
    Span,
    Template,
    Text,
    Variable,
    Word,
)

_BRANCHES = frozenset(BranchKind)
_KEYWORDS = frozenset({"if", "with", "range", "else", "end", "define", "block", "template", "break", "continue"})
_CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "nil": None}
_WITHIN_OPERAND = frozenset({Kind.CLOSE, Kind.RIGHT, Kind.PIPE, Kind.COMMA, Kind.DECLARE, Kind.ASSIGN})


def parse(text: str, functions: Collection[str]) -> Template:
    """Raises TemplateError; `functions` are those that there are."""
    if len(text) > TEXT_MAX:
        raise TemplateError(f"the template is longer than {TEXT_MAX} characters")
    parser = _Parser(text, functions)
    nodes, stop = parser.nodes()
    if stop.kind is not Kind.END:
        raise TemplateError(f"unexpected {{{{{stop.text}}}}}", stop.start)
    return Template(text, nodes, parser.defined)


class _Parser:
    def __init__(self, text: str, functions: Collection[str]) -> None:
        self.defined: dict[str, tuple[Node, ...]] = {}
        self._tokens = list(tokens(text))
        self._at = 0
        self._functions = functions
        self._variables = ["$"]
        self._depth = 0
        self._ranges = 0

    def nodes(self) -> tuple[tuple[Node, ...], Token]:
        """Up to `else`, `end` or the end of all, and that word. Of an action only the first word is taken then."""
        found: list[Node] = []
        while True:
            token = self._next()
            if token.kind is Kind.END:
                return tuple(found), token
            if token.kind is Kind.TEXT:
                found.append(Text(token.text, Span(token.start, token.end)))
                continue
            word = self._peek()
            if word.kind is Kind.WORD and word.text in ("else", "end"):
                return tuple(found), self._next()
            found += self._action(token)

    def _action(self, opened: Token) -> Iterator[Node]:
        word = self._peek()
        if word.kind is not Kind.WORD or word.text not in _KEYWORDS:
            pipeline = self._pipeline("command", Kind.CLOSE)
            yield Action(pipeline, pipeline.span)
            return
        self._next()
        if word.text in _BRANCHES:
            yield self._branch(BranchKind(word.text), opened)
        elif word.text == "template":
            yield self._include(opened)
        elif word.text == "define":
            if self._depth:
                raise TemplateError("unexpected {{define}} within another block", word.start)
            self._define(self._name(word.text), word)
        elif word.text == "block":
            name = self._name(word.text)
            pipeline = self._pipeline("block clause", Kind.CLOSE)
            self._body_of(name, word)
            yield Include(name, pipeline, Span(opened.start, pipeline.span.end))
        else:
            yield self._leave(word)

    def _branch(self, kind: BranchKind, opened: Token) -> Branch:
        with self._inside(opened):
            pipeline = self._pipeline(kind, Kind.CLOSE)
            self._ranges += kind is BranchKind.RANGE
            then, stop = self.nodes()
            self._ranges -= kind is BranchKind.RANGE
            otherwise: tuple[Node, ...] = ()
            if stop.text == "else":
                again = self._peek()
                if again.kind is Kind.WORD and again.text in ("if", "with") and again.text == kind:
                    self._next()  # `else if` has the `end` of the first in common
                    branch = self._branch(BranchKind(again.text), stop)
                    return Branch(kind, pipeline, then, (branch,), Span(opened.start, branch.span.end))
                self._expect(Kind.CLOSE, "else")
                otherwise, stop = self.nodes()
                if stop.text == "else":
                    raise TemplateError("expected end; found {{else}}", stop.start)
            self._close_block(stop)
        return Branch(kind, pipeline, then, otherwise, Span(opened.start, pipeline.span.end))

    def _include(self, opened: Token) -> Include:
        name = self._name("template")
        if self._peek().kind is Kind.CLOSE:
            return Include(name, None, Span(opened.start, self._next().end))
        pipeline = self._pipeline("template clause", Kind.CLOSE)
        return Include(name, pipeline, Span(opened.start, self._tokens[self._at - 1].end))

    def _define(self, name: str, word: Token) -> None:
        self._expect(Kind.CLOSE, "define clause")
        self._body_of(name, word)

    def _body_of(self, name: str, word: Token) -> None:
        """A template of its own, which sees none of the variables around it."""
        outer, self._variables, ranges, self._ranges = self._variables, ["$"], self._ranges, 0
        with self._inside(word):
            nodes, stop = self.nodes()
            if stop.text == "else":
                raise TemplateError("unexpected {{else}}", stop.start)
            self._close_block(stop)
        self._variables, self._ranges = outer, ranges
        self.defined[name] = nodes

    def _leave(self, word: Token) -> Leave:
        if not self._ranges:
            raise TemplateError(f"{{{{{word.text}}}}} outside {{{{range}}}}", word.start)
        self._expect(Kind.CLOSE, word.text)
        return Leave(word.text == "continue", Span(word.start, word.end))

    def _close_block(self, stop: Token) -> None:
        if stop.kind is Kind.END:
            raise TemplateError("unexpected EOF", stop.start)
        self._expect(Kind.CLOSE, "end")

    def _name(self, context: str) -> str:
        token = self._next()
        if token.kind not in (Kind.STRING, Kind.RAW):
            raise TemplateError(f"unexpected {_shown(token)} in {context} clause", token.start)
        return unquote(token)

    def _pipeline(self, context: str, end: Kind) -> Pipeline:
        start = self._peek().start
        variables, assigns = self._declarations(context)
        commands: list[Command] = []
        while True:
            token = self._peek()
            if token.kind is end:
                self._next()
                break
            if token.kind is Kind.PIPE and commands:
                self._next()
                if self._peek().kind in (end, Kind.PIPE):
                    raise TemplateError(f"missing value for {context}", token.start)
            elif commands:
                raise TemplateError(f"unexpected {_shown(token)} in {context}", token.start)
            commands.append(self._command(context))
        if not commands:
            raise TemplateError(f"missing value for {context}", start)
        for command in commands[1:]:
            if isinstance(command.operands[0], Literal | Dot):
                raise TemplateError("non executable command in pipeline", command.span.start)
        # Only now, so that `$x := $x` is about another `$x`.
        if not assigns:
            self._variables += variables
        return Pipeline(tuple(commands), variables, assigns, Span(start, commands[-1].span.end))

    def _declarations(self, context: str) -> tuple[tuple[str, ...], bool]:
        ahead = self._tokens[self._at : self._at + 4]
        kinds = [token.kind for token in ahead]
        if kinds[:2] in ([Kind.VARIABLE, Kind.DECLARE], [Kind.VARIABLE, Kind.ASSIGN]):
            count = 1
        elif kinds[:3] == [Kind.VARIABLE, Kind.COMMA, Kind.VARIABLE] and context == BranchKind.RANGE:
            count = 2
        else:
            return (), False
        names = tuple(ahead[at].text for at in range(0, 2 * count, 2))
        sign = ahead[2 * count - 1]
        if sign.kind not in (Kind.DECLARE, Kind.ASSIGN):
            raise TemplateError(f"unexpected {_shown(sign)} in {context}", sign.start)
        self._at += 2 * count
        if sign.kind is Kind.ASSIGN:
            for token in ahead[: 2 * count : 2]:
                self._check_variable(token)
        return names, sign.kind is Kind.ASSIGN

    def _command(self, context: str) -> Command:
        operands: list[Operand] = []
        while True:
            token = self._peek()
            if token.kind in _WITHIN_OPERAND:
                break
            if operands and not token.spaced:
                raise TemplateError(f"unexpected {_shown(token)} in operand", token.start)
            operands.append(self._chain(context))
        if not operands:
            raise TemplateError(f"missing value for {context}", self._peek().start)
        return Command(tuple(operands), Span(operands[0].span.start, operands[-1].span.end))

    def _chain(self, context: str) -> Operand:
        operand = self._operand(context)
        fields: list[str] = []
        token = self._peek()
        while token.kind is Kind.FIELD and not token.spaced:
            fields.append(self._next().text[1:])
            token = self._peek()
        if not fields:
            return operand
        if isinstance(operand, Literal):
            raise TemplateError(f"unexpected . after term {operand.value!r}", operand.span.start)
        span = Span(operand.span.start, self._tokens[self._at - 1].end)
        if isinstance(operand, Chain):
            return Chain(operand.of, (*operand.fields, *fields), span)
        return Chain(operand, tuple(fields), span)

    def _operand(self, context: str) -> Operand:  # noqa: PLR0911 - one for each type of word
        token = self._next()
        span = Span(token.start, token.end)
        match token.kind:
            case Kind.WORD if token.text in _CONSTANTS:
                return Literal(_CONSTANTS[token.text], span)
            case Kind.WORD if token.text not in _KEYWORDS:
                if token.text not in self._functions:
                    raise TemplateError(f'function "{token.text}" not defined', token.start)
                return Word(token.text, span)
            case Kind.DOT:
                return Dot(span)
            case Kind.FIELD:
                return Chain(Dot(Span(token.start, token.start)), (token.text[1:],), span)
            case Kind.VARIABLE:
                self._check_variable(token)
                return Variable(token.text, span)
            case Kind.STRING | Kind.RAW:
                return Literal(unquote(token), span)
            case Kind.CHAR:
                return Literal(_rune(token), span)
            case Kind.NUMBER:
                return Literal(_number(token), span)
            case Kind.LEFT:
                with self._inside(token):
                    inner = self._pipeline("parenthesized pipeline", Kind.RIGHT)
                return Pipeline(inner.commands, inner.variables, inner.assigns, Span(token.start, self._last_end()))
        raise TemplateError(f"unexpected {_shown(token)} in {context}", token.start)

    @contextmanager
    def _inside(self, token: Token) -> Iterator[None]:
        """One deeper; variables that are declared there end there."""
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise TemplateError(f"blocks and parentheses lie more than {DEPTH_MAX} deep", token.start)
        known = len(self._variables)
        yield
        del self._variables[known:]
        self._depth -= 1

    def _check_variable(self, token: Token) -> None:
        if token.text not in self._variables:
            raise TemplateError(f'undefined variable "{token.text}"', token.start)

    def _last_end(self) -> int:
        return self._tokens[self._at - 1].end

    def _peek(self) -> Token:
        return self._tokens[self._at]

    def _next(self) -> Token:
        token = self._tokens[self._at]
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def _expect(self, kind: Kind, context: str) -> None:
        token = self._next()
        if token.kind is not kind:
            raise TemplateError(f"unexpected {_shown(token)} in {context}", token.start)


def _shown(token: Token) -> str:
    return f"<{token.text[:20]}>" if token.text else str(token.kind)


def _rune(token: Token) -> int:
    text = unquote(token)
    if len(text) != 1:
        raise TemplateError(f"malformed character constant: {token.text}", token.start)
    return ord(text)


def _number(token: Token) -> int | float:
    text = token.text.replace("_", "")
    try:
        if text.lstrip("+-")[:2].lower() in ("0x", "0b", "0o"):
            return int(text, 0)
        if any(char in text for char in ".eE"):
            return float(text)
        digits = text.lstrip("+-")
        return int(text, 8) if len(digits) > 1 and digits.startswith("0") else int(text)
    except ValueError as error:
        raise TemplateError(f"bad number syntax: {token.text!r}", token.start) from error
