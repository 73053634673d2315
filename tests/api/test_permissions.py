"""Every route against every role. A route that is not in the table fails the walk."""

from collections.abc import Iterable, Iterator, Mapping

import httpx
import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from tests.api.world import Api, open_api

from tocsin.access.settings import AuthSettings
from tocsin.api.deps import Require
from tocsin.api.forms import ErrorForm
from tocsin.api.server import FORMS
from tocsin.model.people import Role

PUBLIC = {
    ("GET", "/healthz"),
    ("GET", "/-/healthy"),
    ("GET", "/readyz"),
    ("GET", "/ping"),
    ("GET", "/health"),
    ("GET", "/-/ready"),
    ("POST", "/api/session"),
    ("POST", "/api/session/link"),
}
EVERYBODY = frozenset(Role)
READERS = EVERYBODY - {Role.WRITER}
OPERATORS = READERS - {Role.VIEWER}
EDITORS = OPERATORS - {Role.OPERATOR}
WRITERS = EDITORS | {Role.WRITER}
ADMINS = frozenset({Role.ADMIN})

ROUTES: dict[tuple[str, str], frozenset[Role]] = {
    ("GET", "/api/session"): EVERYBODY,
    ("PUT", "/api/session/password"): EVERYBODY,
    ("DELETE", "/api/session"): EVERYBODY,
    ("POST", "/api/metrics"): WRITERS,
    ("POST", "/write"): WRITERS,
    ("POST", "/collectd-post"): WRITERS,
    ("POST", "/api/v1/write"): WRITERS,
    ("POST", "/api/v2/write"): WRITERS,
    ("POST", "/api/v1/import"): WRITERS,
    ("POST", "/api/v1/import/csv"): WRITERS,
    ("POST", "/api/v1/import/prometheus"): WRITERS,
    ("POST", "/v1/metrics"): WRITERS,
    ("POST", "/api/v1/otlp/v1/metrics"): WRITERS,
    ("POST", "/api/v1/read"): READERS,
    ("GET", "/federate"): READERS,
    ("GET", "/api/v1/label/{name:path}/values"): READERS,
    ("GET", "/api/v1/metadata"): READERS,
    ("GET", "/api/v1/rules"): READERS,
    ("GET", "/api/v1/alerts"): READERS,
    ("GET", "/api/v1/targets"): READERS,
    ("GET", "/api/v1/targets/metadata"): READERS,
    ("GET", "/api/v1/scrape_pools"): READERS,
    ("GET", "/api/v1/alertmanagers"): READERS,
    ("GET", "/api/v1/status/buildinfo"): READERS,
    ("GET", "/api/v1/status/runtimeinfo"): READERS,
    ("GET", "/api/v1/status/flags"): READERS,
    ("GET", "/api/v1/status/config"): READERS,
    ("GET", "/api/v1/status/tsdb"): READERS,
    ("GET", "/query"): WRITERS,
    ("POST", "/query"): WRITERS,
    ("GET", "/api/metrics"): READERS,
    ("GET", "/api/metrics/series"): READERS,
    ("GET", "/api/metrics/range"): READERS,
    ("GET", "/api/series"): READERS,
    ("GET", "/api/series/stats"): READERS,
    ("GET", "/api/labels"): READERS,
    ("GET", "/api/labels/{label:path}/values"): READERS,
    ("GET", "/api/trends/{name:path}"): READERS,
    **{
        (method, f"/api/v1/{path}"): READERS
        for method in ("GET", "POST")
        for path in ("query", "query_range", "query_exemplars", "series", "labels", "format_query", "parse_query")
    },
    ("GET", "/api/rule-groups"): READERS,
    ("GET", "/api/rule-files"): READERS,
    ("GET", "/api/rule-files/{name}"): READERS,
    ("PUT", "/api/rule-files/{name}"): EDITORS,
    ("DELETE", "/api/rule-files/{name}"): EDITORS,
    ("GET", "/api/rules"): READERS,
    ("POST", "/api/rules"): EDITORS,
    ("POST", "/api/rules/defaults"): EDITORS,
    ("GET", "/api/rules/{rule_id}"): READERS,
    ("PATCH", "/api/rules/{rule_id}"): EDITORS,
    ("DELETE", "/api/rules/{rule_id}"): EDITORS,
    ("POST", "/api/series/delete/preview"): ADMINS,
    ("POST", "/api/series/delete"): ADMINS,
    ("GET", "/api/retention"): READERS,
    ("POST", "/api/retention"): EDITORS,
    ("PUT", "/api/retention"): EDITORS,
    ("POST", "/api/retention/preview"): EDITORS,
    ("GET", "/api/retention/disk"): READERS,
    ("GET", "/api/retention/{policy_id}"): READERS,
    ("PATCH", "/api/retention/{policy_id}"): EDITORS,
    ("DELETE", "/api/retention/{policy_id}"): EDITORS,
    ("GET", "/api/alerts"): READERS,
    ("GET", "/api/alerts/{alert_id}"): READERS,
    ("POST", "/api/alerts/{alert_id}/acknowledge"): OPERATORS,
    ("GET", "/api/history"): READERS,
    ("GET", "/api/outbox"): OPERATORS,
    ("POST", "/api/outbox/{letter_id}/resend"): OPERATORS,
    ("GET", "/api/scrape/jobs"): READERS,
    ("POST", "/api/scrape/jobs"): EDITORS,
    ("GET", "/api/scrape/jobs/{job_id}"): READERS,
    ("PATCH", "/api/scrape/jobs/{job_id}"): EDITORS,
    ("DELETE", "/api/scrape/jobs/{job_id}"): EDITORS,
    ("GET", "/api/targets"): READERS,
    ("GET", "/api/users"): ADMINS,
    ("POST", "/api/users"): ADMINS,
    ("PATCH", "/api/users/{user_id}"): ADMINS,
    ("GET", "/api/tokens"): ADMINS,
    ("POST", "/api/tokens"): ADMINS,
    ("PATCH", "/api/tokens/{token_id}"): ADMINS,
    ("DELETE", "/api/tokens/{token_id}"): ADMINS,
    ("GET", "/api/audit"): ADMINS,
    ("GET", "/api/backups"): ADMINS,
    ("POST", "/api/backups"): ADMINS,
    ("GET", "/api/backups/{backup_id}"): ADMINS,
    ("GET", "/metrics"): READERS,
    ("GET", "/api/about"): READERS,
    ("GET", "/api/openapi.json"): READERS,
}


async def ask(client: httpx.AsyncClient, method: str, path: str) -> httpx.Response:
    concrete = path.replace("{name:path}", "cpu")
    for part in ("rule_id", "alert_id", "letter_id", "job_id", "user_id", "token_id", "policy_id", "backup_id"):
        concrete = concrete.replace(f"{{{part}}}", "999")
    return await client.request(method, concrete, json={} if method in ("POST", "PUT", "PATCH") else None)


def with_their_own(dependencies: Iterable[Dependant]) -> Iterator[Dependant]:
    for each in dependencies:
        yield each
        yield from with_their_own(each.dependencies)


async def test_no_route_is_without_its_permission(api: Api) -> None:
    found = set()
    for context in iter_route_contexts(api.app.routes):
        dependant = getattr(context.original_route, "dependant", None)
        if dependant is None:
            assert context.path == "/", "only the site is no route of FastAPI's"
            continue
        methods = (context.methods or {"WEBSOCKET"}) - {"HEAD"}
        checked = any(isinstance(each.call, Require) for each in with_their_own(dependant.dependencies))
        for method in methods:
            found.add((method, context.path))
            assert checked is ((method, context.path) not in PUBLIC), f"{method} {context.path}"
    assert found == PUBLIC | ROUTES.keys() | {("WEBSOCKET", "/ws")}


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=" ".join)
async def test_a_stranger_is_asked_to_sign_in(stranger: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await ask(stranger, method, path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    if next((form for prefix, form in longest_first(FORMS) if path.startswith(prefix)), None) is None:
        assert answer.headers["content-type"] == "application/problem+json"


def longest_first(forms: Mapping[str, ErrorForm | None]) -> list[tuple[str, ErrorForm | None]]:
    return sorted(forms.items(), key=lambda one: -len(one[0]))


@pytest.mark.parametrize("role", Role)
async def test_each_role_may_do_what_it_may_and_no_more(api: Api, role: Role) -> None:
    for (method, path), allowed in ROUTES.items():
        async with api.client(role) as client:
            answer = await ask(client, method, path)
        if path.startswith("/api/session"):
            assert answer.status_code != 401  # a token is somebody, though it has no password to change
            continue
        assert (answer.status_code == 403) is (role not in allowed), f"{role} {method} {path}: {answer.text}"


async def test_an_anonymous_role_opens_what_that_role_may() -> None:
    async with open_api(auth=AuthSettings(anonymous_role="viewer")) as api, api.client() as anybody:
        assert (await anybody.get("/api/alerts")).status_code == 200
        assert (await anybody.get("/api/session")).json()["kind"] == "anonymous"
        assert (await ask(anybody, "POST", "/api/rules")).status_code == 401
        # a token that is wrong is wrong, whatever strangers may
        refused = await anybody.get("/api/alerts", headers={"Authorization": "Bearer nonsense"})
        assert refused.status_code == 401


@pytest.mark.parametrize("header", ["Basic !", "Basic Og==", "Digest a", "Bearer", "Token ", "nonsense", ""])
async def test_another_kind_of_authorization_is_refused_with_a_hint(stranger: httpx.AsyncClient, header: str) -> None:
    answer = await stranger.get("/api/alerts", headers={"Authorization": header})
    assert answer.status_code == 401
    assert "Authorization: Bearer" in answer.json()["detail"]


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
async def test_a_page_of_another_site_changes_nothing(method: str) -> None:
    async with open_api(auth=AuthSettings(anonymous_role="editor")) as api, api.client() as browser:
        for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            path = "/api/rules/1" if method in ("PATCH", "DELETE") else "/api/rules"
            if method == "PUT":
                path = "/api/session/password"
            answer = await browser.request(method, path, headers=headers)
            assert answer.status_code == 403
            assert "another site" in answer.json()["detail"]
        reading = await browser.get("/api/rules", headers={"Sec-Fetch-Site": "cross-site"})
        assert reading.status_code == 200


async def test_a_page_of_another_site_signs_nobody_in(stranger: httpx.AsyncClient) -> None:
    body = {"username": "admin", "password": "x"}
    for path in ("/api/session", "/api/session/link"):
        answer = await stranger.post(path, json=body, headers={"Origin": "http://evil.example"})
        assert answer.status_code == 403


async def test_a_token_may_come_from_any_page(api: Api) -> None:
    async with api.client(Role.WRITER) as agent:
        headers = {"Origin": "http://elsewhere.example", "Sec-Fetch-Site": "cross-site"}
        answer = await agent.post("/api/metrics", json={"name": "a", "value": 1}, headers=headers)
        assert answer.status_code == 200
