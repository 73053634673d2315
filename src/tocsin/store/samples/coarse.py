"""Window functions from roll-ups, for who allows approximation: over months, or where no raw samples are left.

A bucket counts as one sample at its end, so that windows of whole buckets hold what they would hold of raw samples, but
for one that lies exactly on an edge. Hours that are still open, and times for which raw samples are read anyhow, give
their samples as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tocsin.model.duration import HOUR_MS
from tocsin.model.series import FloatArray, IdArray
from tocsin.promql import windows
from tocsin.promql.ports import Answers, Ask, Budget, Gathered, Source
from tocsin.promql.values import BoolArray, Vector
from tocsin.store.samples.engine import IDS
from tocsin.store.samples.gathering import Selections, check_points, check_samples
from tocsin.store.samples.native import Columns, Shape
from tocsin.store.samples.rollup import FIVE_MINUTES_MS, RESOLUTIONS, Plan, Span
from tocsin.store.samples.schema import SAMPLES

NOTE = (
    "PromQL info: some values come from roll-ups of {resolution}: samples on the edge of a window may count in the next"
)
SLICE_ROWS = 1_000_000
_COUNT = Shape({"n": "UInt64"})


@dataclass(frozen=True, slots=True)
class Sources:
    """What stands for a raw sample's value and for a bucket's; `window` reduces both."""

    raw: str
    bucket: str
    window: str
    at_end: bool = True
    """Whether a bucket's moment is its end; otherwise that of its last sample."""


COLUMNS = {
    "max_over_time": Sources("samples.v", "high", "max_over_time"),
    "min_over_time": Sources("samples.v", "low", "min_over_time"),
    "sum_over_time": Sources("samples.v", "total", "sum_over_time"),
    "count_over_time": Sources("1.", "toFloat64(n)", "sum_over_time"),
    "last_over_time": Sources("samples.v", "last_v", "last_over_time", at_end=False),
    "newest": Sources("samples.v", "last_v", "newest", at_end=False),
}
AVG = "avg_over_time"

Read = Callable[[str, Shape, IdArray], Columns]


def gather(
    asks: Sequence[Ask],
    selections: Selections,
    parts: Callable[[IdArray, Ask], Sequence[tuple[Plan, IdArray]]],
    read: Read,
    budget: Budget,
    monotonic_s: Callable[[], float],
) -> Answers:
    """The asks for which roll-ups are read; `parts` plans that for series with rising ids.

    Raises LimitError where it is more than the budget allows.
    """
    answers: Answers = {}
    for ask in filter(fits, asks):
        found = selections.find(ask.matchers, budget.series_max)
        check_points(len(found.ids), ask.grid.count, budget.points_max)
        planned = parts(found.ids, ask)
        coarsest = max((plan.resolution for plan, _ in planned), key=RESOLUTIONS.index)
        if coarsest == RESOLUTIONS[0]:
            continue
        began_s, read_rows = monotonic_s(), 0
        values = np.zeros((len(found.ids), ask.grid.count))
        present = np.zeros(values.shape, np.bool_)
        for plan, ids in planned:
            rows = np.searchsorted(found.ids, ids)
            values[rows], present[rows], more = compute(read, ask, ids, plan, budget.samples_max - read_rows)
            read_rows += more
        source = Source("roll-ups", len(found.ids), read_rows, monotonic_s() - began_s, coarsest)
        vector = Vector(found.frame, values, present)
        answers[ask] = Gathered(vector, (source,), (NOTE.format(resolution=coarsest),))
    return answers


def fits(ask: Ask) -> bool:
    """Windows shorter than a bucket say nothing of it."""
    return (ask.function in COLUMNS or ask.function == AVG) and ask.range_ms >= FIVE_MINUTES_MS


def compute(read: Read, ask: Ask, ids: IdArray, plan: Plan, rows_max: int) -> tuple[FloatArray, BoolArray, int]:
    """values float64[series, moments], bool[…] and how many rows were read, of series with rising ids.

    Raises LimitError where those would be more than rows_max.
    """
    if ask.function == AVG:
        sums, present, read_for_sums = compute(read, replace(ask, function="sum_over_time"), ids, plan, rows_max)
        counts, _, more = compute(read, replace(ask, function="count_over_time"), ids, plan, rows_max)
        return np.divide(sums, counts, out=np.zeros_like(sums), where=present), present, read_for_sums + more
    columns = COLUMNS[ask.function]
    values = np.zeros((len(ids), ask.grid.count))
    present = np.zeros(values.shape, np.bool_)
    source = _source(columns, plan)
    counted = int(read(f"select count() as n from ({source})", _COUNT, ids)["n"][0]) if source else 0  # noqa: S608 - ours
    check_samples(counted, rows_max)
    size = max(1, len(ids) * SLICE_ROWS // max(counted, 1))
    for first in range(0, len(ids) if source else 0, size):
        some = ids[first : first + size]
        rows = read(f"select id, t, v from ({source}) order by id, t", SAMPLES, some)  # noqa: S608 - our own
        offsets = np.append(np.searchsorted(rows["id"], some), len(rows["id"])).astype(np.int64)
        windows.reduce_into(
            columns.window, offsets, rows["t"], rows["v"], ask.grid, ask.range_ms, values, present, row=first
        )
    return values, present, counted


def _source(columns: Sources, plan: Plan) -> str:
    """One select over all that is read; empty where that is nothing."""
    raw_moment = "samples.t"
    parts = [_part("samples", plan.raw, raw_moment, columns.raw, "")]
    for table, spans, length_ms in (
        ("rollup_5m", plan.five_minutes, FIVE_MINUTES_MS),
        ("rollup_1h", plan.hours, HOUR_MS),
    ):
        moment = f"{table}.t + {length_ms}" if columns.at_end else "last_t"
        parts.append(_part(table, spans, moment, columns.bucket, " and n > 0"))
    return " union all ".join(part for part in parts if part)


def _part(table: str, spans: Sequence[Span], moment: str, value: str, more: str) -> str:
    if not spans:
        return ""
    when = " or ".join(f"({table}.t >= {span.start_ms} and {table}.t < {span.end_ms})" for span in spans)
    return f"select id, {moment} as t, {value} as v from {table} final where id in {IDS} and ({when}){more}"  # noqa: S608
