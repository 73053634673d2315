"""Roll-ups: what each series did in every 5 minutes and every hour, computed from the raw samples.

Hours are the unit. An hour is *open* from just before a sample of it is committed until its buckets have been
computed again from all its raw samples; the engine keeps that mark, so that a crash forgets no hour. Open hours are
read raw, so that a read is right at any moment. Taking and closing hours happens on the write thread, between
commits: what was taken is wholly committed, and what comes while it is computed keeps its hour open.

A bucket is always computed as a whole, so it does not matter how often, and duplicates and late samples count
as they do in a raw read. Raw samples are forgotten by whole days and no bucket crosses one, so a bucket is computed
from all its samples or, once its day is gone, never again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tocsin.model.duration import DAY_MS, HOUR_MS, MINUTE_MS
from tocsin.model.series import IdArray, SampleBatch, TimeArray
from tocsin.store.samples.decimal import BITS, M_MAX
from tocsin.store.samples.engine import PARTS, Connection
from tocsin.store.samples.native import Shape
from tocsin.store.samples.schema import BUCKET_ROWS

FIVE_MINUTES_MS = 5 * MINUTE_MS
BLOCK_MS = 30 * DAY_MS
"""Roll-ups are dropped by so much at once."""

SETTLE_MS = MINUTE_MS
"""An hour is computed so long after its end, when the samples of its last seconds have come."""
LATE_IDS_MAX = 10_000
"""Series of an hour that are remembered one by one; where more came late, all are computed again."""
SLICE_SERIES_HOURS = 20_000
"""Series times hours in one statement: 240,000 buckets, some tens of megabytes in the engine."""
ROUND_S = 60.0
BUSY_ROUND_S = 1.0

CLOSED, OPEN, GONE = 0, 1, 2
"""What the engine keeps of an hour; GONE stands on the first hour of the last day whose raw samples were dropped."""

HOURS = Shape({"hour": "Int64", "state": "UInt64"})
_IDS = Shape({"id": "UInt64"})
_PARTS = Shape({"block": "String", "n": "UInt64"})

_HOURS_A_DAY = DAY_MS // HOUR_MS


@dataclass(frozen=True, slots=True)
class Span:
    """[start, end) in ms."""

    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Work:
    """Open hours of one day, next to each other, and the series of them to compute: None for all."""

    first: int
    last: int
    ids: IdArray | None

    @property
    def span(self) -> Span:
        return Span(self.first * HOUR_MS, (self.last + 1) * HOUR_MS)


@dataclass(slots=True)
class OpenHours:
    """Which hours are open, and for which series. Changed on the write thread alone.

    `spans` is replaced, never changed, so that reads may take it from their own threads.
    """

    hours: dict[int, IdArray | None] = field(default_factory=dict)
    first_kept: int = -(2**62)
    spans: tuple[Span, ...] = ()
    _taken: set[int] = field(default_factory=set)
    _work: Work | None = None

    def load(self, connection: Connection) -> None:
        rows = connection.read("select hour, state from rollup_hours final order by hour", HOURS)
        for hour, state in zip(rows["hour"].tolist(), rows["state"].tolist(), strict=True):
            if state == OPEN:
                self.hours[hour] = None
            elif state == GONE:
                self.first_kept = hour + _HOURS_A_DAY
        self.hours = {hour: ids for hour, ids in self.hours.items() if hour >= self.first_kept}
        self._note()

    def touch(self, connection: Connection, batch: SampleBatch, at_ms: int) -> None:
        """To be called before the samples are committed."""
        hours = batch.times // HOUR_MS
        live = at_ms // HOUR_MS - 1
        fresh: list[int] = []
        touched: dict[int, IdArray | None] = {}
        for hour, ids in _by_hour(hours, batch.ids):
            if hour < self.first_kept:
                continue
            known = hour in self.hours
            before = self.hours[hour] if known and hour not in self._taken else np.zeros(0, np.uint64)
            touched[hour] = None if hour >= live or before is None else _joined(before, ids)
            if not known:
                fresh.append(hour)
        if fresh:
            mark(connection, fresh, OPEN)
        for hour, ids_or_all in touched.items():
            self.hours[hour] = ids_or_all
            self._taken.discard(hour)
        if fresh:
            self._note()

    def take(self, until_hour: int) -> Work | None:
        """The oldest open hours before `until_hour`, at most one day of them. What was taken before and not finished is
        taken again."""
        self._give_back()
        due = sorted(hour for hour in self.hours if hour < until_hour)
        if not due:
            return None
        run = [due[0]]
        for hour in due[1:]:
            if hour != run[-1] + 1 or hour % _HOURS_A_DAY == 0:
                break
            run.append(hour)
        self._taken.update(run)
        ids: IdArray | None = np.zeros(0, np.uint64)
        for hour in run:
            more = self.hours[hour]
            ids = None if ids is None or more is None else _joined(ids, more)
        self._work = Work(run[0], run[-1], ids)
        return self._work

    def finish(self, connection: Connection, work: Work) -> None:
        """Close the hours of `work` that no sample has come to since it was taken."""
        done = [hour for hour in range(work.first, work.last + 1) if hour in self._taken]
        if done:
            mark(connection, done, CLOSED)
        for hour in done:
            del self.hours[hour]
            self._taken.discard(hour)
        self._work = None
        self._note()

    def _give_back(self) -> None:
        """It was not computed, or not wholly."""
        if self._work is None:
            return
        for hour in range(self._work.first, self._work.last + 1):
            if hour in self.hours:
                newer = self.hours[hour]
                self.hours[hour] = None if newer is None or self._work.ids is None else _joined(newer, self._work.ids)
        self._taken.clear()
        self._work = None

    def forget(self, connection: Connection, last_day: int) -> None:
        """Raw samples up to and with this day will be dropped: no bucket of theirs is computed again."""
        mark(connection, [last_day * _HOURS_A_DAY], GONE)
        self.first_kept = max(self.first_kept, (last_day + 1) * _HOURS_A_DAY)
        left = [hour for hour in self.hours if hour < self.first_kept]
        if left:
            mark(connection, [hour for hour in left if hour != last_day * _HOURS_A_DAY], CLOSED)
        for hour in left:
            del self.hours[hour]
            self._taken.discard(hour)
        self._note()

    def _note(self) -> None:
        spans: list[Span] = []
        for hour in sorted(self.hours):
            span = Span(hour * HOUR_MS, (hour + 1) * HOUR_MS)
            if spans and spans[-1].end_ms == span.start_ms:
                span = Span(spans.pop().start_ms, span.end_ms)
            spans.append(span)
        self.spans = tuple(spans)


def mark(connection: Connection, hours: Sequence[int], state: int) -> None:
    if hours:
        connection.insert("rollup_hours", HOURS, {"hour": hours, "state": [state] * len(hours)})


def _by_hour(hours: TimeArray, ids: IdArray) -> Iterator[tuple[int, IdArray]]:
    if hours.min() == hours.max():
        yield int(hours[0]), ids
        return
    order = np.argsort(hours, kind="stable")
    hours, ids = hours[order], ids[order]
    starts = np.flatnonzero(np.concatenate(([True], hours[1:] != hours[:-1])))
    for low, high in zip(starts.tolist(), [*starts[1:].tolist(), len(hours)], strict=True):
        yield int(hours[low]), ids[low:high]


def _joined(before: IdArray, ids: IdArray) -> IdArray | None:
    every = np.union1d(before, ids)
    return every if len(every) <= LATE_IDS_MAX else None


Gone = Callable[[int, IdArray], npt.NDArray[np.bool_]]
"""(day, ids): of which of these series the raw samples of that day are no longer complete."""


def remaining(connection: Connection, work: Work, gone: Gone) -> Work:
    """Without the series whose buckets must stay as they are."""
    ids = _ids_of(connection, work)
    return replace(work, ids=ids[~gone(work.first // _HOURS_A_DAY, ids)])


def slices(connection: Connection, work: Work) -> list[IdArray]:
    """The series of `work`, as many to a statement as one may have."""
    ids = _ids_of(connection, work)
    size = max(1, SLICE_SERIES_HOURS // (work.last - work.first + 1))
    return [ids[at : at + size] for at in range(0, len(ids), size)]


def _ids_of(connection: Connection, work: Work) -> IdArray:
    ids = work.ids
    if ids is None:
        span = work.span
        ids = connection.read(
            f"select distinct id from samples where t >= {span.start_ms} and t < {span.end_ms} order by id",  # noqa: S608 - integers
            _IDS,
        )["id"]
    return ids


def compute(connection: Connection, work: Work, ids: IdArray) -> None:
    """Buckets of these series from raw samples. One of NaN alone is kept with n = 0: it may replace another."""
    span = work.span
    low, high = int(ids[0]), int(ids[-1])
    chosen = f"id >= {low} and id <= {high}" if work.ids is None else f"id in ({','.join(map(str, ids.tolist()))})"
    within = f"{chosen} and t >= {span.start_ms} and t < {span.end_ms}"
    real = "not isNaN(v)"
    _insert_buckets(
        connection,
        "rollup_5m",
        f"select id, at - positiveModulo(at, {FIVE_MINUTES_MS}) as bucket, minIf(v, {real}) as low, "  # noqa: S608 - integers
        f"maxIf(v, {real}) as high, sumIf(v, {real}) as total, countIf({real}) as n, minIf(at, {real}) as first_t, "
        f"argMinIf(v, at, {real}) as first_v, maxIf(at, {real}) as last_t, argMaxIf(v, at, {real}) as last_v, "
        f"minIf(scale, {real}) as e_low, maxIf(scale, {real}) as e_high "
        f"from (select id, t as at, v, e as scale from samples final where {within}) group by id, bucket",
    )
    _insert_buckets(
        connection,
        "rollup_1h",
        f"select id, at - positiveModulo(at, {HOUR_MS}) as bucket, minIf(b_low, some) as low, "  # noqa: S608 - integers
        "maxIf(b_high, some) as high, sumIf(b_total, some) as total, sum(b_n) as n, minIf(b_first_t, some) as first_t, "
        "argMinIf(b_first_v, b_first_t, some) as first_v, maxIf(b_last_t, some) as last_t, "
        "argMaxIf(b_last_v, b_last_t, some) as last_v, minIf(scale, some) as e_low, maxIf(scale, some) as e_high "
        "from (select id, t as at, low as b_low, high as b_high, total as b_total, n as b_n, first_t as b_first_t, "
        "first_v as b_first_v, last_t as b_last_t, last_v as b_last_v, e as scale, n > 0 as some "
        f"from rollup_5m final where {within}) group by id, bucket",
    )


def _insert_buckets(connection: Connection, table: str, grouped: str) -> None:
    """Values with the exponent that all their samples had, unless the sum would be too large for it: see `decimal`."""
    common = f"e_low = e_high and e_low < {BITS} and abs(total) * intExp10(e_low) < {M_MAX}"
    connection.run(
        f"insert into {table} ({BUCKET_ROWS.names}) "  # noqa: S608 - our own words
        f"select id, bucket, e, {_packed('low')}, {_packed('high')}, {_packed('total')}, n, "
        f"first_t, {_packed('first_v')}, last_t, {_packed('last_v')} "
        f"from (select *, toInt8(multiIf(n = 0, 0, {common}, e_low, {BITS})) as e from ({grouped})) "
        "settings do_not_merge_across_partitions_select_final = 1"
    )


def _packed(value: str) -> str:
    return f"if(e = {BITS}, reinterpretAsInt64({value}), toInt64(round({value} * intExp10(e))))"


def drop_past(connection: Connection, table: str, cut_ms: int) -> int:
    """Drop the blocks that lie wholly before `cut_ms`; returns how many buckets went with them."""
    rows = connection.read(
        f"select partition_id as block, sum(rows) as n from {PARTS} where table = '{table}' group by partition_id",  # noqa: S608 - our own table
        _PARTS,
    )
    stored = {int(block): int(n) for block, n in zip(rows["block"], rows["n"].tolist(), strict=True)}
    past = {block: n for block, n in stored.items() if (block + 1) * BLOCK_MS <= cut_ms}
    if past:
        connection.run(f"alter table {table} " + ", ".join(f"drop partition id '{block}'" for block in sorted(past)))
    return sum(past.values())


@dataclass(frozen=True, slots=True)
class Kept:
    """From when on each resolution may be read, in ms."""

    raw_ms: int
    five_minutes_ms: int
    hours_ms: int


RESOLUTIONS = ("raw", "5m", "1h")
"""As answers say them, from the finest to the coarsest."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Which spans of an answer are read from which table, without overlap."""

    raw: tuple[Span, ...]
    five_minutes: tuple[Span, ...] = ()
    hours: tuple[Span, ...] = ()

    @property
    def resolution(self) -> str:
        return "1h" if self.hours else "5m" if self.five_minutes else "raw"


CHEAP_MS = 6 * HOUR_MS
"""So short a time is read raw at any step."""
SPANS_MAX = 64
"""Where raw is kept, more open spans than this are read raw as one, with what lies between them."""


def plan(asked: Span, step_ms: int, kept: Kept, opened: Sequence[Span]) -> Plan:
    """Where each part of an answer comes from.

    Raw for steps under 5 minutes, and where raw is kept for the whole time and the time is short or the step is no
    multiple of a bucket. Otherwise the coarsest roll-up that fits the step, and raw for open hours and for the edges
    that are no whole buckets. Where that roll-up is no longer kept, the finest of what is. Where a bucket must be
    read for a step that it does not fit, it counts in the step in which it begins.
    """
    raw_all = Plan(_within([asked], Span(kept.raw_ms, asked.end_ms)))
    covered = asked.start_ms >= kept.raw_ms
    short = asked.end_ms - asked.start_ms <= CHEAP_MS or step_ms % FIVE_MINUTES_MS != 0
    if step_ms < FIVE_MINUTES_MS or (covered and short):
        return raw_all
    fine = step_ms % HOUR_MS != 0
    bucket_ms = FIVE_MINUTES_MS if fine else HOUR_MS
    start_ms, end_ms = _up(asked.start_ms, bucket_ms), asked.end_ms // bucket_ms * bucket_ms
    hours_from = _up(max(start_ms, kept.hours_ms), HOUR_MS)
    five_from, raw_from = (max(start_ms, _up(kept_ms, HOUR_MS)) for kept_ms in (kept.five_minutes_ms, kept.raw_ms))
    raw_hour = kept.raw_ms // HOUR_MS * HOUR_MS  # what is open before it waits for samples of other series
    touched = _within(opened, Span(max(asked.start_ms // HOUR_MS * HOUR_MS, raw_hour), asked.end_ms))
    busy = _coarse(touched, kept.raw_ms)
    if fine:  # 5 minutes as far back as there are, before them raw, before that hours
        five = _without([Span(five_from, end_ms)], busy)
        hours = _without([Span(hours_from, min(five_from, raw_from, end_ms) // HOUR_MS * HOUR_MS)], busy)
    else:
        hours = _without([Span(hours_from, end_ms)], busy)
        five = _without([Span(five_from, min(hours_from, raw_from, end_ms))], busy)
    raw = _within(_without([asked], (*hours, *five)), Span(kept.raw_ms, asked.end_ms))
    return Plan(raw, five, hours)


def _up(at_ms: int, to_ms: int) -> int:
    return -(-at_ms // to_ms) * to_ms


def _coarse(spans: Sequence[Span], raw_ms: int) -> Sequence[Span]:
    """Joined only where raw is kept: what lies between them is then read raw too."""
    older = [span for span in spans if span.start_ms < raw_ms]
    newer = spans[len(older) :]
    return spans if len(newer) <= SPANS_MAX else [*older, Span(newer[0].start_ms, newer[-1].end_ms)]


def _within(spans: Sequence[Span], limit: Span) -> tuple[Span, ...]:
    cut = (Span(max(span.start_ms, limit.start_ms), min(span.end_ms, limit.end_ms)) for span in spans)
    return tuple(span for span in cut if span.start_ms < span.end_ms)


def _without(spans: Sequence[Span], holes: Sequence[Span]) -> tuple[Span, ...]:
    left = list(spans)
    for hole in holes:
        left = [
            part
            for span in left
            for part in (
                Span(span.start_ms, min(span.end_ms, hole.start_ms)),
                Span(max(span.start_ms, hole.end_ms), span.end_ms),
            )
            if part.start_ms < part.end_ms
        ]
    return tuple(span for span in left if span.start_ms < span.end_ms)


class RollsUp(Protocol):
    async def roll_up(self) -> bool:
        """One round of bounded work; whether more is due."""
        ...


class RollUpLoop:
    def __init__(self, store: RollsUp) -> None:
        self._store = store

    async def run(self) -> None:
        while True:
            more = await self._store.roll_up()
            await asyncio.sleep(BUSY_ROUND_S if more else ROUND_S)
