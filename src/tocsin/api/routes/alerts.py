"""Alerts: what is wrong now, and who has seen it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query

from tocsin.access.policy import Permission
from tocsin.api.deps import Caller, Wired, require
from tocsin.api.description import family
from tocsin.api.paging import AskedPage
from tocsin.api.shapes import alerts as shapes
from tocsin.model.alert import AlertQuery, AlertState
from tocsin.model.errors import NotFoundError
from tocsin.model.rule import Severity

router = family("alerts")

Id = Annotated[int, Path(ge=1, le=2**63 - 1)]
Viewer = Annotated[Caller, require(Permission.ALERTS_READ)]
Operator = Annotated[Caller, require(Permission.ALERTS_ACKNOWLEDGE)]

OPEN = (AlertState.PENDING, AlertState.FIRING)
States = Annotated[list[AlertState] | None, Query(description="may be repeated; firing and pending unless told")]


@router.get("/api/alerts")
async def list_alerts(
    wired: Wired,
    caller: Viewer,
    asked: AskedPage,
    *,
    state: States = None,
    severity: Severity | None = None,
    rule_id: int | None = None,
) -> shapes.AlertList:
    """Alerts, the newest change first. Those that a caller may not see leave a page shorter."""
    page = await wired.alerts.alerts(AlertQuery(tuple(state or OPEN), severity, rule_id), asked)
    seen = [alert for alert in page.items if caller.sees(alert.labels)]
    return shapes.AlertList(items=[shapes.Alert.of(alert) for alert in seen], next=page.next)


@router.get("/api/alerts/{alert_id}")
async def read_alert(alert_id: Id, wired: Wired, caller: Viewer) -> shapes.Alert:
    """One alert, open or resolved."""
    alert = await wired.alerts.alert(alert_id)
    if not caller.sees(alert.labels):
        raise NotFoundError(f"There is no alert {alert_id}.")
    return shapes.Alert.of(alert)


@router.post("/api/alerts/{alert_id}/acknowledge")
async def acknowledge_alert(
    alert_id: Id, wired: Wired, caller: Operator, body: shapes.Acknowledgement | None = None
) -> shapes.Alert:
    """Say that somebody is on it: the alert is announced no more until it resolves."""
    comment = body.comment if body else ""
    return shapes.Alert.of(await wired.alerts.acknowledge(alert_id, caller.actor, comment))
