from __future__ import annotations

from collections.abc import Mapping

import httpx
import pytest

from tocsin import __version__
from tocsin.model.errors import DeliveryError, TooLargeError, TransientError, UserError
from tocsin.runtime.http import CONNECT_TIMEOUT_S, RETRY_AFTER_S_MAX, Answer, get, open_client, raise_for, retry_after_s


class Recorder:
    """Answers every request with one response and remembers what was asked."""

    def __init__(self, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.headers = dict(headers or {})
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return httpx.Response(self.status, headers=self.headers)

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self)


def answer(status: int, headers: Mapping[str, str] | None = None) -> httpx.Response:
    request = httpx.Request("POST", "https://hooks.example/secret-path?token=secret")
    return httpx.Response(status, headers=headers, request=request)


async def test_a_client_names_itself_and_sends_the_headers_it_was_given() -> None:
    recorder = Recorder()
    async with open_client(headers={"X-Scope": "a"}, transport=recorder.transport) as client:
        await client.get("http://target.example/metrics")
    (request,) = recorder.requests
    assert request.headers["User-Agent"] == f"tocsin/{__version__}"
    assert request.headers["X-Scope"] == "a"


async def test_a_callers_user_agent_wins() -> None:
    recorder = Recorder()
    async with open_client(headers={"User-Agent": "probe"}, transport=recorder.transport) as client:
        await client.get("http://target.example/")
    assert recorder.requests[0].headers["User-Agent"] == "probe"


async def test_paths_are_relative_to_the_base() -> None:
    recorder = Recorder()
    async with open_client(base_url="http://target.example/api", transport=recorder.transport) as client:
        await client.get("/v1/write")
    assert str(recorder.requests[0].url) == "http://target.example/api/v1/write"


async def test_a_redirect_is_not_followed() -> None:
    recorder = Recorder(302, {"Location": "http://169.254.169.254/"})
    async with open_client(transport=recorder.transport) as client:
        response = await client.get("http://target.example/")
    assert response.status_code == 302
    assert len(recorder.requests) == 1


async def test_every_wait_has_an_end() -> None:
    async with open_client() as client:
        assert client.timeout == httpx.Timeout(10.0, connect=CONNECT_TIMEOUT_S)
    async with open_client(timeout_s=2.0) as client:
        assert client.timeout == httpx.Timeout(2.0)


async def test_proxy_variables_are_ignored() -> None:
    async with open_client() as client:
        assert client.trust_env is False


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("²", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("999999999", RETRY_AFTER_S_MAX),
        ("9" * 1_000, RETRY_AFTER_S_MAX),
    ],
)
def test_retry_after_is_read_as_seconds_and_a_day_at_most(header: str, seconds: float | None) -> None:
    response = httpx.Response(429, headers=[(b"Retry-After", header.encode("latin-1"))])
    assert retry_after_s(response) == seconds


def test_retry_after_may_be_missing() -> None:
    assert retry_after_s(httpx.Response(503)) is None


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_success_raises_nothing(status: int) -> None:
    raise_for(answer(status))


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_may_be_better_later_is_transient(status: int) -> None:
    with pytest.raises(TransientError) as caught:
        raise_for(answer(status, {"Retry-After": "7"}))
    assert caught.value.retry_after_s == 7


@pytest.mark.parametrize("status", [301, 302, 400, 401, 403, 404, 410, 413, 422])
def test_what_will_not_be_better_later_is_permanent(status: int) -> None:
    with pytest.raises(DeliveryError) as caught:
        raise_for(answer(status))
    assert caught.value.permanent


@pytest.mark.parametrize("status", [404, 503])
def test_the_error_names_host_and_answer_and_keeps_the_path_secret(status: int) -> None:
    with pytest.raises((DeliveryError, TransientError)) as caught:
        raise_for(answer(status))
    assert str(caught.value).startswith(f"hooks.example answered {status} ")
    assert "secret" not in str(caught.value)


Said = tuple[int, bytes, Mapping[str, str]]


class Steps:
    """Answers each request with what the test says of its URL, as it would come over the wire."""

    def __init__(self, answers: Mapping[str, Said]) -> None:
        self.answers = answers
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        status, body, headers = self.answers[str(request.url)]
        return httpx.Response(status, headers=headers, stream=httpx.ByteStream(body))


def redirect(location: str, status: int = 302) -> Said:
    return status, b"moved", {"Location": location}


OK: Said = (200, b"", {})


async def ask(
    steps: Steps, url: str, headers: Mapping[str, str] | None = None, *, bytes_max: int = 100, follow: bool = True
) -> Answer:
    async with open_client(transport=httpx.MockTransport(steps)) as client:
        return await get(client, url, headers=headers or {}, bytes_max=bytes_max, follow_redirects=follow)


async def test_an_answer_is_its_status_its_headers_and_its_bytes() -> None:
    answer = await ask(Steps({"http://a/": (404, b"no", {"X-A": "b"})}), "http://a/")
    assert (answer.status, answer.headers["X-A"], answer.body) == (404, "b", b"no")


async def test_a_redirect_is_followed_to_its_end() -> None:
    steps = Steps({"http://a/": redirect("/b"), "http://a/b": redirect("http://c/"), "http://c/": OK})
    assert (await ask(steps, "http://a/")).status == 200
    assert len(steps.requests) == 3


async def test_a_redirect_is_the_answer_where_none_are_followed() -> None:
    assert (await ask(Steps({"http://a/": redirect("/b")}), "http://a/", follow=False)).status == 302


async def test_what_is_secret_goes_to_no_other_server() -> None:
    steps = Steps({"http://a/": redirect("/b"), "http://a/b": redirect("http://c/"), "http://c/": OK})
    await ask(steps, "http://a/", {"Authorization": "Bearer t", "X-Token": "t", "Accept": "text/plain"})
    first, second, third = (request.headers for request in steps.requests)
    assert first["X-Token"] == second["X-Token"] == "t"
    assert second["Authorization"] == "Bearer t"
    assert "X-Token" not in third
    assert "Authorization" not in third
    assert third["Accept"] == "text/plain"


async def test_a_circle_of_redirects_has_an_end() -> None:
    with pytest.raises(TransientError, match="More than 10 redirects"):
        await ask(Steps({"http://a/": redirect("http://a/")}), "http://a/")


async def test_a_redirect_to_something_else_than_http_is_an_error() -> None:
    with pytest.raises(TransientError, match="A redirect leads to file://"):
        await ask(Steps({"http://a/": redirect("file:///etc/passwd")}), "http://a/")


@pytest.mark.parametrize("headers", [{}, {"Content-Length": "101"}])
async def test_an_answer_that_is_too_large_is_not_read(headers: Mapping[str, str]) -> None:
    with pytest.raises(TooLargeError, match="larger than 100 bytes"):
        await ask(
            Steps({"http://a/": (200, b"x" * 101, headers)}),
            "http://a/",
        )


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (httpx.ConnectError("refused"), "Cannot connect: refused"),
        (httpx.ReadTimeout(""), "No answer in time."),
        (httpx.RemoteProtocolError("peer closed"), "ended too early: peer closed"),
        (httpx.ReadError(""), "The connection broke: ReadError"),
    ],
)
async def test_no_answer_is_a_transient_error_in_a_sentence(error: httpx.TransportError, said: str) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise error

    async with open_client(transport=httpx.MockTransport(fail)) as client:
        with pytest.raises(TransientError, match=said):
            await get(client, "http://a/", headers={}, bytes_max=10)


@pytest.mark.parametrize("url", ["http://a:port/", "http://a:99999/", "http://a:0/", "http://[::1/", "http://xn--/"])
async def test_what_is_no_url_is_told(url: str) -> None:
    with pytest.raises(UserError, match="is not a URL"):
        await ask(Steps({}), url)


async def test_a_redirect_to_what_is_no_url_is_told() -> None:
    with pytest.raises(UserError, match="a port is between"):
        await ask(Steps({"http://a/": redirect("http://a:99999/")}), "http://a/")
