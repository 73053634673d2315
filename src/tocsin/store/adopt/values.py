"""What older programs wrote into their columns, as values of ours; None where it cannot be read."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import Any

from tocsin.model.rule import Condition, Severity

ABSENT = None
"""A severity that was never there."""

SHOWN_CHARS = 60

_NUMBER = re.compile(r"[-+]?\d+(\.\d*)?")
_ZONE = re.compile(r"\s+(?=[-+]\d|Z$)")
_YEARS_MS = 253_402_300_800_000  # the year 10000
_CONDITIONS = {
    **{one.value: one for one in Condition},
    **dict.fromkeys(("gt", "above", "greater", "greater_than", "over", "more_than", "exceeds"), Condition.ABOVE),
    **dict.fromkeys(("gte", "ge", "at_least", "greater_or_equal", "greater_than_or_equal"), Condition.AT_LEAST),
    **dict.fromkeys(("lt", "below", "less", "less_than", "under"), Condition.BELOW),
    **dict.fromkeys(("lte", "le", "at_most", "less_or_equal", "less_than_or_equal"), Condition.AT_MOST),
    **dict.fromkeys(("=", "eq", "equal", "equals", "equal_to"), Condition.EQUAL),
    **dict.fromkeys(("<>", "ne", "neq", "not_equal", "not_equals", "not_equal_to"), Condition.NOT_EQUAL),
}
_SEVERITIES = {
    **{one.value: one for one in Severity},
    **dict.fromkeys(("crit", "error", "fatal", "emergency", "alert", "high"), Severity.CRITICAL),
    **dict.fromkeys(("warn", "medium", "moderate"), Severity.WARNING),
    **dict.fromkeys(("information", "informational", "notice", "low", "debug"), Severity.INFO),
}


@dataclass(frozen=True, slots=True)
class OldFiring:
    """A row of alert_history; `rule_id` is the old database's."""

    id: int
    rule_id: int | None
    triggered_at_ms: int
    value: float
    acknowledged: bool
    acknowledged_by: str


def number_of(value: Any) -> float | None:
    if not isinstance(value, int | float | Decimal | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def epoch_ms(value: Any, zone: tzinfo) -> int | None:
    """ms UTC of ISO text or an epoch number, whose size says whether it counts s, ms, µs or ns."""
    if isinstance(value, int | float | Decimal):
        return _scaled(float(value))
    if not isinstance(value, str):
        return None
    text = value.strip()
    if _NUMBER.fullmatch(text):
        return _scaled(float(text))
    text = _ZONE.sub("", text.replace(" UTC", "Z").replace(" GMT", "Z"))
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return _ms(time if time.tzinfo is not None else time.replace(tzinfo=zone))


def _ms(time: datetime) -> int | None:
    try:
        return (time.astimezone(UTC) - _EPOCH) // _MS
    except OverflowError:  # the first or last day that Python knows, in another zone
        return None


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = datetime.resolution * 1_000


def _scaled(number: float) -> int | None:
    if not math.isfinite(number):
        return None
    size = abs(number)
    scale = 1e3 if size < 1e11 else 1.0 if size < 1e14 else 1e-3 if size < 1e17 else 1e-6
    ms = round(number * scale)
    return ms if abs(ms) < _YEARS_MS else None


def condition_of(value: Any) -> Condition | None:
    return _CONDITIONS.get(_word(value))


def severity_of(value: Any) -> Severity | None:
    """Warning for NULL, for an empty text and where there was no such column."""
    return Severity.WARNING if value in (ABSENT, "") else _SEVERITIES.get(_word(value))


def truth_of(value: Any, *, default: bool) -> bool:
    if value is None:
        return default
    if isinstance(value, str):
        return value.strip().lower() in ("1", "t", "true", "y", "yes", "on")
    return bool(value)


def shown(value: Any) -> str:
    """For a sentence: short, and on one line."""
    text = repr(value)
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}…"


def _word(value: Any) -> str:
    return re.sub(r"[\s-]+", "_", str(value).strip().lower())
