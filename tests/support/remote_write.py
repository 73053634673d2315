"""Remote write requests by the letter of the .proto files, field by field; slow and plain on purpose."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

Pairs = Sequence[tuple[str | bytes, str | bytes]]


@dataclass(frozen=True, slots=True)
class Sent:
    """A series with samples as (ms, value), and what may come with it."""

    labels: Pairs
    samples: Sequence[tuple[int, float | bytes]] = ()
    """A value may be the eight bytes of a float64."""
    exemplars: int = 0
    histograms: int = 0
    info: tuple[int, str, str] | None = None
    """Version 2's metadata: type, help, unit."""


@dataclass(slots=True)
class Symbols:
    table: dict[bytes, int] = field(default_factory=lambda: {b"": 0})

    def ref(self, text: str | bytes) -> int:
        return self.table.setdefault(raw(text), len(self.table))


def raw(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def varint(number: int) -> bytes:
    number &= 0xFFFF_FFFF_FFFF_FFFF
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def block(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def number_field(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value) if value else b""


def sample(time: int, value: float | bytes) -> bytes:
    """As gogoproto does it: what is 0 is left out."""
    bits = value if isinstance(value, bytes) else struct.pack("<d", value)
    return (b"\x09" + bits if bits != bytes(8) else b"") + number_field(2, time)


def label(name: str | bytes, value: str | bytes) -> bytes:
    return block(1, raw(name)) + block(2, raw(value))


def metadata_v1(kind: int, name: str | bytes, help_: str = "", unit: str = "") -> bytes:
    parts = number_field(1, kind) + block(2, raw(name))
    return block(3, parts + block(4, raw(help_)) + block(5, raw(unit)))


def series_v1(one: Sent) -> bytes:
    parts = [block(1, label(*pair)) for pair in one.labels]
    parts += [block(2, sample(*each)) for each in one.samples]
    parts += [block(3, sample(1, 2.0))] * one.exemplars
    parts += [block(4, number_field(1, 5))] * one.histograms
    return block(1, b"".join(parts))


def request_v1(series: Sequence[Sent], metadata: bytes = b"") -> bytes:
    return b"".join(map(series_v1, series)) + metadata


def request_v2(series: Sequence[Sent]) -> bytes:
    symbols = Symbols()
    body = b"".join(block(5, series_v2(one, symbols)) for one in series)
    return b"".join(block(4, text) for text in symbols.table) + body


def series_v2(one: Sent, symbols: Symbols) -> bytes:
    refs = b"".join(varint(symbols.ref(text)) for pair in one.labels for text in pair)
    parts = [block(1, refs)]
    parts += [block(2, sample(*each)) for each in one.samples]
    parts += [block(3, number_field(1, 5))] * one.histograms
    parts += [block(4, sample(1, 2.0))] * one.exemplars
    if one.info is not None:
        kind, help_, unit = one.info
        said = number_field(1, kind) + number_field(3, symbols.ref(help_)) + number_field(4, symbols.ref(unit))
        parts.append(block(5, said))
    return b"".join(parts)
