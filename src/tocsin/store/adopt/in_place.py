"""The older database itself becomes the state database: its rules and history keep their ids.

All of it is one transaction. The older tables are set aside under another name, ours are made, and the rows are copied
from one to the other, so that a row which cannot be read is still where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import sqlalchemy as sa

from tocsin.model.audit import Actor, AuditEntry
from tocsin.model.errors import UserError
from tocsin.store.adopt.ledger import history_values
from tocsin.store.adopt.source import OldDatabase, Problem, replaced_text
from tocsin.store.state.audit import write_audit
from tocsin.store.state.bulk import give_ids_after
from tocsin.store.state.codec import rule_values
from tocsin.store.state.migrate import migrate
from tocsin.store.state.schema import alert_history, metadata, metric_alert, settings

ASIDE = "older_"
TAKEN = "adopt.in_place"
"""The setting that says when the database was taken over."""

_OLDER = ("metric_alert", "alert_history", "alembic_version")
"""What is set aside. The last is another program's note of its own revisions."""


@dataclass(slots=True)
class Taken:
    """What was taken over, and what was wrong with a row."""

    rules_read: int = 0
    rules: int = 0
    history_read: int = 0
    history: int = 0


def is_taken(connection: sa.Connection) -> bool:
    """Whether an earlier run has done it."""
    if not sa.inspect(connection).has_table("settings"):
        return False
    columns = {column["name"] for column in sa.inspect(connection).get_columns("settings")}
    if not {"name", "value", "updated_at_ms"} <= columns:
        return False
    found = sa.select(settings.c.updated_at_ms).where(settings.c.name == TAKEN)
    return connection.execute(found).first() is not None


def take_over(
    connection: sa.Connection,
    old: OldDatabase,
    at_ms: int,
    actor: Actor,
    tell: Callable[[tuple[Problem, ...], str], None],
) -> Taken:
    """To be called in a write transaction; `tell` hears what is wrong with rows, and in which part.

    Raises UserError where the database has other tables under names that tocsin needs.
    """
    _refuse_other_tables(connection, old.name)
    _set_aside(connection)
    migrate(connection)
    taken = Taken()
    with _reading_older(connection), old.inside(connection, ASIDE):
        for rules in old.rules():
            taken.rules_read += rules.read
            taken.rules += len(rules.rules)
            for old_id, rule in rules.rules:
                dated = replace(rule, created_at_ms=at_ms, updated_at_ms=at_ms)
                connection.execute(sa.insert(metric_alert).values(id=old_id, **rule_values(dated)))
            tell(rules.problems, "rules")
        by_id = {row.id: row for row in connection.execute(sa.select(metric_alert))}
        for firings in old.history(None):
            rows = [{"id": one.id, **history_values(one, by_id.get(one.rule_id or 0))} for one in firings.firings]
            if rows:
                connection.execute(sa.insert(alert_history), rows)
            taken.history_read += firings.read
            taken.history += len(rows)
            tell(firings.problems, "history")
    for table in (metric_alert, alert_history):
        give_ids_after(connection, str(table.name), _largest_id(connection, str(table.name)))
    left_out = taken.rules_read - taken.rules + taken.history_read - taken.history
    note = {"source": old.name, "left_out": left_out}
    connection.execute(sa.insert(settings).values(name=TAKEN, value=note, updated_at_ms=at_ms))
    said = {"source": old.name, "rules": taken.rules, "history": taken.history}
    write_audit(connection, [AuditEntry(at_ms, actor, "database.adopt", "database", None, said)])
    return taken


def older_tables(connection: sa.Connection) -> list[str]:
    """Tables of the older program that are still there."""
    names = set(sa.inspect(connection).get_table_names())
    return [name for name in ("metric", *(ASIDE + one for one in ("metric", *_OLDER))) if name in names]


def all_taken(connection: sa.Connection) -> bool:
    """Whether every rule and every row of history is in our tables too, or was until somebody deleted it there."""
    note = connection.execute(sa.select(settings.c.value).where(settings.c.name == TAKEN)).scalar()
    return note is not None and note["left_out"] == 0


def rename_metrics(connection: sa.Connection) -> None:
    if sa.inspect(connection).has_table("metric"):
        connection.execute(sa.text(f"ALTER TABLE metric RENAME TO {ASIDE}metric"))


def drop(connection: sa.Connection, tables: list[str]) -> None:
    """The history first, which may refer to the rules."""
    for name in sorted(tables, key=lambda name: "history" not in name):
        connection.execute(sa.text(f"DROP TABLE {name}"))


def _refuse_other_tables(connection: sa.Connection, name: str) -> None:
    there = set(sa.inspect(connection).get_table_names())
    ours = {str(table.name) for table in metadata.tables.values()} - set(_OLDER)
    taken = sorted((there & ours) | {ASIDE + one for one in _OLDER if ASIDE + one in there})
    if taken:
        raise UserError(
            f"{name} has tables of its own named {', '.join(taken)}, which tocsin needs. "
            "Copy instead: leave out --in-place."
        )


def _set_aside(connection: sa.Connection) -> None:
    """Their indexes go, and on PostgreSQL their primary keys get other names: both are named beside the tables."""
    inspector = sa.inspect(connection)
    quote = connection.dialect.identifier_preparer.quote
    for table in _OLDER:
        if not inspector.has_table(table):
            continue
        for index in inspector.get_indexes(table):
            if index["name"] and not index.get("duplicates_constraint"):
                connection.execute(sa.text(f"DROP INDEX {quote(index['name'])}"))
        key = inspector.get_pk_constraint(table)["name"]
        if key and connection.dialect.name == "postgresql":
            connection.execute(sa.text(f"ALTER TABLE {table} RENAME CONSTRAINT {quote(key)} TO {quote(ASIDE + key)}"))
        connection.execute(sa.text(f"ALTER TABLE {table} RENAME TO {ASIDE}{table}"))


@contextmanager
def _reading_older(connection: sa.Connection) -> Iterator[None]:
    """Texts and times as `OldDatabase` reads them with a connection of its own."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("SET LOCAL datestyle = 'ISO'"))
        yield
        return
    driver = connection.connection.driver_connection
    assert driver is not None
    driver.text_factory = replaced_text
    try:
        yield
    finally:
        driver.text_factory = str


def _largest_id(connection: sa.Connection, table: str) -> int:
    """Of the older table too: an id of a row that was left out is not given again."""
    names = set(sa.inspect(connection).get_table_names())
    key: sa.ColumnClause[int] = sa.column("id")
    found = (
        connection.execute(sa.select(sa.func.max(key)).select_from(sa.table(name))).scalar()
        for name in (table, ASIDE + table)
        if name in names
    )
    return max((int(one) for one in found if one is not None), default=0)
