"""The life of one alert, decided purely: what a rule makes of a series' readings, and of their absence.

Two clocks are kept apart. How long a condition has held is told by the samples' own times. Whether
something may still be concluded from a sample (it is fresh), and how long a series has been silent, is
told by the server's clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tocsin.model.alert import Alert, AlertState, Change, Reason, worse
from tocsin.model.labels import Labels
from tocsin.model.rule import Condition, Rule
from tocsin.model.series import FloatArray, TimeArray
from tocsin.rules.settings import RulesSettings

Bools = npt.NDArray[np.bool_]

NEVER = -(2**62)
"""A time before all samples, far enough from the end of int64 to be added to."""


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """New readings of one series, and what was known of it before them.

    times int64[n] ms UTC, rising, newer than `newest_ms`; values float64[n] without NaN; n is 0 where
    only time has passed. `newest_ms` is the time of the newest reading judged before (NEVER: none),
    `heard_ms` when it was judged, by the server's clock.
    """

    times: TimeArray
    values: FloatArray
    newest_ms: int
    heard_ms: int


@dataclass(frozen=True, slots=True)
class Step:
    """The alert as it goes on (None: there is none any more), and what there is to save and to tell.

    An alert that differs from the one before without a change has only moved its value.
    """

    alert: Alert | None
    changes: tuple[Change, ...] = ()


def step(
    rule: Rule, labels: Labels, alert: Alert | None, window: Window, *, at_ms: int, settings: RulesSettings
) -> Step:
    """What the rule makes of the window. `alert` is the open alert of this rule and series.

    Only the state at the end of the window counts, so there is at most one change: what began and
    ended inside it is not told.
    """
    if not len(window.times):
        return _wait(rule, alert, window, at_ms, settings)
    bad = holds(rule.condition, window.values, rule.threshold)
    fresh = is_fresh(int(window.times[-1]), at_ms, settings)
    if not bad[-1]:
        return _good(alert, float(window.values[-1]), at_ms, fresh=fresh)
    if alert is not None and alert.state is AlertState.FIRING:
        return Step(_seen(alert, window.values[bad]))
    return _bad(rule, labels, alert, window, bad=bad, at_ms=at_ms, fresh=fresh)


def carry(rule: Rule | None, alert: Alert, *, newest_ms: int, at_ms: int, settings: RulesSettings) -> Step:
    """An open alert under what has become of its rule: closed, judged again, or carried on as the rule now says.

    `rule` None means that it is gone. Doing it twice changes nothing the second time.
    """
    reason = _ended_by(rule, alert)
    if rule is None or reason is not None:
        return close(alert, reason or Reason.RULE_DELETED, at_ms)
    carried = replace(
        alert,
        rule_name=rule.name,
        condition=rule.condition,
        threshold=rule.threshold,
        severity=rule.severity,
        since_ms=newest_ms if alert.state is AlertState.PENDING and not _wider(rule, alert) else alert.since_ms,
        peak=alert.peak if rule.condition is alert.condition else alert.value,
    )
    if carried.state is AlertState.PENDING and _held(
        rule, carried, newest_ms, at_ms, fresh=is_fresh(newest_ms, at_ms, settings)
    ):
        return _fire(rule, carried, AlertState.PENDING, at_ms)
    if carried == alert:
        return Step(alert)
    # The dispatcher looks again: a severity that has changed repeats at another pace.
    told = replace(carried, notify_at_ms=at_ms if carried.state is AlertState.FIRING else None)
    return Step(carried, (Change(told, alert.state),))


def close(alert: Alert, reason: Reason, at_ms: int) -> Step:
    """Firing alerts were announced and so must resolve; pending ones just go."""
    firing = alert.state is AlertState.FIRING
    return _move(alert, alert.state, AlertState.RESOLVED if firing else AlertState.INACTIVE, reason, at_ms)


def look_at_ms(rule: Rule, alert: Alert, *, heard_ms: int, at_ms: int, settings: RulesSettings) -> int:
    """When `step` has to look at this alert again, if no later reading changes its state before.

    An alert whose last reading is old is looked at when its duration is over all the same: a fresh one may
    have come by then, without a step.
    """
    if alert.state is AlertState.FIRING:
        return heard_ms + settings.no_data_resolve_after
    silent = heard_ms + settings.stale_after
    held = alert.since_ms + rule.duration_ms
    return min(held, silent) if held > at_ms else silent


def is_fresh(time_ms: int, at_ms: int, settings: RulesSettings) -> bool:
    return at_ms - time_ms <= settings.stale_after


_HOLDS: dict[Condition, Callable[[FloatArray, float], Any]] = {
    Condition.ABOVE: np.greater,
    Condition.AT_LEAST: np.greater_equal,
    Condition.BELOW: np.less,
    Condition.AT_MOST: np.less_equal,
    Condition.EQUAL: np.equal,
    Condition.NOT_EQUAL: np.not_equal,
}


def holds(condition: Condition, values: FloatArray, threshold: float) -> Bools:
    """bool[n]: which values meet the condition. Values hold no NaN."""
    met: Bools = _HOLDS[condition](values, threshold)
    return met


def _wait(rule: Rule, alert: Alert | None, window: Window, at_ms: int, settings: RulesSettings) -> Step:
    if alert is None:
        return Step(None)
    silent_ms = at_ms - window.heard_ms
    if alert.state is AlertState.FIRING:
        over = silent_ms >= settings.no_data_resolve_after
        return close(alert, Reason.NO_DATA, at_ms) if over else Step(alert)
    if _held(rule, alert, window.newest_ms, at_ms, fresh=is_fresh(window.newest_ms, at_ms, settings)):
        return _fire(rule, alert, AlertState.PENDING, at_ms)
    return close(alert, Reason.NO_DATA, at_ms) if silent_ms >= settings.stale_after else Step(alert)


def _good(alert: Alert | None, value: float, at_ms: int, *, fresh: bool) -> Step:
    if alert is None:
        return Step(None)
    alert = replace(alert, value=value)
    if alert.state is AlertState.FIRING and not fresh:
        return Step(alert)
    return close(alert, Reason.CLEARED, at_ms)


def _bad(
    rule: Rule, labels: Labels, alert: Alert | None, window: Window, *, bad: Bools, at_ms: int, fresh: bool
) -> Step:
    """The newest reading is bad and nothing fires yet: a run begins, begins anew after a good reading, or goes on."""
    good = np.flatnonzero(~bad)
    first = int(good[-1]) + 1 if len(good) else 0
    before = AlertState.INACTIVE if alert is None else alert.state
    begins = alert is None or first > 0
    if alert is None:
        alert = _new(rule, labels, int(window.times[first]), window.values[first:], at_ms)
    elif begins:
        since_ms, run = int(window.times[first]), window.values[first:]
        alert = replace(alert, since_ms=since_ms, value=float(run[-1]), peak=_worst(rule.condition, float(run[0]), run))
    else:
        alert = _seen(alert, window.values)
    if _held(rule, alert, int(window.times[-1]), at_ms, fresh=fresh):
        return _fire(rule, alert, before, at_ms)
    return _move(alert, before, AlertState.PENDING, Reason.CONDITION_MET, at_ms) if begins else Step(alert)


def _new(rule: Rule, labels: Labels, since_ms: int, run: FloatArray, at_ms: int) -> Alert:
    return Alert(
        id=0,
        rule_id=rule.id,
        rule_name=rule.name,
        metric_name=rule.metric_name,
        condition=rule.condition,
        threshold=rule.threshold,
        severity=rule.severity,
        labels=labels,
        state=AlertState.PENDING,
        value=float(run[-1]),
        peak=_worst(rule.condition, float(run[0]), run),
        since_ms=since_ms,
        changed_at_ms=at_ms,
        reason=Reason.CONDITION_MET,
    )


def _held(rule: Rule, alert: Alert, newest_ms: int, at_ms: int, *, fresh: bool) -> bool:
    """A reading may run ahead of the server's clock; the later of the two tells how long it has been."""
    return fresh and max(newest_ms, at_ms) - alert.since_ms >= rule.duration_ms


def _fire(rule: Rule, alert: Alert, before: AlertState, at_ms: int) -> Step:
    reason = Reason.HELD if rule.duration_ms else Reason.CONDITION_MET
    return _move(alert, before, AlertState.FIRING, reason, at_ms)


def _move(alert: Alert, before: AlertState, state: AlertState, reason: Reason, at_ms: int) -> Step:
    firing, resolved = state is AlertState.FIRING, state is AlertState.RESOLVED
    moved = replace(
        alert,
        state=state,
        reason=reason,
        changed_at_ms=at_ms,
        fired_at_ms=at_ms if firing else alert.fired_at_ms,
        resolved_at_ms=at_ms if resolved else alert.resolved_at_ms,
        notify_at_ms=at_ms if firing or resolved else None,
    )
    return Step(moved if moved.open else None, (Change(moved, before),))


def _seen(alert: Alert, run: FloatArray) -> Alert:
    """The alert after these bad readings."""
    return replace(alert, value=float(run[-1]), peak=_worst(alert.condition, alert.peak, run))


def _worst(condition: Condition, peak: float, run: FloatArray) -> float:
    """The worst of the peak and these bad readings, the newest last."""
    if len(run) == 1:
        return worse(condition, peak, float(run[0]))
    for extreme in (float(run.min()), float(run.max()), float(run[-1])):
        peak = worse(condition, peak, extreme)
    return peak


def _ended_by(rule: Rule | None, alert: Alert) -> Reason | None:
    if rule is None:
        return Reason.RULE_DELETED
    if not rule.enabled:
        return Reason.RULE_DISABLED
    same = rule.condition is alert.condition and rule.threshold == alert.threshold
    if not rule.selects(alert.labels) or not (same or rule.condition.holds(alert.value, rule.threshold)):
        return Reason.RULE_EDITED
    return None


def _wider(rule: Rule, alert: Alert) -> bool:
    """Whether all that met the alert's condition also meets the rule's, so that the run is at least as old."""
    if rule.condition is not alert.condition:
        return False
    match rule.condition:
        case Condition.ABOVE | Condition.AT_LEAST:
            return rule.threshold <= alert.threshold
        case Condition.BELOW | Condition.AT_MOST:
            return rule.threshold >= alert.threshold
        case Condition.EQUAL | Condition.NOT_EQUAL:
            return rule.threshold == alert.threshold
