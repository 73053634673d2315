"""The requests of Grafana's Prometheus data source, in its order, as its logs show them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from tests.api.world import TESTER, Api
from tests.support.state import AT_MS

from tocsin.model.people import Role
from tocsin.model.rule import Condition, Rule

AT_S = AT_MS // 1_000


@pytest.fixture
async def grafana(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    """With a viewer's token, and some series to look at."""
    await api.services.rules.add(Rule(0, "High", "system.cpu.usage", Condition.ABOVE, 80.0), TESTER)
    async with api.client(Role.EDITOR) as http:
        sent = [
            {"name": name, "value": age + 1, "tags": {"host": host}, "timestamp": AT_S - age}
            for name in ("hits_total", "system.cpu.usage")
            for host in ("a", "b")
            for age in (0, 15, 30)
        ]
        assert (await http.post("/api/metrics", json=sent)).json()["stored"] == 12
    async with api.client(Role.VIEWER, follow_redirects=False) as http:
        yield http


async def test_save_and_test(grafana: httpx.AsyncClient) -> None:
    asked = await grafana.post("/api/v1/query", data={"query": "1+1", "time": "4"})
    assert asked.text == '{"status":"success","data":{"resultType":"scalar","result":[4,"2"]}}'
    built = (await grafana.get("/api/v1/status/buildinfo")).json()
    assert (built["status"], "features" in built["data"]) == ("success", False)


async def test_a_panel(grafana: httpx.AsyncClient) -> None:
    """Seconds with fractions, and the step as Go writes a float."""
    asked = {"query": "hits_total", "start": f"{AT_S - 30}.000", "end": f"{AT_S}.0", "step": "15"}
    answer = await grafana.post("/api/v1/query_range", data=asked)
    assert answer.json()["data"] == {
        "resultType": "matrix",
        "result": [
            {
                "metric": {"__name__": "hits_total", "host": host},
                "values": [[AT_S - 30, "31"], [AT_S - 15, "16"], [AT_S, "1"]],
            }
            for host in ("a", "b")
        ],
    }
    exemplars = await grafana.post("/api/v1/query_exemplars", data=asked)
    assert exemplars.text == '{"status":"success","data":[]}'


async def test_a_table_and_a_stat(grafana: httpx.AsyncClient) -> None:
    asked = {"query": 'sum by (host) ({"system.cpu.usage"})', "time": str(AT_S)}
    answer = await grafana.post("/api/v1/query", data=asked)
    assert [one["value"] for one in answer.json()["data"]["result"]] == [[AT_S, "1"], [AT_S, "1"]]


async def test_the_label_browser(grafana: httpx.AsyncClient) -> None:
    span = {"start": str(AT_S - 3600), "end": str(AT_S)}
    names = await grafana.post("/api/v1/labels", data={**span, "match[]": '{__name__="hits_total"}', "limit": "40000"})
    assert names.json() == {"status": "success", "data": ["__name__", "host"]}
    params = {**span, "match[]": "hits_total", "limit": "40000"}
    values = await grafana.get("/api/v1/label/host/values", params=params)
    assert values.json() == {"status": "success", "data": ["a", "b"]}
    metrics = await grafana.get("/api/v1/label/__name__/values", params=span)
    assert metrics.json()["data"] == ["hits_total", "system.cpu.usage"]


async def test_the_older_way_to_find_labels(grafana: httpx.AsyncClient) -> None:
    answer = await grafana.post("/api/v1/series", data={"match[]": '{__name__!=""}', "start": str(AT_S - 60)})
    assert len(answer.json()["data"]) == 4


async def test_metadata_rules_alerts_and_targets(grafana: httpx.AsyncClient) -> None:
    metadata = (await grafana.get("/api/v1/metadata", params={"limit": "40000"})).json()["data"]
    assert metadata["hits_total"][0].keys() == {"type", "help", "unit"}
    (group,) = (await grafana.get("/api/v1/rules", params={"group_limit": "40"})).json()["data"]["groups"]
    assert [rule["name"] for rule in group["rules"]] == ["High"]
    for path in ("alerts", "targets", "alertmanagers", "status/flags", "status/runtimeinfo", "status/tsdb"):
        assert (await grafana.get(f"/api/v1/{path}")).json()["status"] == "success"


async def test_a_mistake_in_an_expression_is_shown_as_it_is(grafana: httpx.AsyncClient) -> None:
    answer = await grafana.post("/api/v1/query_range", data={"query": "up(", "start": "1", "end": "2", "step": "1"})
    told = answer.json()
    assert (answer.status_code, told["status"], told["errorType"]) == (400, "error", "bad_data")
    assert told["error"].startswith('invalid parameter "query": 1:')
