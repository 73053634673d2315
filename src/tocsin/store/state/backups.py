"""What became of each backup."""

from __future__ import annotations

from dataclasses import asdict

import sqlalchemy as sa

from tocsin.model.audit import AuditEntry
from tocsin.model.backup import Backup, BackupState
from tocsin.model.errors import NotFoundError
from tocsin.model.page import Page, PageRequest
from tocsin.store.state.audit import write_audit
from tocsin.store.state.engine import Database
from tocsin.store.state.pages import read_page
from tocsin.store.state.schema import backup

INTERRUPTED = "The server ended while it was being made."


class Backups:
    """Raises StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, made: Backup, entry: AuditEntry) -> Backup:
        insert = sa.insert(backup).values(_values(made)).returning(backup)

        def work(connection: sa.Connection) -> Backup:
            write_audit(connection, [entry])
            return _backup_of(connection.execute(insert).one())

        return await self._database.write(work)

    async def replace(self, made: Backup) -> None:
        update = sa.update(backup).where(backup.c.id == made.id).values(_values(made))
        await self._database.write(lambda connection: connection.execute(update))

    async def get(self, backup_id: int) -> Backup:
        """Raises NotFoundError."""
        query = sa.select(backup).where(backup.c.id == backup_id)
        row = await self._database.read(lambda connection: connection.execute(query).one_or_none())
        if row is None:
            raise NotFoundError(f"There is no backup {backup_id}.")
        return _backup_of(row)

    async def page(self, page: PageRequest) -> Page[Backup]:
        """The newest first."""
        query, keys = sa.select(backup), (backup.c.id,)
        return await self._database.read(lambda connection: read_page(connection, query, keys, page, _backup_of))

    async def last_started_ms(self, place: str) -> int | None:
        """When the newest whole backup in that place began; None where there is none."""
        query = sa.select(sa.func.max(backup.c.started_at_ms)).where(
            backup.c.place == place, backup.c.state == BackupState.DONE.value
        )
        return await self._database.read(lambda connection: connection.execute(query).scalar())

    async def fail_running(self, at_ms: int) -> None:
        """To be called at the start, when none can be running."""
        update = (
            sa.update(backup)
            .where(backup.c.state == BackupState.RUNNING.value)
            .values(state=BackupState.FAILED.value, error=INTERRUPTED, finished_at_ms=at_ms)
        )
        await self._database.write(lambda connection: connection.execute(update))


def _values(made: Backup) -> dict[str, object]:
    return {key: value for key, value in asdict(made).items() if key != "id"} | {"state": made.state.value}


def _backup_of(row: sa.Row[tuple[object, ...]]) -> Backup:
    said = dict(row._mapping)  # noqa: SLF001 - the public name of a row's columns
    return Backup(**said | {"state": BackupState(row.state)})
