"""The moment at which restored stores take the place of the old ones.

A note in the data directory says what is to be moved. Once it is there, the restore is decided: whoever opens the
data directory next finishes the moves, however often that is interrupted. Where the state is in a database of its own,
its commit decides instead, and the note names what the database holds then.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

import msgspec

from tocsin.model.errors import StoreError
from tocsin.runtime.disk import sync

NOTE = "restore.json"
FRESH = ".restoring"
OLD = ".replaced"
SQLITE_MORE = ("-wal", "-shm", "-journal")
DONE = "restore.done"
"""The setting in the restored state that holds the id of the restore."""


class Move(msgspec.Struct, frozen=True):
    """`fresh` takes the place of `target`, which may not exist."""

    fresh: str
    target: str


class Note(msgspec.Struct, frozen=True):
    """`decided_by_state`: the moves hold only if the state database says that this restore is done."""

    restore: str
    moves: tuple[Move, ...]
    decided_by_state: bool


def fresh_beside(path: Path) -> Path:
    return path.with_name(path.name + FRESH)


def write_note(data_dir: Path, note: Note) -> None:
    path = data_dir / NOTE
    fresh = fresh_beside(path)
    with fresh.open("wb") as file:
        file.write(msgspec.json.encode(note))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync(data_dir)


def read_note(data_dir: Path) -> Note | None:
    try:
        data = (data_dir / NOTE).read_bytes()
    except FileNotFoundError:
        return None
    try:
        return msgspec.json.decode(data, type=Note)
    except msgspec.DecodeError as error:
        raise StoreError(f"{data_dir / NOTE} is damaged: {error}. Restore again.") from error


def finish(data_dir: Path, note: Note) -> None:
    """Make the moves, each where it has not been made."""
    for move in note.moves:
        fresh, target = Path(move.fresh), Path(move.target)
        if fresh.exists():
            old = target.with_name(target.name + OLD)
            if target.exists():
                remove(old)
                target.rename(old)
            for more in SQLITE_MORE:  # of the old file: it would be taken for the new one's
                remove(target.with_name(target.name + more))
            fresh.rename(target)
            sync(target.parent)
    for move in note.moves:
        remove(Path(move.target + OLD))
    forget(data_dir)


def abandon(data_dir: Path, note: Note) -> None:
    """The state was not restored: the old stores stay."""
    for move in note.moves:
        remove(Path(move.fresh))
    forget(data_dir)


def forget(data_dir: Path) -> None:
    (data_dir / NOTE).unlink(missing_ok=True)
    sync(data_dir)


def holds_anything(path: Path) -> bool:
    return path.stat().st_size > 0 if path.is_file() else path.is_dir() and any(path.iterdir())


def remove(path: Path) -> None:
    """A file or a folder, where there is one."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        with suppress(FileNotFoundError):
            path.unlink()


def remove_sqlite(path: Path) -> None:
    """A database with its log."""
    for more in ("", *SQLITE_MORE):
        remove(path.with_name(path.name + more))


def sync_tree(path: Path) -> None:
    """A file, or a folder and all in it, is on the disk when this returns."""
    if not path.is_dir():
        sync(path)
    for folder, _, names in os.walk(path):
        for name in names:
            if not Path(folder, name).is_symlink():
                sync(Path(folder, name))
        sync(Path(folder))
    sync(path.parent)
