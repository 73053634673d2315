from __future__ import annotations

import gzip
import zlib

import pytest

from tocsin.model.errors import TooLargeError, UserError
from tocsin.runtime.inflate import inflate

TEXT = b"some text, some text, some text"
PACKED = gzip.compress(TEXT, mtime=0)
"""Without the moment, which would be part of the tests' names and differ from worker to worker."""


@pytest.mark.parametrize(("encoding", "packed"), [("gzip", PACKED), ("deflate", zlib.compress(TEXT))])
def test_what_was_packed_is_unpacked(encoding: str, packed: bytes) -> None:
    assert inflate(packed, len(TEXT), encoding) == TEXT


def test_no_bytes_are_no_bytes() -> None:
    assert inflate(b"", 10) == b""


def test_several_members_are_one_text() -> None:
    assert inflate(gzip.compress(b"a") + gzip.compress(b"b"), 2) == b"ab"


def test_what_grows_beyond_the_limit_is_refused() -> None:
    with pytest.raises(TooLargeError, match="larger than 10 bytes when it is unpacked"):
        inflate(gzip.compress(b"a" * 1_000_000), 10)
    with pytest.raises(TooLargeError):
        inflate(gzip.compress(b"aaaa") * 2, 7)


@pytest.mark.parametrize(
    ("packed", "said"),
    [
        (b"junk", "not gzip"),
        (PACKED[:-9], "ends too early"),
        (gzip.compress(b"") * 66, "more than 64 members"),
    ],
)
def test_what_cannot_be_unpacked_is_told(packed: bytes, said: str) -> None:
    with pytest.raises(UserError, match=said):
        inflate(packed, 1_000)
