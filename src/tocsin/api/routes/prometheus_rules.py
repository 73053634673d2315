"""Rules and alerts, in the forms of Prometheus."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Response

from tocsin.access.policy import Permission
from tocsin.api.deps import Caller, Services, Wired, require
from tocsin.api.prometheus.answers import success
from tocsin.api.prometheus.parameters import Asked, Parameters, invalid
from tocsin.api.prometheus.rules import (
    Kind,
    RuleFilter,
    ShownGroup,
    alert_json,
    evaluated_group,
    group_json,
    page_of_groups,
    shown_alert,
    threshold_group,
)
from tocsin.model.alert import Alert, AlertQuery
from tocsin.model.page import PAGE_SIZE_MAX, PageRequest

router = APIRouter(include_in_schema=False)

Viewer = Annotated[Caller, require(Permission.ALERTS_READ)]

KINDS: dict[str, Kind | None] = {"": None, "alert": "alerting", "record": "recording"}
YES = frozenset({"1", "t", "T", "true", "TRUE", "True"})
NO = frozenset({"", "0", "f", "F", "false", "FALSE", "False"})


@router.get("/api/v1/rules", dependencies=[require(Permission.RULES_READ)])
async def list_rules(wired: Wired, caller: Viewer, asked: Asked) -> Response:
    """The groups, with the alerts of each rule that the caller may see."""
    wanted, limit, token = _filter(asked), _group_limit(asked), asked.text("group_next_token")
    if token and not limit:
        raise invalid("group_limit", "group_limit needs to be present in order to paginate over the groups")
    part, after = page_of_groups(wanted.of(await _groups(wired, caller)), limit, token)
    more = {"groupNextToken": after} if after else {}
    return success({"groups": [group_json(group) for group in part], **more})


@router.get("/api/v1/alerts")
async def list_alerts(wired: Wired, caller: Viewer) -> Response:
    """What is pending or fires."""
    return success({"alerts": [alert_json(shown_alert(alert)) for alert in await _open_alerts(wired, caller)]})


async def _groups(wired: Services, caller: Caller) -> list[ShownGroup]:
    """Every group that there is."""
    thresholds = threshold_group(wired.rules.rules(), await _open_alerts(wired, caller), wired.clock.now_ms())
    return [thresholds, *(evaluated_group(group, caller.sees) for group in wired.rule_groups.groups())]


async def _open_alerts(wired: Services, caller: Caller) -> list[Alert]:
    """Those that the caller may see."""
    found: list[Alert] = []
    page = PageRequest(PAGE_SIZE_MAX)
    while True:
        part = await wired.alerts.alerts(AlertQuery(), page)
        found += [alert for alert in part.items if caller.sees(alert.labels)]
        if part.next is None:
            return found
        page = replace(page, cursor=part.next)


def _filter(asked: Parameters) -> RuleFilter:
    """Raises UserError."""
    kind = asked.text("type").lower()
    if kind not in KINDS:
        raise invalid("type", f'not supported value "{kind}"')
    exclude = asked.text("exclude_alerts")
    if exclude not in YES | NO:
        raise invalid("exclude_alerts", f'error converting exclude_alerts: "{exclude}" is neither true nor false')
    return RuleFilter(
        kind=KINDS[kind],
        rule_names=frozenset(asked.all("rule_name[]")),
        group_names=frozenset(asked.all("rule_group[]")),
        files=frozenset(asked.all("file[]")),
        selectors=asked.selectors(),
        alerts=exclude in NO,
    )


def _group_limit(asked: Parameters) -> int:
    """0 where it is not sent. Raises UserError."""
    text = asked.text("group_limit")
    if not text:
        return 0
    try:
        limit = int(text)
    except ValueError:
        raise invalid("group_limit", f'group_limit needs to be a valid number: "{text}"') from None
    if limit < 1:
        raise invalid("group_limit", "group_limit needs to be greater than 0")
    return limit
