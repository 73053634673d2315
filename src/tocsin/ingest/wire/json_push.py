"""tocsin's own JSON form, as `POST /api/metrics` takes it: one object, or a list of them.

    {"name": "app.queue.depth", "value": 12, "tags": {"queue": "mail"}, "timestamp": "2026-01-31T09:00:00Z"}

`value` is a number, or "NaN", "Inf", "+Inf", "-Inf", which JSON has no numbers for. `timestamp` is RFC 3339 or epoch
seconds, and the time of arrival where it is missing. A tag's value is text; a whole number or a boolean becomes the
text that JSON writes for it; an empty one is no tag.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

from tocsin.ingest import naming
from tocsin.ingest.naming import Fault, shown
from tocsin.ingest.rows import Rejection, Rows
from tocsin.ingest.settings import IngestSettings
from tocsin.model.errors import TooLargeError, UserError
from tocsin.model.labels import Labels

SERIES_REMEMBERED = 65_536
MILLISECONDS_FROM = 1e11  # as epoch seconds this is the year 5138: nobody means that

_COMMAS_PER_SAMPLE = 80
"""Between its fields and tags, and some in texts: what is not such a list must not become millions of objects."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_NOT_NUMBERS = {"NaN": math.nan, "Inf": math.inf, "+Inf": math.inf, "-Inf": -math.inf}


class _Element(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """`tags` stays raw, so that tags seen before are recognised by their bytes and not decoded again."""

    name: str
    value: float | str
    tags: msgspec.Raw = msgspec.Raw(b"")
    timestamp: datetime | float | None = None


_elements = msgspec.json.Decoder(list[_Element])
_element = msgspec.json.Decoder(_Element)
_raw_elements = msgspec.json.Decoder(list[msgspec.Raw])
_raw_element = msgspec.json.Decoder(msgspec.Raw)
_tags = msgspec.json.Decoder(dict[str, str | int | bool] | None)
_any_tags = msgspec.json.Decoder(dict[str, Any])

# All that msgspec raises: text that is not UTF-8 and hostile nesting have no error of its own.
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def parse(body: bytes, now_ms: int, limits: IngestSettings) -> tuple[Rows, tuple[Rejection, ...]]:
    """Rows in the sender's order, and what was refused.

    Raises UserError, with the position, where the body is not such JSON; TooLargeError where it holds
    more samples than one request may.
    """
    rejected: list[Rejection] = []
    elements = _decode(body, limits.samples_max, rejected)
    series_of = series_memory(limits)
    known: dict[Labels, int] = {}
    which: list[int] = []
    times: list[int] = []
    values: list[float] = []
    index: list[int] = []
    for at, element in elements:
        value = element.value if isinstance(element.value, float) else _number(element.value)
        time = now_ms if element.timestamp is None else time_ms(element.timestamp)
        labels = series_of(element.name, bytes(element.tags))
        if isinstance(labels, Fault) or isinstance(value, Fault) or isinstance(time, Fault):
            rejected.append(_first_fault(at, labels, value, time))
            continue
        which.append(known.setdefault(labels, len(known)))
        times.append(time)
        values.append(value)
        index.append(at)
    rows = Rows(
        tuple(known),
        np.array(which, np.int64),
        np.array(times, np.int64),
        np.array(values, np.float64),
        np.array(index, np.int64),
    )
    return rows, tuple(sorted(rejected, key=lambda one: one.index))


def _first_fault(at: int, *parts: object) -> Rejection:
    fault = next(part for part in parts if isinstance(part, Fault))
    return Rejection(at, fault.reason, fault.kind)


def _decode(body: bytes, samples_max: int, rejected: list[Rejection]) -> Iterable[tuple[int, _Element]]:
    """The readable elements with their positions; the others go to `rejected`.

    All at once where all are right, as they nearly always are; one by one where they are not.
    """
    single = body.lstrip(b" \t\r\n").startswith(b"{")
    try:
        elements = [_element.decode(body)] if single else _elements.decode(body)
    except _UNREADABLE:
        return _decode_each(body, single, samples_max, rejected)
    _check_count(len(elements), samples_max)
    return enumerate(elements)


def _decode_each(
    body: bytes, single: bool, samples_max: int, rejected: list[Rejection]
) -> Iterable[tuple[int, _Element]]:
    if body.count(b",") > _COMMAS_PER_SAMPLE * samples_max:
        raise TooLargeError(f"One request may hold {samples_max} samples; send them in several.")
    try:
        parts = [_raw_element.decode(body)] if single else _raw_elements.decode(body)
    except _UNREADABLE as error:
        raise UserError(_malformed(body, error)) from error
    _check_count(len(parts), samples_max)
    readable: list[tuple[int, _Element]] = []
    for at, part in enumerate(parts):
        try:
            readable.append((at, _element.decode(part)))
        except _UNREADABLE as error:
            rejected.append(Rejection(at, _element_fault(error)))
    return readable


def _check_count(count: int, samples_max: int) -> None:
    if count > samples_max:
        raise TooLargeError(f"One request may hold {samples_max} samples, this one has {count}; send them in several.")


def _number(text: str) -> float | Fault:
    number = _NOT_NUMBERS.get(text)
    return Fault(_FIELDS["value"]) if number is None else number


def time_ms(timestamp: datetime | float) -> int | Fault:
    if isinstance(timestamp, datetime):
        if timestamp.tzinfo is None:
            return Fault("`timestamp` has no time zone; add Z where it is UTC, or an offset such as +02:00.")
        return round((timestamp - _EPOCH) / _MILLISECOND)
    if abs(timestamp) >= MILLISECONDS_FROM:
        return Fault("`timestamp` looks like milliseconds or finer; send epoch seconds, such as 1769850000.5.")
    return round(timestamp * 1_000)


@lru_cache(maxsize=4)
def series_memory(limits: IngestSettings) -> Callable[[str, bytes], Labels | Fault]:
    """(name, the bytes of its tags) → labels, remembering as many as a large sender repeats."""

    @lru_cache(maxsize=SERIES_REMEMBERED)
    def series_of(name: str, raw_tags: bytes) -> Labels | Fault:
        tags = _read_tags(raw_tags)
        if isinstance(tags, Fault):
            return tags
        return naming.series_of(name, tags, limits, "tag")

    return series_of


def _read_tags(raw: bytes) -> dict[str, str] | Fault:
    if not raw:
        return {}
    try:
        tags = _tags.decode(raw) or {}
    except _UNREADABLE:
        return Fault(_bad_tags(raw))
    return {name: value if isinstance(value, str) else _as_text(value) for name, value in tags.items()}


def _as_text(value: int | bool) -> str:
    return msgspec.json.encode(value).decode()


def _bad_tags(raw: bytes) -> str:
    try:
        tags = _any_tags.decode(raw)
    except _UNREADABLE:
        return '`tags` must be an object, such as {"queue": "mail"}.'
    for name, value in tags.items():
        if not isinstance(value, str | int):
            return f"The tag {shown(name)} must be text, a whole number or a boolean."
    return "A tag is there twice, and not each time as text, a whole number or a boolean."


_FIELDS = {
    "name": "`name` must be text.",
    "value": '`value` must be a number, or "NaN", "Inf" or "-Inf".',
    "timestamp": "`timestamp` must be RFC 3339, such as 2026-01-31T09:00:00Z, or epoch seconds.",
}
_MISSING = re.compile(r"missing required field `(.*?)`")
_UNKNOWN = re.compile(r"unknown field `(.*?)`", re.DOTALL)
_PATH = re.compile(r" - at `\$\.(\w+)`$")
_BYTE = re.compile(r"(?:JSON is malformed: )?(.*) \(byte (\d+)\)")


def _element_fault(error: Exception) -> str:
    """msgspec's message in the words of this form."""
    if isinstance(error, UnicodeDecodeError):
        return "The text is not UTF-8."
    said = str(error)
    if found := _MISSING.search(said):
        return f"`{found[1]}` is missing."
    if found := _UNKNOWN.search(said):
        return f"There is no field {shown(found[1])}; there are name, value, tags and timestamp."
    if (found := _PATH.search(said)) and found[1] in _FIELDS:
        return _FIELDS[found[1]]
    return "A sample must be an object with name and value."


def _malformed(body: bytes, error: Exception) -> str:
    said = str(error)
    if not body.strip():
        return 'The body is empty; send {"name": ..., "value": ...} or a list of such objects.'
    if isinstance(error, RecursionError):
        return "The body is nested too deeply."
    if isinstance(error, msgspec.ValidationError):
        return "Send one object or a list of objects."
    found = _BYTE.fullmatch(said)
    if found is None:
        return f"The body is not complete JSON: it ends at {_position(body, len(body))}."
    at = int(found[2])
    hint = ' Write it in quotes: "NaN", "Inf", "-Inf".' if body[at : at + 8].lstrip(b"-+").startswith(_BARE) else ""
    return f"The body is not JSON: {found[1]} at {_position(body, at)}.{hint}"


_BARE = (b"NaN", b"Inf", b"aN", b"nf", b"N", b"I")


def _position(body: bytes, at: int) -> str:
    before = body[:at]
    line = before.count(b"\n") + 1
    column = at - (before.rfind(b"\n") + 1) + 1
    return f"line {line}, column {column}"
