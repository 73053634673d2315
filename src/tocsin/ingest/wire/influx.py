r"""InfluxDB's line protocol, as Telegraf and InfluxDB's clients write it.

    weather,station=roof temperature=21.5,wet=f,seen=3i,note="a \"fine\" day" 1769850000000000000

Each field is a sample of the metric `measurement_field`; the tags are its labels. Booleans are 1 and 0, integers
(`3i`, `3u`) become floats, and text, which no sample can hold, is skipped and counted. A line without a time is of
now. A line that is wrong is refused as a whole, and the lines around it are taken.

Source: InfluxDB 1.8 and 2, line protocol reference; VictoriaMetrics' naming of metrics.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from math import isfinite
from typing import NamedTuple

import numpy as np

from tocsin.ingest import naming
from tocsin.ingest.naming import SHOWN_MAX, Fault, shown
from tocsin.ingest.rows import Rejection, Rows
from tocsin.ingest.settings import IngestSettings
from tocsin.model.errors import TooLargeError, UserError
from tocsin.model.labels import Labels

DATABASE_LABEL = "db"
SERIES_REMEMBERED = 65_536
REMEMBERED_BYTES_MAX = 2_048
"""Longer names are read anew each time, so that nobody fills the memory with them."""

PRECISIONS: Mapping[str, tuple[int, int]] = {
    "": (1, 1_000_000),
    "n": (1, 1_000_000),
    "ns": (1, 1_000_000),
    "u": (1, 1_000),
    "us": (1, 1_000),
    "µ": (1, 1_000),
    "ms": (1, 1),
    "s": (1_000, 1),
    "m": (60_000, 1),
    "h": (3_600_000, 1),
}
"""A time times the first, divided by the second, is in ms."""


_INT64_MAX = 2**63 - 1
_UINT64_MAX = 2**64 - 1
_TIME_DIGITS_MAX = 19  # of an int64
_NUMBER_BYTES_MAX = 400  # the largest float64 written out has 309 digits
_BOOLEANS = dict.fromkeys((b"t", b"T", b"true", b"True", b"TRUE"), 1.0) | dict.fromkeys(
    (b"f", b"F", b"false", b"False", b"FALSE"), 0.0
)
_NUMBER_STARTS = frozenset(b"0123456789+-.")
_NUMBER_ENDS = frozenset(b"0123456789.")
_QUOTE, _SIGNED, _UNSIGNED = b'"iu'

# A comma, space or equals sign after a backslash is text; any other backslash stands for itself. Quotes mean
# something only right after a field's `=`, and hold everything up to the next bare quote, line ends too.
_KEY = re.compile(rb"(?:[^ \\\n]++|\\++ ?+)++")
_SPACES = re.compile(rb" ++")
_FIELD = re.compile(rb'((?:[^ ,=\\\n]++|\\++[ ,=]?+)++)=("(?:[^"\\]++|\\.)*+"|[^" ,\r\n][^ ,\r\n]*+)', re.DOTALL)
_REST = re.compile(rb"(?: ++(-?[0-9]++))?+[ \t\r]*+(?:\n|\Z)")
_COMMA = re.compile(rb"(?<!\\),")
_EQUALS = re.compile(rb"(?<!\\)=")
_ESCAPED = re.compile(r"\\([ ,=])")


class Lines(NamedTuple):
    """What a body held. `index` of rows and rejections is the line, counted from 0.

    `lines` counts those that should hold samples, `skipped` the fields of text.
    """

    rows: Rows
    rejected: tuple[Rejection, ...]
    lines: int
    skipped: int


class _BadLineError(Exception):
    """Its text is the reason, a sentence for the sender."""


def parse(body: bytes, now_ms: int, limits: IngestSettings, precision: str = "ns", database: str = "") -> Lines:
    """Rows in the sender's order, and what was refused.

    `database` becomes the label `db` of series without such a tag. Raises UserError for an unknown precision,
    TooLargeError where the body holds more samples and wrong lines than one request may.
    """
    if precision not in PRECISIONS:
        raise UserError(f"There is no precision {shown(precision)}; use ns, us, ms, s, m or h.")
    return _Reader(body, now_ms, limits, precision, database).read()


class _Reader:
    """One body; the columns grow as it is read."""

    def __init__(self, body: bytes, now_ms: int, limits: IngestSettings, precision: str, database: str) -> None:
        self._body = body
        self._limits = limits
        self._now_ms = now_ms
        self._times_by, self._divided_by = PRECISIONS[precision]
        self._last_time = (b"", now_ms)
        self._series_of = _series_memory(limits)
        self._database = database
        self._plain = b'"' not in body and b"\\" not in body
        self._known: dict[int, int] = {}  # by identity: the memory gives one object for the same bytes
        self._series: list[Labels] = []
        self._which: list[int] = []
        self._times: list[int] = []
        self._values: list[float] = []
        self._index: list[int] = []
        self._rejected: list[Rejection] = []
        self._skipped = 0

    def read(self) -> Lines:
        body, size, at, number, lines = self._body, len(self._body), 0, 0, 0
        while at < size:
            end = body.find(b"\n", at)
            after = size if end < 0 else end + 1
            line = body[at:after].strip(b" \t\r\n")
            ends = 1
            if line and line[0] != 0x23:  # a comment starts with #
                lines += 1
                try:
                    if not self._read_plain(line, number):
                        after = self._read_quoted(at, number)
                        ends = body.count(b"\n", at, after)
                except _BadLineError as error:
                    self._rejected.append(Rejection(number, str(error)))
                if len(self._values) + len(self._rejected) > self._limits.samples_max:
                    raise TooLargeError(
                        f"One request may hold {self._limits.samples_max} samples; send smaller batches."
                    )
            number += ends
            at = after
        rows = Rows(
            tuple(self._series),
            np.array(self._which, np.int64),
            np.array(self._times, np.int64),
            np.array(self._values, np.float64),
            np.array(self._index, np.int64),
        )
        return Lines(rows, tuple(self._rejected), lines, self._skipped)

    def _read_plain(self, line: bytes, number: int) -> bool:
        """Whether it could be read by splitting alone, as nearly every line can. Raises _BadLineError."""
        if not self._plain and (b'"' in line or b"\\" in line):
            return False
        parts = line.split(b" ")
        if b"" in parts or not 2 <= len(parts) <= 3:
            return False
        self._add(parts[0], [field.partition(b"=")[::2] for field in parts[1].split(b",")], parts[2:], number)
        return True

    def _read_quoted(self, at: int, number: int) -> int:
        """Where the next line starts. Raises _BadLineError."""
        body = self._body
        while body[at] in b" \t\r":
            at += 1
        key = _KEY.match(body, at)
        assert key is not None  # a line that is not empty starts with one
        gap = _SPACES.match(body, key.end())
        if gap is None:
            raise _BadLineError("It has no fields; write `measurement,tag=value field=1`.")
        at = gap.end()
        fields: list[tuple[bytes, bytes]] = []
        while True:
            field = _FIELD.match(body, at)
            if field is None:
                raise _BadLineError(f"There should be a field such as `used=1` at {_shown_bytes(body, at)}.")
            fields.append((field[1], field[2]))
            at = field.end()
            if body[at : at + 1] != b",":
                break
            at += 1
        rest = _REST.match(body, at)
        if rest is None:
            raise _BadLineError(f"There should be a time or the line's end at {_shown_bytes(body, at)}.")
        self._add(key[0], fields, [rest[1]] if rest[1] else [], number)
        return rest.end()

    def _add(self, key: bytes, fields: list[tuple[bytes, bytes]], time: list[bytes], number: int) -> None:
        """All fields of a line, or none: raises _BadLineError before anything is added."""
        time_ms = self._time_ms(time[0]) if time else self._now_ms
        numbers = [(name, value) for name, raw in fields if (value := _value(name, raw)) is not None]
        self._skipped += len(fields) - len(numbers)
        for name, value in numbers:
            labels = (
                self._series_of(self._database, key, name)
                if len(key) + len(name) <= REMEMBERED_BYTES_MAX
                else _series(self._limits, self._database, key, name)
            )
            if isinstance(labels, Fault):
                self._rejected.append(Rejection(number, *labels))
                continue
            which = self._known.get(id(labels))
            if which is None:
                which = self._known[id(labels)] = len(self._series)
                self._series.append(labels)
            self._which.append(which)
            self._times.append(time_ms)
            self._values.append(value)
            self._index.append(number)

    def _time_ms(self, raw: bytes) -> int:
        if raw == self._last_time[0]:  # an agent gives many lines one time
            return self._last_time[1]
        digits = raw[1:] if raw[:1] == b"-" else raw
        if not digits.isdigit() or len(digits) > _TIME_DIGITS_MAX:
            raise _BadLineError(f"The time must be a whole number of 64 bits, and is {_shown_bytes(raw)}.")
        time_ms = int(raw) * self._times_by // self._divided_by
        if abs(time_ms) > _INT64_MAX:
            raise _BadLineError("The time is too large; is `precision` the one that you send?")
        self._last_time = (raw, time_ms)
        return time_ms


def _value(name: bytes, raw: bytes) -> float | None:
    """None for text. Raises _BadLineError."""
    value = _number(raw)
    if value is not None:
        return value
    if raw[:1] == b'"':
        return None
    if not name or not raw:
        raise _BadLineError("A field needs a name and a value, such as `used=1`.")
    raise _BadLineError(
        f"The field {_shown_bytes(name)} must be a number, true, false or text in quotes, and is {_shown_bytes(raw)}."
    )


def _number(raw: bytes) -> float | None:
    if not raw or len(raw) > _NUMBER_BYTES_MAX:
        return None
    last = raw[-1]
    if last in _NUMBER_ENDS:
        return _float(raw)
    if last == _SIGNED:
        return _whole(raw[:-1], raw[1:-1] if raw[:1] in (b"-", b"+") else raw[:-1], _INT64_MAX)
    if last == _UNSIGNED:
        return _whole(raw[:-1], raw[:-1], _UINT64_MAX)
    return _BOOLEANS.get(raw)


def _float(raw: bytes) -> float | None:
    """Python reads more than the protocol writes: underscores, words, spaces."""
    if raw[0] not in _NUMBER_STARTS or b"_" in raw:
        return None
    try:
        value = float(raw)
    except ValueError:
        return None
    return value if isfinite(value) else None


def _whole(raw: bytes, digits: bytes, most: int) -> float | None:
    return float(int(raw)) if digits.isdigit() and -most - 1 <= int(raw) <= most else None


@lru_cache(maxsize=4)
def _series_memory(limits: IngestSettings) -> Callable[[str, bytes, bytes], Labels | Fault]:
    """(database, the bytes of measurement and tags, those of the field's name) → labels, remembering many."""

    @lru_cache(maxsize=SERIES_REMEMBERED)
    def series_of(database: str, key: bytes, field: bytes) -> Labels | Fault:
        return _series(limits, database, key, field)

    return series_of


def _series(limits: IngestSettings, database: str, key: bytes, field: bytes) -> Labels | Fault:
    if not field or key.startswith(b","):
        return Fault("A line needs a measurement and a field, such as `cpu used=1`.")
    measurement, *pairs = _COMMA.split(key)
    try:
        name = f"{_text(measurement)}_{_text(field)}"
        tags = _tags(pairs)
    except UnicodeDecodeError:
        return Fault("The text is not UTF-8.")
    if isinstance(tags, Fault):
        return tags
    if database:
        tags.setdefault(DATABASE_LABEL, database)
    return naming.series_of(name, tags, limits, "tag")


def _tags(pairs: Sequence[bytes]) -> dict[str, str] | Fault:
    tags: dict[str, str] = {}
    for pair in pairs:
        name, *value = _EQUALS.split(pair, 1)
        if not name or not value:
            return Fault(f"A tag must be written `name=value`, and is {_shown_bytes(pair)}.")
        tags[_text(name)] = _text(value[0])
    return tags


def _text(raw: bytes) -> str:
    return _ESCAPED.sub(r"\1", raw.decode())


def _shown_bytes(raw: bytes, at: int = 0) -> str:
    """A sender's own bytes from `at` to the line's end, short and on one line, for an answer."""
    return shown(raw[at : at + 4 * SHOWN_MAX].partition(b"\n")[0])
