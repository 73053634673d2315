"""The text of a template cut into plain text and the words of its actions.

Source: Go's text/template/parse, lex.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from tocsin.model.templates.errors import TemplateError


class Kind(StrEnum):
    TEXT = "text"
    OPEN = "{{"
    CLOSE = "}}"
    NUMBER = "number"
    STRING = "string"
    RAW = "raw"
    CHAR = "char"
    FIELD = "field"
    DOT = "."
    VARIABLE = "variable"
    WORD = "word"
    DECLARE = ":="
    ASSIGN = "="
    PIPE = "|"
    COMMA = ","
    LEFT = "("
    RIGHT = ")"
    END = "end of the template"


@dataclass(frozen=True, slots=True)
class Token:
    """`spaced` is whether there is space in front of it: `$a.b` is one operand, `$a .b` are two."""

    kind: Kind
    text: str
    start: int
    end: int
    spaced: bool = False


_NUMBER = r"[+-]?(?:0[xX][0-9A-Fa-f_]+|0[bB][01_]+|0[oO][0-7_]+|(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
_WORDS: tuple[tuple[Kind, str], ...] = (
    (Kind.NUMBER, _NUMBER),
    (Kind.FIELD, r"\.[^\W\d]\w*"),
    (Kind.DOT, r"\."),
    (Kind.VARIABLE, r"\$\w*"),
    (Kind.WORD, r"[^\W\d]\w*"),
    (Kind.STRING, r'"(?:[^"\\\n]|\\.)*"'),
    (Kind.RAW, r"`[^`]*`"),
    (Kind.CHAR, r"'(?:[^'\\\n]|\\.)+'"),
    (Kind.DECLARE, r":="),
    (Kind.ASSIGN, r"="),
    (Kind.PIPE, r"\|"),
    (Kind.COMMA, r","),
    (Kind.LEFT, r"\("),
    (Kind.RIGHT, r"\)"),
)
_WORD = re.compile("|".join(f"(?P<{kind.name}>{pattern})" for kind, pattern in _WORDS))
_SPACE = re.compile(r"[ \t\r\n]*")
_OPEN = re.compile(r"\{\{(?P<trim>-(?=[ \t\r\n]))?")
_CLOSE = re.compile(r"(?:[ \t\r\n]+-)?\}\}")
_COMMENT_END = re.compile(r"\*/(?P<close>(?:[ \t\r\n]+-)?\}\})?")
_BLANK = " \t\r\n"


def tokens(text: str) -> Iterator[Token]:
    """All of it, with END as the last. Raises TemplateError."""
    at, trim = 0, False
    while found := _OPEN.search(text, at):
        plain = text[at : found.start()]
        if trim:
            plain = plain.lstrip(_BLANK)
        if found["trim"]:
            plain = plain.rstrip(_BLANK)
        if plain:
            yield Token(Kind.TEXT, plain, at, found.start())
        comment = _SPACE.match(text, found.end()) if found["trim"] else None
        inner = comment.end() if comment else found.end()
        if text.startswith("/*", inner):
            at = _after_comment(text, inner)
        else:
            yield Token(Kind.OPEN, "{{", found.start(), found.end())
            at = found.end()
            for token in _action(text, at):
                at = token.end
                yield token
        trim = text[at - 3] == "-" and text[at - 4] in _BLANK
    rest = text[at:].lstrip(_BLANK) if trim else text[at:]
    if rest:
        yield Token(Kind.TEXT, rest, at, len(text))
    yield Token(Kind.END, "", len(text), len(text))


def _after_comment(text: str, at: int) -> int:
    found = _COMMENT_END.search(text, at + 2)
    if found is None:
        raise TemplateError("unclosed comment", at)
    if not found["close"]:
        raise TemplateError("comment ends before closing delimiter", found.start())
    return found.end()


def _action(text: str, at: int) -> Iterator[Token]:
    """The words from after `{{` to the `}}` that closes it."""
    begin, depth = at, 0
    while True:
        closing = _CLOSE.match(text, at)
        if closing:
            if depth:
                raise TemplateError("unclosed left paren", begin)
            yield Token(Kind.CLOSE, "}}", at, closing.end())
            return
        start = _skip(text, at)
        if text.startswith("}}", start):
            at = start
            continue
        if start >= len(text):
            raise TemplateError("unclosed action", begin)
        found = _WORD.match(text, start)
        if found is None:
            raise TemplateError(_unknown(text[start]), start)
        kind = Kind[str(found.lastgroup)]
        depth += {Kind.LEFT: 1, Kind.RIGHT: -1}.get(kind, 0)
        if depth < 0:
            raise TemplateError("unexpected right paren", start)
        yield Token(kind, found[0], start, found.end(), spaced=start > at)
        at = found.end()


def _skip(text: str, at: int) -> int:
    """Past spaces, but not past those in front of `-}}`, which belong to it."""
    space = _SPACE.match(text, at)
    end = space.end() if space else at
    return at if end > at and _CLOSE.match(text, at) else end


def _unknown(char: str) -> str:
    if char in "\"'`":
        return "unterminated quoted string"
    return f"unexpected {char!r} in an action"


_ESCAPE = re.compile(r"\\(?:([abfnrtv\\'\"])|x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([0-7]{3})|(.))")
_CONTROL = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def unquote(token: Token) -> str:
    """What a string or a character in quotes says. Raises TemplateError for an escape that there is not."""
    if token.kind is Kind.RAW:
        return token.text[1:-1].replace("\r", "")

    def escaped(found: re.Match[str]) -> str:
        control, byte, short, long, octal, wrong = found.groups()
        if wrong is not None:
            raise TemplateError(f"unknown escape \\{wrong} in a string", token.start + 1 + found.start())
        if control:
            return _CONTROL.get(control, control)
        code = int(octal, 8) if octal else int(byte or short or long, 16)
        if code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise TemplateError("an escape names no character", token.start + 1 + found.start())
        return chr(code)

    return _ESCAPE.sub(escaped, token.text[1:-1])
