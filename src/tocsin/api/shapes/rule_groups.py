"""Groups of rules, and the files that they are in."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tocsin.api.shapes.base import Asked, Listed, Seconds, Shape
from tocsin.api.times import rfc3339_or_none
from tocsin.model.alert import AlertState
from tocsin.model.rule_group import AlertingRule
from tocsin.rules import files, load, status


class GroupedRule(Shape):
    """A rule that records a series or raises alerts."""

    kind: Literal["alerting", "recording"]
    name: str
    expr: str
    duration: Seconds = Field(description="how long a series must be there before its alert fires")
    keep_firing_for: Seconds
    labels: dict[str, str]
    annotations: dict[str, str]
    rule_id: int | None = Field(description="of a rule that was saved by itself")
    health: status.Health
    error: str = Field(description="why its last evaluation failed; empty where it did not")
    evaluated_at: str | None
    pending: int
    firing: int

    @classmethod
    def of(cls, one: status.RuleStatus) -> GroupedRule:
        rule = one.rule
        alerts = isinstance(rule, AlertingRule)
        firing = sum(alert.state is AlertState.FIRING for alert in one.alerts)
        return cls(
            kind="alerting" if alerts else "recording",
            name=rule.name,
            expr=rule.expr,
            duration=rule.for_ms / 1_000 if isinstance(rule, AlertingRule) else 0,
            keep_firing_for=rule.keep_firing_for_ms / 1_000 if isinstance(rule, AlertingRule) else 0,
            labels=dict(one.labels),
            annotations=dict(rule.annotations) if isinstance(rule, AlertingRule) else {},
            rule_id=one.rule_id,
            health=one.last.health,
            error=one.last.error,
            evaluated_at=rfc3339_or_none(one.last.at_ms),
            pending=len(one.alerts) - firing,
            firing=firing,
        )


class RuleGroup(Shape):
    name: str
    file: str = Field(description="empty for the rules that were saved one by one")
    interval: Seconds
    query_offset: Seconds
    limit: int
    evaluated_at: str | None
    duration: Seconds = Field(description="how long the last evaluation took")
    evaluations: int = Field(description="since the start")
    missed: int = Field(description="evaluations left out because the one before took too long")
    rules: list[GroupedRule]

    @classmethod
    def of(cls, group: status.GroupStatus) -> RuleGroup:
        return cls(
            name=group.name,
            file=group.file,
            interval=group.interval_ms / 1_000,
            query_offset=group.query_offset_ms / 1_000,
            limit=group.limit,
            evaluated_at=rfc3339_or_none(group.evaluated_at_ms),
            duration=group.duration_s,
            evaluations=group.evaluations,
            missed=group.missed,
            rules=list(map(GroupedRule.of, group.rules)),
        )


class RuleGroupList(Listed[RuleGroup]):
    pass


class RuleFileProblem(Shape):
    line: int = Field(description="from 1; 0 where it is about the whole file")
    column: int
    message: str
    group: str
    rule: str

    @classmethod
    def of(cls, problem: load.Problem) -> RuleFileProblem:
        place = problem.place
        return cls(
            line=place.line, column=place.column, message=problem.message, group=problem.group, rule=problem.rule
        )


class RuleFile(Shape):
    name: str
    uploaded: bool = Field(description="whether it was uploaded; otherwise it lies on the server's disk")
    groups: int = Field(description="groups in force: while there are problems, those from before")
    rules: int
    problems: list[RuleFileProblem]
    updated_by: str
    updated_at: str | None

    @classmethod
    def of(cls, file: files.RuleFile) -> RuleFile:
        stored = file.stored
        return cls(
            name=stored.name if stored else file.name,
            uploaded=stored is not None,
            groups=len(file.groups),
            rules=sum(len(group.rules) for group in file.groups),
            problems=list(map(RuleFileProblem.of, file.problems)),
            updated_by=stored.updated_by if stored else "",
            updated_at=rfc3339_or_none(stored.updated_at_ms) if stored else None,
        )


class RuleFileList(Listed[RuleFile]):
    pass


class RuleFileText(Asked):
    text: str = Field(max_length=load.FILE_CHARS_MAX, description="Prometheus' format of rule files, YAML or JSON")
