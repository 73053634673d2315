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
SPECIAL = {"inf": math.inf, "nan": math.nan}

_ESCAPES = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "'": "'",
    '"': '"',
}
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))", re.DOTALL)


def number(text: str) -> float:
    """`1`, `0x1F`, `0755` (octal), `1e3`, `.5`. Raises ValueError."""
    if text[:2].lower() == "0x":
        return float(int(text, 16))
    if re.fullmatch(r"0[0-7]+", text):
        return float(int(text, 8))
    return float(text)


def duration_ms(text: str) -> int:
    """`1h30m`, units falling, each at most once. Raises ValueError."""
    parts = _PART.findall(text)
    units = [_ORDER.index(unit) for _, unit in parts]
    if not parts or any(one >= other for one, other in pairwise(units)):
        raise ValueError(f'not a valid duration string: "{text}"')
    return sum(int(count) * _UNITS_MS[unit] for count, unit in parts)


def string(token: str) -> str:
    """What a quoted text says; within backquotes nothing is escaped. Raises ValueError."""
    inner = token[1:-1]
    if token[0] == "`" or "\\" not in inner:
        return inner
    if _BYTES.search(inner):
        return _unescaped_bytes(inner)
    return _ESCAPE.sub(_unescaped, inner)


_BYTES = re.compile(r"\\(?:x[0-9a-fA-F]{2}|[0-7]{3})")


def _unescaped(found: re.Match[str]) -> str:
    _, four, eight, _, one = found.groups()
    if one is not None:
        if one not in _ESCAPES:
            raise ValueError(f"unknown escape sequence {found[0]!r}")
        return _ESCAPES[one]
    code = int(four or eight, 16)
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise ValueError(f"{found[0]!r} is no character")
    return chr(code)


def _unescaped_bytes(inner: str) -> str:
    """With escapes that stand for single bytes, which together must be UTF-8."""
    out, at = bytearray(), 0
    for found in _ESCAPE.finditer(inner):
        out += inner[at : found.start()].encode()
        two, _, _, octal, _ = found.groups()
        out += bytes([_byte(two, octal)]) if two or octal else _unescaped(found).encode()
        at = found.end()
    out += inner[at:].encode()
    try:
        return out.decode()
    except UnicodeDecodeError as error:
        raise ValueError("the text is no UTF-8") from error


def _byte(two: str | None, octal: str | None) -> int:
    code = int(two, 16) if two else int(octal or "0", 8)
    if code > 0xFF:
        raise ValueError(f"\\{octal} is no byte")
    return code
