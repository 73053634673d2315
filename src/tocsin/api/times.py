"""Times and spans at the edge: RFC 3339 and epoch seconds outside, int ms UTC inside."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from tocsin.model.duration import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from tocsin.model.errors import UserError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)
_FIRST_MS = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)
_MS = timedelta(milliseconds=1)

STEPS_WANTED = 300
NICE_STEPS_MS = (
    *(SECOND_MS * count for count in (1, 2, 5, 10, 15, 30)),
    *(MINUTE_MS * count for count in (1, 2, 5, 10, 15, 30)),
    *(HOUR_MS * count for count in (1, 2, 6, 12)),
    DAY_MS,
)


def rfc3339(at_ms: int) -> str:
    """`2026-11-23T10:00:00.000Z`; times outside the years 1 to 9999 are drawn to the nearest of those."""
    moment = _EPOCH + timedelta(milliseconds=min(max(at_ms, _FIRST_MS), _LAST_MS))
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def rfc3339_or_none(at_ms: int | None) -> str | None:
    """0 and None both mean that it has not happened."""
    return rfc3339(at_ms) if at_ms else None


def parse_time(text: str, field: str) -> int:
    """RFC 3339 or epoch seconds as int ms UTC. Raises UserError that names the field."""
    try:
        seconds = float(text)
    except ValueError:
        return _parse_rfc3339(text, field)
    if not math.isfinite(seconds) or not _FIRST_MS <= seconds * SECOND_MS <= _LAST_MS:
        raise UserError(f"{field} is not a time between the years 1 and 9999.", field=field)
    return round(seconds * SECOND_MS)


def _parse_rfc3339(text: str, field: str) -> int:
    # an unescaped + of a zone arrives as a space
    cleaned = text.strip().replace(" ", "+") if "T" in text else text
    try:
        moment = datetime.fromisoformat(cleaned)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        detail = f"{field} is not a time; write 2026-11-23T10:00:00Z or seconds since 1970."
        raise UserError(detail, field=field)
    return (moment - _EPOCH) // _MS


def step_for(span_ms: int) -> int:
    """A round step that cuts the span into about 300: never more, for spans up to 300 days."""
    wanted = max(span_ms, 1) / STEPS_WANTED
    return next((step for step in NICE_STEPS_MS if step >= wanted), math.ceil(wanted / DAY_MS) * DAY_MS)
