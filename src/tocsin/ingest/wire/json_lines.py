r"""JSON lines: an object a line, of a series with many samples or of one sample.

    {"metric": {"__name__": "disk.used", "host": "a"}, "values": [1, 2.5], "timestamps": [1769850000000, 1769850060000]}
    {"name": "disk.used", "value": 3, "tags": {"host": "a"}, "timestamp": "2026-01-31T09:00:00Z"}

The first is how VictoriaMetrics exports and imports: times in whole ms, `null` is NaN. The second is what
`POST /api/metrics` takes. What no JSON number is may be told as "NaN", "Inf", "+Inf", "-Inf", "Infinity" and
"-Infinity". A wrong line is refused, and a wrong value in it by itself; the others are taken.

Source: VictoriaMetrics, "How to import data in JSON line format".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from math import inf, nan
from typing import NamedTuple

import msgspec

from tocsin.ingest import naming
from tocsin.ingest.columns import Columns
from tocsin.ingest.naming import Fault, shown
from tocsin.ingest.rows import Rejection, Rows
from tocsin.ingest.settings import IngestSettings
from tocsin.ingest.wire import json_push
from tocsin.model.errors import TooLargeError
from tocsin.model.labels import METRIC_NAME, Labels

SERIES_REMEMBERED = 65_536
REMEMBERED_BYTES_MAX = 2_048
"""Longer labels are read anew each time, so that nobody fills the memory with them."""

_COMMAS_MORE = 200_000
"""Commas that a line's names and texts may hold beside those between its numbers."""

_INT64_MAX = 2**63 - 1
_NOT_NUMBERS = {
    "NaN": nan,
    **dict.fromkeys(("Inf", "+Inf", "Infinity", "+Infinity"), inf),
    **dict.fromkeys(("-Inf", "-Infinity"), -inf),
}


class _Line(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """Either form. Labels stay raw, so that those seen before are recognised by their bytes."""

    metric: msgspec.Raw = msgspec.Raw(b"")
    values: list[float | str | None] | None = None
    timestamps: list[int | float] | None = None
    name: str | None = None
    value: float | str | None = None
    tags: msgspec.Raw = msgspec.Raw(b"")
    timestamp: datetime | float | None = None


_line = msgspec.json.Decoder(_Line)
_metric = msgspec.json.Decoder(dict[str, str])

# All that msgspec raises: text that is not UTF-8 and hostile nesting have no error of their own.
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Lines(NamedTuple):
    """What a body held. `index` of rows and rejections is the line, counted from 0; `lines` are those with anything."""

    rows: Rows
    rejected: tuple[Rejection, ...]
    lines: int


def parse(body: bytes, now_ms: int, limits: IngestSettings) -> Lines:
    """Raises TooLargeError where the body holds more samples and wrong lines than one request may."""
    return _Reader(now_ms, limits).read(body)


class _Reader:
    """One body."""

    def __init__(self, now_ms: int, limits: IngestSettings) -> None:
        self._now_ms = now_ms
        self._limits = limits
        self._series_of = _series_memory(limits)
        self._columns = Columns()
        self._rejected: list[Rejection] = []

    def read(self, body: bytes) -> Lines:
        most, lines = self._limits.samples_max, 0
        for number, line in enumerate(body.split(b"\n")):
            if not line or line.isspace():
                continue
            lines += 1
            # before a number becomes an object; each has a value and a time
            if line.count(b",") > 2 * most + _COMMAS_MORE:
                raise _too_many(most)
            fault = self._read(line, number)
            if fault is not None:
                self._rejected.append(Rejection(number, *fault))
            if len(self._columns) + len(self._rejected) > most:
                raise _too_many(most)
        return Lines(self._columns.rows(), tuple(self._rejected), lines)

    def _read(self, raw: bytes, number: int) -> Fault | None:
        """What is wrong with the line as a whole."""
        try:
            line = _line.decode(raw)
        except _UNREADABLE as error:
            return Fault(_unreadable(error))
        metric = bytes(line.metric)
        if metric:
            return self._read_series(line, metric, number)
        return self._read_sample(line, number)

    def _read_sample(self, line: _Line, number: int) -> Fault | None:
        if line.name is None:
            return Fault("A line needs `metric`, `values` and `timestamps`, or `name` and `value`.")
        if line.values is not None or line.timestamps is not None:
            return Fault("`values` and `timestamps` go with `metric`, and not with `name`.")
        if line.value is None:
            return Fault("`value` is missing.")
        value = _number(line.value)
        time = self._now_ms if line.timestamp is None else json_push.time_ms(line.timestamp)
        labels = json_push.series_memory(self._limits)(line.name, bytes(line.tags))
        for part in (labels, value, time):
            if isinstance(part, Fault):
                return part
        assert isinstance(labels, Labels)
        assert isinstance(value, float)
        assert isinstance(time, int)
        self._columns.add(labels, time, value, number)
        return None

    def _read_series(self, line: _Line, metric: bytes, number: int) -> Fault | None:
        values, times = line.values, line.timestamps
        if line.name is not None or line.value is not None or line.timestamp is not None or bytes(line.tags):
            return Fault("`name`, `value`, `tags` and `timestamp` do not go with `metric`.")
        if values is None or times is None:
            return Fault("`values` or `timestamps` is missing.")
        if len(values) != len(times):
            reason = f"There are {len(values)} values and {len(times)} times."
            self._refuse(number, max(len(values), len(times)), Fault(reason))
            return None
        remembered = len(metric) <= REMEMBERED_BYTES_MAX
        labels = self._series_of(metric) if remembered else _series(self._limits, metric)
        if isinstance(labels, Fault):
            self._refuse(number, len(values), labels)
            return None
        if all(type(value) is float for value in values) and all(type(time) is int for time in times):
            found: Sequence[int] = times  # type: ignore[assignment]
            if not found or -_INT64_MAX <= min(found) <= max(found) <= _INT64_MAX:
                self._columns.add_many(labels, found, values, number)  # type: ignore[arg-type]
                return None
        for value, time in zip(values, times, strict=True):
            self._add(labels, _number(value), _whole(time), number)
        return None

    def _add(self, labels: Labels, value: float | Fault, time: int | Fault, number: int) -> None:
        if isinstance(value, Fault) or isinstance(time, Fault):
            fault = value if isinstance(value, Fault) else time
            assert isinstance(fault, Fault)
            self._rejected.append(Rejection(number, *fault))
            return
        self._columns.add(labels, time, value, number)

    def _refuse(self, number: int, samples: int, fault: Fault) -> None:
        """All samples of the line, each counted; so many that there can be no more are enough."""
        self._rejected += [Rejection(number, *fault)] * min(max(1, samples), self._limits.samples_max + 1)


def _too_many(most: int) -> TooLargeError:
    return TooLargeError(f"One request may hold {most} samples; send it in parts, or use `tocsin import`.")


def _number(value: float | str | None) -> float | Fault:
    if value is None:
        return nan
    if isinstance(value, float):
        return value
    number = _NOT_NUMBERS.get(value)
    if number is None:
        return Fault(f'A value must be a number, null, "NaN", "Inf" or "-Inf", and is {shown(value)}.')
    return number


def _whole(time: float) -> int | Fault:
    if time % 1:
        return Fault(f"A time must be whole milliseconds since 1970, and is {time}.")
    return int(time) if abs(time) <= _INT64_MAX else Fault("A time must fit in 64 bits.")


@lru_cache(maxsize=4)
def _series_memory(limits: IngestSettings) -> Callable[[bytes], Labels | Fault]:
    """The bytes of `metric` → labels, remembering as many as a large sender repeats."""

    @lru_cache(maxsize=SERIES_REMEMBERED)
    def series_of(raw: bytes) -> Labels | Fault:
        return _series(limits, raw)

    return series_of


def _series(limits: IngestSettings, raw: bytes) -> Labels | Fault:
    try:
        tags = _metric.decode(raw)
    except _UNREADABLE:
        return Fault('`metric` must be an object of texts, such as {"__name__": "disk.used", "host": "a"}.')
    return naming.series_of(tags.pop(METRIC_NAME, ""), tags, limits)


def _unreadable(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "The text is not UTF-8."
    if isinstance(error, RecursionError):
        return "The line is nested too deeply."
    if isinstance(error, msgspec.ValidationError):
        return _misfit(str(error))
    said = str(error).removeprefix("JSON is malformed: ")
    return f"The line is not JSON: {said[:1].lower()}{said[1:]}."


def _misfit(said: str) -> str:
    """msgspec's message in the words of this form."""
    if found := _UNKNOWN.search(said):
        return f"There is no field {shown(found[1])} in a line."
    if (found := _PATH.search(said)) and found[1] in _FIELDS:
        return _FIELDS[found[1]]
    return "A line must be a JSON object."


_UNKNOWN = re.compile(r"unknown field `(.*?)`", re.DOTALL)
_PATH = re.compile(r" - at `\$\.(\w+)")
_FIELDS = {
    "name": "`name` must be text.",
    "value": '`value` must be a number, "NaN", "Inf" or "-Inf".',
    "timestamp": "`timestamp` must be RFC 3339, such as 2026-01-31T09:00:00Z, or epoch seconds.",
    "values": "`values` must be a list of numbers.",
    "timestamps": "`timestamps` must be a list of whole milliseconds since 1970.",
}
