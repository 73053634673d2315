"""Which series there are: their names and labels, and what there are many of."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query

from tocsin.api.deps import Reader
from tocsin.api.description import family
from tocsin.api.listing import Listing
from tocsin.api.paging import AskedPage, cursor_after, cursor_of, page_of
from tocsin.api.shapes import cardinality as shapes

router = family("metrics")

MOST_MAX = 1_000

Asked = Annotated[Listing, Depends()]


@router.get("/api/series")
async def list_series_names(reader: Reader, asked: Asked, page: AskedPage) -> shapes.SeriesNames:
    """The series that fit, in the order of their ids."""
    found = await reader.series(*asked.selection(), page.limit + 1, cursor_after(page.cursor))
    items = [shapes.SeriesName(name=labels.name, labels=labels.tags) for labels in found[: page.limit]]
    more = len(found) > page.limit
    return shapes.SeriesNames(items=items, next=cursor_of(found[page.limit - 1].series_id()) if more else None)


@router.get("/api/series/stats")
async def show_series_stats(
    reader: Reader,
    limit: Annotated[int, Query(ge=1, le=MOST_MAX, description="how many of each kind")] = 20,
) -> shapes.SeriesStats:
    """How near the limits are, and what has the most series and values."""
    told = await reader.cardinality(limit)
    return shapes.SeriesStats(
        series=told.series,
        series_max=told.series_max,
        metric_series_max=told.metric_series_max,
        label_pairs=told.label_pairs,
        metrics=[shapes.CountedMetric(name=name, series=count) for name, count in told.metrics],
        labels=[shapes.CountedLabel(name=name, values=count) for name, count in told.labels],
        pairs=[shapes.CountedPair(name=name, value=value, series=count) for name, value, count in told.pairs],
    )


@router.get("/api/labels")
async def list_label_names(reader: Reader, asked: Asked, page: AskedPage) -> shapes.Texts:
    """The names of the labels of the series that fit; `__name__` is the metric's own name."""
    part = page_of(await reader.label_names(*asked.selection()), str, page)
    return shapes.Texts(items=list(part.items), next=part.next)


@router.get("/api/labels/{label:path}/values")
async def list_label_values(label: str, reader: Reader, asked: Asked, page: AskedPage) -> shapes.Texts:
    """The values that a label has among the series that fit."""
    part = page_of(await reader.label_values(label, *asked.selection()), str, page)
    return shapes.Texts(items=list(part.items), next=part.next)
