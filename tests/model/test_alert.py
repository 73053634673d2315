from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.model.alert import Alert, AlertState, Reason, worse
from tocsin.model.labels import Labels
from tocsin.model.rule import Condition, Severity


def alert(condition: Condition = Condition.ABOVE, state: AlertState = AlertState.FIRING, value: float = 90.0) -> Alert:
    return Alert(
        id=1,
        rule_id=1,
        rule_name="High CPU Usage",
        metric_name="system.cpu.usage",
        condition=condition,
        threshold=80.0,
        severity=Severity.WARNING,
        labels=Labels.metric("system.cpu.usage"),
        state=state,
        value=value,
        peak=value,
        since_ms=0,
        changed_at_ms=0,
        reason=Reason.CONDITION_MET,
    )


@pytest.mark.parametrize(
    ("condition", "one", "other", "expected"),
    [
        (">", 90.0, 95.0, 95.0),
        (">", 95.0, 90.0, 95.0),
        (">=", 95.0, 90.0, 95.0),
        ("<", 5.0, 3.0, 3.0),
        ("<", 3.0, 5.0, 3.0),
        ("<=", 3.0, 5.0, 3.0),
        ("==", 1.0, 2.0, 2.0),
        ("!=", 2.0, 1.0, 1.0),
        (">", math.inf, 90.0, math.inf),
        ("<", -math.inf, 5.0, -math.inf),
    ],
)
def test_the_worse_value_is_further_on_the_bad_side(condition: str, one: float, other: float, expected: float) -> None:
    assert worse(Condition(condition), one, other) == expected


@pytest.mark.parametrize("condition", Condition)
def test_nan_is_never_the_worse_value(condition: Condition) -> None:
    assert worse(condition, math.nan, 5.0) == 5.0
    assert worse(condition, 5.0, math.nan) == 5.0
    assert math.isnan(worse(condition, math.nan, math.nan))


@given(st.sampled_from([">", ">=", "<", "<="]), st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_which_came_first_does_not_matter_where_the_condition_has_a_side(text: str, one: float, other: float) -> None:
    condition = Condition(text)
    assert worse(condition, one, other) == worse(condition, other, one)
    assert worse(condition, one, other) in (one, other)


@pytest.mark.parametrize(("condition", "peak"), [(">", 99.0), ("<", 85.0), ("!=", 91.0)])
def test_an_alert_remembers_its_value_and_its_peak(condition: str, peak: float) -> None:
    seen = alert(Condition(condition))
    for value in (99.0, 85.0, 91.0):
        seen = seen.with_value(value)
    assert (seen.value, seen.peak) == (91.0, peak)


@pytest.mark.parametrize(
    ("state", "is_open"), [("inactive", False), ("pending", True), ("firing", True), ("resolved", False)]
)
def test_pending_and_firing_alerts_are_open(state: str, is_open: bool) -> None:
    assert alert(state=AlertState(state)).open is is_open
