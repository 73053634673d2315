"""Groups of rules and alerts, in the form of Prometheus. Pure.

A group is shown from a `ShownGroup`, wherever its rules come from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha1
from typing import Any, Literal

import numpy as np

from tocsin.api.times import rfc3339
from tocsin.model.alert import Alert
from tocsin.model.duration import SECOND_MS
from tocsin.model.errors import UserError
from tocsin.model.labels import METRIC_NAME, Labels
from tocsin.model.matcher import Matcher, matches_all
from tocsin.model.rule import Rule
from tocsin.model.rule_group import RecordingRule
from tocsin.rules.status import GroupStatus, RuleStatus

NEVER = "0001-01-01T00:00:00Z"
"""As Go writes a time that was not."""

THRESHOLDS = "thresholds"
"""The group of the saved rules that are judged as samples arrive."""

NO_FILE = "tocsin"
"""Where rules are that people make one by one, and so are in no file."""

Kind = Literal["alerting", "recording"]


@dataclass(frozen=True, slots=True)
class ShownAlert:
    labels: Labels
    annotations: Mapping[str, str]
    state: str
    active_at_ms: int
    value: float


@dataclass(frozen=True, slots=True)
class ShownRule:
    """`alerts` are those that are open."""

    kind: Kind
    name: str
    query: str
    labels: Labels
    duration_ms: int = 0
    keep_firing_for_ms: int = 0
    annotations: Mapping[str, str] | None = None
    alerts: tuple[ShownAlert, ...] = ()
    health: str = "ok"
    last_error: str = ""
    evaluated_at_ms: int = 0
    evaluation_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ShownGroup:
    name: str
    file: str
    rules: tuple[ShownRule, ...]
    interval_ms: int = 0
    limit: int = 0
    evaluated_at_ms: int = 0
    evaluation_s: float = 0.0

    @property
    def token(self) -> str:
        """What a page that begins with this group is asked for by."""
        return sha1(f"{self.file};{self.name}".encode(), usedforsecurity=False).hexdigest()


def threshold_group(rules: Iterable[Rule], alerts: Iterable[Alert], judged_at_ms: int) -> ShownGroup:
    """The rules that are judged as samples arrive, and so at no interval."""
    by_rule: dict[int | None, list[Alert]] = {}
    for alert in alerts:
        by_rule.setdefault(alert.rule_id, []).append(alert)
    shown = tuple(
        ShownRule(
            "alerting",
            rule.name,
            rule.expression(),
            Labels.of(severity=rule.severity.value),
            rule.duration_ms,
            annotations={"description": rule.description} if rule.description else {},
            alerts=tuple(shown_alert(alert, rule.description) for alert in by_rule.get(rule.id, ())),
            evaluated_at_ms=judged_at_ms,
        )
        for rule in rules
        if rule.enabled and not rule.expr
    )
    return ShownGroup(THRESHOLDS, NO_FILE, shown, evaluated_at_ms=judged_at_ms)


def evaluated_group(group: GroupStatus, sees: Callable[[Labels], bool]) -> ShownGroup:
    """Rules that are expressions, with the alerts that are seen."""
    return ShownGroup(
        group.name,
        group.file or NO_FILE,
        tuple(_evaluated(rule, sees) for rule in group.rules),
        group.interval_ms,
        group.limit,
        group.evaluated_at_ms,
        group.duration_s,
    )


def _evaluated(status: RuleStatus, sees: Callable[[Labels], bool]) -> ShownRule:
    rule, last = status.rule, status.last
    shown = ShownRule(
        "recording",
        rule.name,
        rule.expr,
        Labels.of(status.labels),
        health="err" if last.error else last.health.value,
        last_error=last.error,
        evaluated_at_ms=last.at_ms,
        evaluation_s=last.duration_s,
    )
    if isinstance(rule, RecordingRule):
        return shown
    return replace(
        shown,
        kind="alerting",
        duration_ms=rule.for_ms,
        keep_firing_for_ms=rule.keep_firing_for_ms,
        annotations=dict(rule.annotations),
        alerts=tuple(shown_alert(alert) for alert in status.alerts if sees(alert.labels)),
    )


def shown_alert(alert: Alert, description: str = "") -> ShownAlert:
    """An alert of an expression has the labels and annotations that its rule says; a threshold has its severity."""
    labels = {**alert.labels.tags, "alertname": alert.rule_name}
    annotations = dict(alert.annotations)
    if not alert.expr:
        labels["severity"] = alert.severity.value
        annotations |= {"description": description} if description else {}
    return ShownAlert(Labels.of(labels), annotations, alert.state.value, alert.since_ms, alert.value)


@dataclass(frozen=True, slots=True)
class RuleFilter:
    """What of the groups is asked for; a group without any rule left is left out."""

    kind: Kind | None = None
    rule_names: frozenset[str] = frozenset()
    group_names: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()
    selectors: tuple[tuple[Matcher, ...], ...] = ()
    alerts: bool = True

    def of(self, groups: Iterable[ShownGroup]) -> list[ShownGroup]:
        """By file and name."""
        found = [self._group(group) for group in groups if self._wants(group)]
        narrow = bool(self.kind or self.rule_names or self.selectors)
        return sorted((one for one in found if one.rules or not narrow), key=lambda one: (one.file, one.name))

    def _wants(self, group: ShownGroup) -> bool:
        named = not self.group_names or group.name in self.group_names
        return named and (not self.files or group.file in self.files)

    def _group(self, group: ShownGroup) -> ShownGroup:
        rules = [rule for rule in group.rules if self._wants_rule(rule)]
        if not self.alerts:
            rules = [replace(rule, alerts=()) for rule in rules]
        return replace(group, rules=tuple(rules))

    def _wants_rule(self, rule: ShownRule) -> bool:
        if self.kind not in (None, rule.kind) or (self.rule_names and rule.name not in self.rule_names):
            return False
        return not self.selectors or any(matches_all(one, rule.labels) for one in self.selectors)


def page_of_groups(groups: Sequence[ShownGroup], limit: int, token: str) -> tuple[Sequence[ShownGroup], str]:
    """Some groups from the token's on, and the token of the next page or nothing. Raises UserError."""
    start = 0
    if token:
        start = next((at for at, group in enumerate(groups) if group.token == token), -1)
        if start < 0:
            raise UserError(f"invalid group_next_token '{token}'. were rule groups changed?")
    part = groups[start : start + limit] if limit else groups[start:]
    after = start + len(part)
    return part, groups[after].token if after < len(groups) else ""


def group_json(group: ShownGroup) -> dict[str, Any]:
    return {
        "name": group.name,
        "file": group.file,
        "rules": [_rule_json(rule) for rule in group.rules],
        "interval": group.interval_ms / SECOND_MS,
        "limit": group.limit,
        "evaluationTime": group.evaluation_s,
        "lastEvaluation": _time(group.evaluated_at_ms),
    }


def _rule_json(rule: ShownRule) -> dict[str, Any]:
    told: dict[str, Any] = {"name": rule.name, "query": rule.query, "labels": rule.labels.as_dict()}
    if rule.kind == "alerting":
        told |= {
            "state": _state(rule),
            "duration": rule.duration_ms / SECOND_MS,
            "keepFiringFor": rule.keep_firing_for_ms / SECOND_MS,
            "annotations": rule.annotations or {},
            "alerts": [alert_json(alert) for alert in rule.alerts],
        }
    if rule.last_error:
        told["lastError"] = rule.last_error
    return told | {
        "health": rule.health,
        "evaluationTime": rule.evaluation_s,
        "lastEvaluation": _time(rule.evaluated_at_ms),
        "type": rule.kind,
    }


def _state(rule: ShownRule) -> str:
    states = {alert.state for alert in rule.alerts}
    return next((state for state in ("firing", "pending") if state in states), "inactive")


def alert_json(alert: ShownAlert) -> dict[str, Any]:
    return {
        "labels": alert.labels.without(METRIC_NAME).as_dict(),
        "annotations": alert.annotations,
        "state": alert.state,
        "activeAt": rfc3339(alert.active_at_ms),
        "value": scientific(alert.value),
    }


def scientific(value: float) -> str:
    """As Go's format 'e' with the fewest digits: `4e+01`, `1.25e-03`, `+Inf`."""
    if np.isnan(value):
        return "NaN"
    if np.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return np.format_float_scientific(value, trim="-", exp_digits=2)


def _time(at_ms: int) -> str:
    return rfc3339(at_ms) if at_ms else NEVER
