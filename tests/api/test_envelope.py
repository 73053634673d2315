"""Limits, headers and counters, around an application that only echoes."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from tocsin.api.envelope import SMALL_BODY_MAX, Envelope
from tocsin.api.errors import add_handlers
from tocsin.runtime.clock import FixedClock
from tocsin.runtime.telemetry import Telemetry

BODY_MAX = 1_000_000


async def echo_size(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


async def fail(request: Request) -> Response:
    raise RuntimeError("the secret is 42")


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


@pytest.fixture
async def http(telemetry: Telemetry) -> AsyncIterator[httpx.AsyncClient]:
    routes = [Route(path, echo_size, methods=["GET", "POST"]) for path in ("/api/metrics", "/api/rules", "/page")]
    envelope = Middleware(Envelope, clock=FixedClock(), telemetry=telemetry, body_max=BODY_MAX)
    app = FastAPI(openapi_url=None, middleware=[envelope])
    app.router.routes.extend([*routes, Route("/api/broken", fail)])
    add_handlers(app)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://a") as client:
        yield client


async def chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 1_000):
        yield b"x" * 1_000


@pytest.mark.parametrize(
    ("path", "size", "status"),
    [
        ("/api/metrics", BODY_MAX, 200),
        ("/api/metrics", BODY_MAX + 1_000, 413),
        ("/api/rules", SMALL_BODY_MAX // 1_000 * 1_000, 200),
        ("/api/rules", SMALL_BODY_MAX + 1_000, 413),
    ],
)
async def test_a_body_is_bounded_with_and_without_its_length(
    http: httpx.AsyncClient, path: str, size: int, status: int
) -> None:
    for body in (b"x" * size, chunks(size)):
        answer = await http.post(path, content=body)
        assert answer.status_code == status
        assert (answer.headers["content-type"] == "application/problem+json") is (status == 413)


async def test_a_body_that_is_too_large_is_told_the_limit(http: httpx.AsyncClient) -> None:
    answer = await http.post("/api/rules", content=b"x" * 300_000)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "The body is larger than 262144 bytes; send it in smaller parts."


@pytest.mark.parametrize(
    ("path", "encoding", "status"),
    [
        ("/api/metrics", "gzip", 200),
        ("/api/metrics", "GZIP", 200),
        ("/api/metrics", "identity", 200),
        ("/api/metrics", "deflate", 200),
        ("/api/metrics", "snappy", 200),
        ("/api/metrics", "zstd", 200),
        ("/api/metrics", "br", 415),
        ("/api/metrics", "gzip, gzip", 415),
        ("/api/rules", "identity", 200),
        ("/api/rules", "gzip", 415),
    ],
)
async def test_an_encoding_that_is_not_understood_is_refused(
    http: httpx.AsyncClient, path: str, encoding: str, status: int
) -> None:
    answer = await http.post(path, content=b"x", headers={"Content-Encoding": encoding})
    assert answer.status_code == status
    assert ("accept-encoding" in answer.headers) is (status == 415)


@pytest.mark.parametrize("path", ["/api/metrics", "/page", "/api/broken", "/nothing"])
async def test_every_answer_carries_the_security_headers(http: httpx.AsyncClient, path: str) -> None:
    headers = (await http.get(path)).headers
    assert "script-src 'self'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert (headers.get("cache-control") == "no-store") is path.startswith("/api/")


async def test_what_nobody_foresaw_is_one_plain_sentence(http: httpx.AsyncClient) -> None:
    answer = await http.get("/api/broken")
    assert answer.status_code == 500
    assert "42" not in answer.text
    assert answer.json()["detail"].startswith("Something went wrong inside tocsin.")


async def test_a_sender_who_leaves_is_no_failure(telemetry: Telemetry) -> None:
    async def leave(scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    async def unheard(message: Message) -> None:
        raise AssertionError(message)

    envelope = Envelope(leave, clock=FixedClock(), telemetry=telemetry, body_max=BODY_MAX)
    await envelope({"type": "http", "method": "POST", "path": "/api/metrics", "headers": []}, gone, unheard)
    labels = {"method": "POST", "route": "other", "status": "499"}
    assert telemetry.registry.get_sample_value("tocsin_http_requests_total", labels) == 1


async def test_requests_are_counted_by_route_and_not_by_path(http: httpx.AsyncClient, telemetry: Telemetry) -> None:
    await http.get("/nothing/1")
    await http.get("/nothing/2")
    await http.request("BREW", "/nothing")
    count = telemetry.registry.get_sample_value
    assert count("tocsin_http_requests_total", {"method": "GET", "route": "other", "status": "404"}) == 2
    assert count("tocsin_http_requests_total", {"method": "other", "route": "other", "status": "404"}) == 1
    assert count("tocsin_http_request_seconds_count", {"route": "other"}) == 3
