"""Remote read: what Prometheus asks, and samples in answer. Pure.

Protobuf, by hand: three messages, and samples as rows of bytes without an object each.
Source: Prometheus prompb/remote.proto, prompb/types.proto; protobuf's encoding guide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from tocsin.model.errors import UserError
from tocsin.model.matcher import Matcher, MatchOp
from tocsin.model.series import FloatArray, TimeArray
from tocsin.promql.frame import ABSENT, LabelFrame
from tocsin.promql.values import Ranges

QUERIES_MAX = 100
MATCHERS_MAX = 100
_OPS = (MatchOp.EQUAL, MatchOp.NOT_EQUAL, MatchOp.REGEX, MatchOp.NOT_REGEX)
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_AROUND_TIME = 12
"""Bytes of a sample besides its time."""
_WRONG = "The body is no prometheus.ReadRequest."


@dataclass(frozen=True, slots=True)
class ReadQuery:
    """Samples with start ≤ time ≤ end of the series that fit."""

    start_ms: int
    end_ms: int
    matchers: tuple[Matcher, ...]


def parse_request(body: bytes) -> tuple[ReadQuery, ...]:
    """Raises UserError."""
    queries = [_query(value) for number, value in _fields(body) if number == 1 and isinstance(value, bytes)]
    if len(queries) > QUERIES_MAX:
        raise UserError(f"One request may hold {QUERIES_MAX} queries.")
    return tuple(queries)


def _query(body: bytes) -> ReadQuery:
    start_ms = end_ms = 0
    matchers: list[Matcher] = []
    for number, value in _fields(body):
        if number == 1 and isinstance(value, int):
            start_ms = _signed(value)
        elif number == 2 and isinstance(value, int):
            end_ms = _signed(value)
        elif number == 3 and isinstance(value, bytes):
            matchers.append(_matcher(value))
    if len(matchers) > MATCHERS_MAX:
        raise UserError(f"One query may hold {MATCHERS_MAX} matchers.")
    return ReadQuery(start_ms, end_ms, tuple(matchers))


def _matcher(body: bytes) -> Matcher:
    op, label, text = 0, "", ""
    try:
        for number, value in _fields(body):
            if number == 1 and isinstance(value, int):
                op = value
            elif number == 2 and isinstance(value, bytes):
                label = value.decode()
            elif number == 3 and isinstance(value, bytes):
                text = value.decode()
    except UnicodeDecodeError as error:
        raise UserError("A matcher is not UTF-8.") from error
    if op >= len(_OPS):
        raise UserError(f"A matcher is of the type {op}, which is not known here.")
    matcher = Matcher(label, _OPS[op], text)
    matcher.check()
    return matcher


def _fields(body: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of each field; fixed numbers are passed over. Raises UserError."""
    at = 0
    while at < len(body):
        key, at = _read_varint(body, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _read_varint(body, at)
            yield number, value
        elif kind == _BYTES:
            size, at = _read_varint(body, at)
            if at + size > len(body):
                raise UserError(_WRONG)
            yield number, body[at : at + size]
            at += size
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise UserError(_WRONG)
    if at > len(body):
        raise UserError(_WRONG)


def _read_varint(body: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(body):
            break
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, at
    raise UserError(_WRONG)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def result(found: Ranges) -> bytes:
    """A QueryResult of all samples of the block; series in the order of their labels."""
    block, labels = found.block, _labels(found.frame)
    written, at = encoded(block.times, block.values)
    rows = []
    for row in found.frame.order().tolist():
        first, end = at[block.offsets[row]], at[block.offsets[row + 1]]
        if first < end:
            rows.append(_field(1, b"".join((*labels[row], written[first:end]))))
    return b"".join(rows)


def response(results: Sequence[bytes]) -> bytes:
    """A ReadResponse."""
    return b"".join(_field(1, one) for one in results)


def _labels(frame: LabelFrame) -> list[list[bytes]]:
    """Field 1 of a TimeSeries, once for each label: the same value of a label is written once for all series."""
    rows: list[list[bytes]] = [[] for _ in range(len(frame))]
    for name in sorted(frame.columns):
        column, key = frame.columns[name], _field(1, name.encode())
        texts = [_field(1, key + _field(2, value.encode())) for value in column.values]
        for row, code in zip(rows, column.codes.tolist(), strict=True):
            if code != ABSENT:
                row.append(texts[code])
    return rows


def encoded(times: TimeArray, values: FloatArray) -> tuple[bytes, TimeArray]:
    """Field 2 of a TimeSeries, once for each sample: value (1, double) and time (2, int64); where each begins.

    Times of the same number of bytes are written together; a row is [0x12, size, 0x09, 8 bytes, 0x10, the time].
    Returns int64[n + 1] beside the bytes.
    """
    bits = times.astype(np.uint64)
    sizes = np.ones(len(times), np.int64)
    for shift in range(7, 64, 7):
        sizes += bits >= np.uint64(1) << np.uint64(shift)
    edges = [0, *(np.flatnonzero(np.diff(sizes)) + 1).tolist(), len(times)]
    parts = [
        _rows(bits[first:end], values[first:end], int(sizes[first])) for first, end in pairwise(edges) if first < end
    ]
    return b"".join(parts), np.concatenate(([0], np.cumsum(sizes + _AROUND_TIME)))


def _rows(bits: np.ndarray[tuple[int, ...], np.dtype[np.uint64]], values: FloatArray, size: int) -> bytes:
    rows = np.empty((len(bits), _AROUND_TIME + size), np.uint8)
    rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 11] = 0x12, 10 + size, 0x09, 0x10
    rows[:, 3:11] = np.ascontiguousarray(values, "<f8").view(np.uint8).reshape(-1, 8)
    for at in range(size):
        seven = (bits >> np.uint64(7 * at)).astype(np.uint8) & 0x7F
        rows[:, _AROUND_TIME + at] = seven | (0x80 if at < size - 1 else 0)
    return rows.tobytes()


def _field(number: int, content: bytes) -> bytes:
    return bytes((number << 3 | _BYTES,)) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
