"""Graphite's plaintext protocol, with tags.

    servers.web1.load;dc=fra 1.5 1769850000

The path is the metric's name, dots and all, and tags after semicolons are its labels. The time is in epoch seconds;
-1, `N` or none at all is now. A wrong line is refused, and the lines around it are taken.

Source: Graphite, "Feeding in your data" and "Graphite tag support".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from math import isfinite

import numpy as np

from tocsin.ingest import naming
from tocsin.ingest.naming import Fault, shown
from tocsin.ingest.rows import Rejection, Rows
from tocsin.ingest.settings import IngestSettings
from tocsin.model.labels import Labels

SERIES_REMEMBERED = 65_536
MILLISECONDS_FROM = 1e11  # as epoch seconds this is the year 5138: nobody means that
_NUMBER_BYTES_MAX = 400
_NUMBER = re.compile(rb"[-+]?(?:[0-9]++\.?[0-9]*+|\.[0-9]++)(?:[eE][-+]?[0-9]++)?+")
_NOW = frozenset((b"-1", b"N", b"-1.0"))


def parse(body: bytes, now_ms: int, limits: IngestSettings) -> tuple[Rows, tuple[Rejection, ...]]:
    """Rows in the sender's order, and what was refused; `index` is the line, counted from 0."""
    series_of = _series_memory(limits)
    known: dict[int, int] = {}  # by identity: the memory gives one object for the same bytes
    series: list[Labels] = []
    which: list[int] = []
    times: list[int] = []
    values: list[float] = []
    index: list[int] = []
    rejected: list[Rejection] = []
    for at, line in enumerate(body.split(b"\n")):
        parts = line.split()
        if not parts:
            continue
        if not 2 <= len(parts) <= 3:
            rejected.append(Rejection(at, "A line must be `path value time`."))
            continue
        labels = series_of(parts[0])
        value = _number(parts[1], "value")
        time = _time_ms(parts[2], now_ms) if len(parts) == 3 else now_ms
        if isinstance(labels, Fault) or isinstance(value, Fault) or isinstance(time, Fault):
            fault = next(part for part in (labels, value, time) if isinstance(part, Fault))
            rejected.append(Rejection(at, *fault))
            continue
        column = known.get(id(labels))
        if column is None:
            column = known[id(labels)] = len(series)
            series.append(labels)
        which.append(column)
        times.append(time)
        values.append(value)
        index.append(at)
    rows = Rows(
        tuple(series),
        np.array(which, np.int64),
        np.array(times, np.int64),
        np.array(values, np.float64),
        np.array(index, np.int64),
    )
    return rows, tuple(rejected)


def _number(raw: bytes, what: str) -> float | Fault:
    if len(raw) <= _NUMBER_BYTES_MAX and _NUMBER.fullmatch(raw) and isfinite(number := float(raw)):
        return number
    return Fault(f"The {what} must be a number, and is {shown(raw)}.")


def _time_ms(raw: bytes, now_ms: int) -> int | Fault:
    if raw in _NOW:
        return now_ms
    time = _number(raw, "time")
    if isinstance(time, Fault):
        return time
    if abs(time) >= MILLISECONDS_FROM:
        return Fault("The time looks like milliseconds or finer; send epoch seconds.")
    return round(time * 1_000)


@lru_cache(maxsize=4)
def _series_memory(limits: IngestSettings) -> Callable[[bytes], Labels | Fault]:
    """Path and tags as bytes → labels, remembering as many as a large sender repeats."""

    @lru_cache(maxsize=SERIES_REMEMBERED)
    def series_of(path: bytes) -> Labels | Fault:
        try:
            name, *pairs = path.decode().split(";")
        except UnicodeDecodeError:
            return Fault("The text is not UTF-8.")
        tags: dict[str, str] = {}
        for pair in pairs:
            tag, separator, value = pair.partition("=")
            if not tag or not separator:
                return Fault(f"A tag must be written `;name=value`, and is {shown(pair)}.")
            tags[tag] = value
        return naming.series_of(name, tags, limits, "tag")

    return series_of
