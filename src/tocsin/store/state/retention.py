"""Retention policies as rows, in their order."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from tocsin.model.audit import AuditEntry
from tocsin.model.errors import ConflictError
from tocsin.model.retention import Policy
from tocsin.store.state.audit import write_audit
from tocsin.store.state.codec import policy_of, policy_values
from tocsin.store.state.engine import Database
from tocsin.store.state.schema import retention_policy


class Policies:
    """The list is replaced as a whole, as its order is part of what it says. Raises StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def policies(self) -> tuple[Policy, ...]:
        """The first wins."""
        return await self._database.read(_all)

    async def replace(
        self, before: Sequence[Policy], after: Sequence[Policy], entries: Sequence[AuditEntry]
    ) -> tuple[Policy, ...]:
        """`after` with ids for new ones and raised versions for changed ones.

        Raises ConflictError where the saved list is not `before` any more.
        """

        def work(connection: sa.Connection) -> tuple[Policy, ...]:
            saved = _all(connection)
            if [(one.id, one.version) for one in saved] != [(one.id, one.version) for one in before]:
                raise ConflictError("The policies were changed meanwhile; read them again and decide.")
            known = {one.id: one for one in saved}
            left = known.keys() - {one.id for one in after}
            if left:
                connection.execute(sa.delete(retention_policy).where(retention_policy.c.id.in_(sorted(left))))
            for position, policy in enumerate(after):
                old = known.get(policy.id)
                values = policy_values(policy) | {"position": position}
                if old is None:
                    connection.execute(sa.insert(retention_policy).values(values))
                    continue
                same = policy.same_rule(old)
                values["version"] = old.version if same else old.version + 1
                values["updated_at_ms"] = old.updated_at_ms if same else policy.updated_at_ms
                connection.execute(sa.update(retention_policy).where(retention_policy.c.id == policy.id).values(values))
            write_audit(connection, entries)
            return _all(connection)

        return await self._database.write(work)


def _all(connection: sa.Connection) -> tuple[Policy, ...]:
    query = sa.select(retention_policy).order_by(retention_policy.c.position, retention_policy.c.id)
    return tuple(map(policy_of, connection.execute(query)))
