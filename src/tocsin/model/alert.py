"""Alerts: one rule that is broken by one series, from the first bad sample to the resolve."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

from tocsin.model.labels import Labels
from tocsin.model.rule import Condition, Severity
from tocsin.model.rule_group import Pairs


class AlertState(StrEnum):
    INACTIVE = "inactive"
    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


class Reason(StrEnum):
    """Why an alert changed its state, kept with every change."""

    CONDITION_MET = "condition met"
    HELD = "condition held for the rule's duration"
    CLEARED = "condition cleared"
    NO_DATA = "no data"
    RULE_EDITED = "rule edited"
    RULE_DISABLED = "rule disabled"
    RULE_DELETED = "rule deleted"


@dataclass(frozen=True, slots=True)
class Alert:
    """One life of one alert. Times are ms UTC, 0 where it has not happened. `id` 0 means not yet saved.

    What the rule said is copied, so that the alert can be read after the rule has changed.
    `announced` is the last state that people were told, None before the first time; `notify_at_ms`
    is when the dispatcher has to look at it next, None for never.

    Where `expr` is given the rule is that PromQL expression, and metric_name, condition and threshold say nothing.
    `source` names a rule that is in a file, and so has no id. `gone_at_ms` is since when the expression gives nothing
    for a firing alert that its rule keeps firing.
    """

    id: int
    rule_id: int | None
    rule_name: str
    metric_name: str
    condition: Condition
    threshold: float
    severity: Severity
    labels: Labels
    state: AlertState
    value: float
    peak: float
    since_ms: int
    changed_at_ms: int
    reason: Reason
    fired_at_ms: int = 0
    resolved_at_ms: int = 0
    acknowledged: bool = False
    acknowledged_by: str = ""
    acknowledged_at_ms: int = 0
    comment: str = ""
    announced: AlertState | None = None
    announced_at_ms: int = 0
    notify_at_ms: int | None = None
    history_id: int | None = None
    expr: str = ""
    source: str = ""
    annotations: Pairs = ()
    gone_at_ms: int = 0

    @property
    def open(self) -> bool:
        return self.state in (AlertState.PENDING, AlertState.FIRING)

    def with_value(self, value: float) -> Alert:
        return replace(self, value=value, peak=worse(self.condition, self.peak, value))


def worse(condition: Condition, one: float, other: float) -> float:
    """Which of two values is further on the bad side; the newer one where the condition has no side.

    NaN is no reading, and loses against one.
    """
    if math.isnan(one) or math.isnan(other):
        return one if math.isnan(other) else other
    match condition:
        case Condition.ABOVE | Condition.AT_LEAST:
            return max(one, other)
        case Condition.BELOW | Condition.AT_MOST:
            return min(one, other)
        case Condition.EQUAL | Condition.NOT_EQUAL:
            return other


@dataclass(frozen=True, slots=True)
class Change:
    """An alert's step from `before` to `alert.state`, with `alert.reason`, at `alert.changed_at_ms`."""

    alert: Alert
    before: AlertState


@dataclass(frozen=True, slots=True)
class HistoryItem:
    """A row of alert_history: one firing, completed when it resolved (`resolved_at_ms` 0 until then)."""

    id: int
    alert_id: int
    rule_id: int | None
    rule_name: str
    severity: Severity
    labels: Labels
    triggered_at_ms: int
    value: float
    peak: float
    resolved_at_ms: int
    reason: str
    acknowledged: bool
    acknowledged_by: str
    acknowledged_at_ms: int
    comment: str


class AlertEventKind(StrEnum):
    FIRING = "alert.firing"
    RESOLVED = "alert.resolved"
    ACKNOWLEDGED = "alert.acknowledged"
    CHANGED = "alert.changed"


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """What a browser is told about an alert as it happens."""

    kind: AlertEventKind
    alert: Alert
    at_ms: int


@dataclass(frozen=True, slots=True)
class AlertQuery:
    states: tuple[AlertState, ...] = (AlertState.PENDING, AlertState.FIRING)
    severity: Severity | None = None
    rule_id: int | None = None
    acknowledged: bool | None = None


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Times are ms UTC, half open: since ≤ triggered_at < until."""

    since_ms: int | None = None
    until_ms: int | None = None
    severity: Severity | None = None
    rule_id: int | None = None
