import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.model.alert import AlertState
from tocsin.model.labels import Labels
from tocsin.model.rule_group import AlertingRule
from tocsin.rules.alerting import Active, ActiveAlert, FoundAlert, RuleError, Step, series_of, step

A = Labels.of({"alertname": "Down", "host": "a"})
B = Labels.of({"alertname": "Down", "host": "b"})
MINUTE = 60_000


def rule(for_min: int = 0, keep_min: int = 0) -> AlertingRule:
    return AlertingRule("Down", "up == 0", for_min * MINUTE, keep_min * MINUTE)


def found(*labels: Labels, value: float = 0.0) -> list[FoundAlert]:
    return [FoundAlert(each, value) for each in labels]


def told(made: Step) -> list[tuple[str, str]]:
    return [(each.before.value, each.alert.state.value) for each in made.transitions]


def play(alerting: AlertingRule, present: str) -> list[str]:
    """The state after each minute's evaluation; `+` is a minute in which the expression gives the series."""
    active: Active = {}
    states = []
    for minute, there in enumerate(present):
        active = step(alerting, active, found(A) if there == "+" else [], minute * MINUTE).active
        states.append(active[A].state.value if A in active else "inactive")
    return states


def test_without_a_duration_an_alert_fires_at_once() -> None:
    made = step(rule(), {}, found(A, value=3.0), 5)
    assert made.active[A] == ActiveAlert(A, 3.0, (), AlertState.FIRING, 5, fired_at_ms=5)
    assert told(made) == [("inactive", "firing")]


def test_an_alert_is_pending_until_it_has_been_there_for_the_duration() -> None:
    assert play(rule(for_min=2), "++++") == ["pending", "pending", "firing", "firing"]


def test_a_gap_starts_the_duration_anew() -> None:
    assert play(rule(for_min=2), "++-++") == [
        "pending", "pending", "inactive", "pending", "pending"
    ]  # fmt: skip


def test_a_firing_alert_that_goes_is_resolved_once() -> None:
    firing = step(rule(), {}, found(A, B), 0).active
    made = step(rule(), firing, found(B), MINUTE)
    assert told(made) == [("firing", "resolved")]
    assert set(made.active) == {B}
    assert step(rule(), made.active, found(B), 2 * MINUTE).transitions == ()


def test_an_alert_keeps_firing_for_as_long_as_the_rule_says() -> None:
    assert play(rule(keep_min=2), "+----") == [
        "firing", "firing", "firing", "inactive", "inactive"
    ]  # fmt: skip


def test_coming_back_ends_the_time_of_grace() -> None:
    assert play(rule(keep_min=2), "+-+---") == [
        "firing", "firing", "firing", "firing", "firing", "inactive"
    ]  # fmt: skip


def test_a_pending_alert_is_not_kept() -> None:
    assert play(rule(for_min=5, keep_min=5), "+-") == ["pending", "inactive"]


def test_value_and_annotations_are_those_of_the_last_evaluation() -> None:
    active = step(rule(for_min=5), {}, [FoundAlert(A, 1.0, (("s", "one"),))], 0).active
    active = step(rule(for_min=5), active, [FoundAlert(A, 2.0, (("s", "two"),))], MINUTE).active
    assert (active[A].value, active[A].annotations, active[A].active_at_ms) == (2.0, (("s", "two"),), 0)


def test_two_alerts_with_the_same_labels_are_an_error() -> None:
    with pytest.raises(RuleError, match="same labelset after applying alert labels"):
        step(rule(), {}, found(A, A), 0)


def test_more_alerts_than_the_limit_are_an_error() -> None:
    assert len(step(rule(), {}, found(A, B), 0, limit=2).active) == 2
    with pytest.raises(RuleError, match="exceeded limit of 1 with 2 alerts"):
        step(rule(), {}, found(A, B), 0, limit=1)


def test_alerts_are_told_of_as_series() -> None:
    active = step(rule(for_min=1), {}, found(A), 90_000).active.values()
    assert series_of(active) == [
        (Labels.of({"__name__": "ALERTS", "alertname": "Down", "alertstate": "pending", "host": "a"}), 1.0),
        (Labels.of({"__name__": "ALERTS_FOR_STATE", "alertname": "Down", "host": "a"}), 90.0),
    ]


@given(st.lists(st.booleans(), max_size=30), st.integers(0, 4), st.integers(0, 4))
def test_transitions_tell_the_whole_story(present: list[bool], for_min: int, keep_min: int) -> None:
    active: Active = {}
    state = AlertState.INACTIVE
    for minute, there in enumerate(present):
        made = step(rule(for_min, keep_min), active, found(A) if there else [], minute * MINUTE)
        for change in made.transitions:
            assert change.before is (AlertState.INACTIVE if state is AlertState.RESOLVED else state)
            state = change.alert.state
        active = made.active
        assert (A in active) == (state in (AlertState.PENDING, AlertState.FIRING))
        if there:
            assert A in active
