"""What the HTTP server can be told."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tocsin.model.errors import UserError

MIB = 1024 * 1024
SECURE_COOKIES = ("auto", "always", "never")


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where tocsin listens and how it is reached."""

    listen: str = field(default="127.0.0.1:8627", metadata={"doc": "address and port; `[::]:8627` for all addresses"})
    external_url: str = field(
        default="",
        metadata={"doc": "how people reach this server, for links in messages; empty: `http://` and `listen`"},
    )
    body_max: int = field(default=16 * MIB, metadata={"doc": "largest pushed body in bytes, also after unpacking"})
    trusted_proxies: tuple[str, ...] = field(
        default=(),
        metadata={"doc": "addresses or networks whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed"},
    )
    secure_cookies: str = field(
        default="auto",
        metadata={"doc": "`auto`: the cookie is marked Secure where the page came over https; `always`; `never`"},
    )

    cors_origins: tuple[str, ...] = field(
        default=(),
        metadata={"doc": "origins such as `https://dash.example` whose pages may ask with a token; `*`: every one"},
    )

    def __post_init__(self) -> None:
        """Raises UserError that says which setting is wrong."""
        parse_listen(self.listen)
        if self.external_url and urlsplit(self.external_url).scheme not in ("http", "https"):
            raise UserError("external_url must start with http:// or https://.", field="external_url")
        if self.body_max < 1:
            raise UserError("body_max must be at least 1 byte.", field="body_max")
        if self.secure_cookies not in SECURE_COOKIES:
            raise UserError(f"secure_cookies must be one of {', '.join(SECURE_COOKIES)}.", field="secure_cookies")
        for origin in self.cors_origins:
            check_origin(origin)
        for network in self.trusted_proxies:
            parse_network(network)


def parse_listen(text: str) -> tuple[str, int]:
    """`host:port` or `[v6]:port` as (host, port); port 0 lets the system choose. Raises UserError."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise UserError(f"{text!r} is no address to listen on; write it like 127.0.0.1:8627.", field="listen")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - `:8627` is how one asks for every interface


def check_origin(text: str) -> None:
    """Raises UserError."""
    parts = urlsplit(text)
    if text != "*" and (text != f"{parts.scheme}://{parts.netloc}" or parts.scheme not in ("http", "https")):
        raise UserError(f"{text!r} is no origin; write it like https://dash.example.", field="cors_origins")


def parse_network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise UserError(f"{text!r} is neither an address nor a network.", field="trusted_proxies") from error
