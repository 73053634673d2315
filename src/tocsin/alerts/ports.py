"""What alerts needs of the rest of the house."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tocsin.model.alert import Alert, AlertEvent, AlertQuery, HistoryItem, HistoryQuery
from tocsin.model.audit import AuditEntry
from tocsin.model.outbox import Announcement, Target
from tocsin.model.page import Page, PageRequest


class AlertBookStore(Protocol):
    """Raises StoreError where the database is away."""

    async def alert(self, alert_id: int) -> Alert:
        """Raises NotFoundError."""
        ...

    async def alerts(self, query: AlertQuery, page: PageRequest) -> Page[Alert]:
        """Newest change first."""
        ...

    async def history(self, query: HistoryQuery, page: PageRequest) -> Page[HistoryItem]:
        """Newest first."""
        ...

    async def acknowledge(self, alert_id: int, comment: str, entry: AuditEntry) -> Alert:
        """Set who and when from the entry, on the alert and on its row of history, and audit it.

        The deadline of a firing alert is cleared, so that it is not repeated. Raises NotFoundError;
        ConflictError when the alert is not firing or is acknowledged already.
        """
        ...

    async def due_alerts(self, at_ms: int, limit: int) -> tuple[Alert, ...]:
        """Alerts whose `notify_at_ms` has come, oldest deadline first."""
        ...

    async def next_deadline_ms(self) -> int | None:
        """The earliest `notify_at_ms` of all alerts."""
        ...

    async def announce(self, announcements: Sequence[Announcement]) -> tuple[bool, ...]:
        """Queue the letters and remember what was announced; False where the alert changed meanwhile.

        A letter replaces queued letters of the same alert, receiver and recipient (they become
        `replaced`). A `resolved` letter whose `firing` was replaced in this way is still queued.
        """
        ...


class Router(Protocol):
    def targets(self, alert: Alert) -> tuple[Target, ...]:
        """Who must hear of this alert."""
        ...


class LiveSink(Protocol):
    def publish(self, event: AlertEvent) -> None:
        """Tell the browsers; must return at once."""
        ...


class OutboxBell(Protocol):
    def ring(self) -> None:
        """There is something new in the outbox."""
        ...
