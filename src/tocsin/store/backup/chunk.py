"""Chunks: pieces of content, compressed, sealed where there is a key, and named by the digest of their content.

The same content has the same name, so that a later backup in the same place finds it there. Without a key the name is
the SHA-256 of the content (`zstd -d FILE | sha256sum`); with one it is keyed with a salt that is itself sealed, so
that nobody who can read the place can try out what a chunk might hold.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Protocol

import cramjam

from tocsin.model.errors import NotFoundError, StoreError, UserError
from tocsin.store.backup.manifest import Chunk, Manifest
from tocsin.store.backup.place import Place

FOLDER = "chunks"
LEVEL = 3
CONTENT_MAX = 2**30
"""Bytes. Ours are some megabytes; a manifest that says more is not believed."""
CHUNK, SALT = b"backup chunk", b"backup salt"
"""What is sealed."""


class Sealer(Protocol):
    """Encrypts, and proves that nothing was changed; `context` says what the bytes are, and must be the same to open.

    `open` raises StoreError for another key, another context and damage.
    """

    def seal(self, plain: bytes, context: bytes) -> bytes: ...

    def open(self, sealed: bytes, context: bytes) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Packing:
    """How the chunks of one backup are named and sealed: `salt` is empty where nothing is."""

    salt: bytes
    sealer: Sealer | None

    def name_of(self, content: bytes) -> str:
        if self.salt:
            return hmac.new(self.salt, content, hashlib.sha256).hexdigest()
        return hashlib.sha256(content).hexdigest()

    def pack(self, content: bytes) -> bytes:
        packed = bytes(cramjam.zstd.compress(content, level=LEVEL))
        return packed if self.sealer is None else self.sealer.seal(packed, CHUNK)

    def unpack(self, chunk: Chunk, packed: bytes) -> bytes:
        """Raises StoreError where the content is not what its name says."""
        content = bytearray(chunk.size if chunk.size <= CONTENT_MAX else 0)
        try:
            plain = packed if self.sealer is None else self.sealer.open(packed, CHUNK)
            written = cramjam.zstd.decompress_into(plain, content)
        except (cramjam.DecompressionError, StoreError):
            written = -1
        if written != chunk.size or self.name_of(bytes(content)) != chunk.name:
            raise StoreError(f"The chunk {chunk.name} is damaged.")
        return bytes(content)


def packing_of(manifest: Manifest, sealer: Sealer | None) -> Packing:
    """Raises UserError where the backup is sealed and there is no key, or another one."""
    if not manifest.sealed:
        return Packing(b"", None)
    if sealer is None:
        raise UserError(
            f"The backup {manifest.id} is encrypted. Set store.encryption_key to the key that it was made with."
        )
    try:
        return Packing(sealer.open(bytes.fromhex(manifest.salt), SALT), sealer)
    except (StoreError, ValueError):
        raise UserError(
            f"The backup {manifest.id} was encrypted with another key. "
            "Set store.encryption_key to the one that it was made with."
        ) from None


def path_of(name: str) -> str:
    return f"{FOLDER}/{name[:2]}/{name}"


def fetch(place: Place, packing: Packing, chunk: Chunk) -> bytes:
    """The content, checked. Raises StoreError where it is missing or damaged."""
    try:
        packed = place.get(path_of(chunk.name))
    except NotFoundError:
        raise StoreError(f"The chunk {chunk.name} is missing from {place}.") from None
    return packing.unpack(chunk, packed)
