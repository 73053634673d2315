"""Series, labels, metadata and the forms of expressions: to the byte as Prometheus' clients expect them."""

from __future__ import annotations

import gzip
from typing import Any

import httpx
import pytest
from tests.api.world import Api
from tests.support.state import AT_MS

AT_S = AT_MS // 1_000
DAY_S = 86_400


@pytest.fixture
async def filled(admin: httpx.AsyncClient) -> httpx.AsyncClient:
    samples = [
        {"name": "cpu", "value": 1, "tags": {"host": host, "job": "node"}, "timestamp": AT_S - age}
        for host, age in (("b", 0), ("a", 0), ("c", 3 * DAY_S))
    ]
    samples.append({"name": "system.disk", "value": 1, "tags": {"host": "a", "mount/point": "/"}, "timestamp": AT_S})
    assert (await admin.post("/api/metrics", json=samples)).json()["stored"] == 4
    return admin


async def data(client: httpx.AsyncClient, path: str, **params: Any) -> Any:
    answer = await client.get(f"/api/v1/{path}", params=params)
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "success"
    return answer.json()["data"]


async def refused(client: httpx.AsyncClient, path: str, **params: Any) -> tuple[int, str, str]:
    answer = await client.get(f"/api/v1/{path}", params=params)
    told = answer.json()
    assert told["status"] == "error"
    return answer.status_code, told["errorType"], told["error"]


async def test_series_are_in_the_order_of_their_labels(filled: httpx.AsyncClient) -> None:
    answer = await filled.get("/api/v1/series", params={"match[]": ["cpu", '{host="a"}']})
    assert answer.text == (
        '{"status":"success","data":['
        '{"__name__":"cpu","host":"a","job":"node"},'
        '{"__name__":"cpu","host":"b","job":"node"},'
        '{"__name__":"cpu","host":"c","job":"node"},'
        '{"__name__":"system.disk","host":"a","mount/point":"/"}]}'
    )
    assert answer.headers["content-type"] == "application/json"


async def test_series_are_asked_for_by_a_form_too(filled: httpx.AsyncClient) -> None:
    asked = {"match[]": ["cpu"], "start": str(AT_S - 60), "end": str(AT_S)}
    answer = await filled.post("/api/v1/series", data=asked)
    assert [one["host"] for one in answer.json()["data"]] == ["a", "b"]
    assert await data(filled, "series", **{"match[]": "cpu", "start": AT_S + DAY_S}) == []


async def test_a_list_that_is_cut_says_so(filled: httpx.AsyncClient) -> None:
    for path in ("series", "labels", "label/host/values"):
        answer = await filled.get(f"/api/v1/{path}", params={"match[]": "cpu", "limit": 2})
        assert len(answer.json()["data"]) == 2
        assert answer.json()["warnings"] == ["results truncated due to limit"]
        whole = await filled.get(f"/api/v1/{path}", params={"match[]": "cpu", "limit": 3})
        assert (len(whole.json()["data"]), "warnings" in whole.json()) == (3, False)


async def test_labels_and_values(filled: httpx.AsyncClient) -> None:
    assert await data(filled, "labels") == ["__name__", "host", "job", "mount/point"]
    assert await data(filled, "labels", **{"match[]": "cpu"}) == ["__name__", "host", "job"]
    both = await filled.get("/api/v1/labels", params={"match[]": ['cpu{host="a"}', '{"system.disk"}']})
    assert both.json()["data"] == ["__name__", "host", "job", "mount/point"]
    posted = await filled.post("/api/v1/labels", data={"match[]": "cpu", "start": str(AT_S - 60)})
    assert posted.json()["data"] == ["__name__", "host", "job"]
    assert await data(filled, "label/host/values") == ["a", "b", "c"]
    assert await data(filled, "label/host/values", start=AT_S - 60, end=AT_S) == ["a", "b"]
    assert await data(filled, "label/host/values", **{"match[]": '{"system.disk"}'}) == ["a"]
    assert await data(filled, "label/none/values") == []


@pytest.mark.parametrize("name", ["mount/point", "mount%2Fpoint", "U__mount_2f_point"])
async def test_a_label_of_any_characters_has_its_values(filled: httpx.AsyncClient, name: str) -> None:
    assert await data(filled, f"label/{name}/values") == ["/"]


@pytest.mark.parametrize(
    ("path", "params", "said"),
    [
        ("series", {}, "no match[] parameter provided"),
        ("series", {"match[]": "cpu{"}, 'invalid parameter "match[]": 1:5: parse error'),
        ("series", {"match[]": "rate(cpu[1m])"}, "is an expression, and a selector"),
        ("series", {"match[]": "cpu offset 1m"}, "is an expression, and a selector"),
        ("series", {"match[]": "{}"}, "vector selector must contain at least one non-empty matcher"),
        ("series", {"match[]": "cpu", "limit": "-1"}, 'invalid parameter "limit"'),
        ("labels", {"start": "x"}, 'invalid parameter "start": cannot parse "x" to a valid timestamp'),
        ("labels", {"start": "2", "end": "1"}, 'invalid parameter "end": end timestamp must not be before start time'),
        ("label/a/values", {"match[]": "}"}, 'invalid parameter "match[]"'),
        ("metadata", {"limit": "x"}, "limit must be a number"),
        ("metadata", {"limit_per_metric": "x"}, "limit_per_metric must be a number"),
        ("format_query", {"query": "up +"}, 'invalid parameter "query": 1:5: parse error'),
        ("parse_query", {}, 'invalid parameter "query": '),
        ("status/tsdb", {"limit": "0"}, "limit must be a positive number"),
        ("status/tsdb", {"limit": "10001"}, "limit must not exceed 10000"),
        ("rules", {"type": "x"}, 'invalid parameter "type": not supported value "x"'),
        ("rules", {"exclude_alerts": "x"}, "error converting exclude_alerts"),
        ("rules", {"group_limit": "x"}, "needs to be a valid number"),
        ("rules", {"group_limit": "0"}, "needs to be greater than 0"),
        ("rules", {"group_next_token": "x"}, "group_limit needs to be present"),
        ("rules", {"group_next_token": "x", "group_limit": "1"}, "were rule groups changed?"),
        ("targets/metadata", {"match_target": "{"}, 'invalid parameter "match_target"'),
    ],
)
async def test_what_cannot_be_read_is_bad_data(
    admin: httpx.AsyncClient, path: str, params: dict[str, str], said: str
) -> None:
    status, kind, sentence = await refused(admin, path, **params)
    assert (status, kind) == (400, "bad_data")
    assert said in sentence


async def test_there_is_nothing_at_an_unknown_path(admin: httpx.AsyncClient) -> None:
    assert (await refused(admin, "nothing"))[:2] == (404, "not_found")


async def test_metadata_is_in_prometheus_words(api: Api, admin: httpx.AsyncClient) -> None:
    text = b"# HELP hits_total Hits.\n# TYPE hits_total counter\nhits_total 1\n# TYPE lag gauge\nlag 2\n"
    assert (await admin.post("/api/v1/import/prometheus", content=text)).is_success
    told = await data(admin, "metadata", metric="hits_total")
    assert told == {"hits_total": [{"type": "counter", "help": "Hits.", "unit": ""}]}
    assert await data(admin, "metadata", limit=1) == told
    assert set(await data(admin, "metadata")) == {"hits_total", "lag"}
    assert await data(admin, "metadata", metric="none") == {}
    assert await data(admin, "metadata", limit=0) == {}
    assert await data(admin, "metadata", limit_per_metric=0, limit=1) == {"hits_total": []}


async def test_an_expression_is_laid_out_and_taken_apart(admin: httpx.AsyncClient) -> None:
    assert await data(admin, "format_query", query="sum by(job)(rate(hits_total[5m]))/2") == (
        "sum by (job) (rate(hits_total[5m])) / 2"
    )
    posted = await admin.post("/api/v1/parse_query", data={"query": "(1)"})
    assert posted.text == ('{"status":"success","data":{"type":"parenExpr","expr":{"type":"numberLiteral","val":"1"}}}')


async def test_a_large_list_comes_packed(api: Api, admin: httpx.AsyncClient) -> None:
    lines = "".join(f'wide{{host="host-{number:05}"}} 1\n' for number in range(1_500))
    assert (await admin.post("/api/v1/import/prometheus", content=lines.encode())).is_success
    async with admin.stream("GET", "/api/v1/series", params={"match[]": "wide"}) as answer:
        raw = b"".join([part async for part in answer.aiter_raw()])
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw).count(b'"__name__":"wide"') == 1_500
