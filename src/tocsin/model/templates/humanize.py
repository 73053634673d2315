"""Numbers for people.

Source: Prometheus template/template.go and common's helpers/templates.
"""

from __future__ import annotations

import math
from decimal import Decimal
from itertools import dropwhile

from tocsin.model.duration import Duration
from tocsin.model.errors import UserError
from tocsin.model.templates.calendar import moment_text
from tocsin.model.templates.errors import CallError
from tocsin.model.templates.formatting import shown, sprintf
from tocsin.model.templates.values import Moment, TemplateValue, to_float

_LARGE = ("k", "M", "G", "T", "P", "E", "Z", "Y")
_SMALL = ("m", "u", "n", "p", "f", "a", "z", "y")
_BINARY = ("ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi")
_INT64 = 1 << 63


def humanize(value: TemplateValue) -> str:
    """1234567 is `1.235M`."""
    number = to_float(value)
    if number == 0 or not math.isfinite(number):
        return _four(number)
    if abs(number) < 1:
        return _small(number)
    prefix = ""
    for each in _LARGE:
        if abs(number) < 1000:
            break
        prefix, number = each, number / 1000
    return _four(number) + prefix


def humanize1024(value: TemplateValue) -> str:
    """1048576 is `1Mi`."""
    number = to_float(value)
    if abs(number) <= 1 or not math.isfinite(number):
        return _four(number)
    prefix = ""
    for each in _BINARY:
        if abs(number) < 1024:
            break
        prefix, number = each, number / 1024
    return _four(number) + prefix


def humanize_duration(value: TemplateValue) -> str:
    """Seconds: 3661 is `1h 1m 1s`."""
    number = to_float(value)
    if not math.isfinite(number):
        return _four(number)
    if number == 0:
        return _four(number) + "s"
    if abs(number) < 1:
        return _small(number) + "s"
    sign = "-" if number < 0 else ""
    whole = int(abs(number))
    if whole < 60:
        return f"{sign}{_four(abs(number))}s"
    parts = ((whole // 86_400, "d"), (whole // 3_600 % 24, "h"), (whole // 60 % 60, "m"), (whole % 60, "s"))
    told = dropwhile(lambda part: not part[0], parts)
    return sign + " ".join(f"{count}{unit}" for count, unit in told)


def humanize_percentage(value: TemplateValue) -> str:
    """0.5 is `50%`."""
    return _four(to_float(value) * 100) + "%"


def humanize_timestamp(value: TemplateValue) -> str:
    number = to_float(value)
    return moment_text(_milliseconds(number)) if math.isfinite(number) else _four(number)


def to_time(value: TemplateValue) -> Moment:
    number = to_float(value)
    if not math.isfinite(number):
        raise CallError(f"{shown(number)} is no time")
    return Moment(_milliseconds(number))


def parse_duration(text: str) -> float:
    """Seconds."""
    try:
        float(text)
    except ValueError:
        try:
            return Duration.parse(text).seconds
        except UserError:
            pass
    raise CallError(f'not a valid duration string: "{text:.80}"')


def _milliseconds(seconds: float) -> int:
    if not -_INT64 < seconds * 1e9 < _INT64:
        raise CallError(f"{shown(seconds)} cannot be represented as a nanoseconds timestamp since it overflows int64")
    return math.floor(Decimal(repr(seconds)) * 1000)


def _small(number: float) -> str:
    prefix = ""
    for each in _SMALL:
        if abs(number) >= 1:
            break
        prefix, number = each, number * 1000
    return _four(number) + prefix


def _four(number: float) -> str:
    return sprintf("%.4g", (number,))
