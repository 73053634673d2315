"""`tocsin restore` and `tocsin backup --verify`: backups are read without a server, and put back while none runs."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import sqlalchemy as sa

from tocsin.app.config import Settings, load_settings
from tocsin.app.offline import local_actor
from tocsin.app.state import decide_restore, finish_restore, make_data_dir, open_state_store, sqlite_url
from tocsin.app.world import World, real_world
from tocsin.model.audit import AuditEntry
from tocsin.model.errors import UserError
from tocsin.runtime.offload import InlineOffload
from tocsin.store.backup import manifest as manifests
from tocsin.store.backup import restore as restoring
from tocsin.store.backup import swap
from tocsin.store.backup import write as backups
from tocsin.store.backup.chunk import Packing
from tocsin.store.backup.manifest import Manifest
from tocsin.store.backup.place import Place, open_place
from tocsin.store.lock import PathLock
from tocsin.store.sealing import Cipher
from tocsin.store.state.engine import Database, parse_url
from tocsin.store.vault import backup_cipher, keep, unlock

JOURNAL, LOCK = ".journal", ".lock"
"""What stands beside a sample store."""

Seen = Callable[[int], None]
Watch = Callable[[str, int], Seen]
"""Told what begins, and how much there is of it; what it gives hears of each piece that is done."""


@dataclass(frozen=True, slots=True)
class Facts:
    """A backup, as it is shown."""

    id: str
    began_at_ms: int
    samples: int
    series: int
    rows: int
    stored: int
    chunks: int
    sealed: bool
    tocsin: str


def facts_of(made: Manifest) -> Facts:
    return Facts(
        made.id,
        made.began_at_ms,
        made.rows_of("samples"),
        made.rows_of("series"),
        sum(table.rows for table in made.state),
        made.stored,
        len(made.distinct()),
        made.sealed,
        made.tocsin,
    )


def list_backups(config: Path | None, where: str | None, newest: int = 1_000) -> list[Facts]:
    """The whole backups in a place, the newest first."""
    settings = load_settings(config, os.environ)
    return [facts_of(made) for made in backups.listed(_place(settings, where), newest)]


def verify(
    config: Path | None, where: str | None, backup_id: str | None, watch: Watch
) -> tuple[Facts, tuple[str, ...]]:
    """Read a backup wholly; what is wrong with it."""
    settings = load_settings(config, os.environ)
    place, made, packing = _open(settings, where, backup_id)
    return facts_of(made), backups.verify(place, made, packing, watch("checking", made.stored))


async def restore(
    config: Path | None, data_dir: Path, where: str, backup_id: str | None, *, overwrite: bool, watch: Watch
) -> Facts:
    """Raises UserError where a server runs, or there is something already that is not to be overwritten."""
    return await restore_into(
        load_settings(config, os.environ), real_world(), data_dir, where, backup_id, overwrite=overwrite, watch=watch
    )


async def restore_into(
    settings: Settings,
    world: World,
    data_dir: Path,
    where: str,
    backup_id: str | None,
    *,
    overwrite: bool,
    watch: Watch,
) -> Facts:
    place, made, packing = _open(settings, where, backup_id)
    make_data_dir(data_dir)
    key = settings.store.encryption_key
    vault = unlock(data_dir, key)
    await _finish_earlier(settings, world, data_dir)
    if vault is not None:
        vault = replace(vault, work=None)  # all of it is written by us, under these keys
    samples = samples_of(data_dir)
    state = StateTarget(settings.state.url or sqlite_url(data_dir), None if vault is None else vault.cipher())
    with PathLock(samples):
        if not overwrite:
            await _refuse_what_is_there(samples, state)
        fresh = swap.fresh_beside(samples)
        _remove_fresh(fresh)
        try:
            rows = sum(part.rows for part in made.samples)
            restoring.put_samples(fresh, settings.store, vault, place, made, packing, watch("samples", rows))
            moves = () if settings.store.url else _moves(fresh, samples)
            note = await _put_state(state, moves, data_dir, world, place, made, packing, watch)
        except BaseException:
            if swap.read_note(data_dir) is None:
                _remove_fresh(fresh)
            raise
        finally:
            swap.remove(fresh.with_name(fresh.name + LOCK))
        if vault is not None:
            keep(data_dir, vault, key)
        swap.finish(data_dir, note)
    return facts_of(made)


async def _put_state(
    state: StateTarget,
    samples: tuple[swap.Move, ...],
    data_dir: Path,
    world: World,
    place: Place,
    made: Manifest,
    packing: Packing,
    watch: Watch,
) -> swap.Note:
    """With its end the restore is decided."""
    at_ms, restore_id = world.clock.now_ms(), world.secrets()
    said = {"backup": made.id, "place": str(place)}
    entry = AuditEntry(at_ms, local_actor(), "backup.restore", "backup", None, said)
    seen = watch("state", sum(table.rows for table in made.state))

    def put(connection: sa.Connection) -> None:
        restoring.put_state(connection, place, made, packing, entry, seen)
        restoring.note_done(connection, restore_id, at_ms)

    if state.file is None:
        note = swap.Note(restore_id, samples, decided_by_state=True)
        await state.replace(put, lambda: swap.write_note(data_dir, note))
    else:
        note = swap.Note(restore_id, (*samples, await state.write_beside(put)), decided_by_state=False)
        swap.write_note(data_dir, note)
    return note


class StateTarget:
    """The database that the state is restored into; `file` is None where it is no file of ours."""

    def __init__(self, url: str, cipher: Cipher | None) -> None:
        self._url = url
        self._cipher = cipher
        parsed = parse_url(url)
        self.file = Path(parsed.database or "").absolute() if parsed.get_backend_name() == "sqlite" else None

    async def holds_anything(self) -> bool:
        if self.file is not None:
            return swap.holds_anything(self.file)
        async with _database(self._url, self._cipher) as database:
            return await database.read(restoring.has_tables)

    async def write_beside(self, work: Callable[[sa.Connection], None]) -> swap.Move:
        """`work` in a fresh file, synced; how it takes the place of the old one."""
        assert self.file is not None
        fresh = swap.fresh_beside(self.file)
        swap.remove_sqlite(fresh)
        try:
            async with _database(f"sqlite:///{fresh}", self._cipher) as database:
                await database.prepare(work)
            swap.sync_tree(fresh)
        except BaseException:
            swap.remove_sqlite(fresh)
            raise
        return swap.Move(str(fresh), str(self.file))

    async def replace(self, work: Callable[[sa.Connection], None], before_commit: Callable[[], None]) -> None:
        """`work` in one transaction of the database itself."""

        def both(connection: sa.Connection) -> None:
            work(connection)
            before_commit()

        async with _database(self._url, self._cipher) as database:
            await database.write(both)


@asynccontextmanager
async def _database(url: str, cipher: Cipher | None) -> AsyncIterator[Database]:
    database = Database(url, write=InlineOffload(), read=InlineOffload(), cipher=cipher)
    try:
        yield database
    finally:
        await database.close()


def _moves(fresh: Path, samples: Path) -> tuple[swap.Move, ...]:
    """What takes the place of the old samples, synced."""
    moves = tuple(swap.Move(f"{fresh}{part}", f"{samples}{part}") for part in ("", JOURNAL))
    for move in moves:
        swap.sync_tree(Path(move.fresh))
    return moves


def _remove_fresh(samples: Path) -> None:
    for part in ("", JOURNAL):
        swap.remove(Path(f"{samples}{part}"))


def samples_of(data_dir: Path) -> Path:
    return data_dir.absolute() / "samples"


def _place(settings: Settings, where: str | None) -> Place:
    if not where and not settings.backup.to:
        raise UserError("Say where the backups are, or set backup.to.")
    return open_place(where or settings.backup.to, settings.backup)


def _open(settings: Settings, where: str | None, backup_id: str | None) -> tuple[Place, Manifest, Packing]:
    place = _place(settings, where)
    sealer = backup_cipher(settings.store.encryption_key)
    made, packing = backups.read(place, manifests.find(place, backup_id), sealer)
    return place, made, packing


async def _finish_earlier(settings: Settings, world: World, data_dir: Path) -> None:
    """One that was interrupted after it was decided."""
    finish_restore(data_dir)
    if swap.read_note(data_dir) is not None:
        async with open_state_store(settings, data_dir, world.offload) as state:
            await decide_restore(data_dir, state)


async def _refuse_what_is_there(samples: Path, state: StateTarget) -> None:
    """A database of samples on a server is looked at when it is opened."""
    there = [str(samples)] if swap.holds_anything(samples) else []
    if await state.holds_anything():
        there.append("the state database" if state.file is None else str(state.file))
    if there:
        raise UserError(f"{' and '.join(there)} would be lost. Restore into an empty place, or add --overwrite.")
