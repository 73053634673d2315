"""What an evaluation makes of the alerts that are kept: `alerting.step`, with what is to be saved and told; pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tocsin.model.alert import Alert, AlertState, Change, Reason, worse
from tocsin.model.labels import Labels
from tocsin.model.rule import Condition
from tocsin.model.rule_group import AlertingRule
from tocsin.promql import ast
from tocsin.promql.engine import parsed
from tocsin.rules.alerting import ActiveAlert, FoundAlert, Transition, step
from tocsin.rules.group import PlacedRule, severity_of

Alerts = Mapping[Labels, Alert]

TEMPLATE = "{{"
"""What a label's value has where it is filled in for each alert."""

_CONDITIONS = {each.value: each for each in Condition}
_MIRRORED = {
    Condition.ABOVE: Condition.BELOW,
    Condition.AT_LEAST: Condition.AT_MOST,
    Condition.BELOW: Condition.ABOVE,
    Condition.AT_MOST: Condition.AT_LEAST,
}


@dataclass(frozen=True, slots=True)
class Lives:
    """A rule's open alerts after an evaluation, and what there is to save and tell.

    `moved` are alerts of which only the value or an annotation is another: they may be saved later.
    """

    alerts: Alerts
    changes: tuple[Change, ...] = ()
    moved: frozenset[Labels] = frozenset()


def live(
    placed: PlacedRule,
    alerts: Alerts,
    found: Sequence[FoundAlert],
    at_ms: int,
    *,
    limit: int = 0,
    hold: frozenset[Labels] = frozenset(),
) -> Lives:
    """One evaluation. Of `hold` nothing is concluded from what was not found. Raises RuleError."""
    rule = placed.rule
    assert isinstance(rule, AlertingRule)
    held = hold - {each.labels for each in found}
    judged = {labels: _active(alert) for labels, alert in alerts.items() if labels not in held}
    made = step(rule, judged, found, at_ms, limit)
    turned = {each.alert.labels: each for each in made.transitions}
    after = {labels: alert for labels, alert in alerts.items() if labels in held}
    changes: list[Change] = []
    moved: set[Labels] = set()
    for labels, active in made.active.items():
        before = alerts.get(labels)
        alert = after[labels] = _alert(placed, rule, before, active, turned.get(labels), at_ms)
        if labels in turned or before is None:
            changes.append(Change(alert, AlertState.INACTIVE if before is None else before.state))
        elif before.gone_at_ms != alert.gone_at_ms or before.expr != alert.expr:
            changes.append(Change(replace(alert, notify_at_ms=None), alert.state))
        elif _shown(before) != _shown(alert):
            moved.add(labels)
    for labels, transition in turned.items():
        if labels in alerts and labels not in made.active:
            ended = _alert(placed, rule, alerts[labels], transition.alert, transition, at_ms)
            changes.append(Change(ended, alerts[labels].state))
    return Lives(after, tuple(changes), frozenset(moved))


def closed(alerts: Iterable[Alert], reason: Reason, at_ms: int) -> tuple[Change, ...]:
    """Firing alerts were announced and so must resolve; pending ones just go."""
    return tuple(_closed(alert, reason, at_ms) for alert in alerts)


def _closed(alert: Alert, reason: Reason, at_ms: int) -> Change:
    state = AlertState.RESOLVED if alert.state is AlertState.FIRING else AlertState.INACTIVE
    return Change(_turned(alert, state, reason, at_ms), alert.state)


def side(expr: str) -> Condition:
    """On which side of its threshold an expression finds values bad; EQUAL where it has no such side."""
    tree = ast.unwrapped(parsed(expr))
    if not isinstance(tree, ast.Binary) or tree.as_bool or tree.op not in _CONDITIONS:
        return Condition.EQUAL
    condition = _CONDITIONS[tree.op]
    constant_first = ast.type_of(tree.left) is ast.ValueType.SCALAR
    return _MIRRORED.get(condition, condition) if constant_first else condition


def active_of(alerts: Iterable[Alert]) -> list[ActiveAlert]:
    return list(map(_active, alerts))


def _active(alert: Alert) -> ActiveAlert:
    return ActiveAlert(
        alert.labels,
        alert.value,
        alert.annotations,
        alert.state,
        alert.since_ms,
        alert.fired_at_ms,
        alert.gone_at_ms,
    )


def _alert(
    placed: PlacedRule,
    rule: AlertingRule,
    before: Alert | None,
    active: ActiveAlert,
    transition: Transition | None,
    at_ms: int,
) -> Alert:
    base = before or _new(placed, rule, active, at_ms)
    value = base.value if math.isnan(active.value) else active.value
    peak = worse(base.condition, base.peak, value)
    seen = rule.alert, rule.expr, value, peak, active.annotations, active.gone_at_ms
    if seen == (base.rule_name, base.expr, base.value, base.peak, base.annotations, base.gone_at_ms):
        alert = base  # most alerts of most evaluations
    else:
        alert = replace(
            base,
            rule_name=rule.alert,
            expr=rule.expr,
            value=value,
            peak=peak,
            annotations=active.annotations,
            gone_at_ms=active.gone_at_ms,
        )
    if transition is None:
        return alert
    return _turned(alert, active.state, _reason(placed, rule, base, active.state), at_ms)


def _new(placed: PlacedRule, rule: AlertingRule, active: ActiveAlert, at_ms: int) -> Alert:
    return Alert(
        id=0,
        rule_id=placed.rule_id,
        rule_name=rule.alert,
        metric_name="",
        condition=side(rule.expr),
        threshold=0.0,
        severity=severity_of(active.labels),
        labels=active.labels,
        state=AlertState.PENDING,
        value=active.value,
        peak=active.value,
        since_ms=active.active_at_ms,
        changed_at_ms=at_ms,
        reason=Reason.CONDITION_MET,
        expr=rule.expr,
        source="" if placed.rule_id is not None else placed.key,
    )


def _turned(alert: Alert, state: AlertState, reason: Reason, at_ms: int) -> Alert:
    firing, resolved = state is AlertState.FIRING, state is AlertState.RESOLVED
    return replace(
        alert,
        state=state,
        reason=reason,
        changed_at_ms=at_ms,
        fired_at_ms=at_ms if firing else alert.fired_at_ms,
        resolved_at_ms=at_ms if resolved else alert.resolved_at_ms,
        notify_at_ms=at_ms if firing or resolved else None,
    )


def _reason(placed: PlacedRule, rule: AlertingRule, before: Alert, state: AlertState) -> Reason:
    match state:
        case AlertState.FIRING:
            return Reason.HELD if rule.for_ms else Reason.CONDITION_MET
        case AlertState.PENDING:
            return Reason.CONDITION_MET
        case _:
            return Reason.RULE_EDITED if _edited(placed, rule, before) else Reason.CLEARED


def _edited(placed: PlacedRule, rule: AlertingRule, before: Alert) -> bool:
    """Whether the rule could not give this alert any more as it was: it has another expression, or other labels."""
    fixed = [(name, value) for name, value in placed.labels if TEMPLATE not in value]
    return before.expr != rule.expr or any(before.labels.get(name) != value for name, value in fixed)


def _shown(alert: Alert) -> tuple[object, ...]:
    """NaN is the same as NaN here: it is written as text."""
    return repr(alert.value), repr(alert.peak), alert.annotations
