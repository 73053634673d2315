"""Sealing: bytes that only the holder of a key can read, and that nobody can change unnoticed.

XAES-256-GCM: AES-256-GCM under a key that is derived for each message from the first half of a random nonce of
24 bytes, so that one key may seal as many messages as there will ever be. Plain AES-GCM should stop after 2³²,
which a journal that seals a hundred records a second reaches within 17 months. Source: C2SP, XAES-256-GCM.
"""

from __future__ import annotations

import base64
import binascii
import struct
from dataclasses import dataclass, field
from typing import TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher as BlockCipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from tocsin.model.errors import StoreError, UserError
from tocsin.runtime.chance import ByteMaker, fresh_bytes

Buffer: TypeAlias = bytes | bytearray | memoryview

KEY_BYTES = 32
NONCE_BYTES = 24
TAG_BYTES = 16

_HEAD = struct.Struct(">BI24s")  # version, id of the key, nonce
_VERSION = 1
SEAL_BYTES = _HEAD.size + TAG_BYTES
"""A sealed message is so much longer than the plain one."""


class SealError(StoreError):
    """Sealed bytes that cannot be opened."""


@dataclass(frozen=True, slots=True)
class DataKey:
    """A key that data is sealed with. `id` counts from 1 and is never used twice in a ring."""

    id: int
    secret: bytes = field(repr=False)

    def derive(self, purpose: str) -> bytes:
        """Another key of 32 bytes, so that no two ciphers share one."""
        return HKDFExpand(SHA256(), KEY_BYTES, f"tocsin {purpose}".encode()).derive(self.secret)


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Keys that open what is stored; the last one also seals what is new."""

    keys: tuple[DataKey, ...]

    @property
    def current(self) -> DataKey:
        return self.keys[-1]

    def with_new(self, random_bytes: ByteMaker = fresh_bytes) -> KeyRing:
        return KeyRing((*self.keys, DataKey(self.current.id + 1, random_bytes(KEY_BYTES))))

    @classmethod
    def fresh(cls, random_bytes: ByteMaker = fresh_bytes) -> KeyRing:
        return cls((DataKey(1, random_bytes(KEY_BYTES)),))


class Cipher:
    """Seals with the current key of a ring and opens with all of them. Threads may share it.

    `context` says what the bytes are (a column, a file and a place in it): what was sealed for one context does
    not open in another, so that nobody can move it there.
    """

    def __init__(self, ring: KeyRing, random_bytes: ByteMaker = fresh_bytes) -> None:
        self.ring = ring
        self._keys = {key.id: _Extended(key.derive("seal")) for key in ring.keys}
        self._random_bytes = random_bytes

    def seal(self, plain: Buffer, context: bytes) -> bytes:
        key = self.ring.current.id
        nonce = self._random_bytes(NONCE_BYTES)
        head = _HEAD.pack(_VERSION, key, nonce)
        return head + self._keys[key].seal(nonce, plain, head + context)

    def open(self, sealed: Buffer, context: bytes) -> bytes:
        """Raises SealError for a key that is not in the ring, for damaged bytes and for another context."""
        view = memoryview(sealed)
        key = self._keys.get(key_of(view))
        if key is None:
            raise SealError(f"It was sealed with key {key_of(view)}, which is not in the key ring of this directory.")
        head = bytes(view[: _HEAD.size])
        nonce = head[-NONCE_BYTES:]
        try:
            return key.open(nonce, view[_HEAD.size :], head + context)
        except InvalidTag:
            raise SealError("What was sealed does not open: it is damaged, or belongs somewhere else.") from None


def key_of(sealed: Buffer) -> int:
    """The id of the key that it was sealed with. Raises SealError for what nobody has sealed."""
    view = memoryview(sealed)
    if len(view) < SEAL_BYTES or view[0] != _VERSION:
        raise SealError("It is not sealed, or cut short.")
    return int.from_bytes(view[1:5], "big")


class _Extended:
    """XAES-256-GCM under one key."""

    def __init__(self, secret: bytes) -> None:
        self._block = BlockCipher(AES256(secret), ECB())  # noqa: S305 - single blocks, as CMAC wants them
        self._mask = _doubled(self._encrypt(bytes(16)))

    def seal(self, nonce: bytes, plain: Buffer, bound: bytes) -> bytes:
        return self._message_key(nonce).encrypt(nonce[12:], plain, bound)

    def open(self, nonce: bytes, sealed: Buffer, bound: bytes) -> bytes:
        return self._message_key(nonce).decrypt(nonce[12:], sealed, bound)

    def _message_key(self, nonce: bytes) -> AESGCM:
        blocks = (int.from_bytes(b"\0" + half + b"X\0" + nonce[:12], "big") for half in (b"\1", b"\2"))
        return AESGCM(self._encrypt(b"".join((block ^ self._mask).to_bytes(16, "big") for block in blocks)))

    def _encrypt(self, blocks: bytes) -> bytes:
        return self._block.encryptor().update(blocks)


def _doubled(block: bytes) -> int:
    """Times x in GF(2¹²⁸). Source: NIST SP 800-38B, 6.1."""
    value = int.from_bytes(block, "big")
    return (value << 1) & (2**128 - 1) ^ (0x87 if value >> 127 else 0)


def parse_key(text: str) -> bytes:
    """The 32 bytes that a key's text says, base64 (also URL-safe) or hex. Raises UserError, without the text."""
    said = "".join(text.split())
    try:
        key = bytes.fromhex(said) if len(said) == 2 * KEY_BYTES else base64.b64decode(_standard(said), validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != KEY_BYTES:
        raise UserError(
            f"The encryption key must be {KEY_BYTES} bytes as base64 or hex; `tocsin key new` makes one.",
            field="encryption_key",
        )
    return key


def key_text(key: bytes) -> str:
    return base64.b64encode(key).decode()


def _standard(said: str) -> str:
    return said.replace("-", "+").replace("_", "/").rstrip("=") + "="
