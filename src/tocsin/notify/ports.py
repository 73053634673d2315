"""What notify needs of the rest of the house."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from tocsin.model.audit import AuditEntry
from tocsin.model.outbox import Letter, LetterState
from tocsin.model.page import Page, PageRequest


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver took it; `answer` is what it said."""

    answer: str


@dataclass(frozen=True, slots=True)
class Retry:
    """It may work later; `after_s` where the receiver said when."""

    why: str
    after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """It will not work however often it is tried: a person has to look."""

    why: str


Outcome = Delivered | Retry | Rejected


class Receiver(Protocol):
    """One way of reaching a person. `send` does not raise: every failure is an Outcome."""

    async def send(self, letter: Letter) -> Outcome: ...

    async def close(self) -> None:
        """Let go of what is held between letters. A later `send` still works."""
        ...


class Bell(Protocol):
    def ring(self) -> None:
        """There is something new in the outbox."""
        ...


class Outbox(Protocol):
    """Raises StoreError where the database is away."""

    async def release(self, worker: str, at_ms: int) -> int:
        """Give back what this worker had claimed before it died: due at once. How many letters that were."""
        ...

    async def claim(
        self, at_ms: int, lease_ms: int, limit: int, worker: str, busy: Collection[str] = ()
    ) -> tuple[Letter, ...]:
        """Take letters whose time has come, by compare-and-set, as `sending` until the lease ends.

        `worker` names the
        process across restarts. A letter whose lease ran out is taken again. A letter waits while an older
        one of the same alert, receiver and recipient is still queued or being sent. `attempts` is raised by one.
        Letters for the receivers named in `busy` are left for later, so that one which hangs does not
        fill the page. Oldest `next_attempt_at_ms` first.
        """
        ...

    async def next_attempt_ms(self) -> int | None:
        """When the next letter is due or the next lease ends."""
        ...

    async def mark_sent(self, letter: Letter, answer: str, at_ms: int) -> None: ...

    async def mark_retry(self, letter: Letter, why: str, next_attempt_at_ms: int) -> None:
        """Queued again, or `replaced` where a newer letter of the same alert and recipient waits."""
        ...

    async def mark_dead(self, letter: Letter, why: str, at_ms: int) -> None: ...

    async def letters(self, states: Sequence[LetterState], page: PageRequest) -> Page[Letter]:
        """Newest first."""
        ...

    async def resend(self, letter_id: int, expires_at_ms: int, entry: AuditEntry) -> Letter:
        """Queue a dead letter again from its first attempt. Raises NotFoundError, ConflictError."""
        ...
