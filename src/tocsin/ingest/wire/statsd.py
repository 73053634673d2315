"""StatsD and DogStatsD datagrams, up to DogStatsD's protocol 1.6.

    page.views:3|c|@0.1|#site:shop,beta
    request.time:12:15:9|ms
    queue:-2|g

A reading keeps its raw series (name and tags as they came), as one sender repeats few of them; labels are made where
a series is first seen. Events and service checks are counted, and not understood yet.

Source: etsy/statsd, docs/metric_types.md; Datadog, "DogStatsD: datagram format".
"""

from __future__ import annotations

import re
from math import isfinite
from typing import NamedTuple

from tocsin.ingest import naming
from tocsin.ingest.naming import Fault, shown
from tocsin.ingest.rows import Refusal, Rejection
from tocsin.ingest.settings import IngestSettings
from tocsin.model.labels import Labels

SUFFIX_CHARS_MAX = len("_count")
"""What an aggregate may add to a name."""

_NUMBER_BYTES_MAX = 400
_NUMBER = re.compile(rb"[-+]?(?:[0-9]++\.?[0-9]*+|\.[0-9]++)(?:[eE][-+]?[0-9]++)?+")
_EVENT, _CHECK = b"_e{", b"_sc|"
_TIMERS = frozenset((b"ms", b"h", b"d"))
_KINDS = frozenset((b"c", b"g", b"s")) | _TIMERS


class Reading(NamedTuple):
    """`kind` is c, g, s or t (ms, h and d alike). `values` are numbers, but for a set its members as bytes.

    `weight` is how many times each value was seen, by its sample rate. `relative`: a gauge's change. `time_ms`
    where the sender gave one.
    """

    series: tuple[bytes, bytes]
    kind: str
    values: tuple[float, ...] | tuple[bytes, ...]
    weight: float
    relative: bool
    time_ms: int | None


class Datagram(NamedTuple):
    readings: list[Reading]
    rejected: list[Rejection]
    events: int
    checks: int


class _BadLineError(Exception):
    """Its text is the reason, a sentence for the log."""


def parse(datagram: bytes) -> Datagram:
    """Every line that can be read, and why the others cannot."""
    readings: list[Reading] = []
    rejected: list[Rejection] = []
    events = checks = 0
    for at, padded in enumerate(datagram.split(b"\n")):
        line = padded.strip()
        if not line:
            continue
        if line.startswith(_EVENT):
            events += 1
        elif line.startswith(_CHECK):
            checks += 1
        else:
            try:
                readings.append(_reading(line))
            except _BadLineError as error:
                rejected.append(Rejection(at, str(error)))
    return Datagram(readings, rejected, events, checks)


def _reading(line: bytes) -> Reading:
    head, *rest = line.split(b"|")
    name, separator, text = head.partition(b":")
    if not name or not separator or not rest:
        raise _BadLineError(f"A line must be `name:value|type`, and is {shown(line)}.")
    kind, *extras = rest
    if kind not in _KINDS:
        raise _BadLineError(f"There is no type {shown(kind)}; there are c, g, ms, h, d and s.")
    rate, tags, time_ms = _extras(extras)
    if kind == b"s":
        return Reading((name, tags), "s", (text,), 1.0, relative=False, time_ms=None)
    values = tuple(_number(part) for part in text.split(b":"))
    if kind == b"g":
        # a change has a sign of its own, so a gauge is set below zero by setting it to zero first
        return Reading((name, tags), "g", values, 1.0, relative=text[:1] in (b"+", b"-"), time_ms=time_ms)
    if kind == b"c":
        return Reading((name, tags), "c", values, 1 / rate, relative=False, time_ms=time_ms)
    return Reading((name, tags), "t", values, 1 / rate, relative=False, time_ms=None)


def _extras(extras: list[bytes]) -> tuple[float, bytes, int | None]:
    """(sample rate, tags, time). Container, external data, cardinality and what comes after 1.6 are passed over."""
    rate, tags, time_ms = 1.0, b"", None
    for extra in extras:
        if extra.startswith(b"@"):
            rate = _number(extra[1:])
            if not 0 < rate <= 1:
                raise _BadLineError(f"A sample rate must be above 0 and at most 1, and is {shown(extra[1:])}.")
        elif extra.startswith(b"#"):
            tags = b",".join(sorted(set(extra[1:].split(b","))))  # their order makes no other series
        elif extra.startswith(b"T"):
            if not extra[1:].isdigit() or len(extra) > 12:
                raise _BadLineError(f"A time must be whole epoch seconds, and is {shown(extra[1:])}.")
            time_ms = int(extra[1:]) * 1_000
    return rate, tags, time_ms


def _number(raw: bytes) -> float:
    if len(raw) <= _NUMBER_BYTES_MAX and _NUMBER.fullmatch(raw) and isfinite(number := float(raw)):
        return number
    raise _BadLineError(f"A value must be a number, and is {shown(raw)}.")


def labels_of(series: tuple[bytes, bytes], limits: IngestSettings) -> Labels | Rejection:
    """The labels of a reading's series. A tag without a value is `true`; the last of two with one name wins."""
    raw_name, raw_tags = series
    try:
        name, text = raw_name.decode(), raw_tags.decode()
    except UnicodeDecodeError:
        return Rejection(0, "The text is not UTF-8.")
    tags: dict[str, str] = {}
    for tag in filter(None, text.split(",")):
        key, separator, value = tag.partition(":")
        tags[key] = value if separator else "true"
    # an aggregate adds to the name, and must still fit
    if len(name) + SUFFIX_CHARS_MAX > limits.name_chars_max:
        most = limits.name_chars_max - SUFFIX_CHARS_MAX
        return Rejection(0, f"The metric's name {shown(name)} is longer than {most} characters.", Refusal.TOO_LONG)
    labels = naming.series_of(name, tags, limits, "tag")
    return Rejection(0, *labels) if isinstance(labels, Fault) else labels
