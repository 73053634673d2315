"""Forgetting: whole days that lie past the retention are dropped."""

from __future__ import annotations

from tocsin.model.duration import DAY_MS
from tocsin.store.samples.engine import PARTS, Connection
from tocsin.store.samples.native import Shape

DROPS_AT_ONCE = 100
"""Days in one statement. A thousand took 0.8 s, for which no insert could run."""

_DAYS = Shape({"day": "String", "n": "UInt64"})


def last_day_past(cut_ms: int) -> int:
    """The newest day that lies wholly before `cut_ms`, the oldest time that is kept."""
    return cut_ms // DAY_MS - 1


def days_past(connection: Connection, cut_ms: int) -> dict[int, int]:
    """Stored rows of each day that lies wholly before `cut_ms`."""
    rows = connection.read(
        f"select partition_id as day, sum(rows) as n from {PARTS} where table = 'samples' group by partition_id",  # noqa: S608 - our own table
        _DAYS,
    )
    days = {int(day): int(count) for day, count in zip(rows["day"], rows["n"].tolist(), strict=True)}
    newest = last_day_past(cut_ms)
    return {day: count for day, count in sorted(days.items()) if day <= newest}
