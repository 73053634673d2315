"""What the server says about itself."""

import asyncio
from pathlib import Path

import httpx
import pytest
from tests.api.world import Api, open_api

from tocsin.api.deps import ReadinessCheck
from tocsin.api.routes.about import read_openapi
from tocsin.model.errors import StoreError


@pytest.mark.parametrize("path", ["/healthz", "/-/healthy", "/readyz", "/-/ready"])
async def test_probes_need_no_sign_in(stranger: httpx.AsyncClient, path: str) -> None:
    answer = await stranger.get(path)
    assert (answer.status_code, answer.text) == (200, "ok")


async def away() -> None:
    raise StoreError("The database is away.")


async def broken() -> None:
    raise RuntimeError("password=hunter2")


async def test_a_store_that_is_away_is_named() -> None:
    checks = [ReadinessCheck("The state store", away), ReadinessCheck("Something else", broken)]
    async with open_api(readiness=checks) as api, api.client() as client:
        assert (await client.get("/healthz")).status_code == 200
        answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    detail = answer.json()["detail"]
    assert "The state store is not ready: The database is away." in detail
    assert "Something else is not ready" in detail
    assert "hunter2" not in detail
    assert "The sample store" not in detail


async def test_a_store_that_hangs_is_not_waited_for() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    check = ReadinessCheck("The state store", hang, timeout_s=0.01)
    async with open_api(readiness=[check]) as api, api.client() as client:
        answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert "has not answered" in answer.json()["detail"]


async def test_own_metrics_are_in_prometheus_form(admin: httpx.AsyncClient) -> None:
    await admin.get("/api/rules")
    answer = await admin.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=1.0.0")
    assert 'tocsin_http_requests_total{method="GET",route="/api/rules",status="200"} 1.0' in answer.text


async def test_a_route_with_an_id_is_counted_as_one(api: Api, admin: httpx.AsyncClient) -> None:
    await admin.get("/api/rules/1")
    await admin.get("/api/rules/2")
    labels = {"method": "GET", "route": "/api/rules/{rule_id}", "status": "404"}
    assert api.telemetry.registry.get_sample_value("tocsin_http_requests_total", labels) == 2


async def test_a_page_learns_what_it_needs_to_know(admin: httpx.AsyncClient) -> None:
    assert (await admin.get("/api/about")).json() == {
        "version": "0.1.0",
        "started_at": "2027-01-15T07:59:00.000Z",
        "smtp": False,
        "encrypted": True,
        "host_interval": 5.0,
    }


async def test_the_api_describes_itself(admin: httpx.AsyncClient) -> None:
    document = (await admin.get("/api/openapi.json")).json()
    assert "/api/alerts/{alert_id}/acknowledge" in document["paths"]
    assert read_openapi.__name__ not in str(document)


async def test_the_page_is_served_to_everybody(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<!doctype html><title>tocsin</title>")
    async with open_api(site=tmp_path) as api, api.client() as client:
        answer = await client.get("/")
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-cache")
        assert "<title>tocsin</title>" in answer.text
        assert "script-src 'self'" in answer.headers["content-security-policy"]


async def test_without_a_built_page_it_says_how_to_build_it(stranger: httpx.AsyncClient) -> None:
    assert "make ui" in (await stranger.get("/")).text


async def test_what_is_not_there_is_told_in_the_callers_form(stranger: httpx.AsyncClient) -> None:
    page = await stranger.get("/nothing", headers={"Accept": "text/html"})
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    for path, accept in (
        ("/nothing", "*/*"),
        ("/api/nothing", "text/html"),
        ("/docs", "*/*"),
        ("/openapi.json", "*/*"),
    ):
        answer = await stranger.get(path, headers={"Accept": accept})
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_a_method_that_is_not_taken_is_told(admin: httpx.AsyncClient) -> None:
    answer = await admin.put("/api/rules")
    assert answer.status_code == 405
    assert answer.json()["detail"] == "This address does not take that method."
    assert answer.headers["allow"]
