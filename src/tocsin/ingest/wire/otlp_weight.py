"""How many messages an OTLP request holds, counted before objects are made of them.

An empty message takes two bytes in protobuf and three in JSON, and about 64 and 130 bytes as an object: a request of
16 MiB could become a gigabyte. Requests as exporters make them have one for every 13 bytes or more.

Source: OpenTelemetry, metrics.proto, common.proto and resource.proto; protobuf's encoding guide.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from tocsin.model.errors import TooLargeError, UserError

WEIGHED_FROM = 1024 * 1024
"""Bytes of protobuf that are not counted: they grow to no more than 32 MiB."""

MESSAGES_MAX = 1_500_000
"""About 100 MB of protobuf's objects, and twice that of JSON's."""

NUMBERS_MAX = 3_000_000
"""Commas in JSON: the numbers of histograms, mostly."""

DEPTH_MAX = 100
"""As protobuf's own reader has it."""

Fields: TypeAlias = Mapping[int, str]
"""Number of a field that holds messages → which."""

_POINT_OF = {5: "numbers", 7: "numbers", 9: "histograms", 10: "exponentials", 11: "summaries", 12: "pair"}
_MESSAGES: Mapping[str, Fields] = {
    "request": {1: "resource metrics"},
    "resource metrics": {1: "resource", 2: "scope metrics"},
    "resource": {1: "pair"},
    "scope metrics": {1: "scope", 2: "metric"},
    "scope": {3: "pair"},
    "metric": _POINT_OF,
    "numbers": {1: "number"},
    "histograms": {1: "histogram"},
    "exponentials": {1: "exponential"},
    "summaries": {1: "summary"},
    "number": {5: "exemplar", 7: "pair"},
    "histogram": {8: "exemplar", 9: "pair"},
    "exponential": {1: "pair", 8: "buckets", 9: "buckets", 11: "exemplar"},
    "summary": {6: "quantile", 7: "pair"},
    "exemplar": {7: "pair"},
    "buckets": {},
    "quantile": {},
    "pair": {2: "value"},
    "value": {5: "array", 6: "list"},
    "array": {1: "value"},
    "list": {1: "pair"},
}

_VARINT, _FIXED64, _BYTES, _GROUP, _GROUP_END, _FIXED32 = range(6)
_TOO_MANY = "The request holds more than {most} messages, as attributes and data points are; send it in parts."


def check_protobuf(body: bytes, messages_max: int = MESSAGES_MAX) -> None:
    """Raises TooLargeError where there are too many, UserError where the bytes are no messages."""
    if len(body) > WEIGHED_FROM:
        Count(body, messages_max).walk(0, len(body), "request", 0)


def check_json(body: bytes, messages_max: int = MESSAGES_MAX, numbers_max: int = NUMBERS_MAX) -> None:
    """Raises TooLargeError. Braces and commas in texts count too, which makes no request too large that is not long."""
    if body.count(b"{") > messages_max:
        raise TooLargeError(_TOO_MANY.format(most=messages_max))
    if body.count(b",") > numbers_max:
        raise TooLargeError(f"The request holds more than {numbers_max} numbers and fields; send it in parts.")


class Count:
    """Of one body; no more than `most`."""

    def __init__(self, body: bytes, most: int) -> None:
        self._body = body
        self._most = most
        self.messages = 0

    def walk(self, at: int, stop: int, name: str, depth: int) -> None:
        """Count what is in the message that lies there."""
        if depth > DEPTH_MAX:
            raise UserError("An attribute in the body is nested too deeply.")
        body, inside = self._body, _MESSAGES[name]
        while at < stop:
            tag, at = self._varint(at, stop)
            kind = tag & 7
            if kind == _BYTES:
                length, at = self._varint(at, stop)
                end = at + length
                child = inside.get(tag >> 3)
                if child is not None:
                    self.messages += 1
                    if self.messages > self._most:
                        raise TooLargeError(_TOO_MANY.format(most=self._most))
                    if length:
                        self.walk(at, min(end, stop), child, depth + 1)
                at = end
            elif kind == _VARINT:
                _, at = self._varint(at, stop)
            elif kind in (_FIXED64, _FIXED32):
                at += 8 if kind == _FIXED64 else 4
            elif kind not in (_GROUP, _GROUP_END):  # a group's fields follow as if they were this message's own
                raise _broken(at)
        if at > stop or stop > len(body):
            raise _broken(at)

    def _varint(self, at: int, stop: int) -> tuple[int, int]:
        body = self._body
        value = shift = 0
        while at < stop and shift < 70:
            byte = body[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
            shift += 7
        raise _broken(at)


def _broken(at: int) -> UserError:
    return UserError(f"The body is not an ExportMetricsServiceRequest in protobuf: see byte {at}.")
