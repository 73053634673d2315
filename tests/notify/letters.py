"""Letters and an outbox for tests of this room."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace

from tocsin.model.alert import Alert, AlertState, Reason
from tocsin.model.audit import AuditEntry
from tocsin.model.duration import DAY_MS, HOUR_MS, MINUTE_MS
from tocsin.model.errors import ConflictError, NotFoundError, StoreError
from tocsin.model.labels import METRIC_NAME, Labels
from tocsin.model.outbox import Letter, LetterKind, LetterState, Target
from tocsin.model.page import Page, PageRequest
from tocsin.model.rule import Condition, Severity

FIRED_MS = 1_795_426_200_000  # 2026-11-23 09:30:00 UTC
OPS = "ops@example.org"


def an_alert(
    *,
    id: int = 7,
    name: str = "High CPU Usage",
    severity: Severity = Severity.WARNING,
    labels: dict[str, str] | None = None,
    value: float = 91.304,
    acknowledged_by: str = "",
    comment: str = "",
) -> Alert:
    tags = {"host": "web-1"} if labels is None else labels
    return Alert(
        id=id,
        rule_id=1,
        rule_name=name,
        metric_name="system.cpu.usage",
        condition=Condition.ABOVE,
        threshold=80.0,
        severity=severity,
        labels=Labels.of({METRIC_NAME: "system.cpu.usage", **tags}),
        state=AlertState.FIRING,
        value=value,
        peak=97.5,
        since_ms=FIRED_MS - 5 * MINUTE_MS,
        changed_at_ms=FIRED_MS,
        reason=Reason.HELD,
        fired_at_ms=FIRED_MS,
        acknowledged=bool(acknowledged_by),
        acknowledged_by=acknowledged_by,
        comment=comment,
    )


def a_letter(
    alert: Alert | None = None,
    kind: LetterKind = LetterKind.FIRING,
    *,
    id: int = 1,
    to: str = OPS,
    receiver: str = "email",
    created_ms: int = FIRED_MS,
    expires_ms: int | None = None,
) -> Letter:
    about = alert or an_alert()
    return Letter(
        id=id,
        key=f"{about.id}/{kind}/{created_ms}/{receiver}/{to}",
        kind=kind,
        target=Target(receiver, to),
        alert=about,
        state=LetterState.QUEUED,
        created_at_ms=created_ms,
        next_attempt_at_ms=created_ms,
        expires_at_ms=created_ms + DAY_MS if expires_ms is None else expires_ms,
    )


def a_resolved_letter(alert: Alert | None = None, after_ms: int = 2 * HOUR_MS + 15 * MINUTE_MS) -> Letter:
    at_ms = FIRED_MS + after_ms
    ended = replace(
        alert or an_alert(),
        state=AlertState.RESOLVED,
        reason=Reason.CLEARED,
        value=42.1,
        changed_at_ms=at_ms,
        resolved_at_ms=at_ms,
    )
    return a_letter(ended, LetterKind.RESOLVED, created_ms=at_ms)


class MemoryOutbox:
    """The port in memory. `away` and `away_marks` are how many of the next reads and marks fail."""

    def __init__(self, *letters: Letter) -> None:
        self.rows = {letter.id: letter for letter in letters}
        self.away = 0
        self.away_marks = 0
        self.workers: dict[int, str] = {}
        self.entries: list[AuditEntry] = []
        self._changed = asyncio.Condition()

    async def until(self, letter_id: int, *states: LetterState, attempts: int = 0) -> Letter:
        """The letter as soon as it is in one of these states after at least so many attempts."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: self.rows[letter_id].state in states and self.rows[letter_id].attempts >= attempts
            )
        return self.rows[letter_id]

    async def release(self, worker: str, at_ms: int) -> int:
        self._fail_if_away()
        left = [letter for letter in self.rows.values() if self.workers.get(letter.id) == worker]
        left = [letter for letter in left if letter.state is LetterState.SENDING]
        for letter in left:
            await self._put(replace(letter, state=LetterState.QUEUED, next_attempt_at_ms=at_ms))
        return len(left)

    async def claim(
        self, at_ms: int, lease_ms: int, limit: int, worker: str, busy: Collection[str] = ()
    ) -> tuple[Letter, ...]:
        self._fail_if_away()
        due = [letter for letter in self.rows.values() if _due_ms(letter) is not None and letter.state in _OPEN]
        due = [letter for letter in due if (_due_ms(letter) or 0) <= at_ms and letter.target.receiver not in busy]
        taken = [
            replace(letter, state=LetterState.SENDING, attempts=letter.attempts + 1, claimed_until_ms=at_ms + lease_ms)
            for letter in sorted(due, key=lambda letter: letter.next_attempt_at_ms)[:limit]
        ]
        for letter in taken:
            self.workers[letter.id] = worker
            await self._put(letter)
        return tuple(taken)

    async def next_attempt_ms(self) -> int | None:
        self._fail_if_away()
        return min((at for letter in self.rows.values() if (at := _due_ms(letter)) is not None), default=None)

    async def mark_sent(self, letter: Letter, answer: str, at_ms: int) -> None:
        self._fail_if_marks_away()
        await self._put(replace(letter, state=LetterState.SENT, answer=answer, sent_at_ms=at_ms))

    async def mark_retry(self, letter: Letter, why: str, next_attempt_at_ms: int) -> None:
        self._fail_if_marks_away()
        await self._put(
            replace(letter, state=LetterState.QUEUED, last_error=why, next_attempt_at_ms=next_attempt_at_ms)
        )

    async def mark_dead(self, letter: Letter, why: str, at_ms: int) -> None:
        self._fail_if_marks_away()
        await self._put(replace(letter, state=LetterState.DEAD, last_error=why))

    async def letters(self, states: Sequence[LetterState], page: PageRequest) -> Page[Letter]:
        found = [letter for letter in reversed(self.rows.values()) if letter.state in states]
        return Page(tuple(found[: page.limit]))

    async def resend(self, letter_id: int, expires_at_ms: int, entry: AuditEntry) -> Letter:
        letter = self.rows.get(letter_id)
        if letter is None:
            raise NotFoundError("There is no such letter.")
        if letter.state is not LetterState.DEAD:
            raise ConflictError("Only a dead letter can be sent again.")
        self.entries.append(entry)
        again = replace(
            letter,
            state=LetterState.QUEUED,
            attempts=0,
            next_attempt_at_ms=entry.at_ms,
            expires_at_ms=expires_at_ms,
        )
        await self._put(again)
        return again

    async def _put(self, letter: Letter) -> None:
        self.rows[letter.id] = letter
        async with self._changed:
            self._changed.notify_all()

    def _fail_if_away(self) -> None:
        if self.away:
            self.away -= 1
            raise StoreError("The database is away.")

    def _fail_if_marks_away(self) -> None:
        if self.away_marks:
            self.away_marks -= 1
            raise StoreError("The database is away.")


_OPEN = (LetterState.QUEUED, LetterState.SENDING)


def _due_ms(letter: Letter) -> int | None:
    if letter.state is LetterState.QUEUED:
        return letter.next_attempt_at_ms
    return letter.claimed_until_ms if letter.state is LetterState.SENDING else None
