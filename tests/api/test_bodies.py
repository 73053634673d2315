import gzip
import zlib
from collections.abc import Callable

import cramjam
import pytest
from starlette.requests import Request
from starlette.types import Message

from tocsin.api.bodies import read_body, unpack
from tocsin.model.errors import TooLargeError, UserError
from tocsin.runtime.offload import InlineOffload


def snappy(body: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(body))


def zstd(body: bytes) -> bytes:
    return bytes(cramjam.zstd.compress(body))


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "snappy": snappy,
    "zstd": zstd,
}
ENCODINGS = sorted(PACK)


def test_gzip_is_unpacked() -> None:
    assert unpack(gzip.compress(b"hello"), 5) == b"hello"


def test_several_members_are_one_body() -> None:
    assert unpack(gzip.compress(b"one ") + gzip.compress(b"two"), 7) == b"one two"


def test_an_empty_body_is_empty() -> None:
    assert unpack(b"", 10) == b""


def test_a_bomb_is_stopped_at_the_limit() -> None:
    with pytest.raises(TooLargeError, match="larger than 1000 bytes"):
        unpack(gzip.compress(b"\0" * 50_000_000), 1_000)


def test_one_byte_too_many_is_too_many() -> None:
    with pytest.raises(TooLargeError):
        unpack(gzip.compress(b"123") + gzip.compress(b"456"), 5)


def test_a_truncated_body_is_refused() -> None:
    with pytest.raises(UserError, match="ends too early"):
        unpack(gzip.compress(b"hello" * 100)[:-9], 1_000)


def test_what_is_not_gzip_is_refused() -> None:
    with pytest.raises(UserError, match="not gzip"):
        unpack(b"hello", 1_000)


def test_a_body_of_very_many_members_is_refused() -> None:
    with pytest.raises(UserError, match="members"):
        unpack(gzip.compress(b"") * 65, 1_000)
    assert unpack(gzip.compress(b"x") * 64, 1_000) == b"x" * 64


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("size", [1, 1_000, 300_000])
def test_every_encoding_is_unpacked_up_to_the_limit(encoding: str, size: int) -> None:
    body = b"abc" * size
    packed = PACK[encoding](body)
    assert unpack(packed, len(body), encoding) == body
    with pytest.raises(TooLargeError, match=f"larger than {len(body) - 1} bytes"):
        unpack(packed, len(body) - 1, encoding)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_bomb_of_any_encoding_is_stopped_at_the_limit(encoding: str) -> None:
    with pytest.raises(TooLargeError):
        unpack(PACK[encoding](b"\0" * 50_000_000), 1_000, encoding)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_body_of_any_encoding_that_ends_too_early_is_refused(encoding: str, cut: int) -> None:
    with pytest.raises(UserError, match=encoding):
        unpack(PACK[encoding](bytes(range(256)) * 10)[:-cut], 10_000, encoding)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("body", [b"hello", b"\xff" * 12, b"\x80", b"\xf0" * 3])
def test_garbage_in_any_encoding_is_refused(encoding: str, body: bytes) -> None:
    with pytest.raises(UserError, match=f"not {encoding}|ends too early"):
        unpack(body, 1_000_000, encoding)


def test_a_snappy_length_that_lies_takes_no_memory() -> None:
    with pytest.raises(TooLargeError):
        unpack(b"\xff\xff\xff\xff\x0fabc", 16 << 20, "snappy")


@pytest.mark.parametrize("encoding", ["", "identity", *ENCODINGS])
@pytest.mark.parametrize("size", [10, 500_000])
async def test_a_body_is_read_as_its_header_says(encoding: str, size: int) -> None:
    body = bytes(at * at % 251 for at in range(size))

    async def receive() -> Message:
        packed = PACK[encoding](body) if encoding in PACK else body
        return {"type": "http.request", "body": packed, "more_body": False}

    headers = [(b"content-encoding", encoding.upper().encode())] if encoding else []
    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    assert await read_body(request, 1_000_000, InlineOffload()) == body
