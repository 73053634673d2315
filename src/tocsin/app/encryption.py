"""`tocsin encrypt`, `tocsin decrypt` and `tocsin key`: what a data directory is encrypted with, and changing that.

A change is written into the vault before its first step and taken out after its last one. In between nothing but the
same command opens the directory, and every step can be repeated: a command that was killed is simply run again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from tocsin.app.config import Settings, load_settings
from tocsin.app.offline import local_actor
from tocsin.app.state import open_state_with, unlocked
from tocsin.app.wiring import open_engine_with
from tocsin.app.world import World
from tocsin.model.audit import AuditEntry
from tocsin.model.errors import ConflictError, StoreError, UserError
from tocsin.runtime.chance import fresh_bytes
from tocsin.store.lock import PathLock
from tocsin.store.samples.disks import disks_of
from tocsin.store.samples.moving import move_parts
from tocsin.store.samples.opening import journal_of
from tocsin.store.sealing import KEY_BYTES, KeyRing, key_text, parse_key
from tocsin.store.vault import (
    COMMANDS,
    FILE,
    Vault,
    Work,
    create,
    fingerprint,
    forget,
    holds_data,
    keep,
    open_vault,
    wanted_fingerprint,
)

NOTED = "encryption"
"""The setting that says what was done last, for the audit log."""

Seen = Callable[[str, int, int], None]
"""Hears (what is being done, how much of it is, how much there is); the last is 0 where nobody knows."""


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """Of a data directory; `unfinished` is the command that has to be run again."""

    encrypted: bool
    key: str | None
    key_set: str | None
    unfinished: str | None


def new_key(path: Path | None) -> str:
    """A fresh key as text, written to `path` where there is one, for its owner's eyes alone. Raises UserError."""
    text = key_text(fresh_bytes(KEY_BYTES))
    if path is not None:
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
                file.write(text + "\n")
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError:
            raise UserError(f"{path} exists: a key is never overwritten. Choose another name.") from None
        except OSError as error:
            raise UserError(f"Cannot write {path}: {error.strerror}.") from error
    return text


def read_key(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"Cannot read a key from {path}: {getattr(error, 'strerror', 'it is no text')}.") from error
    parse_key(text)
    return text


def status(settings: Settings, data_dir: Path) -> KeyStatus:
    """Raises StoreError where the key file of the directory is damaged."""
    text = settings.store.encryption_key
    wanted, given = wanted_fingerprint(data_dir), fingerprint(text) if text else None
    vault = open_vault(data_dir, text) if wanted is not None and wanted == given else None
    unfinished = None if vault is None or vault.work is None else COMMANDS[vault.work]
    return KeyStatus(wanted is not None, wanted, given, unfinished)


async def encrypt(settings: Settings, data_dir: Path, world: World, seen: Seen) -> None:
    """Raises UserError where there is no key, a server runs or another change is unfinished; StoreError."""
    key = settings.store.encryption_key
    if not key:
        raise UserError("Set store.encryption_key_file first; `tocsin key new FILE` makes a key.")
    if open_vault(data_dir, key) is None and not holds_data(data_dir):
        await unlocked(settings, data_dir, world.offload)
        return
    with _changing(data_dir, key) as vault:
        if vault is None:
            await _drain(settings, data_dir, world, None)
            with _alone(data_dir) as lock:
                begun = Vault(KeyRing.fresh(), Work.ENCRYPT)
                create(data_dir, begun, key)
                await _finish(settings, data_dir, world, begun, key, lock, seen)
        elif vault.work is None:
            raise ConflictError(f"{data_dir} is encrypted already, with key {fingerprint(key)}.")
        else:
            await _resume(settings, data_dir, world, vault, Work.ENCRYPT, key, seen)


async def decrypt(settings: Settings, data_dir: Path, world: World, seen: Seen) -> None:
    """Raises UserError where the key is another one, a server runs or another change is unfinished; StoreError."""
    key = settings.store.encryption_key
    with _changing(data_dir, key) as vault:
        if vault is None:
            raise ConflictError(f"{data_dir} is not encrypted.")
        if vault.work is None:
            await _drain(settings, data_dir, world, vault)
            with _alone(data_dir) as lock:
                begun = replace(vault, work=Work.DECRYPT)
                keep(data_dir, begun, key)
                await _finish(settings, data_dir, world, begun, key, lock, seen)
        else:
            await _resume(settings, data_dir, world, vault, Work.DECRYPT, key, seen)


async def rotate(settings: Settings, data_dir: Path, world: World, new: str, *, rewrite: bool, seen: Seen) -> None:
    """From the key in the settings to `new`; with `rewrite` everything is written again under new data keys too.

    A rotation that was cut off is finished although the settings still name the older key.
    Raises UserError, StoreError.
    """
    old = settings.store.encryption_key
    rotated = wanted_fingerprint(data_dir) == fingerprint(new)
    with _changing(data_dir, new if rotated else old) as vault:
        if vault is None:
            raise UserError(f"{data_dir} is not encrypted: `tocsin encrypt` does that.")
        if vault.work is not None:
            wanted = Work.REWRITE if rewrite else None
            await _resume(settings, data_dir, world, vault, wanted, new, seen)
        elif rewrite:
            await _drain(settings, data_dir, world, vault)
            with _alone(data_dir) as lock:
                begun = Vault(vault.ring.with_new(), Work.REWRITE)
                keep(data_dir, begun, new)
                await _finish(settings, data_dir, world, begun, new, lock, seen)
        elif rotated:
            raise ConflictError(f"{data_dir} is encrypted with key {fingerprint(new)} already.")
        else:
            keep(data_dir, vault, new)
            await _note(settings, data_dir, world, vault, "key.rotate", new)


@contextmanager
def _changing(data_dir: Path, key: str) -> Iterator[Vault | None]:
    """The vault, which nobody else changes meanwhile. Where the key is wrong not even a lock is made."""
    open_vault(data_dir, key)
    if not data_dir.is_dir():
        raise UserError(f"There is no data directory {data_dir}.")
    with PathLock(data_dir / FILE):
        yield open_vault(data_dir, key)


async def _resume(
    settings: Settings, data_dir: Path, world: World, vault: Vault, wanted: Work | None, key: str, seen: Seen
) -> None:
    assert vault.work is not None
    if vault.work is not wanted:
        raise ConflictError(f"{data_dir} is half way through `{COMMANDS[vault.work]}`: run that again first.")
    with _alone(data_dir) as lock:
        await _finish(settings, data_dir, world, vault, key, lock, seen)


async def _drain(settings: Settings, data_dir: Path, world: World, vault: Vault | None) -> None:
    """Take what the journal holds into the engine, so that only the engine's files have to be changed."""
    if (data_dir / "samples").exists() or _journal(data_dir):
        async with open_engine_with(settings, data_dir, world, vault):
            pass


def _journal(data_dir: Path) -> list[Path]:
    folder = journal_of(data_dir / "samples")
    return sorted(folder.iterdir()) if folder.is_dir() else []


@contextmanager
def _alone(data_dir: Path) -> Iterator[PathLock]:
    """Nobody else has the samples, and none of them wait in the journal."""
    with PathLock(data_dir / "samples") as lock:
        left = _journal(data_dir)
        if left:
            raise StoreError(
                f"{left[0]} has not reached the sample store. Start tocsin and stop it again; "
                "where it is damaged, move it away. Then run the command again."
            )
        yield lock


async def _finish(
    settings: Settings, data_dir: Path, world: World, vault: Vault, key: str, lock: PathLock, seen: Seen
) -> None:
    """Every step of a change, each of which may have been done before."""
    samples = data_dir / "samples"
    if samples.exists():
        moving = world.offload("moving", 1)
        try:
            await moving.run(
                move_parts,
                samples,
                settings.store,
                disks_of(vault),
                lock,
                lambda done, total: seen("samples", done, total),
            )
        finally:
            moving.close()
    plain = vault.work is Work.DECRYPT
    async with open_state_with(settings, data_dir, world.offload, vault) as state:
        cipher = vault.cipher()
        await state.seal_again(cipher, None if plain else cipher, lambda column, done: seen(column, done, 0))
    seen("keys", 0, 0)
    if plain:
        forget(data_dir)
        await _note(settings, data_dir, world, None, "decrypt", None)
    else:
        done = Vault(KeyRing((vault.ring.current,)))
        keep(data_dir, done, key)
        await _note(settings, data_dir, world, done, "encrypt" if vault.work is Work.ENCRYPT else "key.rewrite", key)


async def _note(
    settings: Settings, data_dir: Path, world: World, vault: Vault | None, action: str, key: str | None
) -> None:
    at_ms = world.clock.now_ms()
    said = {"key": None if key is None else fingerprint(key)}
    async with open_state_with(settings, data_dir, world.offload, vault) as state:
        entry = AuditEntry(at_ms, local_actor(), action, "encryption", await state.settings.get(NOTED), said)
        await state.settings.put(NOTED, said, entry)


@contextmanager
def progress() -> Iterator[Seen]:
    """A bar for samples and a count for the rest, on a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def seen(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=None)
            bars.update(tasks[what], completed=done, total=total or None)

        yield seen


def load(config: Path | None) -> Settings:
    return load_settings(config, os.environ)
