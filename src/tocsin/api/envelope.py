"""What surrounds every request: size limits before the work, headers, counters and the last safety net after it."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tocsin.api.errors import UNEXPECTED, problem
from tocsin.runtime.clock import Clock
from tocsin.runtime.log import get_log
from tocsin.runtime.telemetry import Telemetry

log = get_log("api")

SMALL_BODY_MAX = 256 * 1024
"""Bytes; enough for any single object that a person writes. Pushed samples have a limit of their own."""

BULK_PATHS = frozenset(
    {
        "/api/metrics",
        "/api/v1/write",
        "/api/v1/otlp/v1/metrics",
        "/v1/metrics",
        "/write",
        "/collectd-post",
        "/api/v2/write",
        "/api/v1/import",
        "/api/v1/import/csv",
        "/api/v1/import/prometheus",
    }
)
"""Paths that take samples in bulk: large, and compressed where the sender likes."""

PACKED_PATHS = BULK_PATHS | {"/api/v1/read"}
"""Paths whose bodies may be packed: small ones too, where their protocol packs them always."""

CLIENT_LEFT = 499
"""Counted as the status of a request whose sender left before the end; nobody hears it."""

BULK_ENCODINGS = ("gzip", "deflate", "snappy", "zstd")
"""deflate is zlib's format (RFC 9110), snappy its block format, as Prometheus' remote write has it."""

_COMMON_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    # 'unsafe-inline' is for style attributes alone: compiled templates carry them. Scripts must be files.
    "content-security-policy": (
        "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
}


class Envelope:
    """ASGI middleware around the whole application; WebSockets pass through it untouched."""

    def __init__(self, app: ASGIApp, *, clock: Clock, telemetry: Telemetry, body_max: int) -> None:
        self._app = app
        self._clock = clock
        self._body_max = body_max
        self._requests = telemetry.counter("http_requests", "Requests answered.", ["method", "route", "status"])
        self._seconds = telemetry.histogram("http_request_seconds", "Time to answer a request.", ["route"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s = self._clock.monotonic_s()
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(scope["path"], message)
            await send(message)

        try:
            await self._answer(scope, receive, send_with_headers)
        except ClientDisconnect:
            status = CLIENT_LEFT
        except Exception:  # the last net: whatever a handler did not foresee becomes one plain sentence
            log.exception("request failed", method=scope["method"], path=scope["path"])
            if status:  # half an answer is out already; the server has to break the connection
                raise
            await problem(500, UNEXPECTED)(scope, receive, send_with_headers)
        finally:
            self._note(scope, status, self._clock.monotonic_s() - began_s)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        bulk, packable = scope["path"] in BULK_PATHS, scope["path"] in PACKED_PATHS
        limit = self._body_max if bulk else min(SMALL_BODY_MAX, self._body_max)
        encoding = headers.get("content-encoding", "").strip().lower()
        if encoding not in ("", "identity") and not (packable and encoding in BULK_ENCODINGS):
            accepted = ", ".join(BULK_ENCODINGS) if packable else "identity"
            detail = f"Content-Encoding {encoding!r} is not understood here; use {accepted}."
            await problem(415, detail, headers={"Accept-Encoding": accepted})(scope, receive, send)
        elif (length := headers.get("content-length", "")).isdigit() and int(length) > limit:
            await problem(413, too_large(limit))(scope, receive, send)
        else:
            await self._app(scope, _limited(receive, limit), send)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "other")
        # a method is the caller's own word: only known ones may become a label
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
        log.debug("request", method=method, path=scope["path"], status=status, ms=round(seconds * 1_000, 1))


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def too_large(limit: int) -> str:
    return f"The body is larger than {limit} bytes; send it in smaller parts."


def _limited(receive: Receive, limit: int) -> Receive:
    """`receive` that counts: a body may come in chunks, without its length."""
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            # FastAPI hides every error while it reads a body, but for this kind
            raise HTTPException(413, too_large(limit))
        return message

    return counted


def _add_headers(path: str, message: Message) -> None:
    headers = MutableHeaders(scope=message)
    _set_missing(headers, _COMMON_HEADERS)
    if path.startswith("/api/") or path == "/metrics":
        headers.setdefault("cache-control", "no-store")


def _set_missing(headers: MutableHeaders, wanted: Mapping[str, str]) -> None:
    for name, value in wanted.items():
        headers.setdefault(name, value)
