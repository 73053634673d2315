"""The one door for outgoing HTTP."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from tocsin.model.errors import DeliveryError, TransientError
from tocsin.version import __version__

CONNECT_TIMEOUT_S = 5.0
RETRY_AFTER_S_MAX = 86_400.0
_LATER = (httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_EARLY, httpx.codes.TOO_MANY_REQUESTS)


def open_client(
    *,
    base_url: str = "",
    timeout_s: float = 10.0,
    headers: Mapping[str, str] | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> httpx.AsyncClient:
    """A client that names itself, follows no redirect, ignores proxy variables and never waits for ever."""
    return httpx.AsyncClient(
        base_url=base_url,
        timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S)),
        headers={"User-Agent": f"tocsin/{__version__}", **(headers or {})},
        follow_redirects=False,
        trust_env=False,
        transport=transport,
    )


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
