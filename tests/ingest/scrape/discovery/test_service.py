from __future__ import annotations

import gzip

import httpx
import pytest

from tocsin.ingest.scrape.discovery.service import HttpSource, parse_answer
from tocsin.ingest.scrape.door import Caller, Door
from tocsin.ingest.scrape.job import Authorization, HttpDiscovery, HttpOptions, Secret, TargetGroup
from tocsin.model.errors import TocsinError
from tocsin.runtime.clock import FixedClock
from tocsin.runtime.http import Answer
from tocsin.runtime.offload import InlineOffload

URL = "http://inventory/targets"
JSON = {"Content-Type": "application/json; charset=utf-8"}
BODY = b'[{"targets": ["a:1", "b:1"], "labels": {"rack": "7"}}, {"targets": []}]'
GROUPS = (
    TargetGroup(("a:1", "b:1"), (("rack", "7"), ("__meta_url", URL)), f"{URL} 0"),
    TargetGroup((), (("__meta_url", URL),), f"{URL} 1"),
)


def answer(body: bytes = BODY, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    return Answer(status, httpx.Headers({**JSON, **(headers or {})}), body)


def test_a_service_lists_groups() -> None:
    assert parse_answer(answer(), URL) == GROUPS


def test_its_answer_may_be_packed() -> None:
    assert parse_answer(answer(gzip.compress(BODY), headers={"Content-Encoding": "gzip"}), URL) == GROUPS


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (answer(status=500), "answered with status 500"),
        (answer(headers={"Content-Type": "text/html"}), "Content-Type `text/html`"),
        (answer(b"["), "not JSON"),
        (answer(b'{"targets": []}'), "must be a list"),
        (answer(b'[{"targets": ["http://a"]}]'), r"\[0\].targets\[0\]: A target is HOST:PORT"),
    ],
)
def test_an_answer_that_lists_nothing_says_why(said: Answer, why: str) -> None:
    with pytest.raises(TocsinError, match=f"^{URL}.*{why}"):
        parse_answer(said, URL)


async def test_it_is_asked_as_prometheus_asks() -> None:
    asked: list[httpx.Request] = []

    def reply(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, headers=JSON, stream=httpx.ByteStream(BODY))

    options = HttpOptions(auth=Authorization(Secret("t")))
    door = Door(FixedClock(), InlineOffload(), lambda: httpx.MockTransport(reply))
    source = HttpSource(HttpDiscovery(URL, options, 30_000), Caller(door, options), InlineOffload())
    assert (await source.find()).groups == GROUPS
    await source.close()
    (request,) = asked
    assert request.headers["X-Prometheus-Refresh-Interval-Seconds"] == "30"
    assert request.headers["Accept"] == "application/json"
    assert request.headers["Authorization"] == "Bearer t"
