"""How the command line asks: over HTTP to the running server, or to the same application in this process.

Only the second road loads that application: a command beside a running server must not wait for it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

from tocsin.access.people import People
from tocsin.app.config import load_settings
from tocsin.app.offline import local_actor, open_people
from tocsin.model.duration import MINUTE_MS, Duration
from tocsin.model.errors import NotFoundError, TransientError, UserError
from tocsin.model.page import PAGE_SIZE_MAX
from tocsin.model.people import Role, Token
from tocsin.runtime.clock import Clock, SystemClock
from tocsin.runtime.http import open_client

ADDRESS_FILE = "server.json"
TOKEN_LIFE = Duration(10 * MINUTE_MS)
LOOK_AGAIN_S = 0.5


def write_address(data_dir: Path, url: str) -> None:
    """Tell the command line where the server of this data directory listens."""
    (data_dir / ADDRESS_FILE).write_bytes(msgspec.json.encode({"url": url, "pid": os.getpid()}))


def remove_address(data_dir: Path) -> None:
    (data_dir / ADDRESS_FILE).unlink(missing_ok=True)


async def request(config: Path | None, data_dir: Path, method: str, path: str, **more: Any) -> Any:
    """The decoded JSON answer. Raises UserError or TransientError with the server's own sentence."""
    async with connect(config, data_dir) as client:
        return _answer(await client.request(method, path, **more))


async def all_pages(config: Path | None, data_dir: Path, path: str, params: Mapping[str, Any]) -> list[Any]:
    """Every item of a list."""
    items: list[Any] = []
    asked = {**params, "limit": PAGE_SIZE_MAX}
    async with connect(config, data_dir) as client:
        while True:
            page = _answer(await client.get(path, params=asked))
            items += page["items"]
            if page["next"] is None:
                return items
            asked["cursor"] = page["next"]


async def back_up(
    config: Path | None, data_dir: Path, to: str | None, seen: Callable[[Mapping[str, Any]], None]
) -> dict[str, Any]:
    """The backup as the API shows it, when it has ended. `seen` hears how far it is."""
    async with connect(config, data_dir) as client:
        made: dict[str, Any] = _answer(await client.post("/api/backups", json={"to": to} if to else {}))
        while made["state"] == "running":
            if made["progress"] is not None:
                seen(made["progress"])
            await asyncio.sleep(LOOK_AGAIN_S)
            made = _answer(await client.get(f"/api/backups/{made['id']}"))
        return made


@asynccontextmanager
async def connect(config: Path | None, data_dir: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the running server, or of one in this process, that may do everything.

    Raises TransientError where the running server goes away, or does not answer in time.
    """
    settings, clock = load_settings(config, os.environ), SystemClock()
    url = await _running_url(data_dir)
    if url is not None:
        outside = open_client(base_url=url)
        async with open_people(settings, data_dir) as people, _signed(people, outside, clock) as client:
            try:
                yield client
            except httpx.TimeoutException as error:
                raise TransientError(f"The server at {url} did not answer in time.") from error
            except httpx.TransportError as error:
                raise TransientError(f"The server at {url} went away before it answered.") from error
    else:
        from tocsin.app.wiring import open_server  # noqa: PLC0415 - it takes a second
        from tocsin.app.world import real_world  # noqa: PLC0415 - the same

        async with open_server(settings, data_dir, real_world(), url="http://localhost", loops=False) as server:
            inside = open_client(base_url="http://localhost", transport=httpx.ASGITransport(app=server.api))
            async with _signed(server.people, inside, clock) as client:
                yield client


class _Signed(httpx.Auth):
    """Whoever can read the data directory is the administrator: a token proves it, each for a few minutes."""

    def __init__(self, people: People, clock: Clock) -> None:
        self._people = people
        self._clock = clock
        self._actor = local_actor()
        self._token: Token | None = None
        self._text = ""

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        if self._token is None or self._clock.now_ms() - self._token.created_at_ms > TOKEN_LIFE / 2:
            await self.forget()
            self._token, self._text = await self._people.create_token(
                "command line", Role.ADMIN, TOKEN_LIFE, self._actor
            )
        request.headers["Authorization"] = f"Bearer {self._text}"
        yield request

    async def forget(self) -> None:
        if self._token is not None:
            await self._people.delete_token(self._token.id, self._actor)
            self._token = None


@asynccontextmanager
async def _signed(people: People, client: httpx.AsyncClient, clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    signed = _Signed(people, clock)
    client.auth = signed
    try:
        async with client:
            yield client
    finally:
        await signed.forget()


async def _running_url(data_dir: Path) -> str | None:
    try:
        url = str(msgspec.json.decode((data_dir / ADDRESS_FILE).read_bytes())["url"])
    except (OSError, msgspec.DecodeError, KeyError):
        return None
    async with open_client(base_url=url, timeout_s=5.0) as client:
        try:
            return url if (await client.get("/healthz")).is_success else None
        except httpx.TransportError:
            return None


def _answer(response: httpx.Response) -> Any:
    if response.is_success:
        return msgspec.json.decode(response.content) if response.content else None
    detail = detail_of(response)
    if response.status_code == httpx.codes.NOT_FOUND:
        raise NotFoundError(detail)
    raise TransientError(detail) if response.is_server_error else UserError(detail)


def detail_of(response: httpx.Response) -> str:
    """The server's own sentence about what is wrong, in our form of errors or in Prometheus'."""
    try:
        told = msgspec.json.decode(response.content)
        return str(told["detail"] if "detail" in told else told["error"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return f"the server answered {response.status_code} {response.reason_phrase}"
