"""A client of remote read: requests and answers by protobuf's own library, from the messages' description."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cramjam
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_D = descriptor_pb2.FieldDescriptorProto
_TEXT, _INT32, _INT64, _DOUBLE = _D.TYPE_STRING, _D.TYPE_INT32, _D.TYPE_INT64, _D.TYPE_DOUBLE

Fields = list[tuple[str, Any]]
"""(name, its type: protobuf's, or the message that it is a list of), numbered from 1."""

_MESSAGES: dict[str, Fields] = {
    "LabelMatcher": [("type", _INT32), ("name", _TEXT), ("value", _TEXT)],
    "Query": [("start", _INT64), ("end", _INT64), ("matchers", "LabelMatcher")],
    "ReadRequest": [("queries", "Query")],
    "Label": [("name", _TEXT), ("value", _TEXT)],
    "Sample": [("value", _DOUBLE), ("timestamp", _INT64)],
    "TimeSeries": [("labels", "Label"), ("samples", "Sample")],
    "QueryResult": [("timeseries", "TimeSeries")],
    "ReadResponse": [("results", "QueryResult")],
}


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="tests_remote_read.proto", package="tests", syntax="proto3")
    for message, fields in _MESSAGES.items():
        made = file.message_type.add(name=message)
        for number, (name, kind) in enumerate(fields, 1):
            if isinstance(kind, str):
                of = f".tests.{kind}"
                made.field.add(name=name, number=number, type=_D.TYPE_MESSAGE, label=_D.LABEL_REPEATED, type_name=of)
            else:
                made.field.add(name=name, number=number, type=kind, label=_D.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tests.{name}")) for name in _MESSAGES}


CLASSES = _classes()


def read_request(queries: Sequence[tuple[int, int, Sequence[tuple[int, str, str]]]]) -> bytes:
    """Of (start, end, matchers); a matcher is (0 =, 1 !=, 2 =~, 3 !~; name; value). Packed."""
    request = CLASSES["ReadRequest"]()
    for start, end, matchers in queries:
        query = request.queries.add(start=start, end=end)
        for kind, name, value in matchers:
            query.matchers.add(type=kind, name=name, value=value)
    return bytes(cramjam.snappy.compress_raw(request.SerializeToString()))


Read = list[tuple[dict[str, str], list[tuple[int, float]]]]


def read_response(body: bytes) -> list[Read]:
    """Of each query the series, as labels and samples."""
    response = CLASSES["ReadResponse"].FromString(bytes(cramjam.snappy.decompress_raw(body)))
    return [
        [
            ({label.name: label.value for label in one.labels}, [(each.timestamp, each.value) for each in one.samples])
            for one in result.timeseries
        ]
        for result in response.results
    ]
