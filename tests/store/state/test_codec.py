from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.state import an_alert

from tocsin.model.alert import Alert, AlertState, Reason
from tocsin.model.labels import Labels
from tocsin.model.rule import Condition, Severity
from tocsin.store.state.codec import alert_document, alert_of_document, signed

times = st.integers(0, 2**53)
labels = st.dictionaries(st.text(min_size=1), st.text()).map(Labels.of)
alerts = st.builds(
    Alert,
    id=times,
    rule_id=st.none() | times,
    rule_name=st.text(),
    metric_name=st.text(),
    condition=st.sampled_from(Condition),
    threshold=st.floats(allow_nan=False),
    severity=st.sampled_from(Severity),
    labels=labels,
    state=st.sampled_from(AlertState),
    value=st.floats(allow_nan=False),
    peak=st.floats(allow_nan=False),
    since_ms=times,
    changed_at_ms=times,
    reason=st.sampled_from(Reason),
    fired_at_ms=times,
    resolved_at_ms=times,
    acknowledged=st.booleans(),
    acknowledged_by=st.text(),
    acknowledged_at_ms=times,
    comment=st.text(),
    announced=st.none() | st.sampled_from(AlertState),
    announced_at_ms=times,
    notify_at_ms=st.none() | times,
    history_id=st.none() | times,
)


@given(alerts)
def test_an_alert_is_the_same_after_json(alert: Alert) -> None:
    assert alert_of_document(json.loads(json.dumps(alert_document(alert)))) == alert


@given(alerts)
def test_the_json_of_an_alert_is_strict_and_ascii(alert: Alert) -> None:
    assert json.dumps(alert_document(alert), allow_nan=False).isascii()


def test_a_value_that_is_no_number_survives_json() -> None:
    assert str(alert_of_document(alert_document(an_alert(value=float("nan")))).value) == "nan"


@given(st.integers(0, 2**64 - 1))
def test_a_series_id_keeps_its_64_bits_as_a_signed_number(series_id: int) -> None:
    assert -(2**63) <= signed(series_id) < 2**63
    assert signed(series_id) % 2**64 == series_id


@pytest.mark.parametrize("field", ["labels", "state", "peak"])
def test_the_json_of_an_alert_uses_the_names_of_its_fields(field: str) -> None:
    assert field in alert_document(an_alert())
