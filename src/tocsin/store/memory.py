"""The memory twin of the sample store: the same surface on NumPy arrays, for tests and simulations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

import msgspec
import numpy as np

from tocsin.model.duration import DAY_MS, HOUR_MS
from tocsin.model.errors import StoreError
from tocsin.model.labels import Labels
from tocsin.model.matcher import Matcher
from tocsin.model.retention import Policy, Resolution
from tocsin.model.series import (
    Cardinality,
    FloatArray,
    IdArray,
    MetricInfo,
    SampleBatch,
    SeriesBlock,
    StepBlock,
    TimeArray,
)
from tocsin.promql.frame import LabelFrame
from tocsin.promql.ports import Answers, Ask, Budget
from tocsin.runtime.clock import Clock
from tocsin.store.samples.blocks import (
    Grid,
    check_cells,
    check_points,
    check_series,
    grid,
    series_block,
    step_block,
)
from tocsin.store.samples.cuts import Cuts, InForce
from tocsin.store.samples.dump import Piece, StoredPart
from tocsin.store.samples.enforcement import RAW, Loss, Partition, Removed, shortened
from tocsin.store.samples.gathering import Sampler, Samples, Selections, check_samples, gather
from tocsin.store.samples.index import LabelIndex
from tocsin.store.samples.native import Columns
from tocsin.store.samples.retention import last_day_past
from tocsin.store.samples.rollup import OPEN
from tocsin.store.samples.schema import METRICS
from tocsin.store.samples.store import SampleStats, described, updated
from tocsin.store.samples.writer import joined
from tocsin.store.settings import RetentionSettings, StoreSettings

BYTES_A_SAMPLE = 24


class MemorySampleStore:
    """Keeps samples while the process lives. Appending is one list entry; reading sorts what came since."""

    def __init__(
        self,
        settings: StoreSettings | None = None,
        kept: RetentionSettings | None = None,
        *,
        clock: Clock,
    ) -> None:
        self._settings = settings or StoreSettings()
        self._clock = clock
        self._index = LabelIndex(self._settings.series_max, self._settings.metric_series_max)
        self.cuts = Cuts((kept or RetentionSettings()).lengths, self._index.labels, self._index.find)
        self._selections = Selections(self._index)
        self._metrics: dict[str, MetricInfo] = {}
        self._fresh: list[SampleBatch] = []
        self._columns: dict[int, _Column] = {}
        self._closed = False

    async def close(self) -> None:
        self._closed = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def intern(self, labels: Labels) -> int:
        return self._index.intern(labels)

    def labels(self, series_id: int) -> Labels:
        return self._index.labels(series_id)

    @property
    def crowded(self) -> bool:
        return self._index.crowd() > 0

    @property
    def generation(self) -> int:
        return self._index.generation

    async def count(self, matchers: Sequence[Matcher]) -> int:
        return self._index.count(matchers)

    async def series(
        self,
        matchers: Sequence[Matcher],
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 0,
        after: int | None = None,
    ) -> tuple[Labels, ...]:
        return self._index.series(matchers, start_ms, end_ms, limit, after)

    async def label_names(
        self, matchers: Sequence[Matcher], start_ms: int | None = None, end_ms: int | None = None, limit: int = 0
    ) -> tuple[str, ...]:
        return self._index.names(matchers, start_ms, end_ms, limit)

    async def label_values(
        self,
        name: str,
        matchers: Sequence[Matcher],
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 0,
    ) -> tuple[str, ...]:
        return self._index.values(name, matchers, start_ms, end_ms, limit)

    async def frame(
        self,
        selectors: Sequence[Sequence[Matcher]],
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 0,
    ) -> LabelFrame:
        return self._index.frame(selectors, start_ms, end_ms, limit)

    async def cardinality(self, most: int, matchers: Sequence[Matcher] = ()) -> Cardinality:
        return self._index.cardinality(most, matchers)

    async def forget(self, ids: IdArray) -> int:
        return len(self._index.forget(ids))

    async def append(self, batch: SampleBatch) -> None:
        if self._closed:
            raise StoreError("The sample store is closing.")
        if len(batch):
            self._index.saved(self._index.unsaved(batch.ids))
            self._index.touch(batch.ids, batch.times)
            self._fresh.append(SampleBatch(batch.ids.copy(), batch.times.copy(), batch.values.copy()))

    async def describe(self, infos: Sequence[MetricInfo]) -> None:
        self._metrics.update(updated(self._metrics, infos))

    async def metrics(self) -> tuple[MetricInfo, ...]:
        return described(self._index, self._metrics)

    async def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> SeriesBlock:
        found = list(self._within(matchers, start_ms, end_ms))
        check_points(sum(len(times) for _, times, _ in found), self._settings.read_points_max)
        return self._block(found)

    async def gather(self, asks: Sequence[Ask], budget: Budget) -> Answers:
        self._settle()
        return gather(
            asks,
            self._selections,
            self.cuts,
            _MemorySampler(self._columns),
            budget,
            now_ms=self._clock.now_ms(),
            monotonic_s=self._clock.monotonic_s,
        )

    async def steps(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int, step_ms: int) -> StepBlock:
        wanted = grid(start_ms, end_ms, step_ms)
        check_cells(1, wanted.count, self._settings.read_points_max)
        found = list(self._within(matchers, start_ms, end_ms))
        check_cells(len(self._index.find(matchers)), wanted.count, self._settings.read_points_max)
        return self._stepped(found, wanted)

    async def latest(self, matchers: Sequence[Matcher], since_ms: int) -> SeriesBlock:
        found = self._within(matchers, since_ms, np.iinfo(np.int64).max)
        return self._block([(series_id, times[-1:], values[-1:]) for series_id, times, values in found])

    async def keep(self, policies: tuple[Policy, ...]) -> None:
        self.cuts.keep(policies)

    async def clean_up(self, at_ms: int) -> int:
        """Drop the days that are past for every series; returns how many samples went with them."""
        self._settle()
        ids = self._index.find(())
        longest_ms = int(self._raw_ms(ids).max()) if len(ids) else self.cuts.raw_longest_ms
        keep_from_ms = (last_day_past(at_ms - longest_ms) + 1) * DAY_MS
        removed = sum(column.drop_before(keep_from_ms) for column in self._columns.values())
        self._index.forget(self.cuts.silent(at_ms, lambda lengths: lengths.longest_ms, self._index.silent))
        crowd = self._index.crowd()
        self._index.forget(self.cuts.silent(at_ms, lambda lengths: lengths.raw_ms, self._index.silent)[:crowd])
        self._index.compact(at_ms)
        return removed

    async def enforce(self, at_ms: int) -> Removed:
        """Drop the days that are past for each series."""
        self._settle()
        ids = np.array(list(self._columns), np.uint64)
        keep_from = ((at_ms - self._raw_ms(ids)) // DAY_MS * DAY_MS).tolist() if self.cuts.rules.policies else ()
        return Removed(
            sum(self._columns[series_id].drop_before(from_ms) for series_id, from_ms in zip(ids.tolist(), keep_from))  # noqa: B905 - none without policies
        )

    async def preview(self, policies: tuple[Policy, ...]) -> Loss:
        self._settle()
        before, at_ms, ids = self.cuts.in_force, self._clock.now_ms(), self._index.find(())
        after = InForce(replace(before.rules, policies=policies), self.cuts.resolved(policies))
        samples, series = 0, set[int]()
        for stretch in shortened(before, after, ids, at_ms):
            for series_id in stretch.ids.tolist() if stretch.table is RAW else ():
                column = self._columns.get(series_id, _Column())
                low, high = np.searchsorted(column.times, (stretch.start_ms, stretch.end_ms)).tolist()
                samples += high - low
                series |= {series_id} if high > low else set()
        return Loss(samples, 0, len(series))

    async def partitions(self) -> tuple[Partition, ...]:
        self._settle()
        rows = Counter[int]()
        for column in self._columns.values():
            rows.update(column.by_day())
        return tuple(Partition(RAW, day, count, count * BYTES_A_SAMPLE) for day, count in sorted(rows.items()))

    async def fitting(self, selectors: Sequence[Sequence[Matcher]]) -> Loss:
        self._settle()
        ids = self._index.find_any(selectors).tolist()
        return Loss(sum(self._columns[one].size for one in ids if one in self._columns), 0, len(ids))

    async def erase(self, selectors: Sequence[Sequence[Matcher]]) -> int:
        self._settle()
        gone = self._index.forget(self._index.find_any(selectors))
        for series_id in gone.tolist():
            self._columns.pop(series_id, None)
        return len(gone)

    async def drop(self, some: Sequence[Partition], at_ms: int) -> None:  # noqa: ARG002 - the port's
        self._settle()
        for one in some:
            for column in self._columns.values():
                column.drop_between(one.start_ms, one.end_ms)

    def _raw_ms(self, ids: IdArray) -> TimeArray:
        return self.cuts.in_force.lengths_ms(ids, Resolution.RAW)

    async def roll_up(self) -> bool:
        """The twin answers from its samples, so there is nothing to do."""
        return False

    async def check(self) -> None:
        """Memory always answers."""

    async def stats(self) -> SampleStats:
        self._settle()
        samples = sum(column.size for column in self._columns.values())
        days = {day for column in self._columns.values() for day in column.by_day()}
        return SampleStats(samples, samples * BYTES_A_SAMPLE, len(self._index), len(days))

    async def merge(self) -> None:
        self._settle()

    async def flush(self) -> None:
        """What was appended is there."""

    async def stored(self, table: str) -> list[StoredPart]:
        """Samples by day, series and metrics; there are no roll-ups, so that every hour is open."""
        self._settle()
        counts: Counter[str] = Counter()
        if table == "samples":
            for column in self._columns.values():
                counts.update(map(str, (column.times // DAY_MS).tolist()))
        elif table == "rollup_hours":
            counts["all"] = len(self._hours())
        elif table in ("series", "series_days", "metrics"):
            counts["all"] = len(self._metrics if table == "metrics" else self._index)
        return [StoredPart(table, name, count, "") for name, count in sorted(counts.items()) if count]

    async def dump(self, piece: Piece) -> tuple[Columns, Piece | None]:
        self._settle()
        if piece.part.table == "metrics":
            known = sorted(self._metrics.values(), key=lambda info: info.name)
            return {field: [getattr(info, field) for info in known] for field in METRICS.types}, None
        if piece.part.table == "rollup_hours":
            hours = np.array(sorted(self._hours()), np.int64)
            return {"hour": hours, "state": np.full(len(hours), OPEN, np.uint64)}, None
        ids = [series_id for series_id in self._index.find(()).tolist() if piece.low <= series_id <= piece.high]
        if piece.part.table == "series":
            labels = [msgspec.json.encode(self._index.labels(series_id).as_dict()).decode() for series_id in ids]
            return {"id": np.array(ids, np.uint64), "labels": labels}, None
        if piece.part.table == "series_days":
            days = [self._columns[series_id].times[[0, -1]] // DAY_MS for series_id in ids]
            first, last = zip(*days, strict=True) if days else ((), ())
            return {"id": np.array(ids, np.uint64), "first": np.array(first), "last": np.array(last)}, None
        start_ms = int(piece.part.partition) * DAY_MS
        ids = [series_id for series_id in ids if series_id in self._columns and self._columns[series_id].size]
        parts = [(series_id, *self._columns[series_id].within(start_ms, start_ms + DAY_MS)) for series_id in ids]
        return {
            "id": np.repeat(np.array(ids, np.uint64), [len(times) for _, times, _ in parts]),
            "t": np.concatenate([np.zeros(0, np.int64), *(times for _, times, _ in parts)]),
            "v": np.concatenate([np.zeros(0), *(values for _, _, values in parts)]),
        }, None

    def _hours(self) -> set[int]:
        return {hour for column in self._columns.values() for hour in np.unique(column.times // HOUR_MS).tolist()}

    def _within(
        self, matchers: Sequence[Matcher], start_ms: int, end_ms: int
    ) -> Iterator[tuple[int, TimeArray, FloatArray]]:
        """The samples of the series that fit and have some, by id."""
        self._settle()
        ids = self._index.find(matchers)
        check_series(len(ids), self._settings.read_series_max)
        oldest = self._clock.now_ms() - self._raw_ms(ids)
        for series_id, oldest_ms in zip(ids.tolist(), oldest.tolist(), strict=True):
            column = self._columns.get(series_id)
            if column is None:
                continue
            low, high = np.searchsorted(column.times, (max(start_ms, oldest_ms), end_ms))
            if low < high:
                yield series_id, column.times[low:high], column.values[low:high]

    def _block(self, found: Sequence[tuple[int, TimeArray, FloatArray]]) -> SeriesBlock:
        ids = np.repeat(
            np.array([series_id for series_id, _, _ in found], np.uint64), [len(times) for _, times, _ in found]
        )
        times = np.concatenate([np.zeros(0, np.int64), *(times for _, times, _ in found)])
        values = np.concatenate([np.zeros(0), *(values for _, _, values in found)])
        return series_block(ids, times, values, self._index.labels)

    def _stepped(self, found: Sequence[tuple[int, TimeArray, FloatArray]], wanted: Grid) -> StepBlock:
        ids: list[np.uint64] = []
        ticks: list[TimeArray] = [np.zeros(0, np.int64)]
        columns: tuple[list[FloatArray], ...] = ([np.zeros(0)], [np.zeros(0)], [np.zeros(0)])
        for series_id, times, values in found:
            real = ~np.isnan(values)
            if not real.any():
                continue
            at, kept = times[real] // wanted.step_ms, values[real]
            starts = np.flatnonzero(np.concatenate(([True], at[1:] != at[:-1])))
            ids += [np.uint64(series_id)] * len(starts)
            ticks.append(at[starts])
            columns[0].append(np.minimum.reduceat(kept, starts))
            columns[1].append(np.add.reduceat(kept, starts) / np.diff(np.append(starts, len(at))))
            columns[2].append(np.maximum.reduceat(kept, starts))
        low, mean, high = (np.concatenate(column) for column in columns)
        return step_block(
            wanted, np.array(ids, np.uint64), np.concatenate(ticks), (low, mean, high), self._index.labels
        )

    def _settle(self) -> None:
        """Sort what came since the last read into its columns; a later sample replaces an earlier one."""
        if not self._fresh:
            return
        batch = joined(self._fresh)
        self._fresh = []
        order = np.lexsort((batch.times, batch.ids))
        ids, times, values = batch.ids[order], batch.times[order], batch.values[order]
        starts = np.flatnonzero(np.concatenate(([True], ids[1:] != ids[:-1])))
        for low, high in zip(starts.tolist(), [*starts[1:].tolist(), len(ids)], strict=True):
            self._columns.setdefault(int(ids[low]), _Column()).add(times[low:high], values[low:high])


class _Column:
    """One series: times rise, without duplicates. The arrays have room to grow at their end."""

    def __init__(self) -> None:
        self._times: TimeArray = np.zeros(0, np.int64)
        self._values: FloatArray = np.zeros(0)
        self.size = 0

    @property
    def times(self) -> TimeArray:
        return self._times[: self.size]

    @property
    def values(self) -> FloatArray:
        return self._values[: self.size]

    def within(self, start_ms: int, end_ms: int) -> tuple[TimeArray, FloatArray]:
        low, high = np.searchsorted(self.times, (start_ms, end_ms))
        return self.times[low:high], self.values[low:high]

    def by_day(self) -> dict[int, int]:
        """Samples of each day since 1970; the days in between are looked up, not every sample."""
        if not self.size:
            return {}
        days = np.arange(self.times[0] // DAY_MS, self.times[-1] // DAY_MS + 1)
        counts = np.diff(np.searchsorted(self.times, np.append(days, days[-1] + 1) * DAY_MS))
        return {int(day): int(count) for day, count in zip(days[counts > 0], counts[counts > 0], strict=True)}

    def add(self, times: TimeArray, values: FloatArray) -> None:
        """`times` do not fall; of equal ones the last counts."""
        last = np.concatenate((times[1:] != times[:-1], [True]))
        times, values = times[last], values[last]
        if self.size and times[0] <= self._times[self.size - 1]:
            times, values = _merged(self.times, self.values, times, values)
            self.size = 0
        self._reserve(self.size + len(times))
        self._times[self.size : self.size + len(times)] = times
        self._values[self.size : self.size + len(times)] = values
        self.size += len(times)

    def drop_before(self, at_ms: int) -> int:
        """How many were dropped."""
        gone = int(np.searchsorted(self.times, at_ms))
        if gone:
            self._times, self._values = self.times[gone:].copy(), self.values[gone:].copy()
            self.size -= gone
        return gone

    def drop_between(self, start_ms: int, end_ms: int) -> None:
        low, high = np.searchsorted(self.times, (start_ms, end_ms)).tolist()
        kept = np.r_[0:low, high : self.size]
        self._times, self._values, self.size = self.times[kept], self.values[kept], len(kept)

    def _reserve(self, size: int) -> None:
        if size > len(self._times):
            room = max(size, 2 * len(self._times), 64)
            self._times = np.concatenate((self.times, np.zeros(room - self.size, np.int64)))
            self._values = np.concatenate((self.values, np.zeros(room - self.size)))


@dataclass(frozen=True, slots=True)
class _MemorySampler(Sampler):
    columns: Mapping[int, _Column]

    how = "memory"

    def slices(self, ids: IdArray, after_ms: int, until_ms: int, samples_max: int) -> Iterator[tuple[int, Samples]]:
        empty = _Column()
        found = [self.columns.get(series_id, empty).within(after_ms + 1, until_ms + 1) for series_id in ids.tolist()]
        offsets = np.cumsum([0, *(len(times) for times, _ in found)]).astype(np.int64)
        check_samples(int(offsets[-1]), samples_max)
        times = np.concatenate([np.zeros(0, np.int64), *(times for times, _ in found)])
        values = np.concatenate([np.zeros(0), *(values for _, values in found)])
        yield 0, Samples(offsets, times, values)


def _merged(
    old_times: TimeArray, old_values: FloatArray, times: TimeArray, values: FloatArray
) -> tuple[TimeArray, FloatArray]:
    every = np.concatenate((old_times, times))
    order = np.argsort(every, kind="stable")
    every = every[order]
    last = np.concatenate((every[1:] != every[:-1], [True]))
    return every[last], np.concatenate((old_values, values))[order][last]
