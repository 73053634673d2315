"""An expression's words, each with its place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    STRING = "string"
    NUMBER = "number"
    DURATION = "duration"
    WORD = "identifier"
    MARK = "mark"
    END = "end of input"
    WRONG = "character"


@dataclass(frozen=True, slots=True)
class Token:
    kind: Kind
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    def __str__(self) -> str:
        """As an error names it."""
        if self.kind is Kind.END:
            return "end of input"
        if self.kind is Kind.STRING:
            return f"string {self.text}"
        return f"{self.text!r}" if self.kind is Kind.MARK else f"{self.kind.value} {self.text!r}"


_STRING = r"""(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`)"""
_DURATION = r"(?P<duration>(?:\d+(?:ms|[smhdwy]))+(?![A-Za-z0-9_.]))"
_NUMBER = r"(?P<number>0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![A-Za-z0-9_])"
_MARKS = r"(?P<mark>=~|!~|==|!=|>=|<=|[-+*/%^=<>(){}\[\],@:])"
_SKIP = r"(?P<skip>\s+|\#[^\n]*)"
_WRONG = r"(?P<wrong>[\w.]+|.)"


def _pattern(word: str) -> re.Pattern[str]:
    parts = (_SKIP, _STRING, _DURATION, _NUMBER, f"(?P<word>{word})", _MARKS, _WRONG)
    return re.compile("|".join(parts), re.DOTALL | re.ASCII)


_OUTSIDE = _pattern(r"[A-Za-z_:][A-Za-z0-9_:]*")
_IN_BRACKETS = _pattern(r"[A-Za-z_][A-Za-z0-9_]*")  # where a colon stands between a range and a step

_KINDS = {
    "string": Kind.STRING,
    "number": Kind.NUMBER,
    "duration": Kind.DURATION,
    "word": Kind.WORD,
    "mark": Kind.MARK,
    "wrong": Kind.WRONG,
}


def tokens(text: str) -> list[Token]:
    """All words but blanks and comments, and an END. What no word of the language begins with is WRONG."""
    found: list[Token] = []
    at = brackets = 0
    while at < len(text):
        match = (_IN_BRACKETS if brackets else _OUTSIDE).match(text, at)
        assert match is not None
        assert match.lastgroup is not None
        if match.lastgroup != "skip":
            found.append(Token(_KINDS[match.lastgroup], match[0], at))
            if match.lastgroup == "mark":
                brackets = max(0, brackets + (match[0] == "[") - (match[0] == "]"))
        at = match.end()
    found.append(Token(Kind.END, "", len(text)))
    return found
