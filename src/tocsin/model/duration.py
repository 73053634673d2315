"""Durations as people write them (`7d`, `1h30m`), held as int milliseconds."""

from __future__ import annotations

import re
from typing import Self

from tocsin.model.errors import UserError

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

_UNITS_MS = {
    "ms": 1,
    "s": SECOND_MS,
    "m": MINUTE_MS,
    "h": HOUR_MS,
    "d": DAY_MS,
    "w": 7 * DAY_MS,
    "y": 365 * DAY_MS,
}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w|y)")


class Duration(int):
    """Milliseconds. A plain number in text means seconds, as in Prometheus' API."""

    @classmethod
    def parse(cls, text: str | int | float) -> Self:
        """Raises UserError for anything that is not a non-negative duration."""
        if isinstance(text, int | float):
            return cls._checked(text * SECOND_MS, text)
        stripped = text.strip()
        try:
            return cls._checked(float(stripped) * SECOND_MS, text)
        except ValueError:
            pass
        parts = _PART.findall(stripped)
        if not parts or "".join(number + unit for number, unit in parts) != stripped:
            raise UserError(f"{text!r} is not a duration; write it like 30s, 5m, 1h30m or 7d.")
        return cls._checked(sum(float(number) * _UNITS_MS[unit] for number, unit in parts), text)

    @classmethod
    def _checked(cls, ms: float, text: object) -> Self:
        if not 0 <= ms < 2**62:
            raise UserError(f"{text!r} is not a duration between 0 and 100 million years.")
        return cls(round(ms))

    @property
    def seconds(self) -> float:
        return self / SECOND_MS

    def __str__(self) -> str:
        return format_ms(self)


def format_ms(ms: int) -> str:
    """The shortest exact text: 5400000 is `1h30m`, 0 is `0s`."""
    if ms == 0:
        return "0s"
    parts: list[str] = []
    rest = abs(ms)
    for unit in ("d", "h", "m", "s", "ms"):
        count, rest = divmod(rest, _UNITS_MS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return ("-" if ms < 0 else "") + "".join(parts)
