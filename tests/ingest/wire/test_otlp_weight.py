from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.otlp import gauge, histogram, point, protobuf, request
from tests.support.remote_write import block

from tocsin.ingest.wire.otlp_weight import WEIGHED_FROM, Count, check_json, check_protobuf
from tocsin.model.errors import TooLargeError, UserError

MANY = 2**62


def weigh(body: bytes, most: int = MANY) -> int:
    count = Count(body, most)
    count.walk(0, len(body), "request", 0)
    return count.messages


def test_every_message_is_counted() -> None:
    body = protobuf(request(gauge("a", point(1, 1.0, {"x": "1", "y": "2"}), point(2, 2.0)), service_name="shop"))
    # resource metrics, resource, its pair and value; scope metrics, metric, numbers; a point with two pairs; a point
    assert weigh(body) == 4 + 3 + 5 + 1


@pytest.mark.parametrize(
    "body",
    [
        b"\x0a\x00" * 600_000,
        block(1, b"\x12\x00" * 600_000),
        block(1, block(2, b"\x12\x00" * 600_000)),
        block(1, block(2, block(2, block(5, b"\x0a\x00" * 600_000)))),
        block(1, block(2, block(2, block(5, block(1, b"\x3a\x00" * 600_000))))),
        block(1, block(2, block(2, block(9, block(1, b"\x42\x00" * 600_000))))),
        block(1, block(1, b"\x0a\x00" * 600_000)),
        block(1, block(1, block(1, block(2, block(5, b"\x0a\x00" * 600_000))))),
        block(1, block(1, block(1, block(2, block(6, b"\x0a\x00" * 600_000))))),
    ],
)
def test_empty_messages_are_too_many_wherever_they_are(body: bytes) -> None:
    assert len(body) > WEIGHED_FROM
    with pytest.raises(TooLargeError, match="more than 500000 messages"):
        check_protobuf(body, 500_000)


def test_a_small_body_is_not_counted() -> None:
    check_protobuf(b"\x0a\x00" * 1_000, 1)


def test_a_body_as_exporters_make_it_has_room() -> None:
    points = [point(at, 1.0, {"host": f"web-{at}", "region": "eu-central-1"}) for at in range(8_000)]
    body = protobuf(request(gauge("http.server.active_requests", *points), service_name="shop"))
    assert weigh(body) < len(body) / 12


def test_nesting_has_a_bound() -> None:
    value = b""
    for _ in range(300):
        value = block(5, block(1, value))
    with pytest.raises(UserError, match="nested"):
        weigh(block(1, block(1, block(1, block(2, value)))))


@given(st.binary(max_size=200))
def test_any_bytes_are_counted_or_are_a_users_error(body: bytes) -> None:
    try:
        weigh(body)
    except UserError:
        return


def test_what_protobuf_reads_is_counted_without_an_error() -> None:
    told = histogram("h", {"count": "3", "sum": 1.0, "bucketCounts": ["1", "2"], "explicitBounds": [1.0]})
    assert weigh(protobuf(request(told))) == 6


def test_json_is_counted_by_its_braces_and_commas() -> None:
    check_json(b'{"a":[{},{}]}', 3, 1)
    with pytest.raises(TooLargeError, match="2 messages"):
        check_json(b'{"a":[{},{}]}', 2, 1)
    with pytest.raises(TooLargeError, match="0 numbers"):
        check_json(b'{"a":[{},{}]}', 3, 0)
