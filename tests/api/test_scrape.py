from __future__ import annotations

from typing import Any

import httpx
import pytest
from tests.api.world import Api

from tocsin.model.people import Role

JOBS = "/api/scrape/jobs"
NODE: dict[str, Any] = {
    "job_name": "node",
    "scrape_interval": "15s",
    "basic_auth": {"username": "u", "password": "hunter2"},
    "static_configs": [{"targets": ["a:1", "b:1", "c:1"], "labels": {"rack": "7"}}],
    "relabel_configs": [{"source_labels": ["__address__"], "regex": "c:1", "action": "drop"}],
}


async def add(client: httpx.AsyncClient, **changes: Any) -> Any:
    answer = await client.post(JOBS, json={**NODE, **changes})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_job_is_made_and_read(admin: httpx.AsyncClient) -> None:
    job = await add(admin)
    shown = {**NODE, "basic_auth": {"username": "u", "password": "<secret>"}}
    assert job == {
        "id": job["id"],
        "job_name": "node",
        "source": "api",
        "enabled": True,
        "version": 1,
        "config": shown,
        "targets": {"up": 0, "down": 0, "unknown": 2, "dropped": 1},
        "errors": [],
        "updated_at": "2027-01-15T08:00:00.000Z",
    }
    assert (await admin.get(f"{JOBS}/{job['id']}")).json() == job
    assert (await admin.get(JOBS)).json() == {"items": [job], "next": None}


async def test_a_job_is_changed_paused_and_deleted(admin: httpx.AsyncClient, api: Api) -> None:
    job = await add(admin)
    path = f"{JOBS}/{job['id']}"
    changed = (await admin.patch(path, json={**job["config"], "scrape_interval": "5s", "version": 1})).json()
    assert (changed["config"]["scrape_interval"], changed["version"]) == ("5s", 2)
    assert (await api.state.scrape_jobs.jobs())[0].config["basic_auth"]["password"] == "hunter2"
    paused = (await admin.patch(path, json={"enabled": False})).json()
    assert (paused["enabled"], paused["targets"]["unknown"]) == (False, 0)
    assert (await admin.get("/api/targets")).json()["items"] == []
    assert (await admin.delete(path)).status_code == 204
    assert (await admin.get(path)).status_code == 404


async def test_a_kept_secret_is_not_sent_to_another_server(admin: httpx.AsyncClient) -> None:
    job = await add(admin)
    answer = await admin.patch(f"{JOBS}/{job['id']}", json={"static_configs": [{"targets": ["evil:1"]}]})
    assert answer.status_code == 422
    assert answer.json()["field"] == "basic_auth.password"
    assert "Where its requests go has changed, so send this secret again." in answer.text


async def test_two_changes_of_one_version_are_a_conflict(admin: httpx.AsyncClient) -> None:
    job = await add(admin)
    await admin.patch(f"{JOBS}/{job['id']}", json={"honor_labels": True, "version": 1})
    second = await admin.patch(f"{JOBS}/{job['id']}", json={"honor_labels": False, "version": 1})
    assert (second.status_code, second.json()["field"]) == (409, "version")


@pytest.mark.parametrize(
    ("changes", "status", "field", "said"),
    [
        ({"scrape_intervall": "1s"}, 422, "scrape_intervall", "did you mean scrape_interval?"),
        ({"static_configs": [{"targets": ["http://a"]}]}, 422, "static_configs[0].targets[0]", "HOST:PORT"),
        ({"kubernetes_sd_configs": []}, 422, "kubernetes_sd_configs", "is not supported"),
        ({"bearer_token_file": "/etc/shadow"}, 422, "bearer_token_file", "cannot name files of the server"),
        ({"basic_auth": {"password": "<secret>"}}, 422, "basic_auth.password", "send the secret itself"),
        ({"job_name": ""}, 422, "job_name", "needs a job_name"),
    ],
)
async def test_a_job_with_a_mistake_is_refused_with_its_place(
    admin: httpx.AsyncClient, changes: dict[str, Any], status: int, field: str, said: str
) -> None:
    answer = await admin.post(JOBS, json={**NODE, **changes})
    assert (answer.status_code, answer.json()["field"]) == (status, field)
    assert said in answer.json()["detail"]


async def test_targets_are_listed_with_what_is_known_of_them(admin: httpx.AsyncClient, api: Api) -> None:
    await add(admin)
    first = (await admin.get("/api/targets")).json()["items"][0]
    assert first == {
        "job_name": "node",
        "state": "active",
        "url": "http://a:1/metrics",
        "labels": {"instance": "a:1", "job": "node", "rack": "7"},
        "discovered": {
            "__address__": "a:1",
            "__metrics_path__": "/metrics",
            "__scheme__": "http",
            "__scrape_interval__": "15s",
            "__scrape_timeout__": "10s",
            "job": "node",
            "rack": "7",
        },
        "health": "unknown",
        "error": "",
        "warning": "",
        "scraped_at": None,
        "duration": None,
        "samples": 0,
        "kept": 0,
        "missed": 0,
        "interval": 15,
        "timeout": 10,
    }
    await api.scraper.scrape(api.scraper.watched()[0])
    first = (await admin.get("/api/targets", params={"health": "down"})).json()["items"][0]
    assert (first["health"], first["duration"], first["scraped_at"]) == ("down", 0, "2027-01-15T08:00:00.000Z")
    assert first["error"] == "The answer's status is 503, and should be 200."
    (job,) = (await admin.get(JOBS)).json()["items"]
    assert job["targets"] == {"up": 0, "down": 1, "unknown": 1, "dropped": 1}


async def test_targets_are_chosen_and_paged(admin: httpx.AsyncClient) -> None:
    await add(admin)
    await add(admin, job_name="app", static_configs=[{"targets": ["z:1"]}])

    async def urls(**params: str) -> list[str]:
        items = (await admin.get("/api/targets", params=params)).json()["items"]
        return [one["url"] or f"dropped {one['discovered']['__address__']}" for one in items]

    assert await urls() == ["http://z:1/metrics", "http://a:1/metrics", "http://b:1/metrics"]
    assert await urls(job="node") == ["http://a:1/metrics", "http://b:1/metrics"]
    assert await urls(state="dropped") == ["dropped c:1"]
    assert await urls(state="any", job="node") == ["http://a:1/metrics", "http://b:1/metrics", "dropped c:1"]
    assert await urls(health="up") == []
    page = (await admin.get("/api/targets", params={"limit": "2", "state": "any"})).json()
    rest = (await admin.get("/api/targets", params={"cursor": page["next"], "state": "any"})).json()
    assert len(page["items"]) == 2
    assert len(rest["items"]) == 2
    assert rest["next"] is None


async def test_a_dropped_target_says_why(admin: httpx.AsyncClient) -> None:
    await add(admin)
    (one,) = (await admin.get("/api/targets", params={"state": "dropped"})).json()["items"]
    assert (one["error"], one["url"]) == ("A rule of relabel_configs dropped it.", None)


async def test_every_change_is_audited_without_secrets(api: Api, admin: httpx.AsyncClient) -> None:
    async with api.client(Role.EDITOR) as editor:
        job = await add(editor)
        await editor.patch(f"{JOBS}/{job['id']}", json={"enabled": False})
        await editor.delete(f"{JOBS}/{job['id']}")
    rows = (await admin.get("/api/audit")).json()["items"]
    ours = [row for row in rows if row["action"].startswith("scrape_job.")]
    assert [row["action"] for row in ours] == ["scrape_job.delete", "scrape_job.change", "scrape_job.add"]
    assert {row["actor"] for row in ours} == {"editor of the tests (token)"}
    assert {row["target"] for row in ours} == {"scrape job node"}
    assert ours[1]["before"]["enabled"] != ours[1]["after"]["enabled"]
    assert "hunter2" not in str(rows)
