import gzip
import json
from typing import Any

import httpx
import pytest
from tests.api.world import Api
from tests.support.state import AT_MS

from tocsin.api.routes.metrics import PARSED_AT_ONCE_MAX
from tocsin.model.people import Role

AT_S = AT_MS // 1_000


async def test_one_sample_is_stored_and_read_back(api: Api, admin: httpx.AsyncClient) -> None:
    answer = await admin.post("/api/metrics", json={"name": "queue", "value": 12, "tags": {"q": "mail"}})
    assert (answer.status_code, answer.json()) == (200, {"stored": 1, "rejected": []})
    assert answer.headers["content-type"] == "application/json"
    listed = (await admin.get("/api/metrics/series", params={"name": "queue"})).json()
    assert listed == {
        "items": [{"name": "queue", "labels": {"q": "mail"}, "time": AT_MS, "value": 12.0}],
        "next": None,
    }


async def test_a_list_may_be_packed_and_says_what_was_refused(admin: httpx.AsyncClient) -> None:
    body = json.dumps([{"name": "a", "value": 1}, {"name": "", "value": 1}, {"name": "b", "value": "NaN"}])
    answer = await admin.post(
        "/api/metrics", content=gzip.compress(body.encode()), headers={"Content-Encoding": "gzip"}
    )
    assert answer.status_code == 200
    assert answer.json()["stored"] == 2
    assert [one["index"] for one in answer.json()["rejected"]] == [1]


async def test_a_large_list_is_stored_as_well(admin: httpx.AsyncClient) -> None:
    samples = [{"name": "cpu", "value": 1, "tags": {"host": f"host number {number}"}} for number in range(6_000)]
    assert len(json.dumps(samples)) > PARSED_AT_ONCE_MAX
    assert (await admin.post("/api/metrics", json=samples)).json()["stored"] == 6_000


async def test_when_nothing_could_be_stored_it_is_an_error(admin: httpx.AsyncClient) -> None:
    answer = await admin.post("/api/metrics", json=[{"name": "a", "value": 1, "timestamp": 4_000_000_000}])
    body = answer.json()
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["detail"].startswith("Nothing was stored. ")
    assert body["stored"] == 0
    assert body["rejected"][0]["index"] == 0


async def test_an_empty_list_stores_nothing_and_is_no_error(admin: httpx.AsyncClient) -> None:
    answer = await admin.post("/api/metrics", json=[])
    assert (answer.status_code, answer.json()) == (200, {"stored": 0, "rejected": []})


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"{", 400), (b"[1]", 400), (b"null", 400), (b'"x"', 400), (b"\xff\xfe", 400), (b'{"name":"a"}', 400)],
)
async def test_a_body_that_is_no_sample_is_refused_with_a_sentence(
    admin: httpx.AsyncClient, body: bytes, status: int
) -> None:
    answer = await admin.post("/api/metrics", content=body)
    assert answer.status_code == status
    assert answer.json()["detail"].endswith(".")


async def test_metrics_are_listed_in_pages_by_name(api: Api, admin: httpx.AsyncClient) -> None:
    for name in ("c", "a", "b"):
        await api.push(name, 1, host="x")
    await api.push("a", 1, host="y")
    first = (await admin.get("/api/metrics", params={"limit": 2})).json()
    assert [(each["name"], each["series"]) for each in first["items"]] == [("a", 2), ("b", 1)]
    rest = (await admin.get("/api/metrics", params={"limit": 2, "cursor": first["next"]})).json()
    assert [each["name"] for each in rest["items"]] == ["c"]
    assert rest["next"] is None


async def test_series_are_listed_in_pages(api: Api, admin: httpx.AsyncClient) -> None:
    for host in "dbca":
        await api.push("cpu", ord(host), host=host)
    found: list[Any] = []
    cursor: str | None = None
    while True:
        params = {"match": 'host!="d"', "limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await admin.get("/api/metrics/series", params=params)).json()
        found += [(each["labels"]["host"], each["value"]) for each in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert found == [("a", 97.0), ("b", 98.0), ("c", 99.0)]


async def test_a_series_that_fell_silent_has_no_newest_value(api: Api, admin: httpx.AsyncClient) -> None:
    await api.push("cpu", 1)
    api.clock.advance(2 * 86_400_000)
    (item,) = (await admin.get("/api/metrics/series", params={"name": "cpu"})).json()["items"]
    assert (item["time"], item["value"]) == (None, None)


async def test_a_range_is_cut_into_steps(admin: httpx.AsyncClient) -> None:
    samples = [{"name": "cpu", "value": value, "timestamp": AT_S - 60 + 5 * value} for value in range(6)]
    await admin.post("/api/metrics", json=samples)
    params: dict[str, str | int] = {"name": "cpu", "start": AT_S - 60, "end": AT_S, "step": "15s"}
    answer = await admin.get("/api/metrics/range", params=params)
    assert answer.status_code == 200
    assert answer.json() == {
        "step_ms": 15_000,
        "resolution": "raw",
        "times": [AT_MS - 60_000, AT_MS - 45_000, AT_MS - 30_000, AT_MS - 15_000],
        "series": [
            {"labels": {}, "min": [0, 3, None, None], "avg": [1, 4, None, None], "max": [2, 5, None, None]},
        ],
    }


async def test_a_range_without_data_is_empty_and_no_error(admin: httpx.AsyncClient) -> None:
    body = (await admin.get("/api/metrics/range", params={"name": "nothing"})).json()
    assert body["series"] == []
    assert body["step_ms"] == 15_000


async def test_matchers_choose_among_series(api: Api, admin: httpx.AsyncClient) -> None:
    for host in ("a1", "a2", "b1"):
        await api.push("cpu", 1, host=host, os="linux")
    params = {"name": "cpu", "match": ['host=~"a.*"', 'host!="a2"']}
    body = (await admin.get("/api/metrics/range", params=params)).json()
    assert [series["labels"] for series in body["series"]] == [{"host": "a1", "os": "linux"}]


async def test_a_large_answer_is_packed(api: Api, admin: httpx.AsyncClient) -> None:
    for host in range(30):
        await api.push("cpu", 1, host=str(host))
    answer = await admin.get("/api/metrics/range", params={"name": "cpu"})
    assert answer.headers["content-encoding"] == "gzip"
    assert len(answer.json()["series"]) == 30


async def test_a_pushed_sample_has_been_judged_when_the_answer_comes(api: Api, admin: httpx.AsyncClient) -> None:
    await admin.post("/api/rules", json={"name": "hot", "metric_name": "temp", "condition": ">", "threshold": 80})
    async with api.client(Role.WRITER) as agent:
        await agent.post("/api/metrics", json={"name": "temp", "value": 90})
    assert [alert["state"] for alert in (await admin.get("/api/alerts")).json()["items"]] == ["firing"]
