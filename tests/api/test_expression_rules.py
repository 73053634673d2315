from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from tests.api.world import Api, open_api

from tocsin.model.people import Role

DOWN: dict[str, Any] = {"name": "Down", "expr": "up == 0", "duration": 0, "severity": "critical"}


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with open_api() as opened:
        yield opened


async def add(api: Api, **changes: Any) -> httpx.Response:
    async with api.client(Role.EDITOR) as http:
        return await http.post("/api/rules", json=DOWN | changes)


async def evaluate(api: Api) -> None:
    await api.services.rule_groups.look(api.clock.advance(15_000))


async def test_a_rule_may_be_an_expression(api: Api) -> None:
    answer = await add(api)
    assert answer.status_code == 201, answer.text
    rule = answer.json()
    assert (rule["expr"], rule["is_expression"], rule["metric_name"]) == ("up == 0", True, "")
    assert (rule["condition"], rule["threshold"], rule["state"]) == (None, None, "inactive")


async def test_its_alerts_are_alerts_like_all_others(api: Api) -> None:
    rule = (await add(api, description="{{ $labels.job }} is down")).json()
    await api.push("up", 0.0, job="web")
    await evaluate(api)
    async with api.client(Role.OPERATOR) as http:
        (alert,) = (await http.get("/api/alerts", params={"state": "firing"})).json()["items"]
        assert (alert["rule_id"], alert["rule_name"], alert["severity"]) == (rule["id"], "Down", "critical")
        assert (alert["expr"], alert["condition"], alert["value"]) == ("up == 0", None, 0.0)
        assert alert["labels"] == {"alertname": "Down", "job": "web", "severity": "critical"}
        assert alert["annotations"] == {"description": "web is down"}
        said = await http.post(f"/api/alerts/{alert['id']}/acknowledge", json={"comment": "mine"})
        assert said.status_code == 200, said.text
        shown = (await http.get(f"/api/rules/{rule['id']}")).json()
        assert (shown["state"], shown["alerts"]) == ("firing", 1)
    await api.push("up", 1.0, job="web")
    await evaluate(api)
    async with api.client(Role.VIEWER) as http:
        (item,) = (await http.get("/api/history")).json()["items"]
        assert (item["reason"], item["acknowledged"]) == ("condition cleared", True)


async def test_what_is_no_promql_is_refused_with_its_place(api: Api) -> None:
    answer = await add(api, expr="sum(up\n  by job")
    assert answer.status_code == 422
    said = answer.json()
    assert (said["field"], said["line"], said["column"]) == ("expr", 2, 3)
    assert said["detail"].startswith("2:3: parse error: ")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"expr": '"text"'}, "expr"),
        ({"expr": "up[5m]"}, "expr"),
        ({"metric_name": "up"}, "expr"),
        ({"condition": ">"}, "condition"),
        ({"threshold": 1}, "threshold"),
        ({"expr": "", "metric_name": "up", "threshold": 1}, "condition"),
        ({"expr": "", "metric_name": "up", "condition": ">"}, "threshold"),
        ({"expr": "", "condition": ">", "threshold": 1}, "metric_name"),
    ],
)
async def test_a_rule_is_an_expression_or_a_threshold(api: Api, changes: dict[str, Any], field: str) -> None:
    answer = await add(api, **changes)
    assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text


async def test_a_threshold_becomes_an_expression_and_back(api: Api) -> None:
    threshold = {"expr": "", "metric_name": "up", "condition": "<", "threshold": 1}
    rule = (await add(api, **threshold)).json()
    await api.push("up", 0.0)
    async with api.client(Role.EDITOR) as http:
        path = f"/api/rules/{rule['id']}"
        changed = await http.patch(path, json={"expr": "up < 1"})
        assert (changed.status_code, changed.json()["is_expression"]) == (200, True), changed.text
        (ended,) = (await http.get("/api/history")).json()["items"]
        assert ended["reason"] == "rule edited"
        await evaluate(api)
        assert (await http.get(path)).json()["state"] == "firing"
        refused = await http.patch(path, json={"expr": "", "metric_name": "up"})
        assert (refused.status_code, refused.json()["field"]) == (422, "condition")
        back = await http.patch(path, json=threshold)
        assert (back.status_code, back.json()["is_expression"]) == (200, False), back.text
        (newest, _) = (await http.get("/api/history")).json()["items"]
        assert newest["reason"] == "rule edited"


async def test_a_rule_that_is_deleted_closes_its_alerts(api: Api) -> None:
    rule = (await add(api)).json()
    await api.push("up", 0.0)
    await evaluate(api)
    async with api.client(Role.EDITOR) as http:
        assert (await http.delete(f"/api/rules/{rule['id']}")).status_code == 204
        (item,) = (await http.get("/api/history")).json()["items"]
        assert item["reason"] == "rule deleted"
