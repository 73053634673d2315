"""What becomes of a rule's alerts with each evaluation; pure.

Source: Prometheus rules/alerting.go, Eval. A resolved alert is not kept here: who is told of it is the business of
those who hear the changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeAlias

from tocsin.model.alert import AlertState
from tocsin.model.errors import UserError
from tocsin.model.labels import METRIC_NAME, Labels
from tocsin.model.rule_group import AlertingRule, Pairs

ALERTS = "ALERTS"
ALERTS_FOR_STATE = "ALERTS_FOR_STATE"
ALERT_NAME = "alertname"
ALERT_STATE = "alertstate"


class RuleError(UserError):
    """A rule cannot be evaluated; its alerts stay as they are."""


@dataclass(frozen=True, slots=True)
class FoundAlert:
    """A series that the rule's expression gave, with the rule's labels and annotations filled in."""

    labels: Labels
    value: float
    annotations: Pairs = ()


@dataclass(frozen=True, slots=True)
class ActiveAlert:
    """A pending or firing alert. Times in ms UTC; `fired_at_ms` is 0 while it is pending.

    `gone_at_ms` is when the expression first gave nothing for it, 0 while it does.
    """

    labels: Labels
    value: float
    annotations: Pairs
    state: AlertState
    active_at_ms: int
    fired_at_ms: int = 0
    gone_at_ms: int = 0


Active: TypeAlias = Mapping[Labels, ActiveAlert]


@dataclass(frozen=True, slots=True)
class Transition:
    """An alert in its new state; `before` is INACTIVE for a new one.

    A pending alert that goes becomes INACTIVE, a firing one RESOLVED.
    """

    before: AlertState
    alert: ActiveAlert
    at_ms: int


@dataclass(frozen=True, slots=True)
class Step:
    active: Active
    transitions: tuple[Transition, ...]


def step(rule: AlertingRule, active: Active, found: Sequence[FoundAlert], at_ms: int, limit: int = 0) -> Step:
    """One evaluation. A `limit` of 0 is none. Raises RuleError for two alerts with the same labels, or too many."""
    present: dict[Labels, FoundAlert] = {}
    for each in found:
        if each.labels in present:
            raise RuleError("vector contains metrics with the same labelset after applying alert labels")
        present[each.labels] = each
    if limit and len(present) > limit:
        raise RuleError(f"exceeded limit of {limit} with {len(present)} alerts")
    after: dict[Labels, ActiveAlert] = {}
    transitions: list[Transition] = []
    for labels in dict.fromkeys((*active, *present)):
        before = active.get(labels)
        alert = _next(rule, before, present.get(labels), at_ms)
        was = before.state if before else AlertState.INACTIVE
        if alert.state is not was:
            transitions.append(Transition(was, alert, at_ms))
        if alert.state in (AlertState.PENDING, AlertState.FIRING):
            after[labels] = alert
    return Step(after, tuple(transitions))


def _next(rule: AlertingRule, before: ActiveAlert | None, found: FoundAlert | None, at_ms: int) -> ActiveAlert:
    """`before` and `found` are not both None."""
    if found is None:
        assert before is not None
        return _without(rule, before, at_ms)
    if before is None:
        alert = ActiveAlert(found.labels, found.value, found.annotations, AlertState.PENDING, at_ms)
    else:
        alert = replace(before, value=found.value, annotations=found.annotations, gone_at_ms=0)
    if alert.state is AlertState.PENDING and at_ms - alert.active_at_ms >= rule.for_ms:
        return replace(alert, state=AlertState.FIRING, fired_at_ms=at_ms)
    return alert


def _without(rule: AlertingRule, before: ActiveAlert, at_ms: int) -> ActiveAlert:
    if before.state is AlertState.PENDING:
        return replace(before, state=AlertState.INACTIVE)
    gone_at_ms = before.gone_at_ms or at_ms
    kept = at_ms - gone_at_ms < rule.keep_firing_for_ms
    return replace(before, gone_at_ms=gone_at_ms, state=AlertState.FIRING if kept else AlertState.RESOLVED)


def series_of(active: Iterable[ActiveAlert]) -> list[tuple[Labels, float]]:
    """The series that tell of alerts: `ALERTS`, always 1, and `ALERTS_FOR_STATE`, since when in seconds."""
    rows: list[tuple[Labels, float]] = []
    for alert in active:
        state, since = _labels(alert.labels, alert.state)
        rows += [(state, 1.0), (since, float(alert.active_at_ms // 1000))]
    return rows


@lru_cache(100_000)
def _labels(labels: Labels, state: AlertState) -> tuple[Labels, Labels]:
    """The same at every evaluation while an alert is open."""
    own = dict(labels.pairs)
    named = Labels.of({**own, METRIC_NAME: ALERTS, ALERT_STATE: state.value})
    return named, Labels.of({**own, METRIC_NAME: ALERTS_FOR_STATE})
