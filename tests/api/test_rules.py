from typing import Any

import httpx
import pytest
from tests.api.world import Api

HOT: dict[str, Any] = {
    "name": "Hot",
    "metric_name": "temp",
    "tags": {"room": "attic"},
    "condition": ">=",
    "threshold": 80.5,
    "duration": 300,
    "severity": "critical",
}


async def add(client: httpx.AsyncClient, **changes: Any) -> Any:
    answer = await client.post("/api/rules", json={**HOT, **changes})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_rule_is_made_and_read(admin: httpx.AsyncClient) -> None:
    rule = await add(admin)
    assert rule == {
        "id": rule["id"],
        "name": "Hot",
        "metric_name": "temp",
        "tags": {"room": "attic"},
        "matchers": ['room="attic"'],
        "condition": ">=",
        "threshold": 80.5,
        "duration": 300,
        "severity": "critical",
        "enabled": True,
        "description": "",
        "expr": 'temp{room="attic"} >= 80.5',
        "is_expression": False,
        "version": 1,
        "created_at": "2027-01-15T08:00:00.000Z",
        "updated_at": "2027-01-15T08:00:00.000Z",
        "state": "inactive",
        "alerts": 0,
    }
    assert (await admin.get(f"/api/rules/{rule['id']}")).json() == rule


async def test_the_least_that_a_rule_needs(admin: httpx.AsyncClient) -> None:
    body = {"name": "a", "metric_name": "b", "condition": "!=", "threshold": 0}
    rule = (await admin.post("/api/rules", json=body)).json()
    assert (rule["severity"], rule["duration"], rule["enabled"]) == ("warning", 0, True)


async def test_a_duration_may_be_text(admin: httpx.AsyncClient) -> None:
    assert (await add(admin, duration="1h30m"))["duration"] == 5_400


async def test_matchers_and_tags_are_joined(admin: httpx.AsyncClient) -> None:
    rule = await add(admin, matchers=['floor=~"1|2"', 'room="attic"'])
    assert rule["matchers"] == ['room="attic"', 'floor=~"1|2"']
    assert rule["tags"] == {"room": "attic"}


async def test_only_what_is_sent_is_changed(admin: httpx.AsyncClient) -> None:
    rule = await add(admin, matchers=['floor!="3"'])
    changed = (await admin.patch(f"/api/rules/{rule['id']}", json={"threshold": 90, "version": 1})).json()
    assert changed == {**rule, "threshold": 90, "version": 2, "expr": changed["expr"]}


async def test_tags_replace_tags_and_matchers_replace_all(admin: httpx.AsyncClient) -> None:
    rule = await add(admin, matchers=['floor!="3"'])
    path = f"/api/rules/{rule['id']}"
    assert (await admin.patch(path, json={"tags": {"room": "hall"}})).json()["matchers"] == [
        'room="hall"',
        'floor!="3"',
    ]
    assert (await admin.patch(path, json={"tags": {}})).json()["matchers"] == ['floor!="3"']
    assert (await admin.patch(path, json={"matchers": []})).json()["matchers"] == []


async def test_what_a_rule_says_can_be_sent_back(admin: httpx.AsyncClient) -> None:
    rule = await add(admin, matchers=['floor=~"1|2"'])
    same = {name: rule[name] for name in (*HOT, "matchers", "enabled", "description", "version")}
    again = (await admin.patch(f"/api/rules/{rule['id']}", json=same)).json()
    assert again["matchers"] == rule["matchers"]


async def test_a_change_of_what_somebody_else_changed_is_a_conflict(admin: httpx.AsyncClient) -> None:
    rule = await add(admin)
    path = f"/api/rules/{rule['id']}"
    assert (await admin.patch(path, json={"threshold": 1, "version": 1})).status_code == 200
    answer = await admin.patch(path, json={"threshold": 2, "version": 1})
    assert answer.status_code == 409
    assert (await admin.get(path)).json()["threshold"] == 1


async def test_a_deleted_rule_is_gone(admin: httpx.AsyncClient) -> None:
    rule = await add(admin)
    answer = await admin.delete(f"/api/rules/{rule['id']}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await admin.get(f"/api/rules/{rule['id']}")).status_code == 404
    assert (await admin.delete(f"/api/rules/{rule['id']}")).status_code == 404


async def test_rules_come_in_pages(admin: httpx.AsyncClient) -> None:
    ids = [(await add(admin, name=f"rule {number}"))["id"] for number in range(5)]
    seen: list[int] = []
    cursor: str | None = ""
    for size in (2, 2, 1):
        page = (await admin.get("/api/rules", params={"limit": 2, "cursor": cursor})).json()
        assert len(page["items"]) == size
        seen += [rule["id"] for rule in page["items"]]
        cursor = page["next"]
    assert (seen, cursor) == (ids, None)


async def test_the_default_rules_are_made_once(admin: httpx.AsyncClient) -> None:
    created = (await admin.post("/api/rules/defaults")).json()["created"]
    assert [rule["metric_name"] for rule in created] == [
        "system.cpu.usage",
        "system.memory.usage",
        "system.disk.usage",
    ]
    assert (await admin.post("/api/rules/defaults")).json() == {"created": []}


async def test_a_rule_shows_the_state_of_its_alerts(api: Api, admin: httpx.AsyncClient) -> None:
    waiting, firing = await add(admin), await add(admin, duration=0, tags={})
    await api.push("temp", 99, room="attic")
    await api.push("temp", 99, room="hall")
    rules = {rule["id"]: rule for rule in (await admin.get("/api/rules")).json()["items"]}
    assert (rules[waiting["id"]]["state"], rules[waiting["id"]]["alerts"]) == ("pending", 1)
    assert (rules[firing["id"]]["state"], rules[firing["id"]]["alerts"]) == ("firing", 2)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"metric_name": ""}, "metric_name"),
        ({"threshold": "NaN"}, "threshold"),
        ({"threshold": "much"}, "threshold"),
        ({"threshold": None}, "threshold"),
        ({"condition": "=>"}, "condition"),
        ({"duration": -1}, "duration"),
        ({"duration": "soon"}, "duration"),
        ({"duration": "400d"}, "duration"),
        ({"severity": "bad"}, "severity"),
        ({"tags": {"__name__": "other"}}, "tags"),
        ({"tags": {"a": 1}}, "tags.a"),
        ({"tags": []}, "tags"),
        ({"matchers": ["nonsense"]}, "matchers"),
        ({"matchers": ['a=~"("']}, "matchers"),
        ({"treshold": 3}, "treshold"),
        ({"id": 3}, "id"),
        ({"enabled": "perhaps"}, "enabled"),
    ],
)
async def test_a_wrong_rule_is_refused_and_its_field_named(
    admin: httpx.AsyncClient, change: dict[str, Any], field: str
) -> None:
    answer = await admin.post("/api/rules", json={**HOT, **change})
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert answer.json()["detail"].endswith(".")
    assert (await admin.get("/api/rules")).json()["items"] == []
