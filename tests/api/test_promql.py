"""PromQL over HTTP: answers and errors to the byte as Prometheus' clients expect them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import pytest
from tests.api.world import NO_SITE, Api
from tests.support.state import AT_MS

from tocsin.api.server import build_api
from tocsin.api.settings import ServerSettings
from tocsin.model.people import Role
from tocsin.promql.engine import Engine, Options
from tocsin.promql.settings import QuerySettings
from tocsin.runtime.offload import InlineOffload

AT_S = AT_MS // 1_000


@pytest.fixture
async def filled(admin: httpx.AsyncClient) -> httpx.AsyncClient:
    samples = [
        {"name": "hits_total", "value": value, "tags": {"job": job}, "timestamp": AT_S - age}
        for job, factor in (("b", 2), ("a", 1))
        for age, value in ((120, 0), (60, 60 * factor), (0, 120.5 * factor))
    ]
    answer = await admin.post("/api/metrics", json=samples)
    assert answer.json()["stored"] == 6
    return admin


async def told(client: httpx.AsyncClient, path: str, **params: Any) -> tuple[int, str]:
    answer = await client.get(f"/api/v1/{path}", params=params)
    assert answer.headers["content-type"] == "application/json"
    return answer.status_code, answer.text


async def test_a_vector(filled: httpx.AsyncClient) -> None:
    status, text = await told(filled, "query", query='hits_total{job="a"}', time=AT_S)
    assert status == 200
    assert text == (
        '{"status":"success","data":{"resultType":"vector","result":['
        f'{{"metric":{{"__name__":"hits_total","job":"a"}},"value":[{AT_S},"120.5"]}}]}}}}'
    )


async def test_a_scalar_a_text_and_samples(filled: httpx.AsyncClient) -> None:
    assert await told(filled, "query", query="1/0", time=4) == (
        200,
        '{"status":"success","data":{"resultType":"scalar","result":[4,"+Inf"]}}',
    )
    assert await told(filled, "query", query='"a\\"b"', time=4.5) == (
        200,
        '{"status":"success","data":{"resultType":"string","result":[4.500,"a\\"b"]}}',
    )
    status, text = await told(filled, "query", query="hits_total[90s]", time=AT_S)
    assert status == 200
    assert text == (
        '{"status":"success","data":{"resultType":"matrix","result":['
        f'{{"metric":{{"__name__":"hits_total","job":"a"}},"values":[[{AT_S - 60},"60"],[{AT_S},"120.5"]]}},'
        f'{{"metric":{{"__name__":"hits_total","job":"b"}},"values":[[{AT_S - 60},"120"],[{AT_S},"241"]]}}]}}}}'
    )


async def test_a_range_and_its_gaps(filled: httpx.AsyncClient) -> None:
    asked: dict[str, Any] = {"query": "hits_total > 100", "start": AT_S - 60, "end": AT_S, "step": "1m"}
    status, text = await told(filled, "query_range", **asked)
    assert status == 200
    assert text == (
        '{"status":"success","data":{"resultType":"matrix","result":['
        f'{{"metric":{{"__name__":"hits_total","job":"a"}},"values":[[{AT_S},"120.5"]]}},'
        f'{{"metric":{{"__name__":"hits_total","job":"b"}},"values":[[{AT_S - 60},"120"],[{AT_S},"241"]]}}]}}}}'
    )


async def test_a_scalar_over_a_range(filled: httpx.AsyncClient) -> None:
    status, text = await told(filled, "query_range", query="1", start=0, end=1, step=0.5)
    assert status == 200
    assert text == (
        '{"status":"success","data":{"resultType":"matrix","result":'
        '[{"metric":{},"values":[[0,"1"],[0.500,"1"],[1,"1"]]}]}}'
    )


async def test_a_form_says_the_same_as_a_query(filled: httpx.AsyncClient) -> None:
    asked = {"query": "sum(hits_total)", "time": str(AT_S)}
    posted = await filled.post("/api/v1/query", data=asked)
    assert posted.text == (await filled.get("/api/v1/query", params=asked)).text


async def test_now_is_the_default(filled: httpx.AsyncClient) -> None:
    _, text = await told(filled, "query", query="time()")
    assert f'[{AT_S},"{AT_S}"]' in text


async def test_infos_and_warnings_come_along(filled: httpx.AsyncClient) -> None:
    answer = await filled.get("/api/v1/query", params={"query": "quantile(2, hits_total)", "time": AT_S})
    assert answer.json()["warnings"] == ["PromQL warning: quantile value should be between 0 and 1, got 2 (1:10)"]


async def test_a_limit_cuts_the_answer_and_says_so(filled: httpx.AsyncClient) -> None:
    answer = (await filled.get("/api/v1/query", params={"query": "hits_total", "time": AT_S, "limit": 1})).json()
    assert len(answer["data"]["result"]) == 1
    assert answer["warnings"] == ["results truncated due to limit"]


async def test_it_is_explained_on_request(filled: httpx.AsyncClient) -> None:
    asked: dict[str, Any] = {"query": "rate(hits_total[5m])", "time": AT_S, "explain": 1}
    explained = (await filled.get("/api/v1/query", params=asked)).json()["explain"]
    assert set(explained["stages"]) == {"wait", "parse", "read", "evaluate"}
    (selector,) = explained["selectors"]
    assert (selector["selector"], selector["function"], selector["range"]) == ('{__name__="hits_total"}', "rate", 300)
    assert [(source["how"], source["series"], source["samples"]) for source in selector["sources"]] == [
        ("memory", 2, 6)
    ]


@pytest.mark.parametrize(
    ("path", "params", "status", "kind", "said"),
    [
        ("query", {"query": "up +"}, 400, "bad_data", 'invalid parameter "query": 1:5: parse error: '),
        ("query", {}, 400, "bad_data", 'invalid parameter "query": 1:1: parse error: no expression found in input'),
        ("query", {"query": "1", "time": "x"}, 400, "bad_data", 'parameter "time": cannot parse "x" to a valid times'),
        ("query", {"query": "1", "timeout": "x"}, 400, "bad_data", 'parameter "timeout": cannot parse "x" to a valid'),
        ("query", {"query": "1", "limit": "-1"}, 400, "bad_data", "limit must be a non-negative number"),
        ("query_range", {"query": "1", "start": 2, "end": 1, "step": 1}, 400, "bad_data", "must not be before start"),
        ("query_range", {"query": "1", "start": 1, "end": 2}, 400, "bad_data", 'invalid parameter "step"'),
        ("query_range", {"query": "1", "start": 1, "end": 2, "step": 0}, 400, "bad_data", "zero or negative query res"),
        (
            "query_range",
            {"query": "1", "start": 0, "end": 12e3, "step": 1},
            400,
            "bad_data",
            "11,000 points per times",
        ),
        ("query_range", {"query": "up[5m]", "start": 0, "end": 1, "step": 1}, 400, "bad_data", 'type "range vector"'),
        ("query", {"query": "hits_total * on () hits_total", "time": AT_S}, 422, "execution", "many-to-many matching"),
        ("nothing", {}, 404, "not_found", "There is nothing at this address."),
    ],
)
async def test_errors_have_prometheus_own_form(
    filled: httpx.AsyncClient, path: str, params: dict[str, Any], status: int, kind: str, said: str
) -> None:
    answer = await filled.get(f"/api/v1/{path}", params=params)
    assert answer.status_code == status
    error = answer.json()
    assert (error["status"], error["errorType"]) == ("error", kind)
    assert said in error["error"]


async def test_large_answers_are_packed_where_the_client_takes_it(filled: httpx.AsyncClient) -> None:
    asked: dict[str, Any] = {"query": "vector(time())", "start": 0, "end": 10_000, "step": 1}
    packed = await filled.get("/api/v1/query_range", params=asked)
    assert packed.headers["content-encoding"] == "gzip"
    plain = await filled.get("/api/v1/query_range", params=asked, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content
    assert len(packed.json()["data"]["result"][0]["values"]) == 10_001


async def test_a_query_needs_somebody_who_may_read(stranger: httpx.AsyncClient) -> None:
    answer = await stranger.get("/api/v1/query", params={"query": "1"})
    assert answer.status_code == 401
    assert answer.json()["status"] == "error"


async def test_stats_are_told_where_they_are_asked_for(filled: httpx.AsyncClient) -> None:
    answer = await filled.get("/api/v1/query", params={"query": "hits_total", "time": AT_S, "stats": "all"})
    stats = answer.json()["data"]["stats"]
    assert stats["samples"]["totalQueryableSamples"] == 6
    assert stats["timings"].keys() >= {"evalTotalTime", "execQueueTime", "execTotalTime"}
    assert "stats" not in (await filled.get("/api/v1/query", params={"query": "1"})).json()["data"]


async def test_a_server_that_is_busy_says_503(api: Api) -> None:
    settings = QuerySettings(concurrency=1, queue_max=0)
    engine = Engine(settings, monotonic_s=api.clock.monotonic_s, threads=InlineOffload())
    app = build_api(replace(api.services, queries=engine), ServerSettings(), NO_SITE)
    headers = {"Authorization": f"Bearer {api.tokens[Role.VIEWER]}"}
    async with (
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://a", headers=headers) as http,
        engine._turn(Options()),
    ):
        answer = await http.get("/api/v1/query", params={"query": "1"})
    assert (answer.status_code, answer.json()["errorType"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) >= 1
