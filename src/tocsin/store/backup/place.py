"""Where backups are kept: named pieces of bytes in a folder or in a bucket. Synchronous: run it on an offload."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from tocsin.model.errors import NotFoundError, StoreError, UserError
from tocsin.runtime.disk import sync
from tocsin.store.backup.settings import BackupSettings

if TYPE_CHECKING:
    from obstore.store import S3Config

S3 = "s3://"
UNFINISHED = ".unfinished"
CALL_TIMEOUT = timedelta(minutes=5)
RETRIES = 5
RETRY_FOR = timedelta(minutes=3)
DELETES_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Entry:
    """`name` has slashes between its parts."""

    name: str
    size: int
    changed_at_ms: int


class Place(Protocol):
    """Raises StoreError where it cannot be reached, or has no room."""

    def put(self, name: str, data: bytes) -> None:
        """Whole and durable when it returns, or not there at all."""
        ...

    def get(self, name: str) -> bytes:
        """Raises NotFoundError."""
        ...

    def entries(self, under: str) -> Iterator[Entry]:
        """Everything whose name begins with the folder `under`."""
        ...

    def delete(self, names: Sequence[str]) -> None:
        """Those that are there."""
        ...


def open_place(where: str, settings: BackupSettings, *, make: bool = False) -> Place:
    """A folder, or `s3://bucket/prefix`. Raises UserError for what is neither; `make` makes a missing folder."""
    if where.startswith(S3):
        return _bucket(where, settings)
    if "://" in where:
        raise UserError(f"{where} is no place for backups; write a folder, or s3://bucket/prefix.")
    folder = Path(where).absolute()
    if make:
        with _plain_errors(str(folder)):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    elif not folder.is_dir():
        raise UserError(f"There is no folder {folder}.")
    return Folder(folder)


class Folder:
    """Files, each synced and renamed into its place, readable by their owner alone."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def __str__(self) -> str:
        return str(self._root)

    def put(self, name: str, data: bytes) -> None:
        path = self._root / name
        fresh = path.with_name(path.name + UNFINISHED)
        with _plain_errors(str(self)):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError:
                with suppress(OSError):
                    fresh.unlink(missing_ok=True)
                raise
            fresh.replace(path)
            sync(path.parent)

    def get(self, name: str) -> bytes:
        try:
            with _plain_errors(str(self)):
                return (self._root / name).read_bytes()
        except FileNotFoundError:
            raise NotFoundError(f"{self} has no {name}.") from None

    def entries(self, under: str) -> Iterator[Entry]:
        with _plain_errors(str(self)):
            for folder, _, names in os.walk(self._root / under):
                for name in sorted(names):
                    path = Path(folder, name)
                    if name.endswith(UNFINISHED):
                        continue
                    about = path.stat()
                    yield Entry(path.relative_to(self._root).as_posix(), about.st_size, about.st_mtime_ns // 1_000_000)

    def delete(self, names: Sequence[str]) -> None:
        with _plain_errors(str(self)):
            for name in names:
                (self._root / name).unlink(missing_ok=True)


class Bucket:
    """Objects in an S3-compatible storage, below a prefix."""

    def __init__(self, store: S3Store, name: str) -> None:
        self._store = store
        self._name = name

    def __str__(self) -> str:
        return self._name

    def put(self, name: str, data: bytes) -> None:
        with self._plain_errors():
            obstore.put(self._store, name, data, use_multipart=False)

    def get(self, name: str) -> bytes:
        with self._plain_errors():
            try:
                return bytes(obstore.get(self._store, name).bytes())
            except FileNotFoundError:
                raise NotFoundError(f"{self} has no {name}.") from None

    def entries(self, under: str) -> Iterator[Entry]:
        with self._plain_errors():
            for page in obstore.list(self._store, under):
                for one in page:
                    yield Entry(one["path"], one["size"], round(one["last_modified"].timestamp() * 1_000))

    def delete(self, names: Sequence[str]) -> None:
        with self._plain_errors():
            for at in range(0, len(names), DELETES_AT_ONCE):
                obstore.delete(self._store, list(names[at : at + DELETES_AT_ONCE]))

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError) as error:
            said = str(error).strip().splitlines() or [type(error).__name__]
            plain = said[0].partition(": <?xml")[0][:300].rstrip(".")  # the rest is the storage's own page
            raise StoreError(f"The storage {self} does not do what is asked: {plain}.") from error


@contextmanager
def _plain_errors(where: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(f"{where} cannot be used for backups: {error.strerror or error}.") from error


def _bucket(where: str, settings: BackupSettings) -> Bucket:
    bucket, _, prefix = where.removeprefix(S3).partition("/")
    if not bucket:
        raise UserError(f"{where} names no bucket; write s3://bucket/prefix.")
    config: S3Config = {}
    if settings.s3_endpoint:
        config["endpoint"] = settings.s3_endpoint
    if settings.s3_region:
        config["region"] = settings.s3_region
    if settings.s3_access_key:
        config["access_key_id"] = settings.s3_access_key
    if settings.s3_secret_key:
        config["secret_access_key"] = settings.s3_secret_key
    store = S3Store(
        bucket,
        prefix=prefix.strip("/") or None,
        config=config,
        client_options={"allow_http": settings.s3_endpoint.startswith("http://"), "timeout": CALL_TIMEOUT},
        retry_config={"max_retries": RETRIES, "retry_timeout": RETRY_FOR},
    )
    return Bucket(store, where)
