"""Durations as people write them (`7d`, `1h30m`), held as int milliseconds."""

from __future__ import annotations

import re
from itertools import pairwise
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
_CHARS_MAX = 100
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w|y)")


class Duration(int):
    """Milliseconds. A plain number in text means seconds, as in Prometheus' API."""

    @classmethod
    def parse(cls, text: str | int | float) -> Self:
        """A Duration stays what it is. Raises UserError for anything that is not a non-negative duration.

        Units go from the largest to the smallest, each at most once, as in PromQL.
        """
        if isinstance(text, cls):
            return text
        if isinstance(text, bool):
            raise _no_duration(text)
        if isinstance(text, int | float):
            return cls._checked(text * SECOND_MS, text)
        stripped = text.strip()
        if len(stripped) > _CHARS_MAX:
            raise _no_duration(text)
        try:
            return cls._checked(float(stripped) * SECOND_MS, text)
        except ValueError:
            pass
        parts = _PART.findall(stripped)
        sizes = [_UNITS_MS[unit] for _, unit in parts]
        falling = all(larger > smaller for larger, smaller in pairwise(sizes))
        if not parts or not falling or "".join(number + unit for number, unit in parts) != stripped:
            raise _no_duration(text)
        return cls._checked(sum(float(number) * _UNITS_MS[unit] for number, unit in parts), text)

    @classmethod
    def _checked(cls, ms: float, text: object) -> Self:
        if not 0 <= ms < 2**62:
            raise UserError(f"{text!r:.80} is not a duration between 0 and 100 million years.")
        return cls(round(ms))

    @property
    def seconds(self) -> float:
        return self / SECOND_MS

    def __str__(self) -> str:
        return format_ms(self)


def _no_duration(text: object) -> UserError:
    return UserError(f"{text!r:.80} is not a duration; write it like 30s, 5m, 1h30m or 7d.")


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
