"""Matchers select series by their labels, as in a PromQL selector."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

import re2

from tocsin.model.errors import UserError
from tocsin.model.labels import Labels, label_name, quote, unquote

REGEX_CHARS_MAX = 1_000


class MatchOp(StrEnum):
    EQUAL = "="
    NOT_EQUAL = "!="
    REGEX = "=~"
    NOT_REGEX = "!~"


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on one label; a label that a series lacks counts as the empty string."""

    label: str
    op: MatchOp
    value: str

    def matches(self, labels: Labels) -> bool:
        return self.matches_value(labels.get(self.label))

    def matches_value(self, value: str) -> bool:
        match self.op:
            case MatchOp.EQUAL:
                return value == self.value
            case MatchOp.NOT_EQUAL:
                return value != self.value
            case MatchOp.REGEX:
                return compiled(self.value).fullmatch(value) is not None
            case MatchOp.NOT_REGEX:
                return compiled(self.value).fullmatch(value) is None

    def __str__(self) -> str:
        return f"{label_name(self.label)}{self.op.value}{quote(self.value)}"

    def check(self) -> None:
        """Raises UserError where the label has no name or the value is no regular expression but should be."""
        if not self.label:
            raise UserError("A label has no name.")
        if self.op in (MatchOp.REGEX, MatchOp.NOT_REGEX):
            compiled(self.value)


ALTERNATIVES_MAX = 1_000
_LITERALS = re.compile(r"(?:[^\\.+*?()|\[\]{}^$]|\\[^A-Za-z0-9])+(?:\|(?:[^\\.+*?()|\[\]{}^$]|\\[^A-Za-z0-9])+)*")
_LITERAL = re.compile(r"(?P<bar>\|)|\\?(?P<char>.)", re.DOTALL)


@lru_cache(maxsize=4096)
def alternatives(pattern: str) -> tuple[str, ...] | None:
    """The texts that a pattern such as `a|b\\.c` stands for, None where it is no plain list of them."""
    if _LITERALS.fullmatch(pattern) is None or pattern.count("|") >= ALTERNATIVES_MAX:
        return None
    texts = [""]
    for found in _LITERAL.finditer(pattern):
        if found["bar"]:
            texts.append("")
        else:
            texts[-1] += found["char"]
    return tuple(dict.fromkeys(texts))


@lru_cache(maxsize=4096)
def compiled(pattern: str, chars_max: int = REGEX_CHARS_MAX) -> Any:
    """The pattern in RE2, whose time is linear in the text: a hostile pattern cannot hang the server.

    Use `.fullmatch`, as PromQL anchors both ends. Raises UserError where it is no regular expression.
    """
    if len(pattern) > chars_max:
        raise UserError(f"The regular expression is longer than {chars_max} characters.")
    try:
        return re2.compile(pattern, _DOT_ALL)
    except UnicodeEncodeError as error:
        raise UserError("The regular expression holds half a surrogate pair, which is no character.") from error
    except re2.error as error:
        raise UserError(f"{pattern!r} is not a regular expression: {_why(error)}.") from error


def _why(error: Exception) -> str:
    said = error.args[0] if error.args else ""
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)


_DOT_ALL = re2.Options()
_DOT_ALL.dot_nl = True
_DOT_ALL.log_errors = False
_DOT_ALL.max_mem = 1 << 20  # bytes a pattern may grow to; RE2's own 8 MiB, times the cache, would be 32 GiB

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_MATCHER = re.compile(
    rf"""(?P<label>[^\s=!~{{}},"]+|{_QUOTED})\s*(?P<op>=~|!~|!=|=)\s*(?P<value>{_QUOTED}|[^\s",{{}}]*)""",
    re.DOTALL,
)


def parse_matcher(text: str) -> Matcher:
    """`mount=~"/data.*"` as a Matcher. Raises UserError where it is not one."""
    found = _MATCHER.fullmatch(text.strip())
    if found is None:
        raise UserError(f'{text!r} is not a matcher; write it like mount="/" or device=~"sd.*".')
    matcher = Matcher(_bare(found["label"]), MatchOp(found["op"]), _bare(found["value"]))
    matcher.check()
    return matcher


_SELECTOR = re.compile(r"\s*(?P<name>[^\s{}\",=!~]*)\s*(?:\{(?P<inner>.*)\}\s*)?", re.DOTALL)


def parse_selector(text: str) -> tuple[Matcher, ...]:
    """`cpu{mode="user",host=~"web.*"}`, `{team="dev"}`, or one matcher alone. Raises UserError."""
    if _MATCHER.fullmatch(text.strip()):
        return (parse_matcher(text),)
    wrong = UserError(f'{text!r:.200} does not select series; write it like {{team="dev"}} or cpu{{host=~"web.*"}}.')
    found = _SELECTOR.fullmatch(text)
    if found is None:
        raise wrong
    matchers = [Matcher("__name__", MatchOp.EQUAL, found["name"])] if found["name"] else []
    inner, at = found["inner"] or "", 0
    while inner[at:].strip():
        part = _MATCHER.match(inner, at + len(inner[at:]) - len(inner[at:].lstrip()))
        if part is None:
            raise wrong
        matchers.append(parse_matcher(part[0]))
        rest = inner[part.end() :].lstrip()
        if rest and not rest.startswith(","):
            raise wrong
        at = len(inner) - len(rest) + 1 if rest else len(inner)
    return tuple(matchers)


def _bare(text: str) -> str:
    return unquote(text[1:-1]) if text.startswith('"') else text


def equals(tags: Mapping[str, str]) -> tuple[Matcher, ...]:
    """Matchers that hold for series with exactly these tags (and any others besides)."""
    return tuple(Matcher(name, MatchOp.EQUAL, value) for name, value in sorted(tags.items()))


def matches_all(matchers: Iterable[Matcher], labels: Labels) -> bool:
    return all(matcher.matches(labels) for matcher in matchers)
