"""Asking servers over HTTP with what a job says: authority, certificates, proxy, headers."""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx

from tocsin.ingest.scrape.job import Authorization, BasicAuth, HttpOptions, Secret
from tocsin.model.errors import TransientError, UserError
from tocsin.runtime.clock import Clock
from tocsin.runtime.http import Answer, get, open_client
from tocsin.runtime.offload import Offload
from tocsin.runtime.tls import Tls, client_context

OpenTransport = Callable[[], httpx.AsyncBaseTransport | None]
"""None: real sockets."""

_FRESH_S = 10.0
"""So long a secret's file is believed to be what it was."""

_SECRET_BYTES_MAX = 64 * 1024
_CONTEXT_FRESH_S = 60.0
_CONTEXTS_MAX = 100


class Secrets:
    """The text of secrets; files are read again when they are older than a few seconds. Off the loop."""

    def __init__(self, clock: Clock, offload: Offload) -> None:
        self._clock = clock
        self._offload = offload
        self._read: dict[str, tuple[float, str]] = {}

    async def text(self, secret: Secret) -> str:
        """Raises UserError where the file cannot be read."""
        if not secret.file:
            return secret.text
        now_s = self._clock.monotonic_s()
        at_s, text = self._read.get(secret.file, (now_s - 2 * _FRESH_S, ""))
        if now_s - at_s > _FRESH_S:
            text = await self._offload.run(_read_secret, secret.file)
            self._read = {path: one for path, one in self._read.items() if now_s - one[0] <= _FRESH_S}
            self._read[secret.file] = now_s, text
        return text


def _read_secret(path: str) -> str:
    try:
        with Path(path).open("rb") as opened:
            return opened.read(_SECRET_BYTES_MAX).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UserError(f"Cannot read {path}: {why}.") from error


def check_files(options: HttpOptions) -> None:
    """Reads every file that these options name, as asking would. Raises UserError."""
    client_context(options.tls)
    secrets = [secret for _, secret in options.headers]
    match options.auth:
        case BasicAuth(username, password):
            secrets += [username, password]
        case Authorization(credentials):
            secrets.append(credentials)
        case None:
            pass
    for secret in secrets:
        if secret.file:
            _read_secret(secret.file)


class Door:
    """Makes clients, and the headers that say who asks."""

    def __init__(self, clock: Clock, offload: Offload, open_transport: OpenTransport = lambda: None) -> None:
        self._clock = clock
        self._offload = offload
        self._open_transport = open_transport
        self._secrets = Secrets(clock, offload)
        self._contexts: dict[Tls, tuple[float, ssl.SSLContext]] = {}

    async def client(self, options: HttpOptions) -> httpx.AsyncClient:
        """For one server, with connections of its own: none waits for another's. Raises UserError."""
        transport = self._open_transport()
        context = None if transport is not None else await self._context(options.tls)
        return open_client(transport=transport, tls=context, proxy=options.proxy_url)

    async def headers(self, options: HttpOptions) -> dict[str, str]:
        """Raises UserError."""
        headers: dict[str, str] = {}
        for name, secret in options.headers:
            text = _one_line(await self._secrets.text(secret), name)
            headers[name] = f"{headers[name]}, {text}" if name in headers else text
        match options.auth:
            case BasicAuth(username, password):
                pair = f"{await self._secrets.text(username)}:{await self._secrets.text(password)}"
                headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
            case Authorization(credentials, kind):
                text = f"{kind} {await self._secrets.text(credentials)}".strip()
                headers["Authorization"] = _one_line(text, "authorization")
            case None:
                pass
        return headers

    async def _context(self, tls: Tls) -> ssl.SSLContext:
        """Making one takes 20 ms, so all who ask for the same share it; files are read again once a minute at most."""
        now_s = self._clock.monotonic_s()
        at_s, context = self._contexts.get(tls, (now_s, None))
        if context is None or now_s - at_s > _CONTEXT_FRESH_S:
            context = await self._offload.run(client_context, tls)
            if len(self._contexts) >= _CONTEXTS_MAX:
                self._contexts.clear()
            self._contexts[tls] = now_s, context
        return context


class Caller:
    """Asks one server again and again. A change of `options` holds from the next question."""

    def __init__(self, door: Door, options: HttpOptions) -> None:
        self.options = options
        self._door = door
        self._client: httpx.AsyncClient | None = None
        self._opened = options

    async def get(self, url: str, headers: Mapping[str, str], bytes_max: int) -> Answer:
        """Raises what `runtime.http.get` raises, and UserError for a secret or certificate that cannot be read."""
        options = self.options
        if self._opened != options:
            await self.close()
        if self._client is None:
            self._client, self._opened = await self._door.client(options), options
        try:
            return await get(
                self._client,
                url,
                headers={**await self._door.headers(options), **headers},
                bytes_max=bytes_max,
                follow_redirects=options.follow_redirects,
                server_name=options.tls.server_name,
            )
        except TransientError:
            if options.tls != Tls():
                await self.close()  # its certificates may have been renewed
            raise

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


def _one_line(text: str, name: str) -> str:
    """What stands in a header. Raises UserError."""
    if not text.isascii() or not text.isprintable():
        raise UserError(f"The text for the header {name} holds characters that a header cannot.")
    return text
