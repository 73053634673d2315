from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.fakes_alerting import FIRING as FIRES

from tocsin.alerts.decide import Decision, Why, decide
from tocsin.model.alert import Alert, AlertState
from tocsin.model.outbox import LetterKind
from tocsin.model.rule import Severity

T = 1_800_000_000_000
EVERY = 1_000
INACTIVE, PENDING, FIRING, RESOLVED = AlertState

TOLD = replace(FIRES, announced=FIRING, announced_at_ms=T)
OVER = replace(TOLD, state=RESOLVED)


@pytest.mark.parametrize(
    ("alert", "at_ms", "expected"),
    [
        (FIRES, T, Decision(LetterKind.FIRING, Why.FIRST, T + EVERY)),
        (TOLD, T, Decision(None, Why.NOT_YET, T + EVERY)),
        (TOLD, T + 999, Decision(None, Why.NOT_YET, T + EVERY)),
        (TOLD, T + 1_000, Decision(LetterKind.REPEAT, Why.AGAIN, T + 2 * EVERY)),
        (TOLD, T + 7_500, Decision(LetterKind.REPEAT, Why.AGAIN, T + 7_500 + EVERY)),
        (replace(TOLD, acknowledged=True), T + 9_000, Decision(None, Why.ACKNOWLEDGED)),
        (replace(FIRES, acknowledged=True), T, Decision(None, Why.ACKNOWLEDGED)),
        (OVER, T, Decision(LetterKind.RESOLVED, Why.OVER)),
        (replace(OVER, acknowledged=True), T, Decision(LetterKind.RESOLVED, Why.OVER)),
        (replace(OVER, announced=RESOLVED), T, Decision(None, Why.TOLD_ALREADY)),
        (replace(OVER, announced=None), T, Decision(None, Why.NEVER_TOLD)),
        (replace(FIRES, state=PENDING), T, Decision(None, Why.NOT_FIRING)),
    ],
)
def test_what_is_due(alert: Alert, at_ms: int, expected: Decision) -> None:
    assert decide(alert, at_ms, lambda _severity: EVERY) == expected


def test_the_severity_sets_the_pace() -> None:
    paces = {severity: severity.repeat_ms for severity in Severity}
    nexts = {severity: decide(replace(FIRES, severity=severity), 0, paces.__getitem__).next_at_ms for severity in paces}
    assert nexts == {Severity.CRITICAL: 300_000, Severity.WARNING: 1_800_000, Severity.INFO: 3_600_000}


def test_an_interval_of_nothing_means_once_only() -> None:
    assert decide(FIRES, T, lambda _severity: 0) == Decision(LetterKind.FIRING, Why.FIRST, None)
    assert decide(TOLD, T + 10**9, lambda _severity: 0) == Decision(None, Why.ONCE_ONLY)
