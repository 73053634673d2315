"""InfluxDB's doors: line protocol as Telegraf and InfluxDB's clients push it, versions 1 and 2.

Errors are problem documents as everywhere, with the members that InfluxDB's clients look for: `error`, and version
2's `code` and `message`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Sequence
from typing import Any
from urllib.parse import parse_qs

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from tocsin.access.policy import Permission
from tocsin.api.deps import require
from tocsin.api.errors import problem, problem_of, status_of
from tocsin.api.push import Push, Pushed, come_again
from tocsin.ingest.rows import Rejection
from tocsin.ingest.wire import influx
from tocsin.model.errors import QueueFullError, TocsinError, UserError

SPOKEN_VERSION = "1.8.0"
"""The InfluxDB whose writes are understood here; clients choose what they send by it."""

PARSED_AT_ONCE_MAX = 16 * 1024
"""Bytes that are parsed on the loop: 2 ms, or 10 ms where all series are new; more go to a thread."""

FORM_FIELDS_MAX = 16

_CREATE_DATABASE = re.compile(r"\s*create\s+database\s", re.IGNORECASE)
_SHOW_DATABASES = re.compile(r"\s*show\s+databases\s*;?\s*", re.IGNORECASE)
_CODES = {400: "invalid", 401: "unauthorized", 403: "forbidden", 413: "request too large", 429: "too many requests"}


class _InfluxRoute(APIRoute):
    """A route whose errors InfluxDB's clients can read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def answer_or_tell(request: Request) -> Response:
            try:
                return await answer(request)
            except TocsinError as error:
                return problem_of(error, **_members(status_of(error), str(error)))
            except HTTPException as error:
                return problem(error.status_code, error.detail, **_members(error.status_code, error.detail))

        return answer_or_tell


def _members(status: int, detail: str) -> dict[str, Any]:
    code = _CODES.get(status, "unavailable" if status == 503 else "internal error")
    return {"error": detail, "code": code, "message": detail}


router = APIRouter(route_class=_InfluxRoute, include_in_schema=False)


@router.post("/write")
async def write_v1(push: Push, db: str = "", precision: str = "") -> Response:
    """`rp` and `consistency` mean nothing here: there is one store, and its retention is set in one place."""
    try:
        return await _write(push, db, precision)
    except QueueFullError as error:
        raise come_again(error) from error  # Telegraf's outputs.influxdb


@router.post("/api/v2/write")
async def write_v2(push: Push, bucket: str = "", precision: str = "") -> Response:
    return await _write(push, bucket, precision)


async def _write(push: Pushed, database: str, precision: str) -> Response:
    """204 where all was stored, and 400 where a line was refused: the others are stored all the same."""
    body = await push.body()
    lines = await push.parse(PARSED_AT_ONCE_MAX, influx.parse, body, push.now_ms(), push.limits, precision, database)
    done = await push.append(lines.rows, "influx", lines.rejected)
    push.telemetry.counter("influx_text_fields_skipped", "Fields of text in line protocol, which no sample holds.").inc(
        lines.skipped
    )
    if not done.rejected:
        return Response(status_code=204)
    detail = _told(done.rejected, lines.lines)
    return problem(400, detail, **_members(400, detail), stored=done.stored)


def _told(rejected: Sequence[Rejection], lines: int) -> str:
    first = rejected[0]
    refused = len({one.index for one in rejected})
    rest = "; the others are stored" if refused < lines else ""
    return f"partial write: {refused} of {lines} lines refused{rest}. Line {first.index + 1}: {first.reason}"


@router.api_route("/query", methods=["GET", "POST"], dependencies=[require(Permission.METRICS_WRITE)])
async def query(request: Request, db: str = "") -> Response:
    """What agents ask before they write. Any name of a database will do; there is no InfluxQL here."""
    asked = request.query_params.get("q") or await _q_of_form(request)
    if not asked:
        raise UserError("Send a statement as `q`; CREATE DATABASE and SHOW DATABASES are understood.")
    if _CREATE_DATABASE.match(asked):
        return _result({})
    if _SHOW_DATABASES.fullmatch(asked):
        return _result({"series": [{"name": "databases", "columns": ["name"], "values": [[db or "tocsin"]]}]})
    raise UserError("InfluxQL is not answered here, but for CREATE DATABASE and SHOW DATABASES.")


async def _q_of_form(request: Request) -> str:
    try:
        form = parse_qs((await request.body()).decode(), max_num_fields=FORM_FIELDS_MAX)
    except ValueError as error:
        raise UserError("The body is not a form with the field `q`.") from error
    return form.get("q", [""])[0]


def _result(more: dict[str, object]) -> Response:
    body = {"results": [{"statement_id": 0} | more]}
    headers = {"X-Influxdb-Version": SPOKEN_VERSION}
    return Response(msgspec.json.encode(body), headers=headers, media_type="application/json")


@router.get("/health")
async def health() -> Response:
    """As InfluxDB 2 says it; Proxmox asks before it saves its settings."""
    told = {"name": "influxdb", "message": "ready for queries and writes", "status": "pass", "checks": []}
    return Response(msgspec.json.encode(told | {"version": SPOKEN_VERSION}), media_type="application/json")


@router.api_route("/ping", methods=["GET", "HEAD"])
async def ping() -> Response:
    """Whether something is here, for clients that ask before they sign in."""
    return Response(status_code=204, headers={"X-Influxdb-Version": SPOKEN_VERSION})
