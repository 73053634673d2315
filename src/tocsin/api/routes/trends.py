"""Trends: is it rising, falling or flat?"""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from tocsin.api.deps import Reader, Wired
from tocsin.api.description import family
from tocsin.api.routes.metrics import Match
from tocsin.api.samples import selector
from tocsin.api.shapes import samples as shapes
from tocsin.api.trend import read_trend

router = family("metrics")

HOURS_MAX = 24 * 366


@router.get("/api/trends/{name:path}")
async def show_trend(
    name: str,
    wired: Wired,
    reader: Reader,
    hours: Annotated[float, Query(gt=0, le=HOURS_MAX, description="how far back")] = 24,
    match: Match = None,
) -> shapes.Trend:
    """The trend of a metric; where several series fit, that of their average."""
    found = await read_trend(reader, selector(name, match or ()), hours, wired.clock.now_ms(), wired.offload)
    trend = found.trend
    return shapes.Trend(
        name=name,
        hours=hours,
        trend=trend.direction.value,
        avg=trend.avg,
        min=trend.min,
        max=trend.max,
        slope_per_hour=trend.slope_per_hour,
        change=trend.change,
        samples=trend.samples,
        series=found.series,
    )
