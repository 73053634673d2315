import gzip

import pytest

from tocsin.api.bodies import unpack
from tocsin.model.errors import TooLargeError, UserError


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
