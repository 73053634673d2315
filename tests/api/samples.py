"""Values that the tests of this package share."""

from dataclasses import replace
from typing import Any

from tocsin.model.alert import Alert, AlertState, Reason
from tocsin.model.labels import Labels
from tocsin.model.rule import Condition, Severity

AT_MS = 1_800_000_000_000


def alert(**changes: Any) -> Alert:
    plain = Alert(
        id=1,
        rule_id=1,
        rule_name="High CPU Usage",
        metric_name="system.cpu.usage",
        condition=Condition.ABOVE,
        threshold=80.0,
        severity=Severity.WARNING,
        labels=Labels.metric("system.cpu.usage", {"host": "a"}),
        state=AlertState.FIRING,
        value=91.5,
        peak=95.0,
        since_ms=AT_MS - 300_000,
        changed_at_ms=AT_MS,
        reason=Reason.HELD,
        fired_at_ms=AT_MS,
    )
    return replace(plain, **changes)
