"""Fakes for the road of an alert: the ports of rules and alerts in plain memory, and sinks that remember."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tocsin.model.alert import Alert, AlertEvent, AlertQuery, AlertState, Change, HistoryItem, HistoryQuery, Reason
from tocsin.model.audit import AuditEntry
from tocsin.model.errors import ConflictError, NotFoundError, StoreError
from tocsin.model.labels import Labels
from tocsin.model.outbox import Announcement, Letter, LetterState, Target
from tocsin.model.page import Page, PageRequest
from tocsin.model.rule import Condition, Rule, Severity
from tocsin.model.series import SampleBatch

OPEN = (AlertState.PENDING, AlertState.FIRING)

FIRING = Alert(
    id=1,
    rule_id=1,
    rule_name="High",
    metric_name="load",
    condition=Condition.ABOVE,
    threshold=80.0,
    severity=Severity.WARNING,
    labels=Labels.metric("load", {"host": "a"}),
    state=AlertState.FIRING,
    value=90.0,
    peak=90.0,
    since_ms=0,
    changed_at_ms=0,
    reason=Reason.CONDITION_MET,
)
"""An alert to `replace` parts of."""


@dataclass
class FakeState:
    """RuleStore, AlertStore and AlertBookStore, written as plainly as possible.

    `failures` is called before each write and may raise; `after_commit` is called after each save of changes.
    """

    stored_rules: dict[int, Rule] = field(default_factory=dict)
    rows: dict[int, Alert] = field(default_factory=dict)
    past: dict[int, HistoryItem] = field(default_factory=dict)
    letters: list[Letter] = field(default_factory=list)
    audit: list[AuditEntry] = field(default_factory=list)
    saves: list[tuple[Change, ...]] = field(default_factory=list)
    failures: Callable[[], None] = lambda: None
    after_commit: Callable[[], None] = lambda: None
    refuse: Callable[[Sequence[Change]], None] = lambda _changes: None
    _open: set[tuple[int | None, str, Labels]] = field(default_factory=set)
    _last_id: int = 0

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    # rules

    async def rules(self) -> tuple[Rule, ...]:
        return tuple(self.stored_rules[key] for key in sorted(self.stored_rules))

    async def add_rules(self, rules: Sequence[Rule], entries: Sequence[AuditEntry]) -> tuple[Rule, ...]:
        self.failures()
        added = tuple(replace(rule, id=self._next_id()) for rule in rules)
        self.stored_rules |= {rule.id: rule for rule in added}
        self.audit += entries
        return added

    async def replace_rule(self, rule: Rule, entry: AuditEntry) -> Rule:
        self.failures()
        if rule.id not in self.stored_rules:
            raise NotFoundError("no such rule")
        if self.stored_rules[rule.id].version != rule.version:
            raise ConflictError("changed meanwhile")
        saved = self.stored_rules[rule.id] = replace(rule, version=rule.version + 1)
        self.audit.append(entry)
        return saved

    async def delete_rule(self, rule_id: int, entry: AuditEntry) -> None:
        self.failures()
        if rule_id not in self.stored_rules:
            raise NotFoundError("no such rule")
        del self.stored_rules[rule_id]
        self.rows = {
            key: replace(row, rule_id=None) if row.rule_id == rule_id else row for key, row in self.rows.items()
        }
        self.audit.append(entry)

    # alerts, as rules sees them

    async def open_alerts(self) -> tuple[Alert, ...]:
        return tuple(row for row in self.rows.values() if row.state in OPEN)

    async def save_changes(self, changes: Sequence[Change]) -> tuple[Alert, ...]:
        self.failures()
        self.refuse(changes)
        saved = tuple(map(self._save, changes))
        self.saves.append(tuple(changes))
        self.after_commit()
        return saved

    def _save(self, change: Change) -> Alert:
        given = change.alert
        key = given.rule_id, given.source, given.labels
        if not given.id and key in self._open:
            raise ConflictError("open already")
        (self._open.add if given.open else self._open.discard)(key)
        old = self.rows.get(given.id, replace(given, id=self._next_id()))
        stays = change.before is given.state
        saved = replace(
            given,
            id=old.id,
            history_id=old.history_id,
            acknowledged=old.acknowledged,
            acknowledged_by=old.acknowledged_by,
            acknowledged_at_ms=old.acknowledged_at_ms,
            comment=old.comment,
            announced=old.announced,
            announced_at_ms=old.announced_at_ms,
            notify_at_ms=old.notify_at_ms if stays and given.notify_at_ms is None else given.notify_at_ms,
        )
        if saved.state is AlertState.INACTIVE:
            self.rows.pop(saved.id, None)
            return saved
        if saved.state is not AlertState.PENDING:
            saved = self._note(saved)
        self.rows[saved.id] = saved
        return saved

    def _note(self, alert: Alert) -> Alert:
        history_id = alert.history_id or self._next_id()
        begun = self.past.get(history_id)
        self.past[history_id] = HistoryItem(
            id=history_id,
            alert_id=alert.id,
            rule_id=alert.rule_id,
            rule_name=alert.rule_name,
            severity=alert.severity,
            labels=alert.labels,
            triggered_at_ms=alert.fired_at_ms,
            value=begun.value if begun else alert.value,
            peak=alert.peak,
            resolved_at_ms=alert.resolved_at_ms,
            reason=alert.reason.value if alert.resolved_at_ms else "",
            acknowledged=alert.acknowledged,
            acknowledged_by=alert.acknowledged_by,
            acknowledged_at_ms=alert.acknowledged_at_ms,
            comment=alert.comment,
        )
        return replace(alert, history_id=history_id)

    # alerts, as alerts sees them

    async def alert(self, alert_id: int) -> Alert:
        if alert_id not in self.rows:
            raise NotFoundError("no such alert")
        return self.rows[alert_id]

    async def alerts(self, query: AlertQuery, page: PageRequest) -> Page[Alert]:
        found = [row for row in self.rows.values() if row.state in query.states]
        return Page(tuple(found[: page.limit]))

    async def history(self, query: HistoryQuery, page: PageRequest) -> Page[HistoryItem]:
        return Page(tuple(reversed(self.past.values()))[: page.limit])

    async def acknowledge(self, alert_id: int, comment: str, entry: AuditEntry) -> Alert:
        self.failures()
        old = await self.alert(alert_id)
        if old.state is not AlertState.FIRING or old.acknowledged:
            raise ConflictError("not firing, or acknowledged already")
        by, at_ms = entry.actor.name, entry.at_ms
        new = replace(
            old, acknowledged=True, acknowledged_by=by, acknowledged_at_ms=at_ms, comment=comment, notify_at_ms=None
        )
        self.rows[alert_id] = new
        self.audit.append(entry)
        return new

    async def due_alerts(self, at_ms: int, limit: int) -> tuple[Alert, ...]:
        due = sorted(
            (row.notify_at_ms, row.id)
            for row in self.rows.values()
            if row.notify_at_ms is not None and row.notify_at_ms <= at_ms
        )
        return tuple(self.rows[row_id] for _, row_id in due[:limit])

    async def next_deadline_ms(self) -> int | None:
        return min((row.notify_at_ms for row in self.rows.values() if row.notify_at_ms is not None), default=None)

    async def announce(self, announcements: Sequence[Announcement]) -> tuple[bool, ...]:
        self.failures()
        return tuple(map(self._announce, announcements))

    def _announce(self, said: Announcement) -> bool:
        row = self.rows.get(said.alert.id)
        if row is None or _stand(row) != _stand(said.alert):
            return False
        self.rows[row.id] = replace(
            row, announced=said.announced, announced_at_ms=said.announced_at_ms, notify_at_ms=said.notify_at_ms
        )
        for letter in said.letters:
            self._queue(letter)
        return True

    def _queue(self, letter: Letter) -> None:
        same = letter.alert.id, letter.target
        self.letters = [
            replace(old, state=LetterState.REPLACED)
            if old.state is LetterState.QUEUED and (old.alert.id, old.target) == same
            else old
            for old in self.letters
        ]
        if any(old.key == letter.key for old in self.letters):
            raise ConflictError("the key of a letter is not unique")
        self.letters.append(replace(letter, id=self._next_id()))


def _stand(alert: Alert) -> tuple[object, ...]:
    return alert.announced, alert.announced_at_ms, alert.acknowledged, alert.state


class FakeSeries:
    """Interned labels."""

    def __init__(self) -> None:
        self.known: dict[int, Labels] = {}
        self.asked = 0

    def add(self, labels: Labels) -> int:
        self.known[labels.series_id()] = labels
        return labels.series_id()

    def labels(self, series_id: int) -> Labels:
        self.asked += 1
        return self.known[series_id]

    def batch(self, *samples: tuple[Labels, int, float]) -> SampleBatch:
        ids = np.array([self.add(labels) for labels, _, _ in samples], np.uint64)
        times = np.array([time_ms for _, time_ms, _ in samples], np.int64)
        return SampleBatch(ids, times, np.array([value for _, _, value in samples], np.float64))


class FakeSink:
    """AlertSink: all changes in the order in which they were told."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.calls = 0

    def alerts_changed(self, changes: Sequence[Change]) -> None:
        self.calls += 1
        self.changes += changes

    def take(self) -> list[Change]:
        taken, self.changes = self.changes, []
        return taken


class FakeLive:
    """LiveSink: all events."""

    def __init__(self) -> None:
        self.events: list[AlertEvent] = []

    def publish(self, event: AlertEvent) -> None:
        self.events.append(event)


class FakeBell:
    """OutboxBell: how often it rang."""

    def __init__(self) -> None:
        self.rings = 0

    def ring(self) -> None:
        self.rings += 1


class FixedRoute:
    """Router: the same targets for every alert."""

    def __init__(self, targets: Iterable[Target] = (Target("email", "ops@example.org"),)) -> None:
        self.to = tuple(targets)

    def targets(self, alert: Alert) -> tuple[Target, ...]:
        return self.to


class Trouble:
    """Makes the next `times` writes fail with `error`."""

    def __init__(self) -> None:
        self.times = 0
        self.error: Exception = StoreError("the database is away")

    def __call__(self) -> None:
        if self.times > 0:
            self.times -= 1
            raise self.error
