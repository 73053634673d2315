"""Prometheus' remote read: samples of the series that fit, as protobuf packed with snappy."""

from __future__ import annotations

import cramjam
from fastapi import APIRouter, Request, Response

from tocsin.api.bodies import unpack
from tocsin.api.deps import Reader, Services, Wired
from tocsin.api.prometheus.remote_read import ReadQuery, parse_request, response, result
from tocsin.api.reading import ScopedReader
from tocsin.promql.ports import Ask, Budget
from tocsin.promql.values import Grid, Ranges

router = APIRouter(include_in_schema=False)

MEDIA_TYPE = "application/x-protobuf"
REQUEST_MAX = 1024 * 1024
"""Bytes of a request when it is unpacked; it holds matchers alone."""


@router.post("/api/v1/read")
async def read(request: Request, wired: Wired, reader: Reader) -> Response:
    """Answers with samples; chunks are not made, and every client takes samples too."""
    queries = parse_request(unpack(await request.body(), REQUEST_MAX, "snappy"))
    parts = [await _answered(query, wired, reader) for query in queries]
    packed = await wired.queries.threads.run(lambda: bytes(cramjam.snappy.compress_raw(response(parts))))
    return Response(packed, media_type=MEDIA_TYPE, headers={"Content-Encoding": "snappy"})


async def _answered(query: ReadQuery, wired: Services, reader: ScopedReader) -> bytes:
    settings = wired.queries.settings
    if query.end_ms < query.start_ms:
        return b""
    ask = Ask(query.matchers, Grid(query.end_ms), query.end_ms - query.start_ms + 1, "")
    deadline_s = wired.clock.monotonic_s() + settings.timeout.seconds
    budget = Budget(settings.samples_max, settings.series_max, settings.points_max, deadline_s)
    found = (await reader.gather([ask], budget))[ask].found
    assert isinstance(found, Ranges)
    return await wired.queries.threads.run(result, found)
