"""History: every firing that there was."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from tocsin.access.policy import Permission
from tocsin.api.deps import Caller, Wired, require
from tocsin.api.description import family
from tocsin.api.paging import AskedPage
from tocsin.api.shapes import alerts as shapes
from tocsin.api.times import parse_time
from tocsin.model.alert import HistoryQuery
from tocsin.model.rule import Severity

router = family("alerts")


@router.get("/api/history")
async def list_history(
    wired: Wired,
    caller: Annotated[Caller, require(Permission.ALERTS_READ)],
    asked: AskedPage,
    *,
    since: Annotated[str | None, Query(description="fired at this time or later: RFC 3339 or epoch seconds")] = None,
    until: Annotated[str | None, Query(description="fired before this time")] = None,
    severity: Severity | None = None,
    rule_id: int | None = None,
) -> shapes.HistoryList:
    """Firings, the newest first. Those that a caller may not see leave a page shorter."""
    since_ms = None if since is None else parse_time(since, "since")
    until_ms = None if until is None else parse_time(until, "until")
    page = await wired.alerts.history(HistoryQuery(since_ms, until_ms, severity, rule_id), asked)
    seen = [item for item in page.items if caller.sees(item.labels)]
    return shapes.HistoryList(items=[shapes.HistoryItem.of(item) for item in seen], next=page.next)
