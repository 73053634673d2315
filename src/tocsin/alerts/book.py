"""Alerts and their history as people see them, and what people do about them."""

from __future__ import annotations

import unicodedata

from tocsin.alerts.ports import AlertBookStore, LiveSink
from tocsin.model.alert import Alert, AlertEvent, AlertEventKind, AlertQuery, HistoryItem, HistoryQuery
from tocsin.model.audit import Actor, AuditEntry
from tocsin.model.errors import UserError
from tocsin.model.page import Page, PageRequest
from tocsin.runtime.clock import Clock

COMMENT_CHARS_MAX = 1_000

_TURNS_TEXT = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class AlertBook:
    """Raises StoreError where the database is away."""

    def __init__(self, store: AlertBookStore, live: LiveSink, clock: Clock) -> None:
        self._store = store
        self._live = live
        self._clock = clock

    async def alert(self, alert_id: int) -> Alert:
        """Raises NotFoundError."""
        return await self._store.alert(alert_id)

    async def alerts(self, query: AlertQuery, page: PageRequest) -> Page[Alert]:
        """Newest change first."""
        return await self._store.alerts(query, page)

    async def history(self, query: HistoryQuery, page: PageRequest) -> Page[HistoryItem]:
        """Newest first."""
        return await self._store.history(query, page)

    async def acknowledge(self, alert_id: int, actor: Actor, comment: str = "") -> Alert:
        """Somebody is on it: no more repeats. Raises NotFoundError, ConflictError, UserError (the comment)."""
        comment = clean_comment(comment)
        at_ms = self._clock.now_ms()
        entry = AuditEntry(
            at_ms=at_ms,
            actor=actor,
            action="alert.acknowledge",
            target=f"alert {alert_id}",
            before={"acknowledged": False},
            after={"acknowledged": True, "acknowledged_by": actor.name, "comment": comment},
        )
        alert = await self._store.acknowledge(alert_id, comment, entry)
        self._live.publish(AlertEvent(AlertEventKind.ACKNOWLEDGED, alert, at_ms))
        return alert


def clean_comment(text: str) -> str:
    """Without control characters but line breaks, and without what turns the direction of text. Raises UserError."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    kept = "".join(char for char in lines if char == "\n" or _is_harmless(char)).strip()
    if len(kept) > COMMENT_CHARS_MAX:
        raise UserError(f"The comment is longer than {COMMENT_CHARS_MAX} characters.", field="comment")
    return kept


def _is_harmless(char: str) -> bool:
    """Cc is control, Cs a lone surrogate, which no database can hold."""
    return unicodedata.category(char) not in {"Cc", "Cs"} and char not in _TURNS_TEXT
