from typing import Any

import httpx
import pytest
from tests.api.world import PASSWORD, Api

from tocsin.model.people import Role

BERT = {"name": "bert", "password": PASSWORD, "role": "viewer"}


async def test_a_user_is_made_and_shown_without_secrets(admin: httpx.AsyncClient) -> None:
    answer = await admin.post("/api/users", json=BERT)
    assert answer.status_code == 201
    user = answer.json()
    assert user == {
        "id": user["id"],
        "name": "bert",
        "role": "viewer",
        "enabled": True,
        "has_password": True,
        "created_at": "2027-01-15T08:00:00.000Z",
    }
    assert (await admin.get("/api/users")).json() == {"items": [user], "next": None}


async def test_a_name_is_taken_once(admin: httpx.AsyncClient) -> None:
    await admin.post("/api/users", json=BERT)
    assert (await admin.post("/api/users", json={**BERT, "name": "Bert"})).status_code == 409


async def test_a_user_who_is_shut_out_is_out_at_once(api: Api, admin: httpx.AsyncClient) -> None:
    user = (await admin.post("/api/users", json=BERT)).json()
    async with api.client() as browser:
        await browser.post("/api/session", json={"username": "bert", "password": PASSWORD})
        assert (await browser.get("/api/alerts")).status_code == 200
        changed = await admin.patch(f"/api/users/{user['id']}", json={"enabled": False})
        assert (changed.status_code, changed.json()["enabled"]) == (200, False)
        assert (await browser.get("/api/alerts")).status_code == 401


async def test_a_role_is_changed(admin: httpx.AsyncClient) -> None:
    user = (await admin.post("/api/users", json=BERT)).json()
    changed = (await admin.patch(f"/api/users/{user['id']}", json={"role": "editor"})).json()
    assert changed == {**user, "role": "editor"}
    assert (await admin.patch("/api/users/999", json={"role": "editor"})).status_code == 404


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"password": "short"}, "password"),
        ({"role": "king"}, "role"),
        ({"role": None}, "role"),
        ({"surname": "x"}, "surname"),
    ],
)
async def test_a_wrong_user_is_refused_and_the_field_named(
    admin: httpx.AsyncClient, change: dict[str, Any], field: str
) -> None:
    answer = await admin.post("/api/users", json={**BERT, **change})
    assert (answer.status_code, answer.json()["field"]) == (422, field)


async def test_a_token_is_shown_once_and_works_until_it_is_deleted(api: Api, admin: httpx.AsyncClient) -> None:
    answer = await admin.post("/api/tokens", json={"name": "agent 7", "role": "writer", "expires_in": "30d"})
    assert answer.status_code == 201
    made = answer.json()
    assert (made["role"], made["created_by"]) == ("writer", "admin of the tests (token)")
    assert made["expires_at"] == "2027-02-14T08:00:00.000Z"
    listed = (await admin.get("/api/tokens", params={"limit": 1_000})).json()["items"]
    assert {name: value for name, value in made.items() if name != "token"} in listed
    assert made["token"] not in str(listed)
    async with api.client() as agent:
        agent.headers["Authorization"] = f"Bearer {made['token']}"
        assert (await agent.post("/api/metrics", json={"name": "a", "value": 1})).status_code == 200
        assert (await admin.delete(f"/api/tokens/{made['id']}")).status_code == 204
        assert (await agent.post("/api/metrics", json={"name": "a", "value": 1})).status_code == 401
    assert (await admin.delete(f"/api/tokens/{made['id']}")).status_code == 404


async def test_a_tokens_limits_are_set_changed_and_lifted(admin: httpx.AsyncClient) -> None:
    asked = {"name": "t", "role": "writer", "labels": {"team": "web"}, "rate": 100, "series_max": 50}
    made = (await admin.post("/api/tokens", json=asked)).json()
    assert {name: made[name] for name in asked} == asked
    path = f"/api/tokens/{made['id']}"
    assert (await admin.patch(path, json={"rate": 200})).json()["labels"] == {"team": "web"}
    changed = (await admin.patch(path, json={"rate": None, "series_max": None, "labels": {}})).json()
    assert (changed["labels"], changed["rate"], changed["series_max"]) == ({}, None, None)
    assert (await admin.patch("/api/tokens/999", json={})).status_code == 404
    refused = await admin.patch(path, json={"series_max": 1})
    assert (refused.status_code, refused.json()["field"]) == (422, "series_max")


@pytest.mark.parametrize("expires_in", ["soon", -1, 0, "0s"])
async def test_a_token_that_would_not_live_is_refused(admin: httpx.AsyncClient, expires_in: object) -> None:
    answer = await admin.post("/api/tokens", json={"name": "t", "role": "writer", "expires_in": expires_in})
    assert (answer.status_code, answer.json()["field"]) == (422, "expires_in")


async def test_every_change_is_in_the_audit_log_without_secrets(api: Api, admin: httpx.AsyncClient) -> None:
    user = (await admin.post("/api/users", json=BERT)).json()
    await admin.patch(f"/api/users/{user['id']}", json={"password": "staple battery horse"})
    async with api.client(Role.EDITOR) as editor:
        await editor.post("/api/rules", json={"name": "a", "metric_name": "b", "condition": ">", "threshold": 1})
    page = (await admin.get("/api/audit", params={"limit": 3})).json()
    newest, change, create = page["items"]
    assert (newest["action"], newest["actor"], newest["address"]) == (
        "rule.add",
        "editor of the tests (token)",
        "192.0.2.9",
    )
    assert (newest["before"], newest["after"]["threshold"]) == (None, 1)
    assert (change["action"], change["target"]) == ("user.change", "user bert")
    assert create["at"] == "2027-01-15T08:00:00.000Z"
    assert "battery" not in str(page)
    rest = (await admin.get("/api/audit", params={"limit": 1_000, "cursor": page["next"]})).json()
    assert rest["items"][0]["id"] < create["id"]
