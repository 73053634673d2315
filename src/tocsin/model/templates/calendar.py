"""Moments as Go writes them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from tocsin.model.templates.errors import CallError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def when(at_ms: int) -> datetime:
    """Raises CallError for a moment that no calendar shows."""
    try:
        return _EPOCH + timedelta(milliseconds=at_ms)
    except OverflowError as error:
        raise CallError("the time lies outside the years 1 to 9999") from error


def moment_text(at_ms: int) -> str:
    """`2015-06-23 13:19:44.128 +0000 UTC`."""
    fraction = f".{at_ms % 1000:03d}".rstrip("0").rstrip(".")
    return f"{when(at_ms):%Y-%m-%d %H:%M:%S}{fraction} +0000 UTC"


_LAYOUT = re.compile(
    r"January|Jan|Monday|Mon|MST|2006|01|02|03|04|05|06|15|_2|PM|pm|Z07:00|-07:00|-0700|[.,](?:0+|9+)(?!\d)|1|2|3|4|5"
)
_FORMS = {
    "January": "%B", "Jan": "%b", "Monday": "%A", "Mon": "%a", "01": "%m", "02": "%d", "03": "%I", "04": "%M",
    "05": "%S", "06": "%y", "15": "%H", "PM": "%p",
}  # fmt: skip


def laid_out(at_ms: int, layout: str) -> str:
    """As Go's `Time.Format`: the layout shows how 15:04:05 on Monday, 2 January 2006 would be written."""
    at = when(at_ms)
    fixed = {
        "2006": f"{at.year:04d}", "MST": "UTC", "Z07:00": "Z", "-07:00": "+00:00", "-0700": "+0000",
        "pm": f"{at:%p}".lower(), "_2": f"{at.day:2d}", "1": str(at.month), "2": str(at.day),
        "3": str((at.hour + 11) % 12 + 1), "4": str(at.minute), "5": str(at.second),
    }  # fmt: skip

    def part(found: re.Match[str]) -> str:
        text = found[0]
        if text[0] in ".,":
            digits = f"{at_ms % 1000:03d}000000"[: len(text) - 1]
            digits = digits.rstrip("0") if text[1] == "9" else digits
            return text[0] + digits if digits else ""
        return fixed[text] if text in fixed else at.strftime(_FORMS[text])

    return _LAYOUT.sub(part, layout)
