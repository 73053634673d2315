"""Reads: SQL in, blocks out. Runs on the threads of the read pool, never on the writer's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import TypeVar

import numpy as np

from tocsin.model.errors import LimitError, StoreError, TransientError
from tocsin.model.series import EMPTY_BLOCK, IdArray, SeriesBlock, StepBlock
from tocsin.promql.ports import Ask
from tocsin.store.samples import pushdown
from tocsin.store.samples.blocks import Grid, LabelsOf, check_points, series_block, step_block
from tocsin.store.samples.decimal import values_of
from tocsin.store.samples.engine import IDS, Connection
from tocsin.store.samples.gathering import TIMED_OUT, Computed, Sampler, Samples, check_samples
from tocsin.store.samples.native import Columns, Shape
from tocsin.store.samples.rollup import RESOLUTIONS, Plan, Span
from tocsin.store.samples.schema import ROWS, SAMPLES
from tocsin.store.samples.table import NEVER_LAST

T = TypeVar("T")

_COUNT = Shape({"n": "UInt64"})
_STEPS = Shape({"id": "UInt64", "k": "Int64", "low": "Float64", "mean": "Float64", "high": "Float64"})

_NEWEST = Shape({"n": "UInt64", "t": "Int64"})

FEW_SERIES = 32


class Pool:
    """Connections for reading, each used by one thread at a time."""

    def __init__(self, connections: Sequence[Connection]) -> None:
        self._size = len(connections)
        self._free: SimpleQueue[Connection | None] = SimpleQueue()
        for connection in connections:
            self._free.put(connection)

    def use(self, work: Callable[[Connection], T]) -> T:
        """Blocks the thread until a connection is free and the work is done. Raises StoreError once closed."""
        connection = self._free.get()
        if connection is None:
            self._free.put(None)
            raise StoreError("The sample store is closed.")
        try:
            return work(connection)
        finally:
            self._free.put(connection)

    def close(self) -> None:
        """Waits for the reads that are under way, then lets all later ones fail."""
        for _ in range(self._size):
            connection = self._free.get()
            if connection is not None:
                connection.close()
        self._free.put(None)


@dataclass(frozen=True, slots=True)
class Asked:
    """Samples of these series with start ≤ time < end."""

    ids: IdArray
    start_ms: int
    end_ms: int

    @property
    def empty(self) -> bool:
        return not len(self.ids) or self.end_ms <= self.start_ms

    @property
    def where(self) -> str:
        return f"id in {IDS} and t >= {self.start_ms} and t < {self.end_ms}"


def select(connection: Connection, asked: Sequence[Asked], points_max: int, labels_of: LabelsOf) -> SeriesBlock:
    """Every sample that is asked for, each series in one of `asked`. Raises LimitError where there are too many.

    Samples of many series are counted before they are fetched; the count is of rows before duplicates
    are removed, so that it can be read off the index of times. For few series the count would cost as much
    as the read itself (2.4 of 4.4 ms for one), so there the engine stops at the first row too many. Values are put
    together here rather than in the engine, which for one series takes 0.3 ms to understand the expression.
    """
    asked = [each for each in asked if not each.empty]
    if sum(len(each.ids) for each in asked) > FEW_SERIES:
        counted = 0
        for each in asked:
            sql = f"select count() as n from samples where {each.where}"  # noqa: S608 - integers
            counted += int(connection.read(sql, _COUNT, each.ids)["n"][0])
            check_points(counted, points_max)
    parts, fetched = [], 0
    for each in asked:
        limit = points_max - fetched + 1
        sql = f"select id, t, m, e from samples final where {each.where} order by id, t limit {limit}"  # noqa: S608 - integers
        if len(each.ids) == 1:  # on a busy machine waking a second thread takes longer than it saves
            sql += " settings max_threads = 1"
        rows = connection.read(sql, ROWS, each.ids)
        fetched += len(rows["id"])
        check_points(fetched, points_max)
        parts.append(rows)
    if not parts:
        return EMPTY_BLOCK
    rows = _by_id(parts, ROWS)
    return series_block(rows["id"], rows["t"], values_of(rows["m"], rows["e"]), labels_of)


def _by_id(parts: Sequence[Columns], shape: Shape) -> Columns:
    """Joined, in the order of ids; each part has that order already."""
    if len(parts) == 1:
        return parts[0]
    order = np.argsort(np.concatenate([part["id"] for part in parts]), kind="stable")
    return {name: np.concatenate([part[name] for part in parts])[order] for name in shape.types}


def newest_ms(connection: Connection) -> int:
    """No sample is later; the engine knows without reading any. Far in the past where there is none."""
    found = connection.read("select count() as n, max(t) as t from samples", _NEWEST)
    return int(found["t"][0]) if found["n"][0] else NEVER_LAST


SLICE_ROWS = 1_000_000
"""Rows that are read at once, 17 bytes each from the engine and as much again as times and values."""


@dataclass(frozen=True, slots=True)
class EngineSampler(Sampler):
    """Reads samples from the engine for `gathering`, which reduces each slice before the next one is read."""

    connection: Connection
    seconds_left: Callable[[], float | None]
    """What is left of the query's time; None is no limit but the settings'."""
    computes_from: int | None = None
    """So many samples are better computed on in the engine; None: it has not the functions of `pushdown`."""

    how = "engine"

    def computed(self, ask: Ask, ids: IdArray, after_ms: int, samples_max: int) -> Computed | None:
        if self.computes_from is None or len(ids) <= FEW_SERIES or not pushdown.fits(ask):
            return None
        where = f"id in {IDS} and t > {max(after_ms, ask.after_ms)} and t <= {ask.grid.end_ms}"
        counted = int(self.read(f"select count() as n from samples where {where}", _COUNT, ids)["n"][0])  # noqa: S608 - integers
        check_samples(counted, samples_max)
        if counted < self.computes_from:
            return None
        return Computed(*pushdown.compute(self.read, ask, ids, after_ms, counted), counted)

    def slices(self, ids: IdArray, after_ms: int, until_ms: int, samples_max: int) -> Iterator[tuple[int, Samples]]:
        if not len(ids) or until_ms <= after_ms:
            return
        size = len(ids)
        where = f"id in {IDS} and t > {after_ms} and t <= {until_ms}"
        if size > FEW_SERIES:
            counted = self.read(f"select count() as n from samples where {where}", _COUNT, ids)  # noqa: S608 - integers
            rows_in_all = int(counted["n"][0])
            check_samples(rows_in_all, samples_max)
            size = max(1, size * SLICE_ROWS // max(rows_in_all, 1))
        left = samples_max
        for first in range(0, len(ids), size):
            some = ids[first : first + size]
            sql = f"select id, t, m, e from samples final where {where} order by id, t limit {left + 1}"  # noqa: S608 - integers
            rows = self.read(sql, ROWS, some)
            left -= len(rows["id"])
            check_samples(samples_max - left, samples_max)
            offsets = np.append(np.searchsorted(rows["id"], some), len(rows["id"])).astype(np.int64)
            yield first, Samples(offsets, rows["t"], values_of(rows["m"], rows["e"]))

    def read(self, sql: str, shape: Shape, ids: IdArray) -> Columns:
        """Within the query's time."""
        # on a busy machine waking a second thread for one series takes longer than it saves
        settings = ["max_threads = 1"] if len(ids) == 1 else []
        if self.computes_from is not None:
            settings.append(pushdown.SETTING)
        left_s = self._seconds_left()
        if left_s is not None:
            settings.append(f"max_execution_time = {left_s:.3f}")
        try:
            return self.connection.read(f"{sql} settings {', '.join(settings)}" if settings else sql, shape, ids)
        except LimitError:
            self._seconds_left()  # where it was the query's time that ran out, that is said
            raise

    def _seconds_left(self) -> float | None:
        left_s = self.seconds_left()
        if left_s is not None and left_s <= 0:
            raise TransientError(TIMED_OUT)
        return left_s


def steps(
    connection: Connection, planned: Sequence[tuple[Plan, IdArray]], grid: Grid, labels_of: LabelsOf
) -> StepBlock:
    """Min, avg and max of the samples of each step, NaN (the stale marker is one) left out.

    Each series is in one of `planned`.
    """
    parts = [_steps(connection, plan, ids, grid) for plan, ids in planned if len(ids)]
    resolution = max((plan.resolution for plan, _ in planned), key=RESOLUTIONS.index)
    found = [part for part in parts if part is not None]
    if not found:
        empty = np.zeros((0, grid.count))
        return StepBlock((), grid.step_ms, grid.times, empty, empty, empty, resolution)
    rows = _by_id(found, _STEPS)
    block = step_block(grid, rows["id"], rows["k"], (rows["low"], rows["mean"], rows["high"]), labels_of)
    return replace(block, resolution=resolution)


def _steps(connection: Connection, plan: Plan, ids: IdArray, grid: Grid) -> Columns | None:
    parts = [
        _grouped("samples", plan.raw, "not isNaN(v)", "min(v), sum(v), count(), max(v)", grid.step_ms),
        _grouped("rollup_5m", plan.five_minutes, "n > 0", _BUCKETS, grid.step_ms),
        _grouped("rollup_1h", plan.hours, "n > 0", _BUCKETS, grid.step_ms),
    ]
    asked = [part for part in parts if part]
    if not asked:
        return None
    return connection.read(
        "select c1 as id, c2 as k, min(c3) as low, sum(c4) / sum(c5) as mean, max(c6) as high "  # noqa: S608 - integers
        f"from ({' union all '.join(asked)}) group by id, k order by id, k",
        _STEPS,
        ids,
    )


_BUCKETS = "min(low), sum(total), sum(n), max(high)"


def _grouped(table: str, spans: Sequence[Span], real: str, columns: str, step_ms: int) -> str:
    """Columns c1 to c6: id, number of the step, lowest, sum, count, highest; empty where nothing is asked."""
    if not spans:
        return ""
    when = " or ".join(f"(t >= {span.start_ms} and t < {span.end_ms})" for span in spans)
    low, total, count, high = columns.split(", ")
    return (
        f"select id as c1, intDiv(t, {step_ms}) - (t < 0 and t % {step_ms} != 0) as c2, "  # noqa: S608 - integers
        f"{low} as c3, {total} as c4, {count} as c5, {high} as c6 "
        f"from {table} final where id in {IDS} and ({when}) and {real} group by c1, c2"
    )


def latest(connection: Connection, since: Sequence[tuple[int, IdArray]], labels_of: LabelsOf) -> SeriesBlock:
    """The newest sample of each of these series with since ≤ time."""
    parts = [
        connection.read(
            f"select id, max(t) as t, argMax(v, samples.t) as v from samples final "  # noqa: S608 - integers
            f"where id in {IDS} and samples.t >= {since_ms} group by id order by id",
            SAMPLES,
            ids,
        )
        for since_ms, ids in since
        if len(ids)
    ]
    if not parts:
        return EMPTY_BLOCK
    rows = _by_id(parts, SAMPLES)
    return series_block(rows["id"], rows["t"], rows["v"], labels_of)
