from __future__ import annotations

import base64
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.model.errors import UserError
from tocsin.store.sealing import (
    KEY_BYTES,
    SEAL_BYTES,
    Cipher,
    DataKey,
    KeyRing,
    SealError,
    _Extended,
    key_of,
    key_text,
    parse_key,
)

RING = KeyRing((DataKey(1, bytes(range(32))),))
CONTEXT = b"journal 7"


def counted() -> Cipher:
    """A cipher whose nonces are 0, 1, 2, …"""
    numbers = count()
    return Cipher(RING, lambda size: next(numbers).to_bytes(size, "big"))


@pytest.mark.parametrize(
    ("key", "bound", "sealed"),
    [
        (b"\1" * 32, b"", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
        (b"\3" * 32, b"c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"),
    ],
)
def test_it_is_xaes_256_gcm_as_its_specification_shows_it(key: bytes, bound: bytes, sealed: str) -> None:
    cipher, nonce = _Extended(key), b"ABCDEFGHIJKLMNOPQRSTUVWX"
    assert cipher.seal(nonce, b"XAES-256-GCM", bound).hex() == sealed
    assert cipher.open(nonce, bytes.fromhex(sealed), bound) == b"XAES-256-GCM"


@given(st.binary(max_size=300), st.binary(max_size=40))
def test_what_was_sealed_opens(plain: bytes, context: bytes) -> None:
    sealed = Cipher(RING).seal(plain, context)
    assert Cipher(RING).open(sealed, context) == plain
    assert len(sealed) == len(plain) + SEAL_BYTES
    assert len(plain) < 8 or plain not in sealed


def test_views_of_bytes_are_sealed_and_opened_too() -> None:
    sealed = counted().seal(memoryview(b"a record"), CONTEXT)
    assert counted().open(memoryview(bytearray(b"x" + sealed))[1:], CONTEXT) == b"a record"


def test_the_same_bytes_are_sealed_differently_each_time_and_alike_with_the_same_nonce() -> None:
    cipher = counted()
    first, second = cipher.seal(b"same", CONTEXT), cipher.seal(b"same", CONTEXT)
    assert first != second
    assert counted().seal(b"same", CONTEXT) == first


@given(st.integers(0, SEAL_BYTES + 3), st.integers(0, 7))
def test_one_changed_bit_is_noticed_wherever_it_is(place: int, bit: int) -> None:
    sealed = bytearray(counted().seal(b"four", CONTEXT))
    sealed[place] ^= 1 << bit
    with pytest.raises(SealError):
        counted().open(sealed, CONTEXT)


@given(st.integers(0, SEAL_BYTES + 3))
def test_what_is_cut_short_does_not_open(length: int) -> None:
    with pytest.raises(SealError):
        counted().open(counted().seal(b"four", CONTEXT)[:length], CONTEXT)


def test_nothing_opens_in_another_context() -> None:
    with pytest.raises(SealError, match="belongs somewhere else"):
        counted().open(counted().seal(b"four", b"settings.value"), b"audit.after")


def test_another_key_of_the_same_number_does_not_open() -> None:
    with pytest.raises(SealError, match="does not open"):
        Cipher(KeyRing.fresh()).open(counted().seal(b"four", CONTEXT), CONTEXT)


def test_a_new_key_seals_what_is_new_and_the_older_one_still_opens() -> None:
    older = counted()
    ring = RING.with_new()
    newer = Cipher(ring)
    sealed = newer.seal(b"new", CONTEXT)
    assert (key_of(older.seal(b"old", CONTEXT)), key_of(sealed)) == (1, 2)
    assert newer.open(older.seal(b"old", CONTEXT), CONTEXT) == b"old"
    with pytest.raises(SealError, match="sealed with key 2, which is not in the key ring"):
        older.open(sealed, CONTEXT)


def test_each_purpose_has_a_key_of_its_own() -> None:
    derived = {RING.current.derive(purpose) for purpose in ("seal", "samples disk")}
    assert len(derived) == 2
    assert RING.current.secret not in derived


def test_a_key_does_not_show_itself() -> None:
    assert "secret" not in repr(RING)
    assert RING.current.secret.hex() not in repr(RING)


@given(st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES))
def test_a_key_is_written_as_base64_or_hex(key: bytes) -> None:
    urlsafe = base64.urlsafe_b64encode(key).decode()
    for text in (key_text(key), key.hex(), key.hex().upper(), urlsafe, urlsafe.rstrip("="), f" {key.hex()}\n"):
        assert parse_key(text) == key


@pytest.mark.parametrize("text", ["", "secret", "00" * 31, "zz" * 32, base64.b64encode(bytes(33)).decode(), "é" * 44])
def test_what_is_no_key_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(UserError, match=r"32 bytes as base64 or hex; `tocsin key new` makes one") as caught:
        parse_key(text)
    assert not text or text not in str(caught.value)
