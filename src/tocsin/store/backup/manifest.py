"""What a backup consists of. It is written last, so that a set without one is no backup."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator

import msgspec

from tocsin.model.errors import NotFoundError, StoreError, UserError
from tocsin.store.backup.place import Place

FORMAT = 1
FOLDER = "backups"


class Chunk(msgspec.Struct, frozen=True):
    """`name` is the digest of the content; `size` counts its bytes, `stored` those in the place."""

    name: str
    size: int
    stored: int


class Part(msgspec.Struct, frozen=True):
    """Rows of one partition of a table of samples. The same `mark` later means the same rows."""

    table: str
    partition: str
    columns: dict[str, str]
    rows: int
    mark: str
    chunks: tuple[Chunk, ...]


class Table(msgspec.Struct, frozen=True):
    """Rows of one table of the state. `last_id` is the largest that was ever given, where ids are given."""

    name: str
    columns: dict[str, str]
    rows: int
    last_id: int | None
    chunks: tuple[Chunk, ...]


class Manifest(msgspec.Struct, frozen=True):
    """`salt` goes into the names of the chunks: as hex, and itself sealed where `sealed`."""

    id: str
    tocsin: str
    began_at_ms: int
    finished_at_ms: int
    sealed: bool
    salt: str
    revision: str
    state: tuple[Table, ...]
    samples: tuple[Part, ...]
    format: int = FORMAT

    def chunks(self) -> Iterator[Chunk]:
        """Each as often as it is used."""
        for table in self.state:
            yield from table.chunks
        for part in self.samples:
            yield from part.chunks

    def distinct(self) -> dict[str, Chunk]:
        return {chunk.name: chunk for chunk in self.chunks()}

    @property
    def stored(self) -> int:
        """Bytes in the place, those included that other backups share."""
        return sum(chunk.stored for chunk in self.distinct().values())

    def rows_of(self, table: str) -> int:
        return sum(part.rows for part in self.samples if part.table == table)


class _File(msgspec.Struct):
    check: str
    manifest: msgspec.Raw


def path_of(backup_id: str) -> str:
    return f"{FOLDER}/{backup_id}.json"


def encode(manifest: Manifest, salt: bytes) -> bytes:
    body = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    return msgspec.json.encode(_File(_check(body, salt), msgspec.Raw(body))) + b"\n"


def decode(data: bytes, name: str) -> tuple[Manifest, str, bytes]:
    """The manifest, with its check and the bytes that `verify` wants. Raises StoreError, UserError for a newer one."""
    try:
        file = msgspec.json.decode(data, type=_File)
        body = bytes(file.manifest)
        format_ = msgspec.json.decode(body, type=_Format).format
        if format_ > FORMAT:
            raise UserError(f"The backup {name} was made by a newer tocsin (format {format_}). Update tocsin.")
        return msgspec.json.decode(body, type=Manifest), file.check, body
    except msgspec.DecodeError as error:
        raise StoreError(f"The manifest of the backup {name} is damaged: {error}.") from error


class _Format(msgspec.Struct):
    format: int


def verify(manifest: Manifest, check: str, body: bytes, salt: bytes) -> None:
    """Raises StoreError where it is not what was written."""
    if not hmac.compare_digest(check, _check(body, salt)):
        raise StoreError(f"The manifest of the backup {manifest.id} is damaged: its checksum is another.")


def ids(place: Place) -> list[str]:
    """Of all whole backups, the oldest first."""
    names = (entry.name.removeprefix(f"{FOLDER}/") for entry in place.entries(FOLDER))
    return sorted(name.removesuffix(".json") for name in names if name.endswith(".json") and "/" not in name)


def find(place: Place, backup_id: str | None) -> str:
    """The id that is asked for, or the newest. Raises NotFoundError."""
    known = ids(place)
    if not known:
        raise NotFoundError(f"There is no whole backup in {place}.")
    if backup_id is None:
        return known[-1]
    if backup_id not in known:
        raise NotFoundError(f"There is no backup {backup_id} in {place}; there are {_listed(known)}.")
    return backup_id


def _listed(known: Iterable[str], shown: int = 10) -> str:
    newest = list(known)[-shown:]
    return ", ".join(reversed(newest))


def _check(body: bytes, salt: bytes) -> str:
    return hmac.new(salt, body, hashlib.sha256).hexdigest() if salt else hashlib.sha256(body).hexdigest()
