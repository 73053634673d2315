"""Settings that are changed while the server runs: names and JSON values."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from tocsin.model.audit import AuditEntry
from tocsin.store.state.audit import write_audit
from tocsin.store.state.engine import Database
from tocsin.store.state.schema import settings


class StoredSettings:
    """Each change writes its audit entry in the same transaction. Raises StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> dict[str, Any]:
        query = sa.select(settings.c.name, settings.c.value).order_by(settings.c.name)
        return await self._database.read(lambda connection: {row.name: row.value for row in connection.execute(query)})

    async def get(self, name: str) -> Any:
        """None for a setting that nobody has changed."""
        query = sa.select(settings.c.value).where(settings.c.name == name)
        return await self._database.read(lambda connection: connection.execute(query).scalar())

    async def put(self, name: str, value: Any, entry: AuditEntry) -> None:
        """`value` is anything that JSON can say; None forgets the setting, so that its default holds again."""

        def work(connection: sa.Connection) -> None:
            if value is None:
                connection.execute(sa.delete(settings).where(settings.c.name == name))
            else:
                insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
                said = {"value": value, "updated_at_ms": entry.at_ms}
                upsert = insert(settings).values(name=name, **said)
                connection.execute(upsert.on_conflict_do_update(index_elements=["name"], set_=said))
            write_audit(connection, [entry])

        await self._database.write(work)
