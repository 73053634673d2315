"""What samples and roll-ups take of the disk."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tocsin.api.shapes.base import Shape
from tocsin.api.times import rfc3339
from tocsin.model import retention
from tocsin.store import budget as disk_budget


class StoredTable(Shape):
    resolution: Literal["raw", "five_minutes", "hours"]
    rows: int = Field(description="samples or buckets, duplicates included until they are merged")
    bytes: int
    since: str | None = Field(description="the start of the oldest day or block of days; null where there is nothing")


class BudgetDrop(Shape):
    """What was dropped before its time."""

    at: str
    why: str
    samples: int
    buckets: int
    bytes: int
    until: str = Field(description="everything dropped was older")


class DiskUse(Shape):
    tables: list[StoredTable]
    used: int = Field(description="bytes of samples and roll-ups")
    budget: int | None = Field(description="bytes that they may take; null: no limit but the disk's")
    total: int | None = Field(description="bytes of the disk; null where the samples are on a server")
    free: int | None
    free_min: int = Field(description="bytes that must stay free")
    last_drop: BudgetDrop | None

    @classmethod
    def of(cls, use: disk_budget.DiskUse) -> DiskUse:
        last, space = use.last_drop, use.space
        return cls(
            tables=[_stored_table(use, resolution) for resolution in retention.Resolution],
            used=sum(one.bytes for one in use.stored),
            budget=use.budget,
            total=None if space is None else space.total,
            free=None if space is None else space.free,
            free_min=use.free_min,
            last_drop=None
            if last is None
            else BudgetDrop(
                at=rfc3339(last["at_ms"]),
                why=last["why"],
                samples=last["samples"],
                buckets=last["buckets"],
                bytes=last["bytes"],
                until=rfc3339(last["until_ms"]),
            ),
        )


def _stored_table(use: disk_budget.DiskUse, resolution: retention.Resolution) -> StoredTable:
    parts = [one for one in use.stored if one.table.resolution is resolution]
    return StoredTable(
        resolution=resolution.value,
        rows=sum(one.rows for one in parts),
        bytes=sum(one.bytes for one in parts),
        since=rfc3339(min(one.start_ms for one in parts)) if parts else None,
    )
