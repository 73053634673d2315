"""Whether people must be told about an alert now, and when to ask again; pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from tocsin.model.alert import Alert, AlertState
from tocsin.model.outbox import LetterKind
from tocsin.model.rule import Severity


class Why(StrEnum):
    FIRST = "it fires and nobody was told"
    AGAIN = "it still fires and the repeat interval is over"
    OVER = "it resolved and people were told that it fired"
    ACKNOWLEDGED = "somebody has acknowledged it"
    NOT_YET = "the repeat interval is not over"
    ONCE_ONLY = "it fires, was announced, and is not to be repeated"
    NEVER_TOLD = "it resolved before anybody was told"
    TOLD_ALREADY = "people were told that it resolved"
    NOT_FIRING = "it does not fire yet"


@dataclass(frozen=True, slots=True)
class Decision:
    """`kind` None: say nothing. `next_at_ms` None: do not ask again until the alert changes."""

    kind: LetterKind | None
    reason: Why
    next_at_ms: int | None = None


def decide(alert: Alert, at_ms: int, repeat_ms: Callable[[Severity], int]) -> Decision:
    """Who was told "firing" is told "resolved", once; in between, only what nobody has acknowledged is repeated."""
    match alert.state:
        case AlertState.FIRING:
            return _firing(alert, at_ms, repeat_ms(alert.severity))
        case AlertState.RESOLVED:
            return _resolved(alert)
        case AlertState.PENDING | AlertState.INACTIVE:
            return Decision(None, Why.NOT_FIRING)


def _firing(alert: Alert, at_ms: int, repeat_ms: int) -> Decision:
    again_at_ms = at_ms + repeat_ms if repeat_ms else None
    if alert.acknowledged:
        return Decision(None, Why.ACKNOWLEDGED)
    if alert.announced is not AlertState.FIRING:
        return Decision(LetterKind.FIRING, Why.FIRST, again_at_ms)
    if not repeat_ms:
        return Decision(None, Why.ONCE_ONLY)
    due_at_ms = alert.announced_at_ms + repeat_ms
    if at_ms < due_at_ms:
        return Decision(None, Why.NOT_YET, due_at_ms)
    return Decision(LetterKind.REPEAT, Why.AGAIN, again_at_ms)


def _resolved(alert: Alert) -> Decision:
    if alert.announced is AlertState.FIRING:
        return Decision(LetterKind.RESOLVED, Why.OVER)
    return Decision(None, Why.NEVER_TOLD if alert.announced is None else Why.TOLD_ALREADY)
