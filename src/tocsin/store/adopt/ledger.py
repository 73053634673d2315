"""What of an older database is here already, in the state store: one setting a source.

Rules and history are written in the same transaction as the note that they were, so that a kill between
two of them neither loses nor doubles a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from tocsin.model.audit import Actor, AuditEntry
from tocsin.model.labels import METRIC_NAME
from tocsin.model.rule import Rule
from tocsin.store.adopt.values import OldFiring
from tocsin.store.state.audit import write_audit
from tocsin.store.state.codec import rule_of, rule_values
from tocsin.store.state.engine import Database
from tocsin.store.state.schema import alert_history, metric_alert, settings

HISTORY_REASON = "from an older database, which kept no end"


class SampleNote(msgspec.Struct, frozen=True):
    """How far an unfinished copy of samples has come: old metric ids up to `after` are durable or skipped.

    Under other terms (retention, zone) other samples would be taken, so that it begins anew.
    """

    after: int
    retention_ms: int
    zone: str
    read: int
    stored: int
    skipped: dict[str, int]


class Note(msgspec.Struct, frozen=True):
    """`rules` maps old ids to ours, also where ours is deleted by now."""

    source: str
    rules: dict[int, int] = {}
    history_after: int | None = None
    samples: SampleNote | None = None


class Ledger:
    """For one source. Raises StoreError."""

    def __init__(self, database: Database, source: str) -> None:
        self._database = database
        self._source = source
        self._key = f"adopt.{blake2b(source.encode(), digest_size=12).hexdigest()}"

    async def read(self) -> Note:
        return await self._database.read(self._note)

    async def take_rules(self, found: Sequence[tuple[int, Rule]], at_ms: int, actor: Actor) -> int:
        """How many were added; the others are here, or were here and have been deleted since."""

        def work(connection: sa.Connection) -> int:
            note = self._note(connection)
            ours = {_same(rule_of(row)): int(row.id) for row in connection.execute(sa.select(metric_alert))}
            known = dict(note.rules)
            added = 0
            for old, rule in found:
                if old in known:
                    continue
                if _same(rule) not in ours:
                    dated = replace(rule, created_at_ms=at_ms, updated_at_ms=at_ms)
                    insert = sa.insert(metric_alert).values(rule_values(dated)).returning(metric_alert.c.id)
                    ours[_same(rule)] = int(connection.execute(insert).scalar_one())
                    added += 1
                known[old] = ours[_same(rule)]
            if known != note.rules:
                self._put(connection, msgspec.structs.replace(note, rules=known), at_ms)
            if added:
                said = {"source": self._source, "rules": added}
                write_audit(connection, [AuditEntry(at_ms, actor, "rules.adopt", "rules", None, said)])
            return added

        return await self._database.write(work)

    async def take_history(self, firings: Sequence[OldFiring], last_id: int, at_ms: int) -> None:
        def work(connection: sa.Connection) -> None:
            note = self._note(connection)
            rules = {row.id: row for row in connection.execute(sa.select(metric_alert))}
            rows = [history_values(one, rules.get(note.rules.get(one.rule_id or 0, 0))) for one in firings]
            if rows:
                connection.execute(sa.insert(alert_history), rows)
            self._put(connection, msgspec.structs.replace(note, history_after=last_id), at_ms)

        await self._database.write(work)

    async def note_samples(self, samples: SampleNote | None, at_ms: int) -> None:
        """None when all are copied: the next run then looks at every row again."""

        def work(connection: sa.Connection) -> None:
            self._put(connection, msgspec.structs.replace(self._note(connection), samples=samples), at_ms)

        await self._database.write(work)

    def _note(self, connection: sa.Connection) -> Note:
        value = connection.execute(sa.select(settings.c.value).where(settings.c.name == self._key)).scalar()
        return Note(self._source) if value is None else msgspec.convert(value, Note, strict=False)

    def _put(self, connection: sa.Connection, note: Note, at_ms: int) -> None:
        insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
        said = {"value": msgspec.to_builtins(note, str_keys=True), "updated_at_ms": at_ms}
        upsert = insert(settings).values(name=self._key, **said)
        connection.execute(upsert.on_conflict_do_update(index_elements=["name"], set_=said))


def _same(rule: Rule) -> tuple[Any, ...]:
    return rule.name, rule.metric_name, rule.condition, rule.threshold, rule.duration_ms


def history_values(one: OldFiring, rule: sa.Row[Any] | None) -> dict[str, Any]:
    return {
        "alert_id": None if rule is None else rule.id,
        "rule_name": "" if rule is None else rule.name,
        "severity": "warning" if rule is None else rule.severity,
        "triggered_at": one.triggered_at_ms,
        "resolved_at": one.triggered_at_ms,
        "reason": HISTORY_REASON,
        "value": one.value,
        "peak": one.value,
        "acknowledged": one.acknowledged,
        "acknowledged_by": one.acknowledged_by or None,
        "labels": {} if rule is None else {METRIC_NAME: rule.metric_name},
    }
