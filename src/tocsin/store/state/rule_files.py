"""RuleFileStore: the rule files that people have uploaded."""

from __future__ import annotations

import sqlalchemy as sa

from tocsin.model.audit import AuditEntry
from tocsin.model.errors import NotFoundError
from tocsin.model.rule_group import StoredRuleFile
from tocsin.store.state.audit import write_audit
from tocsin.store.state.engine import Database
from tocsin.store.state.schema import rule_file


class RuleFiles:
    """Implements rules.ports.RuleFileStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def files(self) -> tuple[StoredRuleFile, ...]:
        query = sa.select(rule_file).order_by(rule_file.c.name)

        def work(connection: sa.Connection) -> tuple[StoredRuleFile, ...]:
            return tuple(
                StoredRuleFile(row.name, row.text, row.updated_by, row.updated_at_ms)
                for row in connection.execute(query)
            )

        return await self._database.read(work)

    async def put_file(self, file: StoredRuleFile, entry: AuditEntry) -> None:
        values = {"text": file.text, "updated_by": file.updated_by, "updated_at_ms": file.updated_at_ms}

        def work(connection: sa.Connection) -> None:
            mine = rule_file.c.name == file.name
            if not connection.execute(sa.update(rule_file).where(mine).values(values)).rowcount:
                connection.execute(sa.insert(rule_file).values(name=file.name, **values))
            write_audit(connection, [entry])

        await self._database.write(work)

    async def delete_file(self, name: str, entry: AuditEntry) -> None:
        def work(connection: sa.Connection) -> None:
            if not connection.execute(sa.delete(rule_file).where(rule_file.c.name == name)).rowcount:
                raise NotFoundError(f"There is no rule file {name}.")
            write_audit(connection, [entry])

        await self._database.write(work)
