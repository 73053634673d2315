"""Where a request comes from: the client's address behind proxies, and whether a page of ours sent it."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from tocsin.api.settings import ServerSettings, parse_network
from tocsin.model.errors import AccessError

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Origins:
    """Settings turned into questions about a request."""

    def __init__(self, settings: ServerSettings) -> None:
        self._proxies = tuple(parse_network(text) for text in settings.trusted_proxies)
        self._external = _origin_of(settings.external_url)
        self._secure_cookies = settings.secure_cookies

    def address(self, connection: HTTPConnection) -> str:
        """The client's address: the last one in X-Forwarded-For that is not a trusted proxy's own.

        The header is read only where the socket's other end is trusted; anybody else may write what they like in it.
        """
        address = connection.client.host if connection.client else ""
        hops = connection.headers.get("x-forwarded-for", "").split(",") if self._trusts(address) else []
        for hop in reversed(hops):
            if not _is_address(hop.strip()):
                break
            address = hop.strip()
            if not self._trusts(address):
                break
        return address

    def secure(self, connection: HTTPConnection) -> bool:
        """Whether the cookie should travel over https alone."""
        if self._secure_cookies != "auto":
            return self._secure_cookies == "always"
        return self._scheme(connection) in ("https", "wss") or self._external.startswith("https:")

    def check_same(self, connection: HTTPConnection) -> None:
        """Raises AccessError where a browser says that a page of another origin sent this request.

        Browsers send Sec-Fetch-Site over https and to localhost, and Origin with every WebSocket and every
        request that changes something. A caller that sends neither is no browser, and carries no stray cookie.
        """
        site = connection.headers.get("sec-fetch-site")
        origin = connection.headers.get("origin")
        ours = site in ("same-origin", "none") if site else origin is None or self._is_ours(origin, connection)
        if not ours:
            raise AccessError("This request was sent by a page of another site; use tocsin's own pages or a token.")

    def _is_ours(self, origin: str, connection: HTTPConnection) -> bool:
        host = connection.headers.get("host", "").lower()
        return origin.lower() == self._external or (host != "" and urlsplit(origin).netloc.lower() == host)

    def _scheme(self, connection: HTTPConnection) -> str:
        client = connection.client.host if connection.client else ""
        forwarded = connection.headers.get("x-forwarded-proto", "") if self._trusts(client) else ""
        return forwarded.rpartition(",")[2].strip().lower() or connection.url.scheme

    def _trusts(self, address: str) -> bool:
        if not self._proxies or not _is_address(address):
            return False
        parsed = ipaddress.ip_address(address)
        return any(parsed in network for network in self._proxies)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower() if parts.netloc else ""
