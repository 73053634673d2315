"""RuleStore: rules as rows of metric_alert."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from tocsin.model.audit import AuditEntry
from tocsin.model.errors import ConflictError, NotFoundError
from tocsin.model.rule import Rule
from tocsin.store.state.audit import write_audit
from tocsin.store.state.codec import rule_of, rule_values
from tocsin.store.state.engine import Database
from tocsin.store.state.schema import metric_alert


class Rules:
    """Implements rules.ports.RuleStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def rules(self) -> tuple[Rule, ...]:
        def work(connection: sa.Connection) -> tuple[Rule, ...]:
            return tuple(map(rule_of, connection.execute(sa.select(metric_alert).order_by(metric_alert.c.id))))

        return await self._database.read(work)

    async def add_rules(self, rules: Sequence[Rule], entries: Sequence[AuditEntry]) -> tuple[Rule, ...]:
        def work(connection: sa.Connection) -> tuple[Rule, ...]:
            insert = sa.insert(metric_alert).returning(metric_alert, sort_by_parameter_order=True)
            saved = connection.execute(insert, [rule_values(rule) for rule in rules]).all()
            write_audit(connection, entries)
            return tuple(map(rule_of, saved))

        return await self._database.write(work) if rules else ()

    async def replace_rule(self, rule: Rule, entry: AuditEntry) -> Rule:
        values = rule_values(rule) | {"version": rule.version + 1}
        update = (
            sa.update(metric_alert)
            .where(metric_alert.c.id == rule.id, metric_alert.c.version == rule.version)
            .values(values)
            .returning(metric_alert)
        )

        def work(connection: sa.Connection) -> Rule:
            saved = connection.execute(update).one_or_none()
            if saved is None:
                raise _why_not_replaced(connection, rule)
            write_audit(connection, [entry])
            return rule_of(saved)

        return await self._database.write(work)

    async def delete_rule(self, rule_id: int, entry: AuditEntry) -> None:
        def work(connection: sa.Connection) -> None:
            if not connection.execute(sa.delete(metric_alert).where(metric_alert.c.id == rule_id)).rowcount:
                raise _missing(rule_id)
            write_audit(connection, [entry])

        await self._database.write(work)


def _why_not_replaced(connection: sa.Connection, rule: Rule) -> Exception:
    version = connection.execute(sa.select(metric_alert.c.version).where(metric_alert.c.id == rule.id)).scalar()
    if version is None:
        return _missing(rule.id)
    return ConflictError(f"Rule {rule.id} is at version {version} by now; read it again and decide.", field="version")


def _missing(rule_id: int) -> NotFoundError:
    return NotFoundError(f"There is no rule {rule_id}.")
