"""Retention policies over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.world import Api
from tests.support.samples import batch

from tocsin.model.audit import SYSTEM
from tocsin.model.duration import DAY_MS
from tocsin.model.labels import Labels
from tocsin.model.page import PageRequest
from tocsin.model.people import Role
from tocsin.runtime.disk import DiskSpace
from tocsin.store.budget import DiskGuard
from tocsin.store.settings import StoreSettings

DEV = {"name": "dev", "matchers": ['{team="dev"}'], "raw": "2d"}
SLO = {"name": "slo", "matchers": ['__name__=~"slo.*"'], "raw": "30d", "hours": 3600 * 24 * 1000}


async def ask(api: Api, method: str, path: str, body: Any = None, role: Role = Role.EDITOR, status: int = 200) -> Any:
    async with api.client(role) as http:
        answer = await http.request(method, path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


async def names(api: Api) -> list[str]:
    return [one["name"] for one in (await ask(api, "GET", "/api/retention", role=Role.VIEWER))["items"]]


async def put_days(api: Api, labels: Labels, days: int) -> None:
    now = api.clock.now_ms()
    await api.samples.append(batch(api.samples, [(labels, now - day * DAY_MS, 1.0) for day in range(days)]))


async def audited(api: Api) -> list[tuple[str, str]]:
    page = await api.state.access.audit(PageRequest())
    return [(row.entry.action, row.entry.target) for row in page.items if row.entry.action.startswith("retention")]


async def test_without_policies_the_defaults_are_told(api: Api) -> None:
    answer = await ask(api, "GET", "/api/retention", role=Role.VIEWER)
    assert answer == {"items": [], "next": None, "defaults": {"raw": "7d", "five_minutes": "90d", "hours": "730d"}}


async def test_a_policy_is_made_read_changed_and_deleted_and_each_is_audited(api: Api) -> None:
    made = await ask(api, "POST", "/api/retention", DEV, status=201)
    assert (made["matchers"], made["raw"], made["five_minutes"], made["position"]) == (['team="dev"'], "2d", None, 0)
    path = f"/api/retention/{made['id']}"
    assert await ask(api, "GET", path, role=Role.VIEWER) == made
    changed = await ask(api, "PATCH", path, {"raw": None, "hours": "1d", "version": made["version"]})
    assert (changed["raw"], changed["hours"], changed["name"], changed["version"]) == (None, "1d", "dev", 2)
    await ask(api, "PATCH", path, {"raw": "3d", "version": made["version"]}, status=409)
    await ask(api, "DELETE", path, status=204)
    assert await names(api) == []
    assert await audited(api) == [(f"retention.{what}", "retention policy dev") for what in ("delete", "change", "add")]
    page = await api.state.access.audit(PageRequest())
    (change,) = [row.entry for row in page.items if row.entry.action == "retention.change"]
    assert change.before is not None
    assert change.after is not None
    assert (change.before["raw"], change.after["raw"], change.after["hours"]) == ("2d", None, "1d")


async def test_the_order_is_changed_by_a_position_or_by_the_whole_list(api: Api) -> None:
    dev = await ask(api, "POST", "/api/retention", DEV, status=201)
    await ask(api, "POST", "/api/retention", {**SLO, "position": 0}, status=201)
    assert await names(api) == ["slo", "dev"]
    await ask(api, "PATCH", f"/api/retention/{dev['id']}", {"position": 0})
    assert await names(api) == ["dev", "slo"]
    kept = {"id": dev["id"], **DEV}
    answer = await ask(api, "PUT", "/api/retention", {"items": [{**SLO, "name": "new"}, kept]})
    assert [(one["name"], one["id"] == dev["id"]) for one in answer["items"]] == [("new", False), ("dev", True)]
    assert ("retention.order", "retention") in await audited(api)


async def test_a_list_that_changes_nothing_is_not_audited(api: Api) -> None:
    made = await ask(api, "POST", "/api/retention", DEV, status=201)
    await ask(api, "PUT", "/api/retention", {"items": [{"id": made["id"], **DEV}]})
    assert len(await audited(api)) == 1


async def test_a_policy_holds_from_the_moment_it_is_saved(api: Api) -> None:
    labels = Labels.metric("cpu", {"team": "dev"})
    await put_days(api, labels, 6)
    await ask(api, "POST", "/api/retention", DEV, status=201)
    assert len((await api.samples.select([], 0, 2**62)).times) == 3
    async with api.client(Role.WRITER) as http:
        at_s = api.clock.now_ms() / 1_000 - 3 * 86_400
        late = {"name": "cpu", "tags": {"team": "dev"}, "value": 1, "timestamp": at_s}
        refused = await http.post("/api/metrics", json=late)
        taken = await http.post("/api/metrics", json={**late, "tags": {"team": "ops"}})
    assert refused.json()["detail"] == "Nothing was stored. The sample is older than the 2d that samples are kept."
    assert taken.json() == {"stored": 1, "rejected": []}


async def test_the_preview_tells_what_the_change_then_deletes(api: Api) -> None:
    await put_days(api, Labels.metric("cpu", {"team": "dev"}), 6)
    await put_days(api, Labels.metric("cpu", {"team": "ops"}), 6)
    said = await ask(api, "POST", "/api/retention/preview", {"items": [DEV]})
    assert said["text"] == "This will delete 3 samples of 1 series."
    assert (said["samples"], said["series"], said["approximate"]) == (3, 1, False)
    assert await names(api) == []
    before = len((await api.samples.select([], 0, 2**62)).times)
    await ask(api, "POST", "/api/retention", DEV, status=201)
    assert before - len((await api.samples.select([], 0, 2**62)).times) == 3
    longer = await ask(api, "POST", "/api/retention/preview", {"items": [SLO]})
    assert longer["text"] == "This deletes nothing."


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"matchers": []}, "matchers", "at least one matcher"),
        ({"matchers": ["{team"]}, "matchers", "does not select series"),
        ({"matchers": ['{team=~"("}']}, "matchers", "not a regular expression"),
        ({"matchers": ['{team!="dev"}']}, "matchers", "may be all of them"),
        ({"raw": "soon"}, "raw", "not a duration"),
        ({"raw": 0}, "raw", "at least 1m"),
        ({"raw": None}, "raw", "at least one length"),
        ({"name": " "}, "name", "1 to 255 characters"),
    ],
)
async def test_what_is_wrong_with_a_policy_is_said(api: Api, change: dict[str, Any], field: str, said: str) -> None:
    problem = await ask(api, "POST", "/api/retention", {**DEV, **change}, status=422)
    assert problem["field"] == field
    assert said in problem["detail"]


async def test_the_disk_use_is_told_by_resolution_with_budget_and_room(api: Api) -> None:
    await put_days(api, Labels.metric("cpu"), 3)
    use = await ask(api, "GET", "/api/retention/disk", role=Role.VIEWER)
    raw, five, _ = use["tables"]
    assert (raw["resolution"], raw["rows"], raw["since"]) == ("raw", 3, "2027-01-13T00:00:00.000Z")
    assert (five["rows"], five["since"]) == (0, None)
    assert (use["used"], use["budget"], use["free"], use["free_min"]) == (raw["bytes"], None, 40 * 10**9, 10**9)
    assert use["last_drop"] is None


async def test_what_was_dropped_for_the_budget_is_told_and_audited(api: Api) -> None:
    await put_days(api, Labels.metric("cpu"), 3)
    tight = StoreSettings(disk_budget="50")
    guard = DiskGuard(api.samples, api.state.settings, tight, nowhere, clock=api.clock, telemetry=api.telemetry)
    assert await guard.check(api.clock.now_ms()) == 1
    last = (await ask(api, "GET", "/api/retention/disk", role=Role.VIEWER))["last_drop"]
    assert (last["samples"], last["until"]) == (1, "2027-01-14T00:00:00.000Z")
    assert last["why"] == "the sample store takes 72 B of its budget of 50 B"
    assert ("retention.budget_drop", "sample store") in await audited(api)
    assert (await api.state.access.audit(PageRequest())).items[0].entry.actor == SYSTEM


async def nowhere() -> DiskSpace | None:
    return None


async def test_series_are_deleted_by_an_admin_who_knows_how_many(api: Api) -> None:
    await put_days(api, Labels.metric("logins", {"user": "anna"}), 3)
    await put_days(api, Labels.metric("logins", {"user": "bert"}), 3)
    asked = {"match": ['{user="anna"}']}
    said = await ask(api, "POST", "/api/series/delete/preview", asked, role=Role.ADMIN)
    assert said["text"] == "This will delete 3 samples of 1 series."
    await ask(api, "POST", "/api/series/delete", {**asked, "series": 2}, role=Role.ADMIN, status=409)
    await ask(api, "POST", "/api/series/delete", {**asked, "series": 1}, role=Role.ADMIN)
    left = await ask(api, "GET", "/api/metrics/series?name=logins", role=Role.VIEWER)
    assert [one["labels"] for one in left["items"]] == [{"user": "bert"}]
    await ask(api, "POST", "/api/series/delete", {**asked, "series": 1}, role=Role.ADMIN, status=404)
    log = await ask(api, "GET", "/api/audit", role=Role.ADMIN)
    assert "anna" not in str(log)
    assert log["items"][0]["action"] == "series.deleted"


async def test_a_rule_outlives_the_series_that_it_judged(api: Api) -> None:
    rule = {"name": "R", "metric_name": "logins", "condition": ">", "threshold": 0, "duration": 0}
    await ask(api, "POST", "/api/rules", rule, status=201)
    await api.push("logins", 1.0, user="anna")
    await ask(api, "POST", "/api/series/delete", {"match": ['{user="anna"}'], "series": 1}, role=Role.ADMIN)
    (alert,) = (await ask(api, "GET", "/api/alerts?state=firing"))["items"]
    api.clock.advance(1_000)
    await api.push("logins", 0.0, user="anna")  # it starts anew, and its alert goes on
    assert (await ask(api, "GET", f"/api/alerts/{alert['id']}"))["state"] == "resolved"


async def test_two_policies_of_one_name_are_refused(api: Api) -> None:
    await ask(api, "POST", "/api/retention", DEV, status=201)
    assert "two policies named 'dev'" in (await ask(api, "POST", "/api/retention", DEV, status=422))["detail"]


async def test_a_policy_that_is_not_there_is_not_found(api: Api) -> None:
    await ask(api, "GET", "/api/retention/7", status=404)
    await ask(api, "PUT", "/api/retention", {"items": [{"id": 7, **DEV}]}, status=404)
