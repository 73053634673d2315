r"""Prometheus' text exposition, versions 0.0.4 and 1.0.0, and OpenMetrics 1.0.

    # TYPE http_requests_total counter
    http_requests_total{method="post",code="200"} 1027 1769850000000
    {"http.server.duration", "service.name"="shop"} 0.5

Times are ms in Prometheus' form and seconds in OpenMetrics'; a line without one is of now. A line that is wrong is
refused by itself. Exemplars are skipped and counted. `_created` series of OpenMetrics are samples like any other.

Source: Prometheus, exposition formats; OpenMetrics 1.0, ABNF.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from functools import lru_cache
from math import inf, isfinite, nan
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np

from tocsin.ingest import naming
from tocsin.ingest.naming import Fault, shown
from tocsin.ingest.rows import Refusal, Rejection, Rows
from tocsin.ingest.settings import IngestSettings
from tocsin.model.errors import TooLargeError, UserError
from tocsin.model.labels import METRIC_NAME, Labels, unquote
from tocsin.model.series import MetricInfo

SERIES_REMEMBERED = 65_536
REMEMBERED_BYTES_MAX = 16 * 1024 * 1024
"""How many series, and bytes of their text, one memory holds; when it is full it starts anew."""

_SERIES_BYTES_MAX = 2_048
"""Longer names are read anew each time."""

_INT64_MAX = 2**63 - 1
_NUMBER_BYTES_MAX = 400  # the largest float64 written out has 309 digits

_QUOTED = rb'"(?:[^"\\]|\\.)*+"'
_BLANK = rb"[ \t]*+"
_SAMPLE = re.compile(
    rb'((?:[^ \t{"#][^ \t{"]*+)?+(?:' + _BLANK + rb'\{(?:[^"}]|' + _QUOTED + rb")*+\})?+)"
    rb"[ \t]*+([^ \t#]++)(?:[ \t]++([^ \t#]++))?+[ \t]*+(#.*)?+"
)
_NAME = re.compile(rb"([^ \t{]*+)[ \t]*+(?:\{(.*)\})?+")
_LABEL = re.compile(
    _BLANK
    + rb'(?:([A-Za-z_][A-Za-z0-9_]*+)|"((?:[^"\\]|\\.)*+)")'
    + _BLANK
    + rb'(?:=[ \t]*+"((?:[^"\\]|\\.)*+)"[ \t]*+)?+(?:,|\Z)'
)
_METRIC = re.compile(rb"[A-Za-z_:][A-Za-z0-9_:]*+")
_ABOUT = re.compile(rb'#[ \t]++(HELP|TYPE|UNIT)[ \t]++("(?:[^"\\]|\\.)*+"|[^ \t"]++)(?:[ \t]++(.*))?+')
_ABOUT_STARTS = re.compile(rb"#[ \t]++(?:HELP|TYPE|UNIT)(?:[ \t]|\Z)")
_EXEMPLAR = re.compile(rb"#[ \t]*+\{")
_WHOLE = re.compile(rb"[+-]?[0-9]{1,19}")
_END = b"# EOF"
_NUMBER_STARTS = frozenset(b"0123456789+-.")
_NUMBER_ENDS = frozenset(b"0123456789.")
_NOT_FINITE = {
    b"nan": nan,
    **dict.fromkeys((b"inf", b"+inf", b"infinity", b"+infinity"), inf),
    **dict.fromkeys((b"-inf", b"-infinity"), -inf),
}

_KINDS = {
    b"counter": "counter",
    b"gauge": "gauge",
    b"histogram": "histogram",
    b"gaugehistogram": "histogram",
    b"summary": "summary",
    b"info": "info",
    b"stateset": "gauge",
    b"untyped": "unknown",
    b"unknown": "unknown",
}
_UNITS = {
    "seconds": "s",
    "milliseconds": "ms",
    "bytes": "By",
    "bits": "bit",
    "ratio": "1",
    "percent": "%",
    "celsius": "Cel",
    "volts": "V",
    "amperes": "A",
    "watts": "W",
    "joules": "J",
    "hertz": "Hz",
    "meters": "m",
    "grams": "g",
}
"""Prometheus' words for units, as UCUM codes."""


class Exposition(NamedTuple):
    """What a body held. `index` of rows and rejections is the line, counted from 0.

    `lines` counts those that should hold a sample or say something about a metric. `passed_over` counts samples
    whose series the memory leaves out. `timed` are the series, by their place in `rows.series`, of which a sample
    came with a time of its own.
    """

    rows: Rows
    infos: tuple[MetricInfo, ...]
    rejected: tuple[Rejection, ...]
    lines: int
    exemplars: int
    passed_over: int = 0
    timed: frozenset[int] = frozenset()


class Passed(Enum):
    """What a memory says of a series that is left out on purpose."""

    OVER = "over"


Known: TypeAlias = Labels | Fault | Passed


class Memory(Protocol):
    """The text that names a series → its labels. `known` is looked into first; the same text gives the same object."""

    @property
    def known(self) -> Mapping[bytes, Known]: ...

    def labels(self, raw: bytes) -> Known: ...


class _BadLineError(Exception):
    def __init__(self, reason: str, kind: Refusal = Refusal.MALFORMED) -> None:
        super().__init__(reason)
        self.fault = Fault(reason, kind)


class SeriesMemory:
    """The text that names a series → its labels, so that what a sender repeats is read once. Bounded."""

    def __init__(self, limits: IngestSettings, series_max: int = SERIES_REMEMBERED) -> None:
        self._limits = limits
        self._series_max = series_max
        self._bytes = 0
        self.known: dict[bytes, Known] = {}

    def labels(self, raw: bytes) -> Known:
        labels = self.known.get(raw)
        if labels is None:
            labels = read_series(raw, self._limits)
            self._keep(raw, labels)
        return labels

    def _keep(self, raw: bytes, labels: Known) -> None:
        if len(raw) > _SERIES_BYTES_MAX:
            return
        if len(self.known) >= self._series_max or self._bytes + len(raw) > REMEMBERED_BYTES_MAX:
            self.known.clear()
            self._bytes = 0
        self.known[raw] = labels
        self._bytes += len(raw)


@lru_cache(maxsize=4)
def shared_memory(limits: IngestSettings) -> SeriesMemory:
    """The one of all who push under these limits."""
    return SeriesMemory(limits)


def parse(body: bytes, now_ms: int, limits: IngestSettings, memory: Memory, *, openmetrics: bool = False) -> Exposition:
    """Rows in the sender's order, what is said about metrics, and what was refused.

    Raises UserError for OpenMetrics without its `# EOF`, which was cut short on its way, and TooLargeError where the
    body holds more than one request may.
    """
    if openmetrics and body.rstrip(b"\r\n").rpartition(b"\n")[2] != _END:
        raise UserError("The body does not end with `# EOF`, so a part of it is missing.")
    return _Reader(now_ms, limits, memory, openmetrics=openmetrics).read(body)


class _Reader:
    """One body; the columns grow as it is read."""

    def __init__(self, now_ms: int, limits: IngestSettings, memory: Memory, *, openmetrics: bool) -> None:
        self._now_ms = now_ms
        self._limits = limits
        self._memory = memory
        self._openmetrics = openmetrics
        self._slots: dict[int, int] = {}  # by identity: the memory gives one object for the same text
        self._series: list[Labels] = []
        self._which: list[int] = []
        self._times: list[int] = []
        self._values: list[float] = []
        self._index: list[int] = []
        self._rejected: list[Rejection] = []
        self._infos: dict[str, MetricInfo] = {}
        self._timed: set[int] = set()
        self._exemplars = 0
        self._passed_over = 0
        self._about = 0
        self._ended = False

    def read(self, body: bytes) -> Exposition:
        known, samples_max = self._memory.known, self._limits.samples_max
        for number, line in enumerate(body.split(b"\n")):
            # nearly every line: a series seen before, a space, a plain number
            raw, _, text = line.rpartition(b" ")
            labels = known.get(raw)
            if type(labels) is Labels and not self._ended and (value := _plain(text)) is not None:
                self._add(labels, self._now_ms, value, number)
            elif labels is Passed.OVER and not self._ended and _plain(text) is not None:
                self._passed_over += 1
            elif line := line.strip(b" \t\r"):
                try:
                    self._read(line, number)
                except _BadLineError as error:
                    self._rejected.append(Rejection(number, *error.fault))
            if len(self._values) + len(self._rejected) + self._about + self._passed_over > samples_max:
                raise TooLargeError(f"One request may hold {samples_max} lines; send smaller batches.")
        rows = Rows(
            tuple(self._series),
            np.array(self._which, np.int64),
            np.array(self._times, np.int64),
            np.array(self._values, np.float64),
            np.array(self._index, np.int64),
        )
        return Exposition(
            rows=rows,
            infos=tuple(map(self._finished, self._infos.values())),
            rejected=tuple(self._rejected),
            lines=len(rows) + self._about + len(self._rejected) + self._passed_over,
            exemplars=self._exemplars,
            passed_over=self._passed_over,
            timed=frozenset(self._timed),
        )

    def _add(self, labels: Labels, time_ms: int, value: float, number: int) -> int:
        """Gives the series' place in the rows."""
        slot = self._slots.setdefault(id(labels), len(self._series))
        if slot == len(self._series):
            self._series.append(labels)
        self._which.append(slot)
        self._times.append(time_ms)
        self._values.append(value)
        self._index.append(number)
        return slot

    def _read(self, line: bytes, number: int) -> None:
        """Any line that is not empty. Raises _BadLineError."""
        if self._ended:
            raise _BadLineError("Nothing may follow `# EOF`.")
        if line[0] == 0x23:  # a comment, and some comments say something
            self._ended = self._openmetrics and line == _END
            if _ABOUT_STARTS.match(line):
                self._describe(line)
            return
        found = _SAMPLE.fullmatch(line)
        if found is None:
            raise _BadLineError(f'A line must be written `name{{label="text"}} 1.5`, and is {shown(line)}.')
        raw, text, time, more = found.groups()
        labels = self._memory.labels(raw)
        if isinstance(labels, Fault):
            raise _BadLineError(*labels)
        value = _number(text)
        if value is None:
            raise _BadLineError(f"The value must be a number, and is {shown(text)}.")
        time_ms = self._now_ms if time is None else self._time_ms(time)
        if more is not None:
            if not _EXEMPLAR.match(more):
                raise _BadLineError(f"There should be the line's end at {shown(more)}.")
            self._exemplars += 1
        if labels is Passed.OVER:
            self._passed_over += 1
            return
        slot = self._add(labels, time_ms, value, number)
        if time is not None:
            self._timed.add(slot)

    def _time_ms(self, raw: bytes) -> int:
        """Raises _BadLineError."""
        if self._openmetrics:
            seconds = _number(raw)
            time_ms = round(seconds * 1_000) if seconds is not None and isfinite(seconds * 1_000) else None
        else:
            time_ms = int(raw) if _WHOLE.fullmatch(raw) else None
        if time_ms is None or abs(time_ms) > _INT64_MAX:
            wanted = "seconds" if self._openmetrics else "whole milliseconds"
            raise _BadLineError(f"The time must be in {wanted} since 1970, and is {shown(raw)}.")
        return time_ms

    def _describe(self, line: bytes) -> None:
        """HELP, TYPE and UNIT come in any order. Raises _BadLineError."""
        found = _ABOUT.fullmatch(line)
        if found is None:
            raise _BadLineError(f"A metric's name should follow in {shown(line)}.")
        what, raw_name, raw = found[1], found[2], found[3] or b""
        name = _text(raw_name[1:-1]) if raw_name[:1] == b'"' else _bare_name(raw_name)
        if fault := naming.name_fault(name, self._limits):
            raise _BadLineError(*fault)
        info = self._infos.get(name) or MetricInfo(name, kind="")
        if what == b"HELP":
            info = replace(info, help=_text(raw)[: self._limits.value_chars_max])
        elif what == b"UNIT":
            info = replace(info, unit=_unit(_text(raw)[: self._limits.name_chars_max]))
        elif (kind := _KINDS.get(raw.strip())) is not None:
            info = replace(info, kind=kind)
        else:
            raise _BadLineError(f"There is no type {shown(raw)}; use {', '.join(map(bytes.decode, _KINDS))}.")
        self._infos[name] = info
        self._about += 1

    def _finished(self, info: MetricInfo) -> MetricInfo:
        """Under the name that its samples have, and with the unit that the name ends in unless one was told."""
        name = info.name
        word = name.removesuffix("_total").rpartition("_")[2]
        if self._openmetrics and info.kind == "counter" and not name.endswith("_total"):
            name += "_total"
        elif self._openmetrics and info.kind == "info" and not name.endswith("_info"):
            name += "_info"
        return replace(info, name=name, unit=info.unit or _UNITS.get(word, ""))


def _unit(word: str) -> str:
    """As UCUM writes it; a word that it does not know is an annotation."""
    return _UNITS.get(word) or (f"{{{word}}}" if word else "")


def _plain(raw: bytes) -> float | None:
    """A finite number; Python reads more than the format writes: underscores, words, spaces."""
    if not raw or raw[0] not in _NUMBER_STARTS or raw[-1] not in _NUMBER_ENDS or b"_" in raw:
        return None
    if len(raw) > _NUMBER_BYTES_MAX:
        return None
    try:
        value = float(raw)
    except ValueError:
        return None
    return value if isfinite(value) else None


def _number(raw: bytes) -> float | None:
    value = _plain(raw)
    return value if value is not None else _NOT_FINITE.get(raw.lower())


def read_series(raw: bytes, limits: IngestSettings) -> Labels | Fault:
    """What the text before the value names, such as `up{job="node"}`."""
    try:
        return _series(limits, raw)
    except _BadLineError as error:
        return error.fault


def _series(limits: IngestSettings, raw: bytes) -> Labels:
    """Raises _BadLineError."""
    head, _, inner = raw.partition(b"{")
    pairs = _pairs(inner[:-1]) if inner else []
    head = head.rstrip(b" \t")
    if head:
        pairs.append((METRIC_NAME, _bare_name(head)))
    tags = dict(pairs)
    if len(tags) < len(pairs):
        raise _BadLineError("A label stands there twice, or the metric has two names.")
    name = tags.pop(METRIC_NAME, "")
    labels = naming.series_of(name, tags, limits)
    if isinstance(labels, Fault):
        raise _BadLineError(*labels)
    return labels


def _pairs(inner: bytes) -> list[tuple[str, str]]:
    """What stands between the braces; a quoted text alone is the metric's name. Raises _BadLineError."""
    pairs: list[tuple[str, str]] = []
    inner, at = inner.strip(b" \t"), 0
    while at < len(inner):
        found = _LABEL.match(inner, at)
        if found is None or (found[1] and found[3] is None):
            raise _BadLineError(f'There should be a label such as `name="text"` at {shown(inner[at:])}.')
        name = _text(found[1] or found[2])
        pairs.append((METRIC_NAME, name) if found[3] is None else (name, _text(found[3])))
        at = found.end()
    return pairs


def _bare_name(raw: bytes) -> str:
    """Raises _BadLineError."""
    if not _METRIC.fullmatch(raw):
        raise _BadLineError(
            f"The name {shown(raw)} has other characters than letters, digits, _ and :; quote it inside the braces."
        )
    return raw.decode()


def _text(raw: bytes) -> str:
    """Raises _BadLineError."""
    try:
        return unquote(raw.decode()) if b"\\" in raw else raw.decode()
    except UnicodeDecodeError:
        raise _BadLineError("The text is not UTF-8.") from None
