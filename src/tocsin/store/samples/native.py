"""ClickHouse's Native format, as far as tocsin needs it: columns in, columns out.

The embedded engine and a server over HTTP both take and give these bytes, and neither direction makes
a Python object per number. Source: ClickHouse docs, interfaces/formats/Native, without custom
serialisations (protocol revision 0): per block the number of columns and rows, per column its name,
its type and its values, strings being preceded by their lengths, counts being LEB128.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

Columns: TypeAlias = dict[str, Any]
"""Values by column name: NumPy arrays of numbers, lists of str; of lists of numbers (their lengths, all numbers)."""

_NUMBERS: dict[str, np.dtype[Any]] = {
    "UInt64": np.dtype("<u8"),
    "Int64": np.dtype("<i8"),
    "Float64": np.dtype("<f8"),
    "Int8": np.dtype("i1"),
}
STRING = "String"
LISTS = "Array(UInt64)"


@dataclass(frozen=True, slots=True)
class Shape:
    """The columns of a table or answer: ClickHouse types (UInt64, Int64, Int8, Float64, String) by name, in order.

    Array(UInt64) can be read alone.
    """

    types: Mapping[str, str]

    def __str__(self) -> str:
        """As the structure argument of a table function wants it."""
        return ", ".join(f"{name} {kind}" for name, kind in self.types.items())

    @property
    def names(self) -> str:
        return ", ".join(self.types)


def encode(shape: Shape, columns: Columns) -> bytes:
    """One block with all the rows. Raises ValueError where the columns are not of one length."""
    rows = height(shape, columns)
    out = [_count(len(shape.types)), _count(rows)]
    for name, kind in shape.types.items():
        values = columns[name]
        out += [_text(name), _text(kind)]
        if kind == STRING:
            out += [_text(value) for value in values]
        else:
            out.append(np.ascontiguousarray(values, _NUMBERS[kind]).tobytes())
    return b"".join(out)


def height(shape: Shape, columns: Columns) -> int:
    lengths = {len(columns[name]) for name in shape.types}
    if len(lengths) != 1:
        raise ValueError(f"the columns of {shape} have different lengths: {sorted(lengths)}")
    return lengths.pop()


def decode(shape: Shape, data: bytes | memoryview) -> Columns:
    """All blocks joined. Raises ValueError where they do not have the columns of `shape`."""
    found: dict[str, list[Any]] = {name: [] for name in shape.types}
    at, end = 0, len(data)
    while at < end:
        width, at = _read_count(data, at)
        rows, at = _read_count(data, at)
        for _ in range(width):
            name, at = _read_text(data, at)
            kind, at = _read_text(data, at)
            if shape.types.get(name) != kind:
                raise ValueError(f"the answer has a column {name} {kind} where {shape} was expected")
            values, at = _read(data, at, rows, kind)
            found[name].append(values)
    return {name: _joined(kind, found[name]) for name, kind in shape.types.items()}


def _joined(kind: str, parts: Sequence[Any]) -> Any:
    if kind == STRING:
        return [value for part in parts for value in part]
    if kind == LISTS:
        return tuple(_joined("UInt64", [part[at] for part in parts]) for at in range(2))
    return np.concatenate(parts) if parts else np.zeros(0, _NUMBERS[kind])


def _count(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _text(value: str) -> bytes:
    raw = value.encode()
    return _count(len(raw)) + raw


def _read(data: bytes | memoryview, at: int, rows: int, kind: str) -> tuple[Any, int]:
    if kind == STRING:
        return _read_strings(data, at, rows)
    if kind == LISTS:
        ends, at = _read_numbers(data, at, rows, "UInt64")
        numbers, at = _read_numbers(data, at, int(ends[-1]) if rows else 0, "UInt64")
        return (np.diff(ends, prepend=np.uint64(0)), numbers), at
    return _read_numbers(data, at, rows, kind)


def _read_count(data: bytes | memoryview, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7


def _read_text(data: bytes | memoryview, at: int) -> tuple[str, int]:
    size, at = _read_count(data, at)
    return bytes(data[at : at + size]).decode(), at + size


def _read_strings(data: bytes | memoryview, at: int, rows: int) -> tuple[list[str], int]:
    values: list[str] = []
    for _ in range(rows):
        value, at = _read_text(data, at)
        values.append(value)
    return values, at


def _read_numbers(data: bytes | memoryview, at: int, rows: int, kind: str) -> tuple[Any, int]:
    dtype = _NUMBERS[kind]
    return np.frombuffer(data, dtype, rows, at), at + rows * dtype.itemsize
