"""Samples in, and the numbers behind the charts out."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import Query, Response

from tocsin.api.deps import Reader, Wired
from tocsin.api.description import family
from tocsin.api.errors import problem
from tocsin.api.paging import AskedPage, page_of
from tocsin.api.push import Push
from tocsin.api.samples import aligned, check_points, encode_steps, selector, step_of, window
from tocsin.api.shapes import samples as shapes
from tocsin.ingest.rows import Appended
from tocsin.ingest.wire import json_push
from tocsin.model.duration import DAY_MS
from tocsin.model.labels import Labels
from tocsin.model.series import MetricInfo, SeriesBlock

router = family("metrics")

JSON = "application/json"
PARSED_AT_ONCE_MAX = 256 * 1024
"""Bytes that are parsed on the loop, in about 4 ms; more go to a thread."""

NEWEST_WITHIN_MS = DAY_MS
"""How far back the newest value of a series is looked for."""

Match = Annotated[
    list[str] | None, Query(description='a matcher such as `mount="/"` or `device=~"sd.*"`; may be repeated')
]

_PUSH_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "oneOf": [
                        {"$ref": "#/components/schemas/Sample"},
                        {"type": "array", "items": {"$ref": "#/components/schemas/Sample"}},
                    ]
                }
            }
        },
    }
}


@router.post(
    "/api/metrics",
    response_model=shapes.Stored,
    openapi_extra=_PUSH_BODY,
)
async def push_samples(push: Push) -> Response:
    """Store one sample or a list. When it is answered the samples are durable and the rules have seen them."""
    body = await push.body()
    rows, refused = await push.parse(PARSED_AT_ONCE_MAX, json_push.parse, body, push.now_ms(), push.limits)
    done = await push.append(rows, "push", refused)
    return _told(done)


def _told(done: Appended) -> Response:
    """400 with the same fields, as a problem, where nothing could be stored."""
    rejected = [{"index": one.index, "reason": one.reason} for one in done.rejected]
    if rejected and not done.stored:
        return problem(400, f"Nothing was stored. {done.rejected[0].reason}", stored=0, rejected=rejected)
    return Response(msgspec.json.encode({"stored": done.stored, "rejected": rejected}), media_type=JSON)


@router.get("/api/metrics")
async def list_metrics(reader: Reader, asked: AskedPage) -> shapes.MetricList:
    """Every metric that has series, by name."""
    page = page_of(await reader.metrics(), lambda info: info.name, asked)
    items = [_metric(info, await reader.count(selector(info.name, ()))) for info in page.items]
    return shapes.MetricList(items=items, next=page.next)


def _metric(info: MetricInfo, series: int) -> shapes.Metric:
    return shapes.Metric(name=info.name, unit=info.unit, kind=info.kind, help=info.help, series=series)


@router.get("/api/metrics/series")
async def list_series(
    wired: Wired,
    reader: Reader,
    asked: AskedPage,
    name: str | None = None,
    match: Match = None,
) -> shapes.SeriesList:
    """The series that fit, each with its newest value of the last 24 hours."""
    matchers = selector(name, match or ())
    # a metric may have tens of thousands of series; sorting those would hold the loop
    found = await wired.offload.run(sorted, await reader.series(matchers), key=str)
    page = page_of(found, str, asked)
    block = await reader.latest(matchers, wired.clock.now_ms() - NEWEST_WITHIN_MS)
    newest = await wired.offload.run(_newest, block)
    items = [
        shapes.Series(name=labels.name, labels=labels.tags, time=time, value=value)
        for labels in page.items
        for time, value in [newest.get(labels, (None, None))]
    ]
    return shapes.SeriesList(items=items, next=page.next)


def _newest(block: SeriesBlock) -> dict[Labels, tuple[int | None, float | None]]:
    return {labels: (int(times[-1]), float(values[-1])) for labels, times, values in block if len(times)}


@router.get("/api/metrics/range", response_model=shapes.Range)
async def read_range(
    wired: Wired,
    reader: Reader,
    *,
    name: str | None = None,
    match: Match = None,
    start: Annotated[str | None, Query(description="RFC 3339 or epoch seconds; an hour before `end`")] = None,
    end: Annotated[str | None, Query(description="RFC 3339 or epoch seconds; now")] = None,
    step: Annotated[str | None, Query(description="such as `30s`; about 300 steps")] = None,
) -> Response:
    """Minimum, average and maximum of each step of a time, for each series that fits."""
    matchers = selector(name, match or ())
    start_ms, end_ms = window(start, end, wired.clock.now_ms())
    step_ms = step_of(step, end_ms - start_ms)
    check_points(await reader.count(matchers), end_ms - start_ms, step_ms)
    block = await reader.steps(matchers, *aligned(start_ms, end_ms, step_ms), step_ms)
    return Response(await encode_steps(block), media_type=JSON)
