"""The door of Prometheus' text forms, for scripts and batch jobs that push."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from tocsin.api.errors import problem
from tocsin.api.push import Push
from tocsin.ingest.wire import exposition

PARSED_AT_ONCE_MAX = 8 * 1024
"""Bytes that are parsed on the loop: below 1 ms, or 10 ms where all are short new series; more go to a thread."""

TOLD_MAX = 100
"""Refused lines that an answer lists; all are counted."""

OPENMETRICS = "application/openmetrics-text"
PROMETHEUS = frozenset({"", "text/plain", "application/x-www-form-urlencoded"})
"""curl calls any body a form unless told otherwise."""

router = APIRouter(include_in_schema=False)


@router.post("/api/v1/import/prometheus")
async def push_text(request: Request, push: Push) -> Response:
    """204 where all was stored, and 400 where a line was refused: the others are stored all the same."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != OPENMETRICS and media_type not in PROMETHEUS:
        return problem(415, f"Send Content-Type text/plain or {OPENMETRICS}.")
    body = await push.body()
    found = await push.parse(
        PARSED_AT_ONCE_MAX,
        exposition.parse,
        body,
        push.now_ms(),
        push.limits,
        exposition.shared_memory(push.limits),
        openmetrics=media_type == OPENMETRICS,
    )
    done = await push.append(found.rows, "prometheus text", found.rejected)
    if found.infos:
        await push.describe(found.infos)
    push.telemetry.counter("exemplars_skipped", "Exemplars in pushed text, which are not kept.").inc(found.exemplars)
    if not done.rejected:
        return Response(status_code=204)
    first = done.rejected[0]
    rest = "; the others are stored" if done.stored else ""
    return problem(
        400,
        f"{len(done.rejected)} of {found.lines} lines refused{rest}. Line {first.index + 1}: {first.reason}",
        stored=done.stored,
        refused=len(done.rejected),
        rejected=[{"line": one.index + 1, "reason": one.reason} for one in done.rejected[:TOLD_MAX]],
    )
