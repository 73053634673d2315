"""An expression's words, each with its place."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

from tocsin.promql.signatures import AGGREGATIONS


class Kind(StrEnum):
    STRING = "string"
    NUMBER = "number"
    DURATION = "duration"
    WORD = "identifier"
    LABEL = "label"
    """A word within braces, where none is a keyword."""
    MARK = "mark"
    END = "end of input"
    WRONG = "character"


OPERATORS = frozenset("+-*/%^@") | {"==", "!=", ">", "<", ">=", "<=", "=~", "!~", "and", "or", "unless", "atan2"}
KEYWORDS = frozenset(
    (
        *("offset", "by", "without", "on", "ignoring", "group_left", "group_right", "bool", "start", "end"),
        *("anchored", "smoothed"),
    )
)
SHOWN_CHARS_MAX = 60
SPECIAL = frozenset(("inf", "nan"))


class Token(NamedTuple):
    kind: Kind
    text: str
    start: int
    word: str
    """A mark, or a word in small letters; empty for all else."""

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    @property
    def described(self) -> str:  # noqa: PLR0911 - one a sort of word
        """As Prometheus' errors name it; of what is no word, why."""
        if self.kind is Kind.WRONG:
            return _why_wrong(self.text)
        if self.kind is Kind.END:
            return "end of input"
        if self.word in OPERATORS:
            return f"<op:{self.text}>"
        if self.word in AGGREGATIONS:
            return f"<aggr:{self.text}>"
        if self.word in KEYWORDS:
            return f"<{self.text}>"
        if self.kind is Kind.MARK:
            return f'"{self.text}"'
        if self.kind is Kind.STRING:
            return f"string {shortened(self.text)}"
        if self.word in SPECIAL:
            return f'number "{self.text}"'
        sort = "metric identifier" if ":" in self.text else self.kind.value
        return f'{"identifier" if self.kind is Kind.LABEL else sort} "{shortened(self.text)}"'


def shortened(text: str) -> str:
    """As much of it as belongs in a sentence."""
    return text if len(text) <= SHOWN_CHARS_MAX else text[: SHOWN_CHARS_MAX - 1] + "…"


def _why_wrong(text: str) -> str:
    if text[0] == "`":
        return "unterminated raw string"
    if text[0] in "\"'":
        return "unterminated quoted string"
    if text[0].isdigit() or len(text) > 1:
        return f'bad number or duration syntax: "{shortened(text)}"'
    return f"unexpected character: {text!r}"


# Groups are atomic, and nothing can be split in two ways: no text takes longer than its length.
_STRING = r"""(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)"""
_DURATION = r"(?P<duration>(?>(?:\d+(?:ms|[smhdwy]))+)(?![A-Za-z0-9_.]))"
_DIGITS = r"\d+(?:_\d+)*"
_NUMBER = (
    rf"(?P<number>(?>0[xX](?:_?[0-9a-fA-F]+)+|(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][+-]?{_DIGITS})?)"
    r"(?![A-Za-z0-9_]))"
)
_MARKS = r"(?P<mark>=~|!~|==|!=|>=|<=|[-+*/%^=<>(){}\[\],@:])"
_SKIP = r"(?P<skip>[ \t\r\n]+|\#[^\r\n]*)"
_WRONG = r"(?P<wrong>\.?\d[\w.]*|.)"


def _pattern(word: str) -> re.Pattern[str]:
    parts = (_SKIP, f"(?P<word>{word})", _MARKS, _STRING, _DURATION, _NUMBER, _WRONG)
    return re.compile("|".join(parts), re.DOTALL | re.ASCII)


_OUTSIDE = _pattern(r"[A-Za-z_:][A-Za-z0-9_:]*")
_ENCLOSED = _pattern(r"[A-Za-z_][A-Za-z0-9_]*")  # no colon: in brackets it stands between a range and a step

_KINDS = {
    "string": Kind.STRING,
    "number": Kind.NUMBER,
    "duration": Kind.DURATION,
    "wrong": Kind.WRONG,
}


def tokens(text: str) -> list[Token]:
    """All words but blanks and comments, and an END. What no word of the language begins with is WRONG."""
    found: list[Token] = []
    at, length, match = 0, len(text), _OUTSIDE.match
    of_words = Kind.WORD
    while at < length:
        piece = match(text, at)
        assert piece is not None
        sort, said = piece.lastgroup or "", piece[0]
        if sort == "word":
            found.append(Token(of_words, said, at, said.lower() if of_words is Kind.WORD else ""))
        elif sort == "mark":
            found.append(Token(Kind.MARK, said, at, said))
            if said in "{[":
                match, of_words = _ENCLOSED.match, Kind.LABEL if said == "{" else Kind.WORD
            elif said in "}]":
                match, of_words = _OUTSIDE.match, Kind.WORD
        elif sort != "skip":
            found.append(Token(_KINDS[sort], said, at, ""))
        at = piece.end()
    found.append(Token(Kind.END, "", length, ""))
    return found
