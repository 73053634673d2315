"""AlertStore: what an evaluation changed, saved in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from tocsin.model.alert import Alert, AlertState, Change
from tocsin.model.errors import ConflictError
from tocsin.model.labels import Labels
from tocsin.store.state.bulk import chunks, take_ids
from tocsin.store.state.codec import alert_of, alert_values, history_end, history_values, signed, step_values
from tocsin.store.state.engine import Database
from tocsin.store.state.schema import alert, alert_history, is_open, metric_alert

_STARTS_FROM = (AlertState.INACTIVE, AlertState.RESOLVED)
_HAS_FIRED = (AlertState.FIRING, AlertState.RESOLVED)


class Alerts:
    """Implements rules.ports.AlertStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open_alerts(self) -> tuple[Alert, ...]:
        # In the order of the index of open alerts: SQLite would walk the whole table to sort by id.
        query = sa.select(alert).where(is_open).order_by(alert.c.changed_at_ms, alert.c.id)
        found = await self._database.read(lambda connection: list(map(alert_of, connection.execute(query))))
        return tuple(sorted(found, key=lambda one: one.id))

    async def save_changes(self, changes: Sequence[Change]) -> tuple[Alert, ...]:
        if not changes:
            return ()
        try:
            return await self._database.write(lambda connection: _save(connection, changes))
        except ConflictError:
            # An alert that is new to the caller is open already: the same changes were saved before, but
            # the answer was lost with the connection. Go on with that row, so that saving again is safe.
            return await self._database.write(lambda connection: _save(connection, changes, find_open=True))


@dataclass(slots=True)
class _Life:
    """One life of one alert within a batch, filled in while it is saved.

    `last` is its newest word, `fired` the alert as it was when it fired in this batch or before. `kept` are
    the columns of its row that this batch does not write; None while the row has yet to be inserted.
    """

    last: Alert
    fired: Alert | None
    id: int
    history_id: int | None
    deadline: int | None = None
    sets_deadline: bool = False
    kept: dict[str, Any] | None = None
    history_is_new: bool = False

    def take(self, change: Change) -> None:
        given = change.alert
        self.last = given
        if self.fired is None and given.state in _HAS_FIRED:
            self.fired = given
        if given.notify_at_ms is not None or change.before is not given.state:
            self.deadline, self.sets_deadline = given.notify_at_ms, True

    def settled(self) -> dict[str, Any]:
        """Its ids, its deadline, and what people and the dispatcher did meanwhile."""
        return {"id": self.id, "history_id": self.history_id, "notify_at_ms": self.deadline} | (self.kept or {})


def _save(connection: sa.Connection, changes: Sequence[Change], *, find_open: bool = False) -> tuple[Alert, ...]:
    lives, owners = _gather(changes)
    if find_open:
        _adopt_open(connection, lives)
    gone = [life.id for life in lives if life.last.state is AlertState.INACTIVE and life.id]
    stay = [life for life in lives if life.last.state is not AlertState.INACTIVE]
    _recall(connection, stay)
    old, new = [life for life in stay if life.kept is not None], [life for life in stay if life.kept is None]
    _number(connection, new, stay)
    _forget_missing_rules(connection, stay)
    for ids in chunks(gone):
        connection.execute(sa.delete(alert).where(alert.c.id.in_(ids)))
    # Before the inserts: a life that ends makes room for the next one of its series.
    _many(connection, _UPDATE_ALERT, map(_next_step, old))
    _many(connection, sa.insert(alert), (alert_values(life.last) | life.settled() for life in new))
    begun = [life for life in stay if life.history_is_new and life.fired]
    went_on = [life for life in stay if life.history_id and not life.history_is_new]
    _many(connection, sa.insert(alert_history), map(_first_history, begun))
    _many(connection, _UPDATE_HISTORY, ({"row": life.history_id, **history_end(life.last)} for life in went_on))
    return tuple(replace(change.alert, **life.settled()) for life, change in zip(owners, changes, strict=True))


_UPDATE_ALERT = sa.update(alert).where(alert.c.id == sa.bindparam("row"))
_UPDATE_HISTORY = sa.update(alert_history).where(alert_history.c.id == sa.bindparam("row"))


def _gather(changes: Sequence[Change]) -> tuple[list[_Life], list[_Life]]:
    """The lives in a batch, and the life of each change: late data may bring several steps of one alert."""
    lives: list[_Life] = []
    owners: list[_Life] = []
    current: dict[int | tuple[int | None, str, Labels], _Life] = {}
    for change in changes:
        given = change.alert
        key = given.id or (given.rule_id, given.source, given.labels)
        life = current.get(key)
        if life is None or (change.before in _STARTS_FROM and not given.id):
            life = current[key] = _Life(given, None, given.id, given.history_id)
            lives.append(life)
        life.take(change)
        owners.append(life)
    return lives, owners


def _adopt_open(connection: sa.Connection, lives: Sequence[_Life]) -> None:
    """Give lives without an id the row of the open alert of their rule and series."""
    fresh = {(life.last.rule_id, signed(life.last.labels.series_id())): life for life in lives if not life.id}
    columns = (alert.c.id, alert.c.rule_id, alert.c.series)
    for rule_ids in chunks({rule_id for rule_id, _ in fresh if rule_id is not None}):
        for row in connection.execute(sa.select(*columns).where(is_open, alert.c.rule_id.in_(rule_ids))):
            life = fresh.get((row.rule_id, row.series))
            if life is not None:
                life.id = row.id
    filed = {(life.last.source, signed(life.last.labels.series_id())): life for life in lives if not life.id}
    for sources in chunks({source for source, _ in filed if source}):
        query = sa.select(alert.c.id, alert.c.source, alert.c.series).where(is_open, alert.c.source.in_(sources))
        for row in connection.execute(query):
            life = filed.get((row.source, row.series))
            if life is not None:
                life.id = row.id


def _recall(connection: sa.Connection, lives: Sequence[_Life]) -> None:
    """Read and lock the rows of known alerts. One that is not there any more will be inserted again."""
    by_id = {life.id: life for life in lives if life.id}
    for ids in chunks(sorted(by_id)):
        query = sa.select(alert).where(alert.c.id.in_(ids)).order_by(alert.c.id).with_for_update()
        for row in connection.execute(query):
            life = by_id[row.id]
            life.history_id = row.history_id
            life.kept = {
                "acknowledged": row.acknowledged,
                "acknowledged_by": row.acknowledged_by,
                "acknowledged_at_ms": row.acknowledged_at_ms,
                "comment": row.comment,
                "announced": None if row.announced is None else AlertState(row.announced),
                "announced_at_ms": row.announced_at_ms,
            }
            if not life.sets_deadline:
                life.kept["notify_at_ms"] = row.notify_at_ms


def _number(connection: sa.Connection, new: Sequence[_Life], stay: Sequence[_Life]) -> None:
    unnumbered = [life for life in new if not life.id]
    for life, row_id in zip(unnumbered, take_ids(connection, alert, len(unnumbered)), strict=True):
        life.id = row_id
    begun = [life for life in stay if life.fired is not None and life.history_id is None]
    for life, row_id in zip(begun, take_ids(connection, alert_history, len(begun)), strict=True):
        life.history_id, life.history_is_new = row_id, True


def _forget_missing_rules(connection: sa.Connection, lives: Sequence[_Life]) -> None:
    """A rule that was deleted a moment ago must not keep the others' alerts from being saved."""
    asked = {life.last.rule_id for life in lives if life.last.rule_id is not None}
    there: set[int] = set()
    for rule_ids in chunks(sorted(asked)):
        query = sa.select(metric_alert.c.id).where(metric_alert.c.id.in_(rule_ids))
        there.update(connection.execute(query.with_for_update(read=True, key_share=True)).scalars())
    if asked <= there:
        return
    for life in lives:
        if life.last.rule_id not in there:
            life.last = replace(life.last, rule_id=None)


def _next_step(life: _Life) -> dict[str, Any]:
    settled = life.settled()
    mine = {name: settled[name] for name in ("history_id", "notify_at_ms")}
    return {"row": life.id, **step_values(life.last), **mine}


def _first_history(life: _Life) -> dict[str, Any]:
    """The row of a firing that began in this batch, and perhaps ended in it."""
    assert life.fired is not None
    ids = {"id": life.history_id, "alert_row_id": life.id, "alert_id": life.last.rule_id}
    return history_values(life.fired) | ids | history_end(life.last)


def _many(connection: sa.Connection, statement: sa.Executable, rows: Iterable[dict[str, Any]]) -> None:
    values = list(rows)
    if values:
        connection.execute(statement, values)
