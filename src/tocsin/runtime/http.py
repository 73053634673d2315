"""The one door for outgoing HTTP."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from tocsin.model.errors import DeliveryError, TooLargeError, TransientError, UserError
from tocsin.version import __version__

CONNECT_TIMEOUT_S = 5.0
RETRY_AFTER_S_MAX = 86_400.0
REDIRECTS_MAX = 10
_LATER = (httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_EARLY, httpx.codes.TOO_MANY_REQUESTS)


def open_client(
    *,
    base_url: str = "",
    timeout_s: float = 10.0,
    headers: Mapping[str, str] | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    tls: ssl.SSLContext | None = None,
    proxy: str = "",
) -> httpx.AsyncClient:
    """A client that names itself, follows no redirect, ignores proxy variables and never waits for ever.

    `tls` None: the usual authorities are trusted.
    """
    return httpx.AsyncClient(
        base_url=base_url,
        timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S)),
        headers={"User-Agent": f"tocsin/{__version__}", **(headers or {})},
        follow_redirects=False,
        trust_env=False,
        transport=transport,
        verify=True if tls is None else tls,
        proxy=proxy or None,
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said. `body` is as it came over the wire, packed as `headers` say."""

    status: int
    headers: httpx.Headers
    body: bytes


async def get(
    client: httpx.AsyncClient,
    url: str,
    *,
    headers: Mapping[str, str],
    bytes_max: int,
    follow_redirects: bool = False,
    server_name: str = "",
) -> Answer:
    """The answer to one GET, a redirect's end where they are followed. The caller bounds the time.

    `headers` go no further than the server that was asked: another one, to which a redirect leads, gets those of
    `client` alone. `server_name` stands in the TLS certificate instead of the URL's host.
    Raises TransientError where there is no answer, TooLargeError for a body above `bytes_max`, UserError for a
    URL that is none.
    """
    try:
        request = client.build_request("GET", url, headers=dict(headers))
        _check_port(request.url)
        for _ in range(REDIRECTS_MAX + 1):
            if server_name:
                request.extensions = {**request.extensions, "sni_hostname": server_name}
            response = await client.send(request, stream=True)
            try:
                if not follow_redirects or response.next_request is None:
                    return Answer(response.status_code, response.headers, await _bounded(response, bytes_max))
            finally:
                await response.aclose()
            request = _following(request, response.next_request, headers)
    except httpx.TransportError as error:
        raise TransientError(_why(error)) from error
    except (httpx.InvalidURL, UnicodeError) as error:
        raise UserError(f"{url!r:.200} is not a URL: {error}.") from error
    except httpx.HTTPError as error:  # a redirect that leads nowhere
        raise TransientError(str(error)) from error
    raise TransientError(f"More than {REDIRECTS_MAX} redirects.")


def _following(before: httpx.Request, following: httpx.Request, private: Mapping[str, str]) -> httpx.Request:
    """httpx takes only Authorization from a request that leaves its server; tokens have other names too."""
    one, other = before.url, following.url
    if other.scheme not in ("http", "https"):
        raise TransientError(f"A redirect leads to {other!s:.200}, which is not HTTP.")
    _check_port(other)
    if (one.scheme, one.host, one.port) != (other.scheme, other.host, other.port):
        for name in private:
            if name.lower() not in ("accept", "accept-encoding"):
                following.headers.pop(name, None)
    return following


def _check_port(url: httpx.URL) -> None:
    """The socket below would not raise an error of httpx's. Raises UserError."""
    if url.port is not None and not 0 < url.port < 65_536:
        raise UserError(f"'{url!s:.200}' is not a URL: a port is between 1 and 65535.")


async def _bounded(response: httpx.Response, bytes_max: int) -> bytes:
    """Raises TooLargeError as soon as it is known."""
    told = response.headers.get("Content-Length", "")
    if told.isascii() and told.isdigit() and int(told[:18]) > bytes_max:
        raise TooLargeError(f"The answer is larger than {bytes_max} bytes.")
    parts: list[bytes] = []
    left = bytes_max
    async for part in response.aiter_raw():
        left -= len(part)
        if left < 0:
            raise TooLargeError(f"The answer is larger than {bytes_max} bytes.")
        parts.append(part)
    return b"".join(parts)


def _why(error: httpx.TransportError) -> str:
    """A sentence. httpx and what lies below it often say little; the first cause knows."""
    first = _first_cause(error)
    said = str(first).strip() or str(error).strip() or type(error).__name__
    if isinstance(first, OSError) and first.errno and not isinstance(first, ssl.SSLError | socket.gaierror):
        said = os.strerror(first.errno)
    elif isinstance(first, socket.gaierror) and first.strerror:
        said = first.strerror
    match error:
        case httpx.ConnectError():
            return f"Cannot connect: {said}"
        case httpx.TimeoutException():
            return "No answer in time."
        case httpx.RemoteProtocolError():
            return f"The answer is not HTTP, or ended too early: {said}"
        case _:
            return f"The connection broke: {said}"


def _first_cause(error: BaseException) -> BaseException:
    """Of several that failed together (the addresses of a name), the last one's."""
    while True:
        cause = error.__cause__ or error.__context__
        if isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[-1]
        if not isinstance(cause, Exception):
            return error
        error = cause


def retry_after_s(response: httpx.Response) -> float | None:
    """Retry-After in seconds, where it is given as a number, but a day at most; a date is rare and ignored."""
    text = response.headers.get("Retry-After", "")
    return min(float(text), RETRY_AFTER_S_MAX) if text.isascii() and text.isdigit() else None


def raise_for(response: httpx.Response) -> None:
    """Raises TransientError for an answer that may be better later, DeliveryError for one that will not."""
    if response.is_success:
        return
    said = f"{response.request.url.host} answered {response.status_code} {response.reason_phrase}"
    if response.status_code in _LATER or response.is_server_error:
        raise TransientError(said, retry_after_s=retry_after_s(response))
    raise DeliveryError(said, permanent=True)
