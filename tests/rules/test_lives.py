from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tocsin.model.alert import Alert, AlertState, Reason
from tocsin.model.labels import Labels
from tocsin.model.rule_group import AlertingRule
from tocsin.rules.alerting import FoundAlert
from tocsin.rules.group import PlacedRule
from tocsin.rules.lives import Lives, closed, live

MINUTE = 60_000
A, B, C = (Labels.of(alertname="Hot", host=host) for host in "abc")


def placed(for_ms: int = 0, keep_ms: int = 0, expr: str = "temp > 80") -> PlacedRule:
    return PlacedRule("f\ng\nHot\n1", AlertingRule("Hot", expr, for_ms, keep_ms))


def found(value: float, *labels: Labels, summary: str = "") -> list[FoundAlert]:
    return [FoundAlert(each, value, (("summary", summary),) if summary else ()) for each in labels]


def fire(value: float = 90.0, summary: str = "") -> Lives:
    return live(placed(), {}, found(value, A, summary=summary), 0)


def test_the_worst_value_is_kept_and_only_the_value_moves() -> None:
    seen = live(placed(), fire(95.0).alerts, found(85.0, A), MINUTE)
    assert (seen.changes, seen.moved) == ((), frozenset({A}))
    assert (seen.alerts[A].value, seen.alerts[A].peak) == (85.0, 95.0)
    again = live(placed(), seen.alerts, found(85.0, A), 2 * MINUTE)
    assert again.moved == frozenset()


def test_an_annotation_that_changes_is_a_move() -> None:
    seen = live(placed(), fire(summary="90").alerts, found(90.0, A, summary="still 90"), MINUTE)
    assert seen.moved == frozenset({A})
    assert seen.alerts[A].annotations == (("summary", "still 90"),)


def test_a_value_that_is_no_number_leaves_the_last_one() -> None:
    seen = live(placed(), fire(90.0).alerts, found(float("nan"), A), MINUTE)
    assert seen.alerts[A].value == 90.0


def test_what_ends_because_its_rule_has_changed_says_so() -> None:
    (change,) = live(placed(expr="temp > 99"), fire().alerts, [], MINUTE).changes
    assert (change.alert.state, change.alert.reason) == ("resolved", Reason.RULE_EDITED)
    labelled = replace(placed(), labels=(("severity", "critical"), ("host", "{{ $labels.host }}")))
    severe = FoundAlert(A.with_(severity="critical"), 90.0)
    began, ended = live(labelled, fire().alerts, [severe], MINUTE).changes
    assert (began.alert.state, ended.alert.reason) == ("firing", Reason.RULE_EDITED)
    (cleared,) = live(labelled, {severe.labels: began.alert}, [], MINUTE).changes
    assert cleared.alert.reason is Reason.CLEARED


def test_nothing_is_concluded_from_the_absence_of_what_is_held() -> None:
    kept = live(placed(), fire().alerts, [], MINUTE, hold=frozenset({A}))
    assert (kept.changes, kept.alerts) == ((), fire().alerts)
    assert live(placed(), fire().alerts, found(91.0, A), MINUTE, hold=frozenset({A})).alerts[A].value == 91.0


def test_when_a_series_was_first_missed_is_saved_at_once() -> None:
    gone = live(placed(keep_ms=5 * MINUTE), fire().alerts, [], MINUTE)
    (change,) = gone.changes
    assert (change.before, change.alert.state, change.alert.gone_at_ms) == ("firing", "firing", MINUTE)
    assert change.alert.notify_at_ms is None
    back = live(placed(keep_ms=5 * MINUTE), gone.alerts, found(90.0, A), 2 * MINUTE)
    assert back.alerts[A].gone_at_ms == 0


def test_closing_resolves_what_fires_and_drops_what_is_pending() -> None:
    pending = live(placed(for_ms=MINUTE), {}, found(90.0, B), 0).alerts[B]
    one, other = closed([fire().alerts[A], pending], Reason.RULE_DELETED, MINUTE)
    assert (one.alert.state, one.alert.notify_at_ms, one.alert.resolved_at_ms) == ("resolved", MINUTE, MINUTE)
    assert (other.alert.state, other.alert.notify_at_ms) == ("inactive", None)


ROUNDS = st.lists(st.frozensets(st.sampled_from((A, B, C))), max_size=40)


@given(rounds=ROUNDS, for_min=st.integers(0, 4), keep_min=st.integers(0, 4))
def test_changes_tell_the_whole_life_of_every_alert(
    rounds: list[frozenset[Labels]], for_min: int, keep_min: int
) -> None:
    """Somebody who hears only the changes knows every state, and each goes the way that states go."""
    rule, alerts = placed(for_min * MINUTE, keep_min * MINUTE), dict[Labels, Alert]()
    heard: dict[Labels, AlertState] = {}
    seen: dict[Labels, int] = {}
    for minute, there in enumerate(rounds):
        at_ms = minute * MINUTE
        made = live(rule, alerts, found(90.0, *sorted(there, key=str)), at_ms)
        for change in made.changes:
            labels = change.alert.labels
            assert change.before is heard.get(labels, AlertState.INACTIVE)
            heard[labels] = change.alert.state
            if change.alert.state is AlertState.FIRING and change.before is not AlertState.FIRING:
                assert at_ms - seen.get(labels, at_ms) >= for_min * MINUTE
            if change.alert.state in (AlertState.RESOLVED, AlertState.INACTIVE):
                assert labels not in there
                assert (change.before is AlertState.FIRING) == (change.alert.state is AlertState.RESOLVED)
                heard.pop(labels)
        seen = {labels: seen.get(labels, at_ms) for labels in made.alerts}
        alerts = dict(made.alerts)
        assert {labels: alert.state for labels, alert in alerts.items()} == heard
        assert there <= alerts.keys()
