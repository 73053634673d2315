from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tocsin.model.alert import Alert, AlertState, Reason
from tocsin.model.duration import HOUR_MS, MINUTE_MS, SECOND_MS, Duration
from tocsin.model.errors import UserError
from tocsin.model.labels import Labels
from tocsin.model.matcher import equals
from tocsin.model.rule import Condition, Rule, Severity
from tocsin.rules.settings import RulesSettings
from tocsin.rules.step import NEVER, Step, Window, carry, close, look_at_ms, step

T = 1_800_000_000_000
S = SECOND_MS
SERIES = Labels.metric("load", {"host": "a"})
RULE = Rule(id=7, name="High", metric_name="load", condition=Condition.ABOVE, threshold=80.0, duration_ms=60 * S)
AT_ONCE = replace(RULE, duration_ms=0)
SETTINGS = RulesSettings()

INACTIVE, PENDING, FIRING, RESOLVED = AlertState


def window(*readings: tuple[int, float], newest_ms: int = NEVER, heard_ms: int = NEVER) -> Window:
    times = np.array([T + second * S for second, _ in readings], np.int64)
    return Window(times, np.array([value for _, value in readings]), newest_ms, heard_ms)


def run(alert: Alert | None, *readings: tuple[int, float], at_s: int, rule: Rule = RULE) -> Step:
    return step(rule, SERIES, alert, window(*readings), at_ms=T + at_s * S, settings=SETTINGS)


def wait(alert: Alert | None, *, newest_s: int, heard_s: int, at_s: int, rule: Rule = RULE) -> Step:
    silence = window(newest_ms=T + newest_s * S, heard_ms=T + heard_s * S)
    return step(rule, SERIES, alert, silence, at_ms=T + at_s * S, settings=SETTINGS)


def only(made: Step) -> tuple[AlertState, AlertState, Reason]:
    (change,) = made.changes
    return change.before, change.alert.state, change.alert.reason


def pending() -> Alert:
    made = run(None, (0, 90.0), at_s=0).alert
    assert made is not None
    return replace(made, id=1)


def firing() -> Alert:
    made = run(None, (0, 90.0), at_s=0, rule=AT_ONCE).alert
    assert made is not None
    return replace(made, id=1)


def test_a_good_reading_of_a_quiet_series_makes_nothing() -> None:
    assert run(None, (0, 80.0), at_s=0) == Step(None)


def test_the_first_bad_reading_begins_a_pending_alert() -> None:
    made = run(None, (0, 90.0), at_s=1)
    assert only(made) == (INACTIVE, PENDING, Reason.CONDITION_MET)
    assert made.alert is not None
    assert (made.alert.since_ms, made.alert.value, made.alert.rule_id, made.alert.labels) == (T, 90.0, 7, SERIES)
    assert made.alert.changed_at_ms == T + 1 * S
    assert made.alert.notify_at_ms is None


def test_a_bad_reading_fires_at_once_without_a_duration() -> None:
    made = run(None, (0, 90.0), at_s=1, rule=AT_ONCE)
    assert only(made) == (INACTIVE, FIRING, Reason.CONDITION_MET)
    assert made.alert is not None
    assert (made.alert.since_ms, made.alert.fired_at_ms, made.alert.notify_at_ms) == (T, T + S, T + S)


@pytest.mark.parametrize(("second", "state"), [(59, PENDING), (60, FIRING), (61, FIRING)])
def test_it_fires_when_the_condition_has_held_for_the_duration(second: int, state: AlertState) -> None:
    made = run(pending(), (second, 90.0), at_s=second)
    assert made.alert is not None
    assert made.alert.state is state
    assert [change.alert.reason for change in made.changes] == ([Reason.HELD] if state is FIRING else [])


def test_a_run_inside_one_batch_fires_if_it_is_long_enough() -> None:
    assert only(run(None, (0, 90.0), (30, 90.0), (60, 95.0), at_s=60)) == (INACTIVE, FIRING, Reason.HELD)


def test_the_last_good_reading_of_a_batch_begins_the_run_anew() -> None:
    made = run(None, (0, 90.0), (30, 10.0), (40, 91.0), (60, 95.0), at_s=60)
    assert only(made) == (INACTIVE, PENDING, Reason.CONDITION_MET)
    assert made.alert is not None
    assert made.alert.since_ms == T + 40 * S


def test_a_good_reading_inside_a_batch_moves_the_start_of_a_pending_alert() -> None:
    made = run(pending(), (30, 10.0), (40, 85.0), (60, 84.0), at_s=60)
    assert only(made) == (PENDING, PENDING, Reason.CONDITION_MET)
    assert made.alert is not None
    assert (made.alert.id, made.alert.since_ms, made.alert.peak) == (1, T + 40 * S, 85.0)


def test_a_blip_that_is_over_inside_a_batch_is_not_told() -> None:
    assert run(None, (0, 90.0), (1, 10.0), at_s=1, rule=AT_ONCE) == Step(None)
    blip = run(firing(), (1, 10.0), (2, 91.0), at_s=2, rule=AT_ONCE)
    assert blip.changes == ()
    assert blip.alert is not None
    assert (blip.alert.state, blip.alert.since_ms, blip.alert.value) == (FIRING, T, 91.0)


def test_a_good_reading_ends_a_pending_alert() -> None:
    made = run(pending(), (30, 10.0), at_s=30)
    assert only(made) == (PENDING, INACTIVE, Reason.CLEARED)
    assert made.alert is None


def test_a_good_reading_resolves_a_firing_alert_and_keeps_its_peak() -> None:
    made = run(replace(firing(), peak=99.0), (30, 10.0), at_s=31, rule=AT_ONCE)
    assert only(made) == (FIRING, RESOLVED, Reason.CLEARED)
    assert made.alert is None
    resolved = made.changes[0].alert
    assert (resolved.resolved_at_ms, resolved.notify_at_ms) == (T + 31 * S, T + 31 * S)
    assert (resolved.value, resolved.peak) == (10.0, 99.0)


def test_an_old_bad_reading_may_begin_a_run_but_not_fire() -> None:
    assert only(run(None, (0, 90.0), at_s=301, rule=AT_ONCE)) == (INACTIVE, PENDING, Reason.CONDITION_MET)
    assert only(run(None, (0, 90.0), (600, 90.0), at_s=901)) == (INACTIVE, PENDING, Reason.CONDITION_MET)


def test_a_fresh_reading_fires_a_run_that_old_ones_began() -> None:
    made = run(pending(), (1200, 90.0), at_s=1200)
    assert only(made) == (PENDING, FIRING, Reason.HELD)


def test_an_old_good_reading_ends_a_pending_alert_but_resolves_nothing() -> None:
    assert only(run(pending(), (10, 10.0), at_s=900)) == (PENDING, INACTIVE, Reason.CLEARED)
    kept = run(firing(), (10, 10.0), at_s=900, rule=AT_ONCE)
    assert kept.changes == ()
    assert kept.alert is not None
    assert (kept.alert.state, kept.alert.value) == (FIRING, 10.0)


@pytest.mark.parametrize(
    ("condition", "values", "peak"),
    [
        (Condition.ABOVE, (91.0, 97.0, 85.0), 97.0),
        (Condition.AT_LEAST, (91.0, 97.0, 85.0), 97.0),
        (Condition.BELOW, (71.0, 47.0, 65.0), 47.0),
        (Condition.AT_MOST, (71.0, 47.0, 65.0), 47.0),
        (Condition.EQUAL, (80.0, 80.0, 80.0), 80.0),
        (Condition.NOT_EQUAL, (3.0, 97.0, 85.0), 85.0),
    ],
)
def test_the_peak_is_the_worst_value_of_the_run(condition: Condition, values: tuple[float, ...], peak: float) -> None:
    rule = replace(AT_ONCE, condition=condition)
    made = run(None, *enumerate(values), at_s=3, rule=rule)
    assert made.alert is not None
    assert (made.alert.peak, made.alert.value) == (peak, values[-1])


def test_infinity_is_a_reading() -> None:
    assert only(run(None, (0, float("inf")), at_s=0, rule=AT_ONCE))[1] is FIRING


def test_time_alone_fires_while_the_last_reading_is_fresh() -> None:
    assert wait(pending(), newest_s=50, heard_s=50, at_s=59).changes == ()
    assert only(wait(pending(), newest_s=50, heard_s=50, at_s=60)) == (PENDING, FIRING, Reason.HELD)


def test_time_alone_does_not_fire_on_an_old_reading() -> None:
    slow = replace(RULE, duration_ms=600 * S)
    assert wait(pending(), newest_s=310, heard_s=400, at_s=650, rule=slow).changes == ()


def test_a_pending_alert_without_data_is_dropped() -> None:
    slow = replace(RULE, duration_ms=HOUR_MS)
    assert wait(pending(), newest_s=10, heard_s=10, at_s=309, rule=slow).changes == ()
    assert only(wait(pending(), newest_s=10, heard_s=10, at_s=310, rule=slow)) == (PENDING, INACTIVE, Reason.NO_DATA)


def test_a_firing_alert_without_data_keeps_firing_for_a_day() -> None:
    day_s = 24 * 3600
    assert wait(firing(), newest_s=0, heard_s=0, at_s=day_s - 1).changes == ()
    assert only(wait(firing(), newest_s=0, heard_s=0, at_s=day_s)) == (FIRING, RESOLVED, Reason.NO_DATA)


def test_time_alone_makes_nothing_of_a_quiet_series() -> None:
    assert wait(None, newest_s=0, heard_s=0, at_s=10_000) == Step(None)


@pytest.mark.parametrize(
    ("heard_s", "at_s", "duration_s", "expected_s"),
    [
        (0, 0, 60, 60),  # held
        (0, 0, 300, 300),  # both at once
        (0, 0, 301, 300),  # falls silent first
        (40, 40, 600, 340),  # the same, heard of later
        (500, 500, 60, 800),  # held already, but by an old reading
    ],
)
def test_when_a_pending_alert_is_looked_at(heard_s: int, at_s: int, duration_s: int, expected_s: int) -> None:
    rule = replace(RULE, duration_ms=duration_s * S)
    looked = look_at_ms(rule, pending(), heard_ms=T + heard_s * S, at_ms=T + at_s * S, settings=SETTINGS)
    assert looked == T + expected_s * S


def carried(rule: Rule | None, alert: Alert, *, newest_s: int = 30, at_s: int = 30) -> Step:
    return carry(rule, alert, newest_ms=T + newest_s * S, at_ms=T + at_s * S, settings=SETTINGS)


def test_an_unchanged_rule_carries_its_alerts_on_unchanged() -> None:
    alert = pending()
    assert carried(RULE, alert) == Step(alert)


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (None, Reason.RULE_DELETED),
        (replace(RULE, enabled=False), Reason.RULE_DISABLED),
        (replace(RULE, metric_name="other"), Reason.RULE_EDITED),
        (replace(RULE, matchers=equals({"host": "b"})), Reason.RULE_EDITED),
        (replace(RULE, threshold=95.0), Reason.RULE_EDITED),
        (replace(RULE, condition=Condition.BELOW), Reason.RULE_EDITED),
    ],
)
def test_alerts_are_closed_with_a_reason(rule: Rule | None, reason: Reason) -> None:
    assert only(carried(rule, pending())) == (PENDING, INACTIVE, reason)
    assert only(carried(rule, firing())) == (FIRING, RESOLVED, reason)


def test_a_firing_alert_whose_condition_still_holds_goes_on_with_the_new_words() -> None:
    new = replace(AT_ONCE, name="Higher", severity=Severity.CRITICAL, threshold=85.0)
    made = carried(new, firing())
    assert only(made)[:2] == (FIRING, FIRING)
    assert made.alert is not None
    assert (made.alert.rule_name, made.alert.severity, made.alert.threshold) == ("Higher", Severity.CRITICAL, 85.0)
    assert made.alert.since_ms == T
    assert made.changes[0].alert.notify_at_ms == T + 30 * S
    assert carried(new, made.alert) == Step(made.alert)


def test_new_words_alone_do_not_judge_again() -> None:
    recovering = replace(firing(), value=10.0)  # an old reading was good, and may not resolve
    assert only(carried(replace(AT_ONCE, name="Other"), recovering))[1] is FIRING


def test_a_looser_threshold_keeps_the_start_of_a_pending_alert() -> None:
    made = carried(replace(RULE, threshold=70.0), pending())
    assert made.alert is not None
    assert made.alert.since_ms == T


def test_a_tighter_threshold_begins_the_run_at_the_last_reading() -> None:
    made = carried(replace(RULE, threshold=85.0), pending())
    assert made.alert is not None
    assert made.alert.since_ms == T + 30 * S


def test_a_shorter_duration_fires_what_has_held_so_long() -> None:
    assert only(carried(replace(RULE, duration_ms=20 * S), pending())) == (PENDING, FIRING, Reason.HELD)


def test_closing_resolves_what_fires_and_drops_what_is_pending() -> None:
    assert only(close(firing(), Reason.RULE_DELETED, T))[1] is RESOLVED
    assert only(close(pending(), Reason.RULE_DELETED, T))[1] is INACTIVE


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(UserError, match="no_data_resolve_after"):
        RulesSettings(stale_after=Duration(10 * MINUTE_MS), no_data_resolve_after=Duration(MINUTE_MS))
    with pytest.raises(UserError, match="stale_after"):
        RulesSettings(stale_after=Duration(0))
    with pytest.raises(UserError, match="value_save_interval"):
        RulesSettings(value_save_interval=Duration(0))
