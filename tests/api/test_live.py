"""`/ws` as a client meets it: a real uvicorn on loopback and a real WebSocket client."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from tests.api.world import PASSWORD, TESTER, Api, open_api
from tests.support.state import AT_MS, an_alert
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tocsin.api.stream import SIGNED_OUT, TOO_SLOW
from tocsin.model.alert import AlertEvent, AlertEventKind
from tocsin.model.people import Role


@asynccontextmanager
async def serving(api: Api) -> AsyncIterator[str]:
    """The API on a free port; gives `host:port`."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(api.app, log_config=None, access_log=False, lifespan="off", ws="websockets-sansio")
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await running


@pytest.fixture
async def host(api: Api) -> AsyncIterator[str]:
    async with serving(api) as address:
        yield address


def following(api: Api, host: str, role: Role | None, **headers: str) -> connect:
    token = {"Authorization": f"Bearer {api.tokens[role]}"} if role else {}
    return connect(f"ws://{host}/ws", additional_headers={**token, **headers}, proxy=None, compression=None)


async def hear(connection: ClientConnection) -> Any:
    return json.loads(await asyncio.wait_for(connection.recv(), 10))


async def hear_all(connection: ClientConnection) -> None:
    while True:
        await hear(connection)


async def say(connection: ClientConnection, **message: object) -> None:
    await connection.send(json.dumps(message))


async def test_live_values_and_alerts_arrive(api: Api, host: str) -> None:
    async with following(api, host, Role.VIEWER) as viewer:
        await say(viewer, type="subscribe", id="c1", name="temp", match=['room="attic"'])
        assert await hear(viewer) == {"type": "subscribed", "id": "c1"}
        await api.push("temp", 21.5, room="hall")
        await api.push("temp", 20.5, room="attic")
        assert await hear(viewer) == {
            "type": "samples",
            "id": "c1",
            "samples": [{"labels": {"room": "attic"}, "time": AT_MS, "value": 20.5}],
        }
        async with api.client(Role.EDITOR) as editor:
            await editor.post("/api/rules", json={"name": "Hot", "metric_name": "t", "condition": ">", "threshold": 8})
            await editor.post("/api/metrics", json={"name": "t", "value": 9})
            fired = await hear(viewer)
            assert (fired["type"], fired["at"]) == ("alert.firing", AT_MS)
            assert fired["alert"] == (await editor.get(f"/api/alerts/{fired['alert']['id']}")).json()
            await editor.post(f"/api/alerts/{fired['alert']['id']}/acknowledge", json={"comment": "seen"})
            assert ((await hear(viewer))["type"]) == "alert.acknowledged"
        api.clock.advance(1_000)
        await api.push("t", 1)
        assert ((await hear(viewer))["type"]) == "alert.resolved"
        await say(viewer, type="unsubscribe", id="c1")


@pytest.mark.parametrize(
    ("role", "headers", "status"),
    [
        (None, {}, 401),
        (None, {"Authorization": "Bearer nonsense"}, 401),
        (None, {"Cookie": "tocsin_session=nonsense"}, 401),
        (Role.WRITER, {}, 403),
        (None, {"Origin": "http://evil.example"}, 403),
    ],
)
async def test_who_may_not_listen_gets_an_answer_instead(
    api: Api, host: str, role: Role | None, headers: dict[str, str], status: int
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await following(api, host, role, **headers)
    assert refused.value.response.status_code == status
    assert json.loads(refused.value.response.body or b"")["status"] == status


async def test_a_browser_listens_with_its_cookie_from_our_own_page(api: Api, host: str) -> None:
    await api.services.people.add_user("anna", PASSWORD, Role.VIEWER, TESTER)
    async with api.client() as browser:
        await browser.post("/api/session", json={"username": "anna", "password": PASSWORD})
        cookie = f"tocsin_session={browser.cookies['tocsin_session']}"
    async with following(api, host, None, Cookie=cookie, Origin=f"http://{host}") as page:
        await say(page, type="subscribe", id="c1", name="temp")
        assert (await hear(page))["type"] == "subscribed"
    with pytest.raises(InvalidStatus, match="403"):
        await following(api, host, None, Cookie=cookie, Origin="http://evil.example")


async def test_a_token_may_listen_from_any_page(api: Api, host: str) -> None:
    async with following(api, host, Role.VIEWER, Origin="http://elsewhere.example") as viewer:
        await say(viewer, type="unsubscribe", id="c1")


@pytest.mark.parametrize(
    ("text", "own_id", "said"),
    [
        ("", None, "not understood"),
        ("{", None, "not understood"),
        ("[]", None, "not understood"),
        ('{"x":' + "[" * 8_000, None, "not understood"),
        ('{"type":"shout","id":"a"}', None, "not understood"),
        ('{"type":"subscribe","name":"a"}', None, "not understood"),
        ('{"type":"subscribe","id":"a","name":"b","more":1}', None, "not understood"),
        ('{"type":"subscribe","id":"a","name":""}', "a", "Name the metric"),
        ('{"type":"subscribe","id":"a","name":"b","match":["nonsense"]}', "a", "not a matcher"),
        ('{"type":"subscribe","id":"a","name":"b","match":["x=~\\"(\\""]}', "a", "not a regular expression"),
        (json.dumps({"type": "subscribe", "id": "a", "name": "x" * 9_000}), None, "at most 8192"),
    ],
)
async def test_a_message_that_is_wrong_is_told_and_the_connection_stays(
    api: Api, host: str, text: str, own_id: str | None, said: str
) -> None:
    async with following(api, host, Role.VIEWER) as viewer:
        await viewer.send(text)
        answer = await hear(viewer)
        assert (answer["type"], answer.get("id")) == ("error", own_id)
        assert said in answer["detail"]
        await say(viewer, type="subscribe", id="c1", name="temp")
        assert (await hear(viewer))["type"] == "subscribed"


async def test_a_binary_message_is_wrong_too(api: Api, host: str) -> None:
    async with following(api, host, Role.VIEWER) as viewer:
        await viewer.send(b'{"type":"unsubscribe","id":"a"}')
        assert (await hear(viewer))["type"] == "error"


async def test_a_client_that_does_not_read_is_dropped(api: Api, host: str) -> None:
    async with following(api, host, Role.VIEWER) as lazy, following(api, host, Role.VIEWER) as quick:
        event = AlertEvent(AlertEventKind.CHANGED, an_alert(comment="x" * 100_000), AT_MS)
        lazy.transport.pause_reading()
        while api.telemetry.registry.get_sample_value("tocsin_live_dropped_total") == 0:
            api.hub.publish(event)
            assert (await hear(quick))["type"] == "alert.changed"
        lazy.transport.resume_reading()
        with pytest.raises(ConnectionClosed) as closed:
            await hear_all(lazy)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == TOO_SLOW


async def test_a_client_that_never_reads_again_is_let_go(api: Api, host: str) -> None:
    async with following(api, host, Role.VIEWER) as quick:
        stuck = await following(api, host, Role.VIEWER)
        event = AlertEvent(AlertEventKind.CHANGED, an_alert(comment="x" * 100_000), AT_MS)
        stuck.transport.pause_reading()
        while api.telemetry.registry.get_sample_value("tocsin_live_connections") == 2:
            api.hub.publish(event)
            assert (await hear(quick))["type"] == "alert.changed"
        stuck.transport.abort()


async def test_a_revoked_token_ends_its_connection() -> None:
    async with open_api(recheck_s=0.01) as api, serving(api) as host:
        token, api.tokens[Role.VIEWER] = await api.services.people.create_token("t", Role.VIEWER, None, TESTER)
        async with following(api, host, Role.VIEWER) as viewer:
            await say(viewer, type="subscribe", id="c1", name="temp")
            assert (await hear(viewer))["type"] == "subscribed"
            await api.services.people.delete_token(token.id, TESTER)
            with pytest.raises(ConnectionClosed) as closed:
                await hear(viewer)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == SIGNED_OUT


async def test_a_client_that_leaves_is_forgotten(api: Api, host: str) -> None:
    async with following(api, host, Role.VIEWER) as staying:
        async with following(api, host, Role.VIEWER) as leaving:
            await say(leaving, type="subscribe", id="c1", name="temp")
            await hear(leaving)
        while api.telemetry.registry.get_sample_value("tocsin_live_connections") != 1:
            await say(staying, type="subscribe", id="c1", name="other")
            await hear(staying)
