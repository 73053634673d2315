"""Announces alerts: browsers at once, people through letters in the outbox.

What is due stands in the store as a deadline on each alert, so nothing is forgotten when the process dies.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from hashlib import blake2b

from tocsin.alerts.decide import Decision, decide
from tocsin.alerts.ports import AlertBookStore, LiveSink, OutboxBell, Router
from tocsin.alerts.settings import AlertSettings
from tocsin.model.alert import Alert, AlertEvent, AlertEventKind, AlertState, Change
from tocsin.model.duration import SECOND_MS
from tocsin.model.outbox import Announcement, Letter, LetterKind, LetterState, Target
from tocsin.runtime.clock import Clock, wait_until
from tocsin.runtime.log import get_log
from tocsin.runtime.telemetry import Telemetry

log = get_log("alerts")

PAGE = 500
"""How many alerts are announced in one transaction."""

EVENTS_AT_ONCE = 50
"""How many events go to the browsers before the event loop may do something else."""

EVENTS_WAITING_MAX = 20_000
RETRY_MS = SECOND_MS


class Dispatcher:
    """Fits rules' AlertSink. `run` is the one loop that announces.

    In a storm, events for browsers wait in a queue of 20,000; the oldest are dropped and counted. Letters
    need no queue: each waits as a deadline in the store.
    """

    def __init__(
        self,
        store: AlertBookStore,
        router: Router,
        bell: OutboxBell,
        live: LiveSink,
        *,
        clock: Clock,
        telemetry: Telemetry,
        settings: AlertSettings | None = None,
    ) -> None:
        self._store = store
        self._router = router
        self._bell = bell
        self._live = live
        self._clock = clock
        self._settings = settings or AlertSettings()
        self._wake = asyncio.Event()
        self._events: deque[AlertEvent] = deque(maxlen=EVENTS_WAITING_MAX)
        self._said_no_receiver = False
        self._letters = telemetry.counter("alert_letters", "Messages queued about alerts.", ["kind"])
        self._misses = telemetry.counter("alert_misses", "Announcements dropped because the alert changed meanwhile.")
        self._dropped = telemetry.counter("alert_events_dropped", "Alert events that browsers were not told of.")

    def reload(self, router: Router, settings: AlertSettings) -> None:
        """Use these from the next announcement on."""
        self._router, self._settings = router, settings
        self._said_no_receiver = False
        self._wake.set()

    def alerts_changed(self, changes: Sequence[Change]) -> None:
        at_ms = self._clock.now_ms()
        for change in changes:
            event = AlertEvent(_event_kind(change), change.alert, at_ms)
            if len(changes) <= EVENTS_AT_ONCE and not self._events:
                self._live.publish(event)
                continue
            if len(self._events) == EVENTS_WAITING_MAX:
                self._dropped.inc()
            self._events.append(event)
        self._wake.set()

    async def run(self) -> None:
        while True:
            clear = await self.announce_due(self._clock.now_ms())
            deadline_ms = await self._store.next_deadline_ms() if clear else self._clock.now_ms() + RETRY_MS
            await self._publish_waiting()
            await wait_until(self._clock, deadline_ms, self._wake)

    async def announce_due(self, at_ms: int) -> bool:
        """Announce all that is due. False where every alert of a page changed meanwhile: look again soon."""
        while due := await self._store.due_alerts(at_ms, PAGE):
            announcements = [self._announcement(alert, at_ms) for alert in due]
            taken = await self._store.announce(announcements)
            self._count(announcements, taken)
            await self._publish_waiting()
            if not any(taken):
                return False
        return True

    def _count(self, announcements: Sequence[Announcement], taken: Sequence[bool]) -> None:
        letters = [each.letters for each, took in zip(announcements, taken, strict=True) if took]
        self._misses.inc(len(taken) - len(letters))
        queued = [letter for each in letters for letter in each]
        for letter in queued:
            self._letters.labels(letter.kind.value).inc()
        if queued:
            self._bell.ring()

    def _announcement(self, alert: Alert, at_ms: int) -> Announcement:
        decision = decide(alert, at_ms, self._settings.repeat_ms)
        if decision.kind is None:
            return Announcement(alert, (), alert.announced, alert.announced_at_ms, decision.next_at_ms)
        announced = AlertState.RESOLVED if decision.kind is LetterKind.RESOLVED else AlertState.FIRING
        return Announcement(alert, self._write_letters(alert, decision, at_ms), announced, at_ms, decision.next_at_ms)

    def _write_letters(self, alert: Alert, decision: Decision, at_ms: int) -> tuple[Letter, ...]:
        assert decision.kind is not None
        targets = self._router.targets(alert)
        if not targets and not self._said_no_receiver:
            log.warning("nobody is told of alerts: no receiver is configured; set smtp.host and smtp.to")
        self._said_no_receiver = not targets
        return tuple(
            Letter(
                id=0,
                key=letter_key(alert.id, decision.kind, at_ms, target),
                kind=decision.kind,
                target=target,
                alert=alert,
                state=LetterState.QUEUED,
                created_at_ms=at_ms,
                next_attempt_at_ms=at_ms,
                expires_at_ms=at_ms + self._settings.letter_expiry,
            )
            for target in targets
        )

    async def _publish_waiting(self) -> None:
        while self._events:
            for _ in range(min(len(self._events), EVENTS_AT_ONCE)):
                self._live.publish(self._events.popleft())
            await asyncio.sleep(0)


def letter_key(alert_id: int, kind: LetterKind, at_ms: int, target: Target) -> str:
    """Unique for one announcement to one recipient, the same whenever it is sent; plain ASCII, without the address."""
    whom = blake2b(f"{target.receiver}\0{target.recipient}".encode(), digest_size=8).hexdigest()
    return f"alert-{alert_id}-{kind.value}-{at_ms}-{whom}"


def _event_kind(change: Change) -> AlertEventKind:
    if change.alert.state is change.before:
        return AlertEventKind.CHANGED
    match change.alert.state:
        case AlertState.FIRING:
            return AlertEventKind.FIRING
        case AlertState.RESOLVED:
            return AlertEventKind.RESOLVED
        case AlertState.PENDING | AlertState.INACTIVE:
            return AlertEventKind.CHANGED
