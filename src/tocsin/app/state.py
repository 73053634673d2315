"""The state store of a data directory, as it is opened: what a command needs beside a running server, and no more.

Nothing here loads the rest of the server, so that such a command is quick.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from tocsin.app.config import Settings
from tocsin.model.errors import UserError
from tocsin.runtime.offload import Offload
from tocsin.store.backup import swap
from tocsin.store.lock import PathLock
from tocsin.store.state.state import State, open_state
from tocsin.store.vault import Vault, keep, unlock

STATE_READERS = 4

MakeOffload = Callable[[str, int], Offload]
"""A pool of threads of that name and number."""


@asynccontextmanager
async def open_state_store(settings: Settings, data_dir: Path, offload: MakeOffload) -> AsyncIterator[State]:
    """Raises UserError where the directory, its key or the URL cannot work, StoreError where the database is away."""
    async with open_state_with(settings, data_dir, offload, await unlocked(settings, data_dir, offload)) as state:
        yield state


async def unlocked(settings: Settings, data_dir: Path, offload: MakeOffload) -> Vault | None:
    """The keys of the data directory, which is made where it is missing.

    What the database of a new directory holds already is sealed: it may be one on a server.
    """
    make_data_dir(data_dir)
    vault = unlock(data_dir, settings.store.encryption_key)
    finish_restore(data_dir)
    if vault is None or vault.work is None:
        return vault
    async with open_state_with(settings, data_dir, offload, vault) as state:
        await state.seal_again(vault.cipher(), vault.cipher())
    done = replace(vault, work=None)
    keep(data_dir, done, settings.store.encryption_key)
    return done


@asynccontextmanager
async def open_state_with(
    settings: Settings, data_dir: Path, offload: MakeOffload, vault: Vault | None
) -> AsyncIterator[State]:
    """Under these keys."""
    write, read = offload("state-write", 1), offload("state-read", STATE_READERS)
    cipher = None if vault is None else vault.cipher()
    try:
        state = await open_state(settings.state.url or sqlite_url(data_dir), write=write, read=read, cipher=cipher)
        try:
            yield state
        finally:
            await state.close()
    finally:
        write.close()
        read.close()


def finish_restore(data_dir: Path) -> None:
    """What an interrupted `tocsin restore` had decided. Raises UserError while it still runs."""
    note = swap.read_note(data_dir)
    if note is not None and not note.decided_by_state:
        with PathLock(data_dir / "samples"):
            swap.finish(data_dir, note)


async def decide_restore(data_dir: Path, state: State) -> None:
    """The same where the state's own commit decides."""
    note = swap.read_note(data_dir)
    if note is not None:
        with PathLock(data_dir / "samples"):
            done = await state.settings.get(swap.DONE) == note.restore
            (swap.finish if done else swap.abandon)(data_dir, note)


def sqlite_url(data_dir: Path) -> str:
    return f"sqlite:///{data_dir.absolute()}/state.db"


def make_data_dir(data_dir: Path) -> None:
    """The directory, readable by its owner alone: it holds password hashes. Raises UserError."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"Cannot use {data_dir} as the data directory: {error.strerror}.") from error
