"""The doors of forms with one thing a line, for scripts, batch jobs and files: text, JSON lines and CSV."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from tocsin.api.errors import problem
from tocsin.api.push import Push
from tocsin.ingest.rows import Appended
from tocsin.ingest.wire import csv_rows, exposition, json_lines

TEXT_AT_ONCE_MAX = 8 * 1024
"""Bytes of text that are parsed on the loop: below 1 ms, or 10 ms where all are short new series."""

LINES_AT_ONCE_MAX = 16 * 1024
"""Bytes of JSON lines or CSV that are parsed on the loop: 1 ms, or 4 ms where all are new. More go to a thread."""

TOLD_MAX = 100
"""Refused lines that an answer lists; all are counted."""

STORED = "X-Tocsin-Stored"
"""How many samples were stored, in a header: there is nothing else to say when all were."""

OPENMETRICS = "application/openmetrics-text"
PROMETHEUS = frozenset({"", "text/plain", "application/x-www-form-urlencoded"})
"""curl calls any body a form unless told otherwise."""

router = APIRouter(include_in_schema=False)


@router.post("/api/v1/import/prometheus")
async def push_text(request: Request, push: Push) -> Response:
    """Prometheus' text forms, and OpenMetrics."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != OPENMETRICS and media_type not in PROMETHEUS:
        return problem(415, f"Send Content-Type text/plain or {OPENMETRICS}.")
    found = await push.parse(
        TEXT_AT_ONCE_MAX,
        exposition.parse,
        await push.body(),
        push.now_ms(),
        push.limits,
        exposition.shared_memory(push.limits),
        openmetrics=media_type == OPENMETRICS,
    )
    done = await push.append(found.rows, "prometheus text", found.rejected)
    if found.infos:
        await push.describe(found.infos)
    push.telemetry.counter("exemplars_skipped", "Exemplars in pushed text, which are not kept.").inc(found.exemplars)
    return _told(done, f"{found.lines} lines")  # some only say what a metric is


@router.post("/api/v1/import")
async def push_json_lines(push: Push) -> Response:
    """VictoriaMetrics' JSON lines, or the objects that `/api/metrics` takes, one a line."""
    found = await push.parse(LINES_AT_ONCE_MAX, json_lines.parse, await push.body(), push.now_ms(), push.limits)
    return _told(await push.append(found.rows, "json lines", found.rejected))


@router.post("/api/v1/import/csv")
async def push_csv(push: Push, format: str = "", delimiter: str = ",", *, skip_header: bool = False) -> Response:
    """CSV with a row of names, or with VictoriaMetrics' list of columns in `format`."""
    found = await push.parse(
        LINES_AT_ONCE_MAX,
        csv_rows.parse,
        await push.body(),
        push.now_ms(),
        push.limits,
        form=format,
        delimiter=delimiter,
        skip_header=skip_header,
    )
    return _told(await push.append(found.rows, "csv", found.rejected))


def _told(done: Appended, sent: str = "") -> Response:
    """204 where all was stored, and 400 where a sample was refused: the others are stored all the same."""
    headers = {STORED: str(done.stored)}
    refused = done.rejected
    if not refused:
        return Response(status_code=204, headers=headers)
    first = refused[0]
    sent = sent or f"{done.stored + len(refused)} samples"
    rest = "; the others are stored" if done.stored else ""
    lines = {one.index: one.reason for one in reversed(refused)}  # the first of each line
    listed = [{"line": at + 1, "reason": lines[at]} for at in sorted(lines)[:TOLD_MAX]]
    return problem(
        400,
        f"{len(refused)} of {sent} refused{rest}. Line {first.index + 1}: {first.reason}",
        headers=headers,
        stored=done.stored,
        refused=len(refused),
        rejected=listed,
    )
