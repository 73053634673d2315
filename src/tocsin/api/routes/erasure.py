"""Deleting series for good. In bodies, not in paths: a path ends up in the logs of proxies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from tocsin.access.policy import Permission
from tocsin.api.deps import Caller, Wired, require
from tocsin.api.description import family
from tocsin.api.shapes import retention as shapes
from tocsin.model.errors import UserError
from tocsin.model.matcher import Matcher, parse_selector

router = family("metrics")

Admin = Annotated[Caller, require(Permission.SERIES_DELETE)]


@router.post("/api/series/delete/preview", dependencies=[require(Permission.SERIES_DELETE)])
async def preview_series_deletion(body: shapes.SeriesToDelete, wired: Wired) -> shapes.RetentionLoss:
    """What is kept of the series that fit any of the selectors: nothing is deleted."""
    lost = await wired.erasure.preview(_selectors(body.match))
    return shapes.RetentionLoss.of(lost.samples, lost.buckets, lost.series, approximate=lost.approximate)


@router.post("/api/series/delete")
async def delete_series(body: shapes.SeriesDeletion, wired: Wired, caller: Admin) -> shapes.RetentionLoss:
    """Delete series with all their samples and roll-ups. Answered when their bytes are off the disk: take a minute.

    `series` must be the number that the preview told; 409 where it is another by now.
    """
    lost = await wired.erasure.delete(_selectors(body.match), body.series, caller.actor)
    return shapes.RetentionLoss.of(lost.samples, lost.buckets, lost.series, approximate=lost.approximate)


def _selectors(texts: Sequence[str]) -> list[tuple[Matcher, ...]]:
    try:
        return [parse_selector(text) for text in texts]
    except UserError as error:
        raise UserError(str(error), field="match") from error
