"""`/ws`: one connection's reader, writer and watchman; the hub decides what it hears."""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
from fastapi import Depends
from starlette.websockets import WebSocket, WebSocketDisconnect

from tocsin.access.policy import Permission
from tocsin.api.deps import Caller, Require, Services, Wired, identify
from tocsin.api.description import family
from tocsin.api.samples import MATCHERS_MAX
from tocsin.api.stream import SIGNED_OUT, Connection, Ending, Hub
from tocsin.model.errors import AccessError, LimitError, TransientError, UserError
from tocsin.model.matcher import parse_matcher
from tocsin.runtime.log import get_log

log = get_log("api")

router = family("live")

MESSAGE_CHARS_MAX = 8_192
CLOSE_GRACE_S = 5.0
"""How long a reader that stands still may take to hear why it is dropped."""


class Subscribe(msgspec.Struct, tag="subscribe", forbid_unknown_fields=True):
    id: Annotated[str, msgspec.Meta(max_length=255)]
    name: str
    match: Annotated[list[str], msgspec.Meta(max_length=MATCHERS_MAX)] = []


class Unsubscribe(msgspec.Struct, tag="unsubscribe", forbid_unknown_fields=True):
    id: str


_decoder: msgspec.json.Decoder[Subscribe | Unsubscribe] = msgspec.json.Decoder(Subscribe | Unsubscribe)


@router.websocket("/ws")
async def follow(
    websocket: WebSocket,
    wired: Wired,
    caller: Annotated[Caller, Depends(Require((Permission.ALERTS_READ, Permission.METRICS_READ)))],
) -> None:
    """Refused callers get an HTTP answer instead of a WebSocket."""
    connection = wired.hub.join(
        alerts=caller.may(Permission.ALERTS_READ), samples=caller.may(Permission.METRICS_READ), scope=caller.scope
    )
    try:
        await websocket.accept()
        await _converse(websocket, wired, connection, caller)
    finally:
        wired.hub.leave(connection)
    if connection.ending is not None:
        await _say_goodbye(websocket, connection.ending)


async def _converse(websocket: WebSocket, wired: Services, connection: Connection, caller: Caller) -> None:
    """Until there is a reason to stop. A writer that waits for a reader who stands still has to be stopped too."""
    parts = [
        asyncio.create_task(connection.wait_ended()),
        asyncio.create_task(_write(websocket, connection)),
        asyncio.create_task(_read(websocket, wired.hub, connection)),
        asyncio.create_task(_watch(websocket, wired, connection, caller)),
    ]
    try:
        await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for part in parts:
            part.cancel()
        results = await asyncio.gather(*parts, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect):
            raise result


async def _write(websocket: WebSocket, connection: Connection) -> None:
    while (message := await connection.next()) is not None:
        await websocket.send_text(message)


async def _read(websocket: WebSocket, hub: Hub, connection: Connection) -> None:
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        hear(hub, connection, message.get("text") or "")


async def _watch(websocket: WebSocket, wired: Services, connection: Connection, caller: Caller) -> None:
    """Look again now and then whether the caller is still who they were, and may still listen."""
    while True:
        await asyncio.sleep(wired.hub.recheck_s)
        try:
            now = await identify(websocket)
        except AccessError:
            connection.end(Ending(SIGNED_OUT, "signed out"))
            return
        except TransientError:
            continue  # nobody is signed out because the database is away
        if (now.principal.permissions, now.scope) != (caller.principal.permissions, caller.scope):
            connection.end(Ending(SIGNED_OUT, "what you may read has changed; connect again"))
            return


async def _say_goodbye(websocket: WebSocket, ending: Ending) -> None:
    try:
        async with asyncio.timeout(CLOSE_GRACE_S):
            await websocket.close(ending.code, ending.reason)
    except (TimeoutError, WebSocketDisconnect, OSError):
        log.debug("a live connection was cut", code=ending.code)


def hear(hub: Hub, connection: Connection, text: str) -> None:
    """Do what a message asks, or say what is wrong with it; the connection stays either way."""
    own_id: str | None = None
    try:
        asked = _decode(text)
        own_id = asked.id
        if isinstance(asked, Unsubscribe):
            hub.unsubscribe(connection, asked.id)
            return
        hub.subscribe(connection, asked.id, asked.name, map(parse_matcher, asked.match))
        hub.tell(connection, {"type": "subscribed", "id": own_id})
    except (UserError, LimitError) as error:
        told = {"type": "error", "detail": str(error)}
        hub.tell(connection, told if own_id is None else {**told, "id": own_id})


def _decode(text: str) -> Subscribe | Unsubscribe:
    if len(text) > MESSAGE_CHARS_MAX:
        raise LimitError(f"A message may have at most {MESSAGE_CHARS_MAX} characters.")
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UserError(f"The message was not understood: {error}.") from error
