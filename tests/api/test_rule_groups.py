from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.api.world import Api, open_api

from tocsin.model.people import Role

TEXT = """groups:
- name: hosts
  interval: 30s
  rules:
  - record: host:up:sum
    expr: sum(up)
  - alert: Down
    expr: up == 0
    labels: {severity: critical}
    annotations: {summary: "{{ $labels.host }} is down"}
"""


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with open_api() as opened:
        yield opened


async def put(api: Api, text: str, name: str = "hosts.yml", role: Role = Role.EDITOR) -> tuple[int, dict[str, object]]:
    async with api.client(role) as http:
        answer = await http.put(f"/api/rule-files/{name}", json={"text": text})
        return answer.status_code, answer.json()


async def test_a_file_is_uploaded_listed_read_and_deleted(api: Api) -> None:
    status, file = await put(api, TEXT)
    assert (status, file["name"], file["groups"], file["rules"], file["problems"]) == (200, "hosts.yml", 1, 2, [])
    async with api.client(Role.EDITOR) as http:
        assert (await http.get("/api/rule-files")).json()["items"] == [file]
        assert (await http.get("/api/rule-files/hosts.yml")).json() == {"text": TEXT}
        assert (await http.delete("/api/rule-files/hosts.yml")).status_code == 204
        assert (await http.get("/api/rule-files/hosts.yml")).status_code == 404
        assert (await http.get("/api/rule-groups")).json() == {"items": [], "next": None}


async def test_groups_say_how_their_rules_are(api: Api) -> None:
    await put(api, TEXT)
    await api.push("up", 0.0, host="a")
    await api.services.rule_groups.look(api.clock.advance(30_000))
    async with api.client(Role.VIEWER) as http:
        (group,) = (await http.get("/api/rule-groups")).json()["items"]
        assert (group["file"], group["name"], group["interval"]) == ("uploaded:hosts.yml", "hosts", 30)
        assert (group["evaluations"], group["missed"]) == (1, 0)
        record, alert = group["rules"]
        assert (record["kind"], record["name"], record["health"]) == ("recording", "host:up:sum", "ok")
        assert (alert["kind"], alert["firing"], alert["pending"], alert["error"]) == ("alerting", 1, 0, "")
        (shown,) = (await http.get("/api/alerts")).json()["items"]
        assert (shown["rule_id"], shown["source"]) == (None, "uploaded:hosts.yml · hosts · Down")
        assert shown["annotations"] == {"summary": "a is down"}


async def test_a_rule_that_fails_says_why(api: Api) -> None:
    await put(api, TEXT.replace("sum(up)", "up * on() group_left() up"))
    for host in "ab":
        await api.push("up", 1.0, host=host)
    await api.services.rule_groups.look(api.clock.advance(30_000))
    async with api.client(Role.VIEWER) as http:
        (group,) = (await http.get("/api/rule-groups")).json()["items"]
    assert [rule["health"] for rule in group["rules"]] == ["err", "ok"]
    assert "many-to-many" in group["rules"][0]["error"] or "duplicate" in group["rules"][0]["error"]


async def test_all_that_is_wrong_with_a_file_is_told_with_its_place(api: Api) -> None:
    status, said = await put(api, TEXT.replace("sum(up)", "sum(up").replace("up == 0", "up == == 0"))
    assert (status, said["field"]) == (422, "text")
    problems = said["problems"]
    assert isinstance(problems, list)
    assert [(one["line"], one["rule"]) for one in problems] == [(6, "host:up:sum"), (8, "Down")]
    assert all(one["column"] > 1 and one["message"] for one in problems)
    async with api.client(Role.VIEWER) as http:
        assert (await http.get("/api/rule-files")).json()["items"] == []


async def test_only_editors_upload(api: Api) -> None:
    assert (await put(api, TEXT, role=Role.OPERATOR))[0] == 403
