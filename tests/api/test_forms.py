from __future__ import annotations

import httpx
import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tocsin.api.errors import problem
from tocsin.api.forms import RestatedErrors


def short(status: int, detail: str, asked: Headers) -> tuple[bytes, str]:
    return f"{status} {detail} {asked.get('x-asked', '')}".encode(), "text/short"


def shouted(status: int, detail: str, asked: Headers) -> tuple[bytes, str]:
    return detail.upper().encode(), "text/loud"


async def answer(request: Request) -> Response:
    if request.query_params:
        return PlainTextResponse("fine")
    return problem(429, "Too much.", headers={"Retry-After": "7"}, more="x" * 100)


@pytest.fixture
def http() -> httpx.AsyncClient:
    forms = {"/a": short, "/a/b": shouted}
    routes = [Route(path, answer) for path in ("/a", "/a/b", "/other")]
    app = Starlette(routes=routes, middleware=[Middleware(RestatedErrors, forms=forms)])
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://tocsin.test")


async def test_a_problem_leaves_in_the_form_of_its_path(http: httpx.AsyncClient) -> None:
    told = await http.get("/a", headers={"X-Asked": "so"})
    assert (told.status_code, told.text, told.headers["content-type"]) == (429, "429 Too much. so", "text/short")
    assert (told.headers["retry-after"], told.headers["content-length"]) == ("7", str(len(told.content)))


async def test_the_longest_path_holds(http: httpx.AsyncClient) -> None:
    assert (await http.get("/a/b")).text == "TOO MUCH."


async def test_elsewhere_a_problem_stays_a_problem(http: httpx.AsyncClient) -> None:
    assert (await http.get("/other")).json()["detail"] == "Too much."


async def test_what_is_no_problem_is_left_as_it_is(http: httpx.AsyncClient) -> None:
    told = await http.get("/a", params={"fine": "1"})
    assert (told.status_code, told.text) == (200, "fine")
