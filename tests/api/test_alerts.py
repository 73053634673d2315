import httpx
import pytest
from tests.api.world import Api

from tocsin.model.people import Role


async def fire(api: Api, admin: httpx.AsyncClient, *hosts: str, severity: str = "warning") -> None:
    body = {"name": "Hot", "metric_name": "temp", "condition": ">", "threshold": 80, "severity": severity}
    await admin.post("/api/rules", json=body)
    for host in hosts:
        await api.push("temp", 91.25, host=host)


async def test_an_alert_tells_its_whole_story(api: Api, admin: httpx.AsyncClient) -> None:
    await fire(api, admin, "a")
    (alert,) = (await admin.get("/api/alerts")).json()["items"]
    assert alert == {
        "id": alert["id"],
        "rule_id": alert["rule_id"],
        "rule_name": "Hot",
        "metric_name": "temp",
        "condition": ">",
        "threshold": 80,
        "state": "firing",
        "severity": "warning",
        "labels": {"host": "a"},
        "value": 91.25,
        "peak": 91.25,
        "started_at": "2027-01-15T08:00:00.000Z",
        "fired_at": "2027-01-15T08:00:00.000Z",
        "resolved_at": None,
        "changed_at": "2027-01-15T08:00:00.000Z",
        "reason": alert["reason"],
        "acknowledged": False,
        "acknowledged_by": "",
        "acknowledged_at": None,
        "comment": "",
        "annotations": {},
        "expr": "",
        "source": "",
    }
    assert (await admin.get(f"/api/alerts/{alert['id']}")).json() == alert


async def test_an_alert_is_acknowledged_once_with_a_comment(api: Api, admin: httpx.AsyncClient) -> None:
    await fire(api, admin, "a")
    (alert,) = (await admin.get("/api/alerts")).json()["items"]
    path = f"/api/alerts/{alert['id']}/acknowledge"
    async with api.client(Role.OPERATOR) as operator:
        done = (await operator.post(path, json={"comment": "on it"})).json()
    assert (done["acknowledged"], done["acknowledged_by"], done["comment"]) == (
        True,
        "operator of the tests (token)",
        "on it",
    )
    again = await admin.post(path)
    assert again.status_code == 409
    (entry,) = [row for row in (await admin.get("/api/audit")).json()["items"] if row["action"] == "alert.acknowledge"]
    assert (entry["actor"], entry["address"]) == ("operator of the tests (token)", "192.0.2.9")


@pytest.mark.parametrize("body", [b"", b"{}"])
async def test_a_comment_is_not_needed(api: Api, admin: httpx.AsyncClient, body: bytes) -> None:
    await fire(api, admin, "a")
    (alert,) = (await admin.get("/api/alerts")).json()["items"]
    headers = {"Content-Type": "application/json"} if body else {}
    answer = await admin.post(f"/api/alerts/{alert['id']}/acknowledge", content=body, headers=headers)
    assert (answer.status_code, answer.json()["comment"]) == (200, "")


async def test_what_is_not_firing_cannot_be_acknowledged(api: Api, admin: httpx.AsyncClient) -> None:
    await fire(api, admin, "a")
    (alert,) = (await admin.get("/api/alerts")).json()["items"]
    api.clock.advance(1_000)
    await api.push("temp", 20, host="a")
    assert (await admin.post(f"/api/alerts/{alert['id']}/acknowledge")).status_code == 409
    assert (await admin.post("/api/alerts/99/acknowledge")).status_code == 404


async def test_alerts_are_chosen_by_state_severity_and_rule(api: Api, admin: httpx.AsyncClient) -> None:
    await fire(api, admin, "a", "b")
    api.clock.advance(1_000)
    await api.push("temp", 20, host="a")

    async def hosts(**params: str | list[str]) -> list[str]:
        items = (await admin.get("/api/alerts", params=params)).json()["items"]
        return [alert["labels"]["host"] for alert in items]

    assert await hosts() == ["b"]
    assert await hosts(state="resolved") == ["a"]
    assert await hosts(state=["resolved", "firing"]) == ["a", "b"]
    assert await hosts(severity="critical") == []
    assert await hosts(severity="warning") == ["b"]
    assert await hosts(rule_id="99") == []


async def test_history_keeps_every_firing(api: Api, admin: httpx.AsyncClient) -> None:
    await fire(api, admin, "a")
    api.clock.advance(60_000)
    await api.push("temp", 20, host="a")
    (item,) = (await admin.get("/api/history")).json()["items"]
    assert (item["triggered_at"], item["resolved_at"]) == ("2027-01-15T08:00:00.000Z", "2027-01-15T08:01:00.000Z")
    assert (item["value"], item["labels"], item["rule_name"]) == (91.25, {"host": "a"}, "Hot")


async def test_history_is_chosen_by_time(api: Api, admin: httpx.AsyncClient) -> None:
    await fire(api, admin, "a")

    async def count(**params: str) -> int:
        return len((await admin.get("/api/history", params=params)).json()["items"])

    assert await count(since="2027-01-15T08:00:00Z") == 1
    assert await count(since="1800000000.001") == 0
    assert await count(until="2027-01-15T08:00:00Z") == 0
    assert await count(until="2027-01-15T09:00:00.001+01:00") == 1
    assert await count(severity="critical") == 0


async def test_alerts_come_in_pages(api: Api, admin: httpx.AsyncClient) -> None:
    await fire(api, admin, *"abc")
    first = (await admin.get("/api/alerts", params={"limit": 2})).json()
    rest = (await admin.get("/api/alerts", params={"limit": 2, "cursor": first["next"]})).json()
    hosts = [alert["labels"]["host"] for alert in (*first["items"], *rest["items"])]
    assert sorted(hosts) == ["a", "b", "c"]
    assert rest["next"] is None
