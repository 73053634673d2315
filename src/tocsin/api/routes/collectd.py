"""collectd's door: its plugin write_http with `Format "JSON"`, at the path that collectd_exporter has."""

from __future__ import annotations

from fastapi import APIRouter, Response

from tocsin.api.errors import problem
from tocsin.api.push import Push
from tocsin.ingest.wire import collectd

PARSED_AT_ONCE_MAX = 64 * 1024
"""Bytes that are parsed on the loop: 1 ms, or 4 ms where all series are new; more go to a thread."""

router = APIRouter(include_in_schema=False)


@router.post("/collectd-post")
async def push_value_lists(push: Push) -> Response:
    """204 where all was stored, and 400 where a value was refused: the others are stored all the same."""
    found = await push.parse(PARSED_AT_ONCE_MAX, collectd.parse, await push.body(), push.limits)
    done = await push.append(found.rows, "collectd", found.rejected)
    refused = done.rejected
    if not refused:
        return Response(status_code=204)
    rest = "; the others are stored" if done.stored else ""
    sent = done.stored + len(refused)
    detail = f"{len(refused)} of {sent} values refused{rest}. List {refused[0].index + 1}: {refused[0].reason}"
    return problem(400, detail, stored=done.stored, refused=len(refused))
