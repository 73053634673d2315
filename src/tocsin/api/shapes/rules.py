"""Rules as they are kept, made and changed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tocsin.api.shapes.base import Asked, Listed, Seconds, Shape, Tags
from tocsin.api.times import rfc3339_or_none
from tocsin.model import rule
from tocsin.model.matcher import MatchOp
from tocsin.model.rule import Condition, Severity


class Rule(Shape):
    id: int
    name: str
    metric_name: str = Field(description="empty where the rule is an expression")
    tags: Tags = Field(description="the matchers that ask for one exact value")
    matchers: list[str] = Field(description='all matchers, written like `mount=~"/data.*"`')
    condition: Condition | None = Field(description="null where the rule is an expression")
    threshold: float | None = Field(description="null where the rule is an expression")
    duration: Seconds = Field(description="how long the condition must hold before an alert fires")
    severity: Severity
    enabled: bool
    description: str
    expr: str = Field(description="the rule as PromQL")
    is_expression: bool = Field(description="whether the rule is `expr`, and not a metric with a threshold")
    version: int
    created_at: str | None
    updated_at: str | None
    state: Literal["inactive", "pending", "firing"] = Field(description="the worst state of its alerts")
    alerts: int = Field(description="how many of its alerts are pending or firing")

    @classmethod
    def of(cls, saved: rule.Rule, pending: int, firing: int) -> Rule:
        return cls(
            id=saved.id,
            name=saved.name,
            metric_name=saved.metric_name,
            tags={each.label: each.value for each in saved.matchers if each.op is MatchOp.EQUAL},
            matchers=[str(each) for each in saved.matchers],
            condition=None if saved.expr else saved.condition,
            threshold=None if saved.expr else saved.threshold,
            duration=saved.duration_ms / 1_000,
            severity=saved.severity,
            enabled=saved.enabled,
            description=saved.description,
            expr=saved.expression(),
            is_expression=bool(saved.expr),
            version=saved.version,
            created_at=rfc3339_or_none(saved.created_at_ms),
            updated_at=rfc3339_or_none(saved.updated_at_ms),
            state="firing" if firing else "pending" if pending else "inactive",
            alerts=pending + firing,
        )


class RuleList(Listed[Rule]):
    pass


class NewRule(Asked):
    """A metric with a condition and a threshold, or a PromQL expression in `expr`."""

    name: str
    expr: str = Field(default="", description="PromQL: every series that it gives is an alert")
    metric_name: str = ""
    condition: Condition | None = None
    threshold: float | None = None
    duration: float | str = Field(default=0, description="seconds, or text such as `5m`")
    severity: Severity = Severity.WARNING
    tags: Tags = Field(default={}, description="labels that a series must have")
    matchers: list[str] = Field(default=[], description='further matchers, written like `mount=~"/data.*"`')
    enabled: bool = True
    description: str = Field(default="", max_length=10_000)


class RuleChange(Asked):
    """What to change; a field that is not sent stays as it is."""

    name: str | None = None
    expr: str | None = Field(default=None, description="makes the rule an expression; empty: makes it a threshold")
    metric_name: str | None = None
    condition: Condition | None = None
    threshold: float | None = None
    duration: float | str | None = Field(default=None, description="seconds, or text such as `5m`")
    severity: Severity | None = None
    tags: Tags | None = Field(default=None, description="replaces the matchers that ask for one exact value")
    matchers: list[str] | None = Field(default=None, description="replaces all matchers; `tags` are added to them")
    enabled: bool | None = None
    description: str | None = Field(default=None, max_length=10_000)
    version: int | None = Field(default=None, description="the version that was read; 409 when it is not the newest")


class CreatedRules(Shape):
    created: list[Rule]
