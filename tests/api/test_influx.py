import gzip
from base64 import b64encode

import httpx
import pytest
from tests.api.world import Api, open_api
from tests.support.state import AT_MS

from tocsin.access.settings import AuthSettings
from tocsin.api.routes.influx import PARSED_AT_ONCE_MAX
from tocsin.model.people import Role

AT_S = AT_MS // 1_000


async def stored(api: Api, name: str) -> list[dict[str, object]]:
    async with api.client(Role.VIEWER) as http:
        items: list[dict[str, object]] = (await http.get("/api/metrics/series", params={"name": name})).json()["items"]
        return items


async def test_telegrafs_batch_of_version_1_is_stored(api: Api) -> None:
    body = gzip.compress(f"cpu,host=a user=1.5,idle=98i {AT_S}000000000\n".encode())
    async with api.client(Role.WRITER) as agent:
        answer = await agent.post(
            "/write?db=telegraf&rp=&consistency=any&precision=ns",
            content=body,
            headers={"Content-Encoding": "gzip", "Content-Type": "text/plain; charset=utf-8"},
        )
    assert (answer.status_code, answer.content) == (204, b"")
    assert await stored(api, "cpu_user") == [
        {"name": "cpu_user", "labels": {"db": "telegraf", "host": "a"}, "time": AT_MS, "value": 1.5}
    ]


async def test_version_2_names_a_bucket_and_a_precision(api: Api) -> None:
    headers = {"Authorization": f"Token {api.tokens[Role.WRITER]}"}
    async with api.client() as client:
        answer = await client.post("/api/v2/write?org=o&bucket=b&precision=s", content=f"m f=1 {AT_S}", headers=headers)
    assert answer.status_code == 204
    assert (await stored(api, "m_f"))[0] == {"name": "m_f", "labels": {"db": "b"}, "time": AT_MS, "value": 1.0}


async def test_one_wrong_line_loses_no_other_and_is_named(api: Api) -> None:
    async with api.client(Role.WRITER) as agent:
        answer = await agent.post("/write", content="a f=1\nwrong\nb f=2\nalso wrong\n")
    assert answer.status_code == 400
    body = answer.json()
    assert body["error"].startswith("partial write: 2 of 4 lines refused; the others are stored. Line 2: ")
    assert (body["message"], body["code"], body["stored"]) == (body["error"], "invalid", 2)
    assert len(await stored(api, "a_f")) == len(await stored(api, "b_f")) == 1


async def test_a_sample_of_the_future_is_told_with_its_line(api: Api) -> None:
    async with api.client(Role.WRITER) as agent:
        answer = await agent.post("/write?precision=s", content=f"a f=1\n\nb f=2,g=3 {AT_S + 3_600}")
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("partial write: 1 of 2 lines refused; the others are stored. Line 3: The")


async def test_when_every_line_is_wrong_nothing_is_said_to_be_stored(api: Api) -> None:
    async with api.client(Role.WRITER) as agent:
        answer = await agent.post("/write", content="wrong")
    assert answer.json()["error"].startswith("partial write: 1 of 1 lines refused. Line 1: ")
    assert answer.json()["stored"] == 0


async def test_text_fields_are_counted_and_no_error(api: Api) -> None:
    async with api.client(Role.WRITER) as agent:
        assert (await agent.post("/write", content='system up=1,as="1 day, 2 h"')).status_code == 204
        assert (await agent.post("/write", content="")).status_code == 204
    assert b"tocsin_influx_text_fields_skipped_total 1.0" in api.telemetry.render()
    assert b'tocsin_samples_ingested_total{source="influx"} 1.0' in api.telemetry.render()


async def test_a_large_body_is_stored_as_well(api: Api) -> None:
    text = "".join(f"m,host=number-{number} f={number}\n" for number in range(2_000))
    assert len(text) > PARSED_AT_ONCE_MAX
    async with api.client(Role.WRITER) as agent:
        assert (await agent.post("/write", content=text)).status_code == 204
    async with api.client(Role.VIEWER) as http:
        assert (await http.get("/api/metrics")).json()["items"][0]["series"] == 2_000


@pytest.mark.parametrize("path", ["/write?precision=weeks", "/api/v2/write?precision=weeks"])
async def test_an_unknown_precision_is_an_error_that_clients_can_read(api: Api, path: str) -> None:
    async with api.client(Role.WRITER) as agent:
        answer = await agent.post(path, content="m f=1")
    assert answer.status_code == 400
    assert "precision `weeks`" in answer.json()["error"]
    assert answer.json()["code"] == "invalid"


async def test_a_body_that_is_not_gzip_is_an_error_that_clients_can_read(api: Api) -> None:
    async with api.client(Role.WRITER) as agent:
        answer = await agent.post("/write", content="m f=1", headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("The body is not gzip")


async def test_a_stranger_is_told_in_influxs_words(stranger: httpx.AsyncClient) -> None:
    answer = await stranger.post("/api/v2/write", content="m f=1")
    assert answer.status_code == 401
    assert answer.json()["code"] == "unauthorized"


@pytest.mark.parametrize("given", ["u=agent&p={token}", "u={token}", "u={token}&p=", "p={token}"])
async def test_name_and_password_in_the_address_are_a_token_on_influxs_paths(api: Api, given: str) -> None:
    query = given.format(token=api.tokens[Role.WRITER])
    async with api.client() as client:
        assert (await client.post(f"/write?{query}", content="m f=1")).status_code == 204
        assert (await client.post(f"/api/metrics?{query}", json={"name": "a", "value": 1})).status_code == 401
        assert (await client.post("/write?u=a&p=wrong", content="m f=1")).status_code == 401


async def test_a_name_and_password_of_basic_are_a_token(api: Api) -> None:
    token = api.tokens[Role.WRITER]
    async with api.client() as client:
        for pair in (f"agent:{token}", f"{token}:", token):
            headers = {"Authorization": "Basic " + b64encode(pair.encode()).decode()}
            assert (await client.post("/write", content="m f=1", headers=headers)).status_code == 204
        headers = {"Authorization": "Basic " + b64encode(b"admin:wrong").decode()}
        assert (await client.post("/write", content="m f=1", headers=headers)).status_code == 401


async def test_a_page_of_another_site_cannot_use_a_name_and_password_that_the_browser_keeps(api: Api) -> None:
    encoded = b64encode(f"agent:{api.tokens[Role.EDITOR]}".encode()).decode()
    headers = {"Authorization": f"Basic {encoded}", "Origin": "http://evil.example"}
    async with api.client() as browser:
        assert (await browser.post("/write", content="m f=1", headers=headers)).status_code == 403


async def test_anybody_may_write_where_anonymous_callers_are_writers() -> None:
    async with open_api(auth=AuthSettings(anonymous_role="writer")) as api, api.client() as agent:
        assert (await agent.post("/write", content="m f=1")).status_code == 204


async def test_telegraf_asks_for_its_database_before_it_writes(api: Api) -> None:
    async with api.client(Role.WRITER) as agent:
        for answer in (
            await agent.post("/query", params={"q": 'CREATE DATABASE "telegraf"'}),
            await agent.post("/query", data={"q": 'CREATE DATABASE "telegraf" WITH DURATION 3d'}),
            await agent.get("/query", params={"q": "create database telegraf"}),
        ):
            assert (answer.status_code, answer.json()) == (200, {"results": [{"statement_id": 0}]})


async def test_the_database_that_is_asked_for_is_there(api: Api) -> None:
    async with api.client(Role.WRITER) as agent:
        answer = await agent.get("/query", params={"q": "SHOW DATABASES", "db": "home"})
    (result,) = answer.json()["results"]
    assert result["series"] == [{"name": "databases", "columns": ["name"], "values": [["home"]]}]


@pytest.mark.parametrize(
    ("params", "body"), [({"q": "SELECT * FROM cpu"}, b""), ({}, b""), ({}, b"\xff"), ({}, b"a=1&" * 40)]
)
async def test_another_question_gets_a_clear_error(api: Api, params: dict[str, str], body: bytes) -> None:
    async with api.client(Role.WRITER) as agent:
        answer = await agent.post("/query", params=params, content=body)
    assert answer.status_code == 400
    assert answer.json()["error"].endswith(".")


async def test_health_is_told_as_influxdb_2_does(stranger: httpx.AsyncClient) -> None:
    answer = await stranger.get("/health")
    assert (answer.status_code, answer.json()["name"], answer.json()["status"]) == (200, "influxdb", "pass")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_ping_is_answered_to_anybody(stranger: httpx.AsyncClient, method: str) -> None:
    answer = await stranger.request(method, "/ping")
    assert (answer.status_code, answer.headers["x-influxdb-version"]) == (204, "1.8.0")
