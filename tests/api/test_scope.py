"""A token that may see one team sees nothing of another, whatever it asks, and no way leads past that."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator

import httpx
import pytest
from tests.api.test_permissions import ROUTES
from tests.api.world import TESTER, Api
from tests.support.remote_read import read_request, read_response
from tests.support.state import AT_MS

from tocsin.api.reading import Readings, ScopedReader
from tocsin.api.stream import Hub
from tocsin.model.errors import UserError
from tocsin.model.matcher import parse_matcher
from tocsin.model.people import Allowance, Role
from tocsin.model.rule import Condition, Rule

SECRET = "zebra"
"""The other team's name, which is in every one of its labels, metrics and alerts."""

MINE = parse_matcher('team="mine"')
AT_S = AT_MS // 1_000


@pytest.fixture
async def filled(api: Api) -> Api:
    """Two teams with an open alert each."""
    for name in ("cpu", "zebra_cpu"):
        await api.services.rules.add(Rule(0, "High", name, Condition.ABOVE, 10.0), TESTER)
    await api.push("cpu", 50.0, team="mine", host="a")
    await api.push("cpu", 60.0, team=SECRET, host="zebra-1")
    await api.push("zebra_cpu", 70.0, team=SECRET, zebra_label="zebra")
    return api


@pytest.fixture
async def mine(filled: Api) -> AsyncIterator[httpx.AsyncClient]:
    allowance = Allowance(reads=(MINE,))
    _, text = await filled.services.people.create_token("mine", Role.VIEWER, None, TESTER, allowance)
    async with filled.client() as http:
        http.headers["Authorization"] = f"Bearer {text}"
        yield http


QUESTIONS = {
    "/api/metrics": {},
    "/api/metrics/series": {"match": 'host=~".*"'},
    "/api/metrics/range": {"name": "cpu"},
    "/api/series": {},
    "/api/series/stats": {},
    "/api/labels": {},
    "/api/trends/{name:path}": {},
    "/api/alerts": {"state": "firing"},
    "/api/history": {},
    "/api/targets": {"state": "any"},
    "/api/v1/query": {"query": '{__name__=~".+"}'},
    "/api/v1/query_range": {"query": '{__name__=~".+"}', "start": str(AT_S - 60), "end": str(AT_S), "step": "30"},
    "/api/v1/series": {"match[]": '{__name__=~".+"}'},
    "/api/v1/labels": {},
    "/api/v1/label/{name:path}/values": {},
    "/api/v1/metadata": {},
    "/api/v1/rules": {},
    "/api/v1/alerts": {},
    "/api/v1/status/tsdb": {},
    "/federate": {"match[]": '{__name__=~".+"}'},
}
"""Questions that have answers of both teams for whoever may see all."""

ASKED_AS_THEY_ARE = {"/api/rules", "/api/v1/rules", "/api/retention", "/api/session", "/api/openapi.json", "/api/about"}
"""They answer with no sample and no label of a series: rules and policies are the server's own."""


def concrete(path: str) -> str:
    path = path.replace("label/{name:path}", "label/team").replace("{name:path}", "cpu").replace("{label:path}", "team")
    for part in ("rule_id", "alert_id", "job_id", "policy_id"):
        path = path.replace(f"{{{part}}}", "2")
    return path


@pytest.mark.parametrize(
    ("method", "path"), [one for one, roles in ROUTES.items() if Role.VIEWER in roles and one[0] in ("GET", "POST")]
)
async def test_no_route_tells_of_another_team(mine: httpx.AsyncClient, method: str, path: str) -> None:
    params = QUESTIONS.get(path, {})
    body = {"data": params} if method == "POST" else {"params": params}
    answer = await mine.request(method, concrete(path), **body)  # type: ignore[arg-type]
    if path not in ASKED_AS_THEY_ARE and not path.startswith("/api/rules/"):
        assert SECRET not in answer.text
    if params:
        assert answer.status_code == 200


@pytest.mark.parametrize(
    "path", [path for path in QUESTIONS if path not in ("/api/targets", "/api/trends/{name:path}")]
)
async def test_whoever_may_see_all_is_told_of_both(filled: Api, path: str) -> None:
    async with filled.client(Role.VIEWER) as http:
        answer = await http.get(concrete(path), params=QUESTIONS[path])
    assert SECRET in answer.text


async def test_a_trend_is_that_of_the_series_that_are_seen(mine: httpx.AsyncClient) -> None:
    assert (await mine.get("/api/trends/cpu")).json()["max"] == 50.0


async def test_rules_are_shown_with_the_alerts_that_are_seen(mine: httpx.AsyncClient) -> None:
    (group,) = (await mine.get("/api/v1/rules")).json()["data"]["groups"]
    alerts = [alert["labels"]["team"] for rule in group["rules"] for alert in rule["alerts"]]
    assert alerts == ["mine"]


async def test_remote_read_is_of_the_scope(mine: httpx.AsyncClient) -> None:
    body = read_request([(AT_MS - 1_000, AT_MS, [(2, "__name__", ".+")])])
    answer = await mine.post("/api/v1/read", content=body, headers={"Content-Encoding": "snappy"})
    ((labels, samples),) = read_response(answer.content)[0]
    assert (labels["team"], samples) == ("mine", [(AT_MS, 50.0)])


async def test_asking_for_the_other_team_by_name_finds_nothing(mine: httpx.AsyncClient) -> None:
    for text in (f'cpu{{team="{SECRET}"}}', 'cpu{team!="mine"}', "zebra_cpu", 'count({team=~"z.*"})'):
        answer = (await mine.get("/api/v1/query", params={"query": text})).json()
        assert answer["data"]["result"] == []


async def test_another_teams_alert_is_not_there(filled: Api, mine: httpx.AsyncClient) -> None:
    async with filled.client(Role.VIEWER) as http:
        items = (await http.get("/api/alerts")).json()["items"]
    seen = [await mine.get(f"/api/alerts/{one['id']}") for one in items]
    assert sorted(one.status_code for one in seen) == [200, 404, 404]


async def test_what_is_about_the_whole_server_is_refused(mine: httpx.AsyncClient) -> None:
    for path in ("/metrics", "/api/v1/status/config", "/api/v1/status/flags"):
        assert (await mine.get(path)).status_code == 403


async def test_live_values_are_those_of_the_scope(filled: Api) -> None:
    hub: Hub = filled.hub
    connection = hub.join(alerts=False, samples=True, scope=(MINE,))
    hub.subscribe(connection, "c", "cpu", [])
    await filled.push("cpu", 1.5, team="mine", host="a")
    await filled.push("cpu", 2.5, team=SECRET, host="zebra-1")
    hub.tell(connection, {"type": "end"})
    heard = [await connection.next(), await connection.next()]
    assert '"value":1.5' in str(heard[0])
    assert heard[1] == '{"type":"end"}'
    hub.leave(connection)


async def test_live_alerts_are_those_of_the_scope(filled: Api) -> None:
    connection = filled.hub.join(alerts=True, samples=False, scope=(MINE,))
    await filled.push("cpu", 90.0, team=SECRET, host="zebra-2")
    filled.hub.tell(connection, {"type": "end"})
    assert await connection.next() == '{"type":"end"}'
    filled.hub.leave(connection)


def test_the_services_hold_no_reader_but_the_readings(filled: Api) -> None:
    """What can be asked for samples, or holds what can, is in nobody's reach but that of `Readings`."""
    asking = ("gather", "select", "steps", "latest", "label_values", "frame")
    for field in dataclasses.fields(filled.services):
        service = getattr(filled.services, field.name)
        assert not any(hasattr(service, name) for name in asking), field.name
    assert not [name for name in vars(Readings) if not name.startswith("_") and name != "of"]
    assert not [name for name in vars(ScopedReader(filled.samples, ())) if not name.startswith("_") and name != "scope"]


@pytest.mark.parametrize(
    ("role", "reads", "said"),
    [
        (Role.EDITOR, ('team="web"',), "Only a token with the role viewer"),
        (Role.WRITER, ('team="web"',), "Only a token with the role viewer"),
        (Role.VIEWER, ('team!="web"',), "One of the matchers must ask for a label"),
        (Role.VIEWER, tuple(f'l{at}="x"' for at in range(17)), "16 matchers"),
    ],
)
async def test_what_a_token_reads_is_checked(api: Api, role: Role, reads: tuple[str, ...], said: str) -> None:
    allowance = Allowance(reads=tuple(map(parse_matcher, reads)))
    with pytest.raises(UserError, match=said):
        await api.services.people.create_token("t", role, None, TESTER, allowance)


async def test_a_change_of_what_a_token_reads_holds_at_once(
    admin: httpx.AsyncClient, filled: Api, mine: httpx.AsyncClient
) -> None:
    (token,) = [one for one in (await admin.get("/api/tokens")).json()["items"] if one["name"] == "mine"]
    assert token["reads"] == ['team="mine"']
    changed = await admin.patch(f"/api/tokens/{token['id']}", json={"reads": ['team=~"z.*"', 'host=""']})
    assert changed.json()["reads"] == ['team=~"z.*"', 'host=""']
    names = (await mine.get("/api/labels/__name__/values")).json()["items"]
    assert names == ["zebra_cpu"]
    wrong = await admin.patch(f"/api/tokens/{token['id']}", json={"reads": ["team"]})
    assert (wrong.status_code, wrong.json()["field"]) == (422, "reads")
    lifted = await admin.patch(f"/api/tokens/{token['id']}", json={"reads": []})
    assert lifted.json()["reads"] == []
    assert (await mine.get("/api/labels/__name__/values")).json()["items"] == ["cpu", "zebra_cpu"]
