"""Numbers, durations and strings as PromQL writes them."""

from __future__ import annotations

import math
import re
from itertools import pairwise

_UNITS_MS = {
    "ms": 1,
    "s": 1_000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
    "y": 31_536_000_000,
}
_PART = re.compile(r"(\d+)(ms|[smhdwy])")
_ORDER = tuple(reversed(_UNITS_MS))
_COUNT_DIGITS_MAX = 19
_OCTAL = re.compile(r"0_?[0-7]+(?:_[0-7]+)*")
SPECIAL = {"inf": math.inf, "nan": math.nan}
DURATION_MS_MAX = 2**63 // 1_000_000
"""Prometheus counts nanoseconds in 64 bits: 292 years."""

_ESCAPES = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
}
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))", re.DOTALL)
_BYTES = re.compile(r"\\(?:x[0-9a-fA-F]{2}|[0-7]{3})")


def number(text: str) -> float:
    """`1_000`, `0x1F`, `0755` (octal), `1e3`, `.5`. Raises ValueError."""
    if text[:2] in ("0x", "0X"):
        value = int(text, 16)
        if value >= 2**63:
            raise ValueError(f'error parsing number: "{text:.40}" is out of range')
        return float(value)
    if _OCTAL.fullmatch(text) and (value := int(text.replace("_", ""), 8)) < 2**63:
        return float(value)
    found = float(text)
    if math.isinf(found):
        raise ValueError(f'error parsing number: "{text:.40}" is out of range')
    return found


def duration_ms(text: str) -> int:
    """`1h30m`, units falling, each at most once. Raises ValueError."""
    parts = _PART.findall(text)
    units = [_ORDER.index(unit) for _, unit in parts]
    if not parts or any(one >= other for one, other in pairwise(units)):
        raise ValueError(f'not a valid duration string: "{text:.40}"')
    if any(len(count) > _COUNT_DIGITS_MAX for count, _ in parts):
        raise ValueError("duration out of range")
    ms = sum(int(count) * _UNITS_MS[unit] for count, unit in parts)
    if ms > DURATION_MS_MAX:
        raise ValueError("duration out of range")
    return ms


def string(token: str) -> str:
    """What a quoted text says; within backquotes nothing is escaped. Raises ValueError."""
    quote, inner = token[0], token[1:-1]
    if quote == "`" or "\\" not in inner:
        return inner
    if _BYTES.search(inner):
        return _unescaped_bytes(inner, quote)
    return _ESCAPE.sub(lambda found: _unescaped(found, quote), inner)


def _unescaped(found: re.Match[str], quote: str) -> str:
    _, four, eight, _, one = found.groups()
    if one is not None:
        return quote if one == quote else _escape(one)
    code = int(four or eight, 16)
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise ValueError("escape sequence is an invalid Unicode code point")
    return chr(code)


def _escape(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char in "xuU01234567":
        raise ValueError(f"illegal character in escape sequence \\{char}")
    raise ValueError(f"unknown escape sequence U+{ord(char):04X} {char!r}")


def _unescaped_bytes(inner: str, quote: str) -> str:
    """With escapes that stand for single bytes, which together must be UTF-8."""
    out, at = bytearray(), 0
    for found in _ESCAPE.finditer(inner):
        out += inner[at : found.start()].encode()
        two, _, _, octal, _ = found.groups()
        out += bytes([_byte(two, octal)]) if two or octal else _unescaped(found, quote).encode()
        at = found.end()
    out += inner[at:].encode()
    try:
        return out.decode()
    except UnicodeDecodeError as error:
        raise ValueError("the string is not valid UTF-8") from error


def _byte(two: str | None, octal: str | None) -> int:
    code = int(two, 16) if two else int(octal or "0", 8)
    if code > 0xFF:
        raise ValueError("escape sequence is an invalid Unicode code point")
    return code
