"""AlertBookStore: what people and the dispatcher read and write of alerts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import Any

import sqlalchemy as sa

from tocsin.model.alert import Alert, AlertQuery, AlertState, HistoryItem, HistoryQuery
from tocsin.model.audit import AuditEntry
from tocsin.model.errors import ConflictError, NotFoundError
from tocsin.model.outbox import Announcement, Letter, LetterState
from tocsin.model.page import Page, PageRequest
from tocsin.store.state.audit import write_audit
from tocsin.store.state.bulk import chunks, insert_new
from tocsin.store.state.codec import alert_of, history_of, letter_values
from tocsin.store.state.engine import Database
from tocsin.store.state.pages import read_page
from tocsin.store.state.schema import alert, alert_history, is_open, outbox

_OPEN = {AlertState.PENDING, AlertState.FIRING}


class AlertBook:
    """Implements alerts.ports.AlertBookStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def alert(self, alert_id: int) -> Alert:
        row = await self._database.read(lambda connection: _row(connection, alert_id))
        if row is None:
            raise _missing(alert_id)
        return alert_of(row)

    async def alerts(self, query: AlertQuery, page: PageRequest) -> Page[Alert]:
        select = sa.select(alert)
        if query.states and set(query.states) <= _OPEN:
            select = select.where(is_open)  # implied by what follows, and what lets the index of open alerts serve
        if query.states:
            select = select.where(alert.c.state.in_([state.value for state in query.states]))
        if query.severity is not None:
            select = select.where(alert.c.severity == query.severity.value)
        if query.rule_id is not None:
            select = select.where(alert.c.rule_id == query.rule_id)
        if query.acknowledged is not None:
            select = select.where(alert.c.acknowledged.is_(query.acknowledged))
        keys = (alert.c.changed_at_ms, alert.c.id)
        return await self._database.read(lambda connection: read_page(connection, select, keys, page, alert_of))

    async def history(self, query: HistoryQuery, page: PageRequest) -> Page[HistoryItem]:
        select = sa.select(alert_history)
        if query.since_ms is not None:
            select = select.where(alert_history.c.triggered_at >= query.since_ms)
        if query.until_ms is not None:
            select = select.where(alert_history.c.triggered_at < query.until_ms)
        if query.severity is not None:
            select = select.where(alert_history.c.severity == query.severity.value)
        if query.rule_id is not None:
            select = select.where(alert_history.c.alert_id == query.rule_id)
        keys = (alert_history.c.triggered_at, alert_history.c.id)
        return await self._database.read(lambda connection: read_page(connection, select, keys, page, history_of))

    async def acknowledge(self, alert_id: int, comment: str, entry: AuditEntry) -> Alert:
        said = {
            "acknowledged": True,
            "acknowledged_by": entry.actor.name,
            "acknowledged_at_ms": entry.at_ms,
            "comment": comment,
        }
        update = (
            sa.update(alert)
            .where(alert.c.id == alert_id, alert.c.state == AlertState.FIRING.value, ~alert.c.acknowledged)
            .values(said | {"notify_at_ms": None})
            .returning(alert)
        )

        def work(connection: sa.Connection) -> Alert:
            row = connection.execute(update).one_or_none()
            if row is None:
                raise _why_not_acknowledged(connection, alert_id)
            connection.execute(sa.update(alert_history).where(alert_history.c.id == row.history_id).values(said))
            write_audit(connection, [entry])
            return alert_of(row)

        return await self._database.write(work)

    async def due_alerts(self, at_ms: int, limit: int) -> tuple[Alert, ...]:
        due = (
            sa.select(alert)
            .where(alert.c.notify_at_ms.is_not(None), alert.c.notify_at_ms <= at_ms)
            .order_by(alert.c.notify_at_ms, alert.c.id)
            .limit(limit)
        )
        return await self._database.read(lambda connection: tuple(map(alert_of, connection.execute(due))))

    async def next_deadline_ms(self) -> int | None:
        earliest = sa.select(sa.func.min(alert.c.notify_at_ms)).where(alert.c.notify_at_ms.is_not(None))
        return await self._database.read(lambda connection: connection.execute(earliest).scalar())

    async def announce(self, announcements: Sequence[Announcement]) -> tuple[bool, ...]:
        if not announcements:
            return ()
        return await self._database.write(lambda connection: _announce(connection, announcements))


def _row(connection: sa.Connection, alert_id: int) -> sa.Row[Any] | None:
    return connection.execute(sa.select(alert).where(alert.c.id == alert_id)).one_or_none()


def _missing(alert_id: int) -> NotFoundError:
    return NotFoundError(f"There is no alert {alert_id}.")


def _why_not_acknowledged(connection: sa.Connection, alert_id: int) -> Exception:
    row = _row(connection, alert_id)
    if row is None:
        return _missing(alert_id)
    if row.acknowledged:
        return ConflictError(f"{row.acknowledged_by} has acknowledged this alert already.")
    return ConflictError(f"This alert is {row.state}; only a firing one can be acknowledged.")


def _announce(connection: sa.Connection, announcements: Sequence[Announcement]) -> tuple[bool, ...]:
    waiting = _read_locked(connection, {announcement.alert.id for announcement in announcements})
    # Popped: a second decision about the same alert was not made from what the first one left.
    taken = tuple(waiting.pop(one.alert.id, None) == _as_read(one.alert) for one in announcements)
    written = list(compress(announcements, taken))
    if written:
        connection.execute(_REMEMBER, [_remembered(announcement) for announcement in written])
        _queue(connection, [letter for announcement in written for letter in announcement.letters])
    return taken


def _read_locked(connection: sa.Connection, alert_ids: set[int]) -> dict[int, tuple[object, ...]]:
    columns = (alert.c.id, alert.c.state, alert.c.acknowledged, alert.c.announced, alert.c.announced_at_ms)
    found: dict[int, tuple[object, ...]] = {}
    for ids in chunks(sorted(alert_ids)):
        query = sa.select(*columns).where(alert.c.id.in_(ids)).order_by(alert.c.id).with_for_update()
        found.update((row[0], tuple(row[1:])) for row in connection.execute(query))
    return found


def _as_read(given: Alert) -> tuple[object, ...]:
    return (given.state, given.acknowledged, given.announced, given.announced_at_ms)


_REMEMBER = sa.update(alert).where(alert.c.id == sa.bindparam("row"))


def _remembered(announcement: Announcement) -> dict[str, Any]:
    return {
        "row": announcement.alert.id,
        "announced": announcement.announced,
        "announced_at_ms": announcement.announced_at_ms,
        "notify_at_ms": announcement.notify_at_ms,
    }


def _queue(connection: sa.Connection, letters: Sequence[Letter]) -> None:
    """Queue letters in place of those to the same ears about the same alert that nobody has begun to send."""
    if not letters:
        return
    lines = {(letter.alert.id, letter.target.receiver, letter.target.recipient) for letter in letters}
    columns = (outbox.c.id, outbox.c.alert_id, outbox.c.receiver, outbox.c.recipient)
    queued = outbox.c.state == LetterState.QUEUED.value
    stale: list[int] = []
    for alert_ids in chunks(sorted({line[0] for line in lines})):
        query = sa.select(*columns).where(outbox.c.alert_id.in_(alert_ids), outbox.c.due_at_ms.is_not(None), queued)
        stale += [row[0] for row in connection.execute(query) if tuple(row[1:]) in lines]
    replaced = {
        "state": LetterState.REPLACED.value,
        "due_at_ms": None,
        "done_at_ms": max(letter.created_at_ms for letter in letters),
    }
    for ids in chunks(stale):
        connection.execute(sa.update(outbox).where(outbox.c.id.in_(ids), queued).values(replaced))
    insert_new(connection, outbox, "key", [letter_values(letter) for letter in letters])
