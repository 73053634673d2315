"""Prometheus remote write 1.0 (`prometheus.WriteRequest`) and 2.0 (`io.prometheus.write.v2.Request`).

Both are protobuf, read here by hand, whatever they hold; `remote_known` reads the requests that hold nothing unusual,
and much faster. Exemplars are counted and left out; native histograms are refused. A series whose labels are wrong is
refused with its samples, and the others are taken.

Source: Prometheus remote-write specifications 1.0 and 2.0; prompb/remote.proto, prompb/types.proto,
prompb/io/prometheus/write/v2/types.proto; protobuf's encoding guide.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from tocsin.ingest import naming
from tocsin.ingest.naming import Fault, shown
from tocsin.ingest.rows import Refusal, Rejection, Rows
from tocsin.ingest.settings import IngestSettings
from tocsin.model.errors import TooLargeError, UserError
from tocsin.model.labels import METRIC_NAME, Labels
from tocsin.model.series import MetricInfo

SYMBOLS_MAX = 500_000

KINDS = ("", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset")
"""By the number that both versions give them."""

UNITS = {"seconds": "s", "bytes": "By", "ratio": "1", "percent": "%", "celsius": "Cel", "volts": "V", "amperes": "A"}
"""Prometheus' words for units in UCUM's letters; others stay as they are."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_VARINT_BYTES_MAX = 10
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NO_HISTOGRAMS = "Native histograms are not stored; let the sender send classic ones."
_NOT_UTF8 = "A label is not UTF-8."


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """One request. `sent` counts samples and native histograms, which are all in `refused`."""

    rows: Rows
    refused: tuple[Rejection, ...]
    infos: tuple[MetricInfo, ...]
    sent: int
    exemplars: int


def parse_v1(body: bytes, limits: IngestSettings) -> Written:
    """Raises UserError where the body is no such message; TooLargeError where it holds too many samples."""
    taken = _Taken(limits)
    seen = 0
    for number, kind, start, stop in _fields(body, 0, len(body)):
        if kind != _BYTES:
            continue
        if number == 1:
            seen += 1
            taken.check_series(seen)
            _take_series_v1(body, start, stop, taken)
        elif number == 3:
            _take_metadata_v1(body, start, stop, taken)
    return taken.written()


def parse_v2(body: bytes, limits: IngestSettings) -> Written:
    """As parse_v1. The symbols may follow the series that name them."""
    taken = _Taken(limits)
    symbols: list[str | None] = []
    series: list[tuple[int, int]] = []
    for number, kind, start, stop in _fields(body, 0, len(body)):
        if number == 4 and kind == _BYTES:
            symbols.append(_text(body[start:stop]))
            if len(symbols) > SYMBOLS_MAX:
                raise TooLargeError(f"One request may hold {SYMBOLS_MAX} symbols; send them in several.")
        elif number == 5 and kind == _BYTES:
            series.append((start, stop))
            taken.check_series(len(series))
    for start, stop in series:
        _take_series_v2(body, start, stop, symbols, taken)
    return taken.written()


@dataclass(slots=True)
class _Taken:
    """What has been read of a request so far; `bits` are the values' own."""

    limits: IngestSettings
    series: list[Labels] = field(default_factory=list)
    which: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    bits: list[int] = field(default_factory=list)
    index: list[int] = field(default_factory=list)
    refused: list[Rejection] = field(default_factory=list)
    infos: dict[str, MetricInfo] = field(default_factory=dict)
    sent: int = 0
    exemplars: int = 0

    def check_series(self, count: int) -> None:
        if count > self.limits.samples_max:
            raise TooLargeError(f"One request may hold {self.limits.samples_max} series; send them in several.")

    def take(self, labels: Labels | Fault, samples: Sequence[tuple[int, int]], histograms: int) -> None:
        """samples as (ms, the value's bits)."""
        first = self.sent
        self.sent += len(samples) + histograms
        if self.sent > self.limits.samples_max:
            raise _too_many(self.limits)
        after = first + len(samples)
        if isinstance(labels, Fault):
            self.refused += [Rejection(at, *labels) for at in range(first, self.sent)]
            return
        self.refused += [Rejection(at, _NO_HISTOGRAMS, Refusal.HISTOGRAM) for at in range(after, self.sent)]
        if samples:
            self.which += [len(self.series)] * len(samples)
            self.series.append(labels)
            self.index += range(first, after)
            for time, bits in samples:
                self.times.append(time)
                self.bits.append(bits)

    def describe(self, name: str | None, kind: int, help_: str | None, unit: str | None) -> None:
        """Passed over where it says nothing or cannot be kept: no sample is lost by it."""
        info = info_of(name, kind, help_, unit, self.limits)
        if info is None:
            return
        self.infos[info.name] = info
        if len(self.infos) > self.limits.samples_max:
            raise TooLargeError(f"One request may describe {self.limits.samples_max} metrics; send them in several.")

    def written(self) -> Written:
        times = np.array(self.times, np.int64)
        values = np.array(self.bits, np.uint64).view(np.float64)
        index = np.array(self.index, np.int64)
        rows = Rows(tuple(self.series), np.array(self.which, np.int64), times, values, index)
        return Written(rows, tuple(self.refused), tuple(self.infos.values()), self.sent, self.exemplars)


# Version 1.


def _take_series_v1(body: bytes, start: int, stop: int, taken: _Taken) -> None:
    labels: list[bytes] = []
    samples: list[tuple[int, int]] = []
    histograms = 0
    before = start
    for number, kind, first, end in _fields(body, start, stop):
        if kind == _BYTES and number == 1:
            if len(labels) <= taken.limits.labels_max + 1:  # one more than may be is enough to refuse them
                labels.append(body[before:end])
        elif kind == _BYTES and number == 2:
            samples.append(_sample(body, first, end))
            _check_count(taken.sent + len(samples) + histograms, taken.limits)
        elif kind == _BYTES and number == 3:
            taken.exemplars += 1
        elif kind == _BYTES and number == 4:
            histograms += 1
            _check_count(taken.sent + len(samples) + histograms, taken.limits)
        before = end
    taken.take(labels_of_block(b"".join(labels), taken.limits), samples, histograms)


def _take_metadata_v1(body: bytes, start: int, stop: int, taken: _Taken) -> None:
    kind = 0
    texts: dict[int, str | None] = {}
    for number, wire, first, end in _fields(body, start, stop):
        if number == 1 and wire == _VARINT:
            kind = first
        elif number in (2, 4, 5) and wire == _BYTES:
            texts[number] = _text(body[first:end])
    taken.describe(texts.get(2), kind, texts.get(4), texts.get(5))


# Version 2.


def _take_series_v2(
    body: bytes,
    start: int,
    stop: int,
    symbols: Sequence[str | None],
    taken: _Taken,
) -> None:
    refs: list[int] = []
    samples: list[tuple[int, int]] = []
    histograms = 0
    metadata: tuple[int, int] | None = None
    refs_max = 2 * (taken.limits.labels_max + 2)  # one label more than may be is enough to refuse them
    for number, kind, first, end in _fields(body, start, stop):
        if number == 1 and kind == _BYTES:
            refs += _packed(body, first, end, refs_max - len(refs))
        elif number == 1 and kind == _VARINT:  # not packed, which protobuf's readers have to take too
            if len(refs) < refs_max:
                refs.append(first)
        elif number == 2 and kind == _BYTES:
            samples.append(_sample(body, first, end))
            _check_count(taken.sent + len(samples) + histograms, taken.limits)
        elif number == 3 and kind == _BYTES:
            histograms += 1
            _check_count(taken.sent + len(samples) + histograms, taken.limits)
        elif number == 4 and kind == _BYTES:
            taken.exemplars += 1
        elif number == 5 and kind == _BYTES:
            metadata = (first, end)
    labels = _labels_of_refs(refs, symbols, taken.limits)
    taken.take(labels, samples, histograms)
    if metadata is not None and isinstance(labels, Labels):
        _take_metadata_v2(body, *metadata, symbols, labels.name, taken)


def _packed(body: bytes, at: int, stop: int, most: int) -> list[int]:
    """The first of them."""
    numbers: list[int] = []
    while at < stop and len(numbers) < most:
        number, at = _varint(body, at, stop)
        numbers.append(number)
    return numbers


def _labels_of_refs(refs: Sequence[int], symbols: Sequence[str | None], limits: IngestSettings) -> Labels | Fault:
    if len(refs) % 2:
        return Fault("A label has a name and no value: the number of references is odd.")
    try:
        said = [symbols[ref] for ref in refs]
    except IndexError:
        return Fault(f"A label refers to symbol {max(refs)}, and the request has {len(symbols)}.")
    return _checked(list(zip(said[::2], said[1::2], strict=True)), limits)


def _take_metadata_v2(
    body: bytes, start: int, stop: int, symbols: Sequence[str | None], name: str, taken: _Taken
) -> None:
    said = {1: 0, 3: 0, 4: 0}
    for number, kind, first, _ in _fields(body, start, stop):
        if number in said and kind == _VARINT:
            said[number] = first
    help_, unit = (symbols[ref] if 0 < ref < len(symbols) else "" for ref in (said[3], said[4]))
    taken.describe(name, said[1], help_, unit)


# Both versions.


def info_of(
    name: str | None, kind: int, help_: str | None, unit: str | None, limits: IngestSettings
) -> MetricInfo | None:
    """None where it says nothing, or is about no name that can be kept."""
    known = KINDS[kind] if kind < len(KINDS) else ""
    if not name or len(name) > limits.name_chars_max or _CONTROL.search(name) or not (known or help_ or unit):
        return None
    said = (help_ or "").replace("\0", "")[: limits.value_chars_max]
    measured = _CONTROL.sub("", unit or "")[: limits.name_chars_max]
    return MetricInfo(name, UNITS.get(measured, measured), known, said)


def _sample(body: bytes, start: int, stop: int) -> tuple[int, int]:
    """(ms, the value's bits): a float would not be sure to keep what a NaN carries."""
    time = bits = 0
    for number, kind, first, end in _fields(body, start, stop):
        if number == 1 and kind == _FIXED64:
            bits = int.from_bytes(body[first:end], "little")
        elif number == 2 and kind == _VARINT:
            time = first - (1 << 64) if first >> 63 else first
    return time, bits


def _check_count(count: int, limits: IngestSettings) -> None:
    if count > limits.samples_max:
        raise _too_many(limits)


def _too_many(limits: IngestSettings) -> TooLargeError:
    return TooLargeError(f"One request may hold {limits.samples_max} samples; send them in several.")


def _fields(body: bytes, at: int, stop: int) -> Iterator[tuple[int, int, int, int]]:
    """(number, wire type, start, end) of each field; for a varint its value instead of the start.

    Raises UserError where the bytes up to `stop` are not whole fields.
    """
    while at < stop:
        tag = body[at]
        at += 1
        if tag >= 0x80:
            tag, at = _varint(body, at - 1, stop)
        number, kind = tag >> 3, tag & 7
        if kind == _BYTES:
            if at < stop and body[at] < 0x80:
                length = body[at]
                at += 1
            else:
                length, at = _varint(body, at, stop)
            end = at + length
        elif kind == _VARINT:
            at, end = _varint(body, at, stop)
        elif kind in (_FIXED64, _FIXED32):
            end = at + (8 if kind == _FIXED64 else 4)
        else:
            raise UserError(f"The body is not remote write's protobuf: wire type {kind} at byte {at}.")
        if end > stop or number == 0:
            raise _broken(at if kind != _VARINT else end)
        yield number, kind, at, end
        at = end


def _varint(body: bytes, at: int, stop: int) -> tuple[int, int]:
    """(value of 64 bits, where it ends)."""
    value = shift = 0
    for end in range(at, min(stop, at + _VARINT_BYTES_MAX)):
        byte = body[end]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, end + 1
        shift += 7
    raise _broken(at)


def _broken(at: int) -> UserError:
    return UserError(f"The body is not remote write's protobuf, or ends too early: see byte {at}.")


def _text(raw: bytes) -> str | None:
    """None where it is not UTF-8, of which half a surrogate pair is no part."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def labels_of_block(block: bytes, limits: IngestSettings) -> Labels | Fault:
    """block: the label fields of a version 1 series, one after another. Raises UserError where they are no fields."""
    return _checked(_pairs(block), limits)


def _pairs(block: bytes) -> list[tuple[str | None, str | None]]:
    pairs: list[tuple[str | None, str | None]] = []
    for _, _, start, stop in _fields(block, 0, len(block)):
        name: str | None = ""
        value: str | None = ""
        for number, kind, first, end in _fields(block, start, stop):
            if number == 1 and kind == _BYTES:
                name = _text(block[first:end])
            elif number == 2 and kind == _BYTES:
                value = _text(block[first:end])
        pairs.append((name, value))
    return pairs


def _checked(pairs: Sequence[tuple[str | None, str | None]], limits: IngestSettings) -> Labels | Fault:
    """The labels in order, without the empty ones."""
    found: dict[str, str] = {}
    for name, value in pairs:
        if name is None or value is None:
            return Fault(_NOT_UTF8)
        if name in found:
            return Fault(f"The label {shown(name)} is there twice.")
        found[name] = value
    return naming.series_of(found.pop(METRIC_NAME, ""), found, limits)
