"""The data keys of a data directory, in a file that only the user's key opens.

Data is sealed with data keys, which never leave this file unsealed; the user's key seals the file. So the user's key
is changed by writing one small file, and a wrong key is noticed before anything else is opened.
"""

from __future__ import annotations

import base64
import os
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import msgspec

from tocsin.model.errors import StoreError, UserError
from tocsin.runtime.chance import ByteMaker, fresh_bytes
from tocsin.runtime.disk import sync
from tocsin.store.sealing import Cipher, DataKey, KeyRing, SealError, parse_key

FILE = "keyring.json"
_CONTEXT = b"tocsin key ring"
_ABOUT = "The keys of this data directory, sealed with store.encryption_key. Without this file its data is lost."
_UNTOUCHED = "Nothing was opened or changed."
_USERS_KEY = 0


class Work(StrEnum):
    """What a command has begun and must finish before the directory can be used again."""

    ENCRYPT = "encrypt"
    DECRYPT = "decrypt"
    REWRITE = "rewrite"


@dataclass(frozen=True, slots=True)
class Vault:
    """`work` is what is not finished yet."""

    ring: KeyRing
    work: Work | None = None

    def cipher(self) -> Cipher:
        return Cipher(self.ring)


class _File(msgspec.Struct):
    """As it stands on the disk."""

    about: str
    key_fingerprint: str
    sealed: str


class _Inside(msgspec.Struct):
    keys: list[tuple[int, str]]
    work: Work | None


def fingerprint(key_text: str) -> str:
    """Names a key without telling it."""
    return DataKey(_USERS_KEY, parse_key(key_text)).derive("fingerprint")[:4].hex()


def backup_cipher(key_text: str) -> Cipher | None:
    """Seals backups: with a key from the user's own, so that nothing else is needed to restore one elsewhere."""
    if not key_text:
        return None
    return Cipher(KeyRing((DataKey(_USERS_KEY, DataKey(_USERS_KEY, parse_key(key_text)).derive("backup")),)))


def holds_data(data_dir: Path) -> bool:
    """Whether something was ever stored here."""
    return any((data_dir / name).exists() for name in ("state.db", "samples", "samples.journal"))


def wanted_fingerprint(data_dir: Path) -> str | None:
    """Of the key that opens the directory; None for one that is not encrypted. Raises StoreError."""
    file = _read(data_dir)
    return None if file is None else file.key_fingerprint


def open_vault(data_dir: Path, key_text: str) -> Vault | None:
    """None for a directory that is not encrypted. Only reads.

    Raises UserError where the key is missing or another one, StoreError where the file is damaged.
    """
    file = _read(data_dir)
    if file is None:
        if (data_dir / "samples" / "disks").exists():
            raise UserError(f"{data_dir} is encrypted, but {FILE} is missing: put it back from a backup. {_UNTOUCHED}")
        return None
    if not key_text:
        raise UserError(
            f"{data_dir} is encrypted: set store.encryption_key_file to the file of key {file.key_fingerprint}. "
            f"{_UNTOUCHED}"
        )
    given = fingerprint(key_text)
    if given != file.key_fingerprint:
        raise UserError(
            f"{data_dir} is encrypted with key {file.key_fingerprint}, and store.encryption_key is key {given}. "
            f"{_UNTOUCHED}"
        )
    try:
        plain = _sealer(key_text).open(base64.b64decode(file.sealed, validate=True), _CONTEXT)
        inside = msgspec.json.decode(plain, type=_Inside)
        return Vault(KeyRing(tuple(DataKey(number, bytes.fromhex(text)) for number, text in inside.keys)), inside.work)
    except (SealError, ValueError) as error:
        raise _damaged(data_dir) from error


def unlock(data_dir: Path, key_text: str, random_bytes: ByteMaker = fresh_bytes) -> Vault | None:
    """The vault of a directory that is about to be used, made where the directory is new and there is a key.

    Raises what `open_vault` does, and UserError where data is not encrypted although there is a key or where a
    command has not finished. `work` is ENCRYPT for a new directory whose state is yet to be looked through.
    """
    used = (data_dir / "samples").exists()  # asked before the file is read: it is written before they are made
    vault = open_vault(data_dir, key_text)
    if vault is None:
        if not key_text:
            return None
        if holds_data(data_dir):
            raise UserError(
                f"{data_dir} holds data that is not encrypted: run `tocsin encrypt` once, "
                f"or unset store.encryption_key_file. {_UNTOUCHED}"
            )
        create(data_dir, Vault(KeyRing.fresh(random_bytes), Work.ENCRYPT), key_text)
        vault = open_vault(data_dir, key_text)
        assert vault is not None
    if vault.work is not None and (used or vault.work is not Work.ENCRYPT):
        raise UserError(f"{data_dir} is half way through `{COMMANDS[vault.work]}`: run it again to finish it.")
    return vault


COMMANDS = {
    Work.ENCRYPT: "tocsin encrypt",
    Work.DECRYPT: "tocsin decrypt",
    Work.REWRITE: "tocsin key rotate --rewrite",
}


def create(data_dir: Path, vault: Vault, key_text: str) -> None:
    """The first vault of a directory; where another process was faster, its vault stays."""
    written = _write_beside(data_dir, vault, key_text)
    try:
        with suppress(FileExistsError):
            os.link(written, data_dir / FILE)
    finally:
        written.unlink()
    sync(data_dir)


def keep(data_dir: Path, vault: Vault, key_text: str) -> None:
    """Replace the vault at once: after a crash there is the older one or this one."""
    _write_beside(data_dir, vault, key_text).replace(data_dir / FILE)
    sync(data_dir)


def forget(data_dir: Path) -> None:
    (data_dir / FILE).unlink()
    sync(data_dir)


def _write_beside(data_dir: Path, vault: Vault, key_text: str) -> Path:
    inside = _Inside([(key.id, key.secret.hex()) for key in vault.ring.keys], vault.work)
    sealed = base64.b64encode(_sealer(key_text).seal(msgspec.json.encode(inside), _CONTEXT)).decode()
    text = msgspec.json.format(msgspec.json.encode(_File(_ABOUT, fingerprint(key_text), sealed)), indent=2)
    path = data_dir / f"{FILE}.{os.getpid()}"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(text + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return path


def _read(data_dir: Path) -> _File | None:
    path = data_dir / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=_File)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}. {_UNTOUCHED}") from error
    except msgspec.DecodeError as error:
        raise _damaged(data_dir) from error


def _damaged(data_dir: Path) -> StoreError:
    return StoreError(f"{data_dir / FILE} is damaged: put it back from a backup. {_UNTOUCHED}")


def _sealer(key_text: str) -> Cipher:
    return Cipher(KeyRing((DataKey(_USERS_KEY, parse_key(key_text)),)))
