"""How the command line asks: over HTTP to the running server, or to the same application in this process."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec

from tocsin.access.people import People
from tocsin.app.config import load_settings
from tocsin.app.offline import local_actor, open_people
from tocsin.app.wiring import open_server
from tocsin.app.world import real_world
from tocsin.model.duration import MINUTE_MS, Duration
from tocsin.model.errors import NotFoundError, TransientError, UserError
from tocsin.model.page import PAGE_SIZE_MAX
from tocsin.model.people import Role
from tocsin.runtime.http import open_client

ADDRESS_FILE = "server.json"
TOKEN_LIFE = Duration(MINUTE_MS)


def write_address(data_dir: Path, url: str) -> None:
    """Tell the command line where the server of this data directory listens."""
    (data_dir / ADDRESS_FILE).write_bytes(msgspec.json.encode({"url": url, "pid": os.getpid()}))


def remove_address(data_dir: Path) -> None:
    (data_dir / ADDRESS_FILE).unlink(missing_ok=True)


async def request(config: Path | None, data_dir: Path, method: str, path: str, **more: Any) -> Any:
    """The decoded JSON answer. Raises UserError or TransientError with the server's own sentence."""
    async with _connect(config, data_dir) as client:
        return _answer(await client.request(method, path, **more))


async def all_pages(config: Path | None, data_dir: Path, path: str, params: Mapping[str, Any]) -> list[Any]:
    """Every item of a list."""
    items: list[Any] = []
    asked = {**params, "limit": PAGE_SIZE_MAX}
    async with _connect(config, data_dir) as client:
        while True:
            page = _answer(await client.get(path, params=asked))
            items += page["items"]
            if page["next"] is None:
                return items
            asked["cursor"] = page["next"]


@asynccontextmanager
async def _connect(config: Path | None, data_dir: Path) -> AsyncIterator[httpx.AsyncClient]:
    settings = load_settings(config, os.environ)
    url = await _running_url(data_dir)
    if url is not None:
        async with open_people(settings, data_dir) as people, _signed(people, open_client(base_url=url)) as client:
            yield client
    else:
        async with open_server(settings, data_dir, real_world(), url="http://localhost", loops=False) as server:
            inside = open_client(base_url="http://localhost", transport=httpx.ASGITransport(app=server.api))
            async with _signed(server.people, inside) as client:
                yield client


@asynccontextmanager
async def _signed(people: People, client: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    """Whoever can read the data directory is the administrator: the token proves it, for one minute."""
    actor = local_actor()
    token, text = await people.create_token("command line", Role.ADMIN, TOKEN_LIFE, actor)
    client.headers["Authorization"] = f"Bearer {text}"
    try:
        async with client:
            yield client
    finally:
        await people.delete_token(token.id, actor)


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
    try:
        detail = str(msgspec.json.decode(response.content)["detail"])
    except (msgspec.DecodeError, KeyError, TypeError):
        detail = f"the server answered {response.status_code} {response.reason_phrase}"
    if response.status_code == httpx.codes.NOT_FOUND:
        raise NotFoundError(detail)
    raise TransientError(detail) if response.is_server_error else UserError(detail)
