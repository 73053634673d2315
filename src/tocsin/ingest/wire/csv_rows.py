r"""CSV, with a row of column names or with a list of what the columns are.

    name,value,timestamp,host
    disk.used,81.5,2026-01-31T09:00:00Z,a
    disk.used,17,1769850000,b

With names: `name` (or `metric`, `__name__`) and `value` have to be there, `timestamp` (or `time`) may be, in RFC 3339
or epoch seconds, and every other column with a name is a label. With a list, as VictoriaMetrics writes it,
`2:metric:ask` makes a sample of the second column, `1:label:ticker` a label and `3:time:unix_s` the time; other
columns are passed over, and an empty value is none. An empty label is none in either. A wrong row is refused, and the
others are taken.

Source: RFC 4180; VictoriaMetrics, "How to import CSV data".
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import inf, isfinite, nan
from typing import NamedTuple

from tocsin.ingest import naming
from tocsin.ingest.columns import Columns
from tocsin.ingest.naming import Fault, shown
from tocsin.ingest.rows import Rejection, Rows
from tocsin.ingest.settings import IngestSettings
from tocsin.model.errors import TooLargeError, UserError
from tocsin.model.labels import Labels

COLUMNS_MAX = 1_000
SERIES_MAX = 65_536
"""Series of one body whose labels are remembered; all are forgotten when there are more."""

_INT64_MAX = 2**63 - 1
_NUMBER_CHARS_MAX = 400  # the largest float64 written out has 309 digits
_MILLISECONDS_FROM = 1e11  # as epoch seconds this is the year 5138: nobody means that
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_NUMBER_ENDS = frozenset("0123456789.")
_NOT_FINITE = {
    "nan": nan,
    **dict.fromkeys(("inf", "+inf", "infinity", "+infinity"), inf),
    **dict.fromkeys(("-inf", "-infinity"), -inf),
}
_NAMES, _TIMES = ("name", "metric", "__name__"), ("timestamp", "time")
_EXAMPLE = "name,value,timestamp,host"


class CsvRows(NamedTuple):
    """What a body held. `index` of rows and rejections is the line, counted from 0; `lines` are rows of data."""

    rows: Rows
    rejected: tuple[Rejection, ...]
    lines: int


class Mapped(NamedTuple):
    """What the columns are, by their place from 0.

    `name` is the column of the metric's name with its value in `value`; without one `metrics` are (column, name).
    """

    metrics: tuple[tuple[int, str], ...]
    labels: tuple[tuple[int, str], ...]
    time: int | None
    time_of: Callable[[str], int | Fault]
    name: int | None = None
    value: int = 0
    width: int | None = None
    """Columns of every row, where the first one says how many there are."""


def parse(
    body: bytes, now_ms: int, limits: IngestSettings, *, form: str = "", delimiter: str = ",", skip_header: bool = False
) -> CsvRows:
    """`form` is a list of columns; without it the first row names them.

    Raises UserError where that is wrong, TooLargeError where the body holds more than one request may.
    """
    if len(delimiter) != 1 or delimiter in '\r\n"' or not delimiter.isascii():
        raise UserError("delimiter must be one character, such as , or ; or a tab.", field="delimiter")
    mapped = parse_format(form) if form else None
    # text that is not UTF-8 becomes half surrogate pairs, which are found where a label or a number is read
    text = body.removeprefix(b"\xef\xbb\xbf").decode(errors="surrogateescape")
    rows = _rows(text, delimiter)
    if mapped is None or skip_header:
        _, header = next(rows, (0, []))
        if mapped is None:
            if isinstance(header, Fault):
                raise UserError(header.reason)
            mapped = _by_names(header)
    return _read(rows, mapped, now_ms, limits)


def parse_format(text: str) -> Mapped:
    """`1:label:host,2:metric:cpu,3:time:unix_s`. Raises UserError."""
    metrics: list[tuple[int, str]] = []
    labels: list[tuple[int, str]] = []
    times: list[tuple[int, str]] = []
    kinds = {"metric": metrics, "label": labels, "time": times}
    for part in text.split(","):
        place, _, rest = part.strip().partition(":")
        kind, _, name = rest.partition(":")
        number = int(place[:9]) if place.isascii() and place.isdigit() else 0
        if not 1 <= number <= COLUMNS_MAX or kind not in kinds or not name:
            known = "NUMBER:metric:NAME, NUMBER:label:NAME and NUMBER:time:KIND"
            raise UserError(f"format lists columns as {known}, and has {shown(part)}.", field="format")
        kinds[kind].append((number - 1, name))
    if not metrics:
        raise UserError("format names no column as a metric, such as 2:metric:cpu.", field="format")
    if len(times) > 1:
        raise UserError("format names more than one column as the time.", field="format")
    if len({name for _, name in labels}) < len(labels):
        raise UserError("format names a label twice.", field="format")
    kind = times[0][1] if times else "rfc3339"
    if kind not in _TIME_KINDS:
        raise UserError(f"There is no time {shown(kind)}; there are {', '.join(_TIME_KINDS)}.", field="format")
    return Mapped(tuple(metrics), tuple(labels), times[0][0] if times else None, _TIME_KINDS[kind])


def _by_names(header: Sequence[str]) -> Mapped:
    """Raises UserError."""
    names = [one.strip() for one in header]
    if len(set(names)) < len(names):
        raise UserError("The first row names a column twice, or two columns have no name.")
    if len(names) > COLUMNS_MAX:
        raise UserError(f"There are {len(names)} columns, and there may be {COLUMNS_MAX}.")
    name = next((names.index(one) for one in _NAMES if one in names), None)
    if name is None or "value" not in names:
        raise UserError(f"The first row must name the columns, such as {_EXAMPLE}; or say what they are with `format`.")
    time = next((names.index(one) for one in _TIMES if one in names), None)
    taken = {name, names.index("value"), time}
    labels = tuple((at, one) for at, one in enumerate(names) if one and at not in taken)
    return Mapped((), labels, time, any_time, name, names.index("value"), len(names))


def _rows(text: str, delimiter: str) -> Iterator[tuple[int, list[str] | Fault]]:
    """(line, counted from 0, on which it starts; the fields, or why they cannot be read) of each row."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        at = reader.line_num
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield at, Fault(f"The row is not CSV: {error}.")
            continue
        if row:
            yield at, row


def _read(
    rows: Iterator[tuple[int, list[str] | Fault]], mapped: Mapped, now_ms: int, limits: IngestSettings
) -> CsvRows:
    """Raises TooLargeError."""
    columns, rejected, lines, most = Columns(), list[Rejection](), 0, limits.samples_max
    reader = _RowReader(mapped, now_ms, limits)
    for at, row in rows:
        lines += 1
        found = row if isinstance(row, Fault) else reader.read(row)
        if isinstance(found, Fault):
            rejected.append(Rejection(at, *found))
        else:
            for sample in found:
                if isinstance(sample, Fault):
                    rejected.append(Rejection(at, *sample))
                else:
                    columns.add(*sample, at)
        if len(columns) + len(rejected) > most:
            raise TooLargeError(f"One request may hold {most} samples; send it in parts, or use `tocsin import`.")
    return CsvRows(columns.rows(), tuple(rejected), lines)


class _RowReader:
    """Rows of one body."""

    def __init__(self, mapped: Mapped, now_ms: int, limits: IngestSettings) -> None:
        self._mapped = mapped
        self._now_ms = now_ms
        self._limits = limits
        self._known: dict[tuple[str, ...], Labels | Fault] = {}
        places = [at for at, _ in (*mapped.metrics, *mapped.labels)] + [mapped.time or 0]
        self._least = mapped.width or max(places) + 1

    def read(self, row: Sequence[str]) -> Fault | list[Fault | tuple[Labels, int, float]]:
        """What is wrong with all of the row, or each sample of it."""
        mapped = self._mapped
        if len(row) < self._least or (mapped.width is not None and len(row) > mapped.width):
            return Fault(f"The row has {len(row)} columns, and there should be {self._least}.")
        time = self._now_ms
        if mapped.time is not None and (text := row[mapped.time].strip()):
            read = mapped.time_of(text)
            if isinstance(read, Fault):
                return read
            time = read
        if mapped.name is not None:
            return [self._sample(row[mapped.name], row, row[mapped.value], time)]
        return [self._sample(name, row, row[at], time) for at, name in mapped.metrics if row[at].strip()]

    def _sample(self, name: str, row: Sequence[str], text: str, time: int) -> Fault | tuple[Labels, int, float]:
        labels = self._labels(name, row)
        if isinstance(labels, Fault):
            return labels
        value = number(text.strip())
        if value is None:
            return Fault(f"The value must be a number, NaN or Inf, and is {shown(text)}.")
        return labels, time, value

    def _labels(self, name: str, row: Sequence[str]) -> Labels | Fault:
        key = (name, *[row[at] for at, _ in self._mapped.labels])
        labels = self._known.get(key)
        if labels is None:
            if len(self._known) >= SERIES_MAX:
                self._known.clear()
            tags = {label: row[at] for at, label in self._mapped.labels if row[at]}
            labels = self._known[key] = _series(name, tags, self._limits)
        return labels


def _series(name: str, tags: Mapping[str, str], limits: IngestSettings) -> Labels | Fault:
    try:
        "".join((name, *tags, *tags.values())).encode()
    except UnicodeEncodeError:
        return Fault("The text is not UTF-8.")
    return naming.series_of(name.strip(), tags, limits)


def number(text: str) -> float | None:
    """A finite number, or what is written for one that is not; Python reads more: underscores, spaces."""
    if len(text) > _NUMBER_CHARS_MAX:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    if not isfinite(value):
        return _NOT_FINITE.get(text.lower())
    return value if text.isascii() and "_" not in text and text[-1] in _NUMBER_ENDS and text[0] > " " else None


def any_time(text: str) -> int | Fault:
    """RFC 3339, or epoch seconds."""
    seconds = number(text)
    if seconds is None:
        return _rfc3339(text)
    if not abs(seconds) < _MILLISECONDS_FROM:
        return Fault("The time looks like milliseconds or finer; send epoch seconds, or say the unit with `format`.")
    return round(seconds * 1_000)


def _rfc3339(text: str) -> int | Fault:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return Fault(f"The time must be RFC 3339 or epoch seconds, and is {shown(text)}.")
    if time.tzinfo is None:
        return Fault("The time has no time zone; add Z where it is UTC, or an offset such as +02:00.")
    return round((time - _EPOCH) / _MILLISECOND)


def _unix(per_ms: float) -> Callable[[str], int | Fault]:
    def read(text: str) -> int | Fault:
        if text.removeprefix("-").isdecimal() and len(text) <= 20:
            time = int(int(text) // per_ms) if per_ms >= 1 else int(text) * round(1 / per_ms)
        elif (fraction := number(text)) is not None and isfinite(fraction):
            time = round(fraction / per_ms)
        else:
            return Fault(f"The time must be a number, and is {shown(text)}.")
        return time if abs(time) <= _INT64_MAX else Fault("The time must fit in 64 bits of milliseconds.")

    return read


_TIME_KINDS: Mapping[str, Callable[[str], int | Fault]] = {
    "unix_s": _unix(0.001),
    "unix_ms": _unix(1),
    "unix_us": _unix(1_000),
    "unix_ns": _unix(1_000_000),
    "rfc3339": _rfc3339,
}
