"""Messages and how far they got."""

from __future__ import annotations

from pydantic import Field

from tocsin.api.shapes.base import Listed, Shape
from tocsin.api.times import rfc3339, rfc3339_or_none
from tocsin.model import outbox
from tocsin.model.outbox import LetterKind, LetterState
from tocsin.model.rule import Severity


class Letter(Shape):
    """One message to one recipient."""

    id: int
    kind: LetterKind
    receiver: str
    recipient: str
    alert_id: int
    rule_name: str
    severity: Severity
    state: LetterState
    created_at: str
    next_attempt_at: str | None
    attempts: int
    last_error: str
    answer: str = Field(description="what the receiver said when it took the message")
    sent_at: str | None
    expires_at: str = Field(description="when tocsin stops trying")

    @classmethod
    def of(cls, letter: outbox.Letter) -> Letter:
        waits = letter.state in (LetterState.QUEUED, LetterState.SENDING)
        return cls(
            id=letter.id,
            kind=letter.kind,
            receiver=letter.target.receiver,
            recipient=letter.target.recipient,
            alert_id=letter.alert.id,
            rule_name=letter.alert.rule_name,
            severity=letter.alert.severity,
            state=letter.state,
            created_at=rfc3339(letter.created_at_ms),
            next_attempt_at=rfc3339(letter.next_attempt_at_ms) if waits else None,
            attempts=letter.attempts,
            last_error=letter.last_error,
            answer=letter.answer,
            sent_at=rfc3339_or_none(letter.sent_at_ms),
            expires_at=rfc3339(letter.expires_at_ms),
        )


class LetterList(Listed[Letter]):
    pass
