"""Errors in other protocols' own forms.

Whatever goes wrong, and wherever (in the envelope, the router, a handler), is told as a problem document; on the paths
that are named in `FORMS` of `api/server.py` it leaves in the form that the senders there can read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import msgspec
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tocsin.api.errors import MEDIA_TYPE

ErrorForm: TypeAlias = Callable[[int, str, Headers], tuple[bytes, str]]
"""(status, a sentence, the request's headers) → body and media type."""


class _Problem(msgspec.Struct):
    status: int
    detail: str


_problem = msgspec.json.Decoder(_Problem)


class RestatedErrors:
    """ASGI middleware around everything that answers. `forms` by the path that they begin at; the longest one holds.

    Status and headers stay as they are.
    """

    def __init__(self, app: ASGIApp, forms: Mapping[str, ErrorForm | None]) -> None:
        self._app = app
        self._forms = dict(sorted(forms.items(), key=lambda one: -len(one[0])))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        form = self._form_of(scope["path"]) if scope["type"] == "http" else None
        await self._app(scope, receive, _restating(form, Headers(scope=scope), send) if form else send)

    def _form_of(self, path: str) -> ErrorForm | None:
        return next((form for prefix, form in self._forms.items() if path.startswith(prefix)), None)


def _restating(form: ErrorForm, asked: Headers, send: Send) -> Send:
    """`send` that keeps a problem document back until it is whole."""
    start: Message | None = None
    parts: list[bytes] = []

    async def restate(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start" and _is_problem(Headers(raw=message["headers"])):
            start = message
        elif start is None:
            await send(message)
        else:
            parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                problem = _problem.decode(b"".join(parts))
                body, media_type = form(problem.status, problem.detail, asked)
                headers = MutableHeaders(scope=start)
                headers["content-type"], headers["content-length"] = media_type, str(len(body))
                await send(start)
                await send({"type": "http.response.body", "body": body})

    return restate


def _is_problem(headers: Headers) -> bool:
    """A packed one is left as it is: it is long, and holds more than a form could say."""
    return headers.get("content-type") == MEDIA_TYPE and "content-encoding" not in headers
