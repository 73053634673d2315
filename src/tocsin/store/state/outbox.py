"""Outbox: letters as rows with a deadline, claimed under a lease."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from tocsin.model.audit import AuditEntry
from tocsin.model.errors import ConflictError, NotFoundError
from tocsin.model.outbox import Letter, LetterState
from tocsin.model.page import Page, PageRequest
from tocsin.store.state.audit import write_audit
from tocsin.store.state.codec import letter_of
from tocsin.store.state.engine import Database
from tocsin.store.state.pages import read_page
from tocsin.store.state.schema import outbox

_older = outbox.alias("older")
_waits = (
    sa.exists()
    .where(
        _older.c.alert_id == outbox.c.alert_id,
        _older.c.id < outbox.c.id,
        _older.c.receiver == outbox.c.receiver,
        _older.c.recipient == outbox.c.recipient,
        _older.c.due_at_ms.is_not(None),
    )
    .correlate(outbox)
)
"""An older letter to the same ears about the same alert is still on its way."""

_first_in_line = sa.and_(outbox.c.due_at_ms.is_not(None), ~_waits)


class Outbox:
    """Implements notify.ports.Outbox."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def release(self, worker: str, at_ms: int) -> int:
        give_back = (
            sa.update(outbox)
            .where(outbox.c.state == LetterState.SENDING.value, outbox.c.claimed_by == worker)
            .values(state=LetterState.QUEUED.value, due_at_ms=at_ms, claimed_until_ms=0)
        )
        return await self._database.write(lambda connection: connection.execute(give_back).rowcount)

    async def claim(
        self, at_ms: int, lease_ms: int, limit: int, worker: str, busy: Collection[str] = ()
    ) -> tuple[Letter, ...]:
        due = (
            sa.select(outbox.c.id)
            .where(_first_in_line, outbox.c.due_at_ms <= at_ms, outbox.c.receiver.not_in(busy))
            .order_by(outbox.c.due_at_ms, outbox.c.id)
            .limit(limit)
            # PostgreSQL: what another worker is just claiming is not waited for. SQLite has one writer.
            .with_for_update(skip_locked=True, of=outbox)
            .cte("due")
            # Spelled out, since PostgreSQL might fold the list into the UPDATE and then claim past its limit.
            .prefix_with("MATERIALIZED", dialect="postgresql")
        )
        take = (
            sa.update(outbox)
            .where(outbox.c.id.in_(sa.select(due.c.id)))
            .values(
                state=LetterState.SENDING.value,
                attempts=outbox.c.attempts + 1,
                claimed_until_ms=at_ms + lease_ms,
                claimed_by=worker,
                due_at_ms=at_ms + lease_ms,
            )
            .returning(outbox)
        )

        def work(connection: sa.Connection) -> tuple[Letter, ...]:
            letters = map(letter_of, connection.execute(take).all())
            return tuple(sorted(letters, key=lambda letter: (letter.next_attempt_at_ms, letter.id)))

        return await self._database.write(work)

    async def next_attempt_ms(self) -> int | None:
        # Only the first in its line counts: one that waits for an older letter cannot be claimed, and to
        # name its time would make the caller ask again and again.
        first = sa.select(outbox.c.due_at_ms).where(_first_in_line).order_by(outbox.c.due_at_ms, outbox.c.id).limit(1)
        return await self._database.read(lambda connection: connection.execute(first).scalar())

    async def mark_sent(self, letter: Letter, answer: str, at_ms: int) -> None:
        # Whoever has the lease by now: it was sent, and must not be sent again.
        said = {"answer": answer, "sent_at_ms": at_ms, "last_error": ""}
        update = sa.update(outbox).where(outbox.c.id == letter.id).values(_done(LetterState.SENT, at_ms) | said)
        await self._database.write(lambda connection: connection.execute(update))

    async def mark_retry(self, letter: Letter, why: str, next_attempt_at_ms: int) -> None:
        newer = _older
        replaced = sa.exists().where(
            newer.c.alert_id == letter.alert.id,
            newer.c.id > letter.id,
            newer.c.receiver == letter.target.receiver,
            newer.c.recipient == letter.target.recipient,
            newer.c.due_at_ms.is_not(None),
        )
        update = _claimed(letter).values(
            state=sa.case((replaced, LetterState.REPLACED.value), else_=LetterState.QUEUED.value),
            due_at_ms=sa.case((replaced, sa.null()), else_=next_attempt_at_ms),
            next_attempt_at_ms=next_attempt_at_ms,
            done_at_ms=sa.case((replaced, next_attempt_at_ms), else_=0),
            claimed_until_ms=0,
            last_error=why,
        )
        await self._database.write(lambda connection: connection.execute(update))

    async def mark_dead(self, letter: Letter, why: str, at_ms: int) -> None:
        update = _claimed(letter).values(_done(LetterState.DEAD, at_ms) | {"last_error": why})
        await self._database.write(lambda connection: connection.execute(update))

    async def letters(self, states: Sequence[LetterState], page: PageRequest) -> Page[Letter]:
        select = sa.select(outbox)
        if states:
            select = select.where(outbox.c.state.in_([state.value for state in states]))
        keys = (outbox.c.id,)
        return await self._database.read(lambda connection: read_page(connection, select, keys, page, letter_of))

    async def resend(self, letter_id: int, expires_at_ms: int, entry: AuditEntry) -> Letter:
        again = (
            sa.update(outbox)
            .where(outbox.c.id == letter_id, outbox.c.state == LetterState.DEAD.value)
            .values(
                state=LetterState.QUEUED.value,
                attempts=0,
                next_attempt_at_ms=entry.at_ms,
                due_at_ms=entry.at_ms,
                done_at_ms=0,
                expires_at_ms=expires_at_ms,
            )
            .returning(outbox)
        )

        def work(connection: sa.Connection) -> Letter:
            row = connection.execute(again).one_or_none()
            if row is None:
                raise _why_not_resent(connection, letter_id)
            write_audit(connection, [entry])
            return letter_of(row)

        return await self._database.write(work)


def _done(state: LetterState, at_ms: int) -> dict[str, Any]:
    return {"state": state.value, "done_at_ms": at_ms, "due_at_ms": None, "claimed_until_ms": 0}


def _claimed(letter: Letter) -> sa.Update:
    """The letter's row, if its claim is still the newest one."""
    return sa.update(outbox).where(
        outbox.c.id == letter.id,
        outbox.c.state == LetterState.SENDING.value,
        outbox.c.attempts == letter.attempts,
    )


def _why_not_resent(connection: sa.Connection, letter_id: int) -> Exception:
    state: Any = connection.execute(sa.select(outbox.c.state).where(outbox.c.id == letter_id)).scalar()
    if state is None:
        return NotFoundError(f"There is no letter {letter_id}.")
    return ConflictError(f"Letter {letter_id} is {state}; only a dead one can be sent again.")
