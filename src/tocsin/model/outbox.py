"""Letters: messages that must arrive, each a row with a deadline in the outbox."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tocsin.model.alert import Alert, AlertState


class LetterState(StrEnum):
    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    REPLACED = "replaced"
    DEAD = "dead"


class LetterKind(StrEnum):
    FIRING = "firing"
    REPEAT = "repeat"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Target:
    """Somebody who can be told: a receiver (`email`) and an address that it understands."""

    receiver: str
    recipient: str


@dataclass(frozen=True, slots=True)
class Letter:
    """One message to one recipient. Times are ms UTC; `id` 0 means not yet saved.

    `key` is unique and names the sending, so that a message sent twice after a crash carries the same
    Message-ID. `alert` is the alert as it was when the decision was made. `expires_at_ms` ends the retries.
    A letter of the same alert and recipient that is still queued is replaced by a newer one.
    """

    id: int
    key: str
    kind: LetterKind
    target: Target
    alert: Alert
    state: LetterState
    created_at_ms: int
    next_attempt_at_ms: int
    expires_at_ms: int
    attempts: int = 0
    last_error: str = ""
    answer: str = ""
    sent_at_ms: int = 0
    claimed_until_ms: int = 0


@dataclass(frozen=True, slots=True)
class Announcement:
    """A decision of the dispatcher about one alert: letters to queue and what to remember.

    It is written in one transaction, and only if the alert's `announced`, `announced_at_ms`,
    acknowledgement and state are still what `alert` says.
    """

    alert: Alert
    letters: tuple[Letter, ...]
    announced: AlertState | None
    announced_at_ms: int
    notify_at_ms: int | None
