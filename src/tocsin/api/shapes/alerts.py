"""Alerts, and the history of those that fired."""

from __future__ import annotations

from pydantic import Field

from tocsin.api.shapes.base import Asked, Listed, Shape, Tags
from tocsin.api.times import rfc3339, rfc3339_or_none
from tocsin.model import alert as alerts
from tocsin.model.alert import AlertState
from tocsin.model.rule import Condition, Severity


class Alert(Shape):
    """One rule that is broken by one series, from the first bad sample to the resolve."""

    id: int
    rule_id: int | None = Field(description="null where the rule was deleted")
    rule_name: str
    metric_name: str = Field(description="empty where the rule is an expression")
    condition: Condition | None = Field(description="null where the rule is an expression")
    threshold: float | None = Field(description="null where the rule is an expression")
    expr: str = Field(description="the rule as PromQL where it is an expression, otherwise empty")
    source: str = Field(description="the rule file, the group and the rule, where it is in a file")
    annotations: dict[str, str] = Field(description="what the rule says about it, templates filled in")
    state: AlertState
    severity: Severity
    labels: Tags = Field(description="all labels but the metric's name")
    value: float | None = Field(description="the newest value")
    peak: float | None = Field(description="the worst value so far")
    started_at: str = Field(description="when the condition was first met")
    fired_at: str | None
    resolved_at: str | None
    changed_at: str
    reason: str = Field(description="why it is in this state")
    acknowledged: bool
    acknowledged_by: str
    acknowledged_at: str | None
    comment: str

    @classmethod
    def of(cls, alert: alerts.Alert) -> Alert:
        return cls(
            id=alert.id,
            rule_id=alert.rule_id,
            rule_name=alert.rule_name,
            metric_name=alert.metric_name,
            condition=None if alert.expr else alert.condition,
            threshold=None if alert.expr else alert.threshold,
            expr=alert.expr,
            source=" · ".join(alert.source.split("\n")[:3]),
            annotations=dict(alert.annotations),
            state=alert.state,
            severity=alert.severity,
            labels=alert.labels.tags,
            value=alert.value,
            peak=alert.peak,
            started_at=rfc3339(alert.since_ms),
            fired_at=rfc3339_or_none(alert.fired_at_ms),
            resolved_at=rfc3339_or_none(alert.resolved_at_ms),
            changed_at=rfc3339(alert.changed_at_ms),
            reason=alert.reason,
            acknowledged=alert.acknowledged,
            acknowledged_by=alert.acknowledged_by,
            acknowledged_at=rfc3339_or_none(alert.acknowledged_at_ms),
            comment=alert.comment,
        )


class AlertList(Listed[Alert]):
    pass


class Acknowledgement(Asked):
    comment: str = Field(default="", max_length=1_000)


class HistoryItem(Shape):
    """One firing, completed when it resolved."""

    id: int
    alert_id: int
    rule_id: int | None
    rule_name: str
    severity: Severity
    labels: Tags
    triggered_at: str
    value: float | None = Field(description="the value that fired")
    peak: float | None
    resolved_at: str | None
    reason: str
    acknowledged: bool
    acknowledged_by: str
    acknowledged_at: str | None
    comment: str

    @classmethod
    def of(cls, item: alerts.HistoryItem) -> HistoryItem:
        return cls(
            id=item.id,
            alert_id=item.alert_id,
            rule_id=item.rule_id,
            rule_name=item.rule_name,
            severity=item.severity,
            labels=item.labels.tags,
            triggered_at=rfc3339(item.triggered_at_ms),
            value=item.value,
            peak=item.peak,
            resolved_at=rfc3339_or_none(item.resolved_at_ms),
            reason=item.reason,
            acknowledged=item.acknowledged,
            acknowledged_by=item.acknowledged_by,
            acknowledged_at=rfc3339_or_none(item.acknowledged_at_ms),
            comment=item.comment,
        )


class HistoryList(Listed[HistoryItem]):
    pass
