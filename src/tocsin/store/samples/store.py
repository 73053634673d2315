"""The sample store: opens and closes its parts, and is the face that the ports ask for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import numpy as np

from tocsin.model.duration import DAY_MS, HOUR_MS, Duration
from tocsin.model.errors import LimitError, StoreError
from tocsin.model.labels import Labels
from tocsin.model.matcher import Matcher
from tocsin.model.retention import Lengths, Policy, Resolution
from tocsin.model.series import Cardinality, IdArray, MetricInfo, SampleBatch, SeriesBlock, StepBlock, TimeArray
from tocsin.promql.frame import LabelFrame
from tocsin.promql.ports import Answers, Ask, Budget
from tocsin.runtime.clock import Clock
from tocsin.runtime.log import get_log
from tocsin.runtime.offload import Offload
from tocsin.runtime.telemetry import Telemetry
from tocsin.store.samples import (
    catalog,
    coarse,
    dump,
    enforcement,
    erasing,
    gathering,
    layers,
    reader,
    retention,
    rollup,
)
from tocsin.store.samples.blocks import check_cells, check_series, grid
from tocsin.store.samples.cuts import InForce
from tocsin.store.samples.decimal import Exponents
from tocsin.store.samples.engine import PARTS, Connection
from tocsin.store.samples.engines import place_of
from tocsin.store.samples.gathering import seconds_left
from tocsin.store.samples.index import LabelIndex
from tocsin.store.samples.journal import NewSeries
from tocsin.store.samples.native import Columns, Shape
from tocsin.store.samples.opening import Parts, gathered, open_parts
from tocsin.store.samples.schema import METRICS, ROWS
from tocsin.store.samples.staging import Staging, Unstaged
from tocsin.store.samples.writer import GroupCommit, joined
from tocsin.store.settings import RetentionSettings, StoreSettings
from tocsin.store.vault import Vault

log = get_log("store")

T = TypeVar("T")

FORGOTTEN_AT_ONCE = 2_000
"""Series that are forgotten before others have a turn, in about 2 ms."""

WARM_MS = HOUR_MS
WARMED_AT_ONCE = 500
"""Series that are read into memory at once after the start, in about 0.1 s."""
SMALL_ASKS, SMALL_POINTS, SMALL_SPAN_MS = 20, 50_000, 200 * HOUR_MS
"""Asks, series times steps and series times milliseconds that are answered in about a millisecond."""

_ONE = Shape({"one": "UInt64"})
_SIZE = Shape({"rows": "UInt64", "bytes": "UInt64", "days": "UInt64"})


@dataclass(frozen=True, slots=True)
class SampleStats:
    """`samples` counts stored rows, duplicates included until the engine has merged them."""

    samples: int
    bytes: int
    series: int
    days: int


class SampleStore:
    """Samples in ClickHouse. Open it with `open`; all its coroutines belong to the loop that opened it.

    `write` and `journaling` must have one thread each, `read` as many as `settings.readers`. They stay the
    caller's to close.
    """

    def __init__(
        self,
        parts: Parts,
        settings: StoreSettings,
        kept: RetentionSettings,
        *,
        clock: Clock,
        telemetry: Telemetry,
        write: Offload,
        read: Offload,
        journaling: Offload,
    ) -> None:
        self._parts = parts
        self._index = parts.index
        self._selections = gathering.Selections(parts.index)
        self.newest: layers.Newest | None = None
        """What is held in memory; None where nothing is."""
        self._warming: asyncio.Task[None] | None = None
        self._metrics = parts.metrics
        self._settings = settings
        self.cuts = parts.cuts
        self.cuts.defaults = kept.lengths
        self._rolling = asyncio.Lock()
        self._exponents = Exponents()
        self._enforcer = enforcement.Enforcer(
            self.cuts,
            parts.enforced,
            lambda: parts.index.find(()),
            write=lambda work: write.run(work, parts.writing),
            read=lambda work: read.run(parts.pool.use, work),
            settle=self._settle,
            clock=clock,
            telemetry=telemetry,
        )
        self._clock = clock
        self._write = write
        self._read = read
        self._staging: Staging | Unstaged
        if parts.journal is None:
            self._staging = Unstaged(self._insert)
        else:
            self._staging = Staging(
                parts.journal,
                self._insert,
                flush_wait=settings.flush_wait,
                flush_rows=settings.flush_rows,
                clock=clock,
                telemetry=telemetry,
                journaling=journaling,
                write=write,
            )
        self._commit = GroupCommit(
            self._stage,
            # the journal is fast: what comes while it writes is the next batch
            wait=settings.commit_wait if parts.journal is None else Duration(0),
            batch_rows_max=settings.batch_rows_max,
            queue_rows_max=settings.queue_rows_max,
            clock=clock,
            offload=write if parts.journal is None else journaling,
            telemetry=telemetry,
            held=lambda: self._staging.rows,
            committed=self._staging.arrange,
        )
        self._known = telemetry.gauge("store_series", "Series in the index.")
        self._known.set_function(lambda: len(parts.index))
        self._telemetry = telemetry

    @classmethod
    async def open(
        cls,
        path: Path,
        settings: StoreSettings,
        kept: RetentionSettings,
        *,
        vault: Vault | None = None,
        clock: Clock,
        telemetry: Telemetry,
        write: Offload,
        read: Offload,
        journaling: Offload,
    ) -> Self:
        """Lock the path, bring its tables up to date, load the index and take what the journal holds.

        With a vault all that is written is encrypted.

        Raises UserError where the path is in use or was written by a newer tocsin, StoreError where the
        engine cannot open it.
        """
        parts = await write.run(open_parts, path, settings, vault)
        store = cls(
            parts, settings, kept, clock=clock, telemetry=telemetry, write=write, read=read, journaling=journaling
        )
        try:
            await write.run(store._replay)
            await write.run(store._begin_head)
        except BaseException:
            await write.run(parts.close)
            raise
        log.info(
            "sample store opened",
            at=place_of(path, settings),
            series=len(store._index),
            encrypted=vault is not None and not settings.url,
        )
        if store.newest is not None:
            store._warming = asyncio.create_task(store._warm(store.newest), name="store warming")
        return store

    async def close(self) -> None:
        """Commit what was accepted, then let go of the path."""
        if self._warming is not None:
            self._warming.cancel()
            await asyncio.gather(self._warming, return_exceptions=True)
        try:
            await self._commit.close()
            await self._staging.close()
        finally:
            await self._write.run(self._parts.close)  # a second time it is empty

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def intern(self, labels: Labels) -> int:
        """Raises LimitError where there is no room, ConflictError where two label sets share an id."""
        return self._index.intern(labels)

    def labels(self, series_id: int) -> Labels:
        return self._index.labels(series_id)

    @property
    def crowded(self) -> bool:
        """Whether the room for series is nearly used up."""
        return self._index.crowd() > 0

    @property
    def generation(self) -> int:
        """Changes when series were forgotten; ids that were remembered from before must be interned again."""
        return self._index.generation

    async def count(self, matchers: Sequence[Matcher]) -> int:
        return await self._read.run(self._index.count, matchers)

    async def series(
        self,
        matchers: Sequence[Matcher],
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 0,
        after: int | None = None,
    ) -> tuple[Labels, ...]:
        return await self._read.run(self._index.series, matchers, start_ms, end_ms, limit, after)

    async def label_names(
        self, matchers: Sequence[Matcher], start_ms: int | None = None, end_ms: int | None = None, limit: int = 0
    ) -> tuple[str, ...]:
        return await self._read.run(self._index.names, matchers, start_ms, end_ms, limit)

    async def label_values(
        self,
        name: str,
        matchers: Sequence[Matcher],
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 0,
    ) -> tuple[str, ...]:
        return await self._read.run(self._index.values, name, matchers, start_ms, end_ms, limit)

    async def frame(
        self,
        selectors: Sequence[Sequence[Matcher]],
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 0,
    ) -> LabelFrame:
        return await self._read.run(self._index.frame, selectors, start_ms, end_ms, limit)

    async def cardinality(self, most: int, matchers: Sequence[Matcher] = ()) -> Cardinality:
        return await self._read.run(self._index.cardinality, most, matchers)

    async def forget(self, ids: IdArray, lasts: TimeArray | None = None) -> int:
        """Series are found no more, now and after a restart; returns how many of them were known.

        With the times of their last samples, only those that have had none since.

        Their samples stay. The same labels may come again, and have the same id. A series whose samples are
        under way is alive again when they are committed. Raises StoreError.
        """
        await self._staging.flush()
        parts = []
        for at in range(0, len(ids), FORGOTTEN_AT_ONCE):
            some = slice(at, at + FORGOTTEN_AT_ONCE)
            parts.append(self._index.forget(ids[some], None if lasts is None else lasts[some]))
            self._let_go(parts[-1])
            await asyncio.sleep(0)
        gone = np.concatenate([ids[:0], *parts])
        if len(gone):
            await self._staging.flush()  # what was committed before it was forgotten is not to come later
            await self._write.run(self._bury, gone)
        return len(gone)

    async def fitting(self, selectors: Sequence[Sequence[Matcher]]) -> enforcement.Loss:
        """What is kept of the series that fit any of the selectors. Takes some seconds at most."""

        def count(connection: Connection) -> enforcement.Loss:
            ids = self._index.find_any(selectors)
            whole = [enforcement.Stretch(table, ids, -(2**62), 2**62) for table in enforcement.TABLES]
            lost = enforcement.loss(connection, whole if len(ids) else [], len(self._index))
            return replace(lost, series=len(ids))

        return await self._reading(count)

    async def erase(self, selectors: Sequence[Sequence[Matcher]]) -> int:
        """Series that fit any of the selectors, with all that is kept of them; returns how many there were.

        When it returns their bytes are off the disk. A series that is sent again starts anew; what is sent of it
        meanwhile may be lost. Where it is broken off it can be repeated: what finds the series goes last. Raises
        StoreError.
        """
        async with self._rolling, self._enforcer.alone():  # no bucket is computed from what is half gone
            await self._staging.flush()
            ids = await self._read.run(self._index.find_any, selectors)
            if not len(ids):
                return 0
            gone = self._index.forget(ids)
            await self._staging.flush()
            await self._write.run(self._begin_erasing, ids)
            await self._enforcer.finished(erasing.TABLES)
            await erasing.remove_old_parts(
                write=lambda work: self._write.run(work, self._parts.writing),
                read=lambda work: self._read.run(self._parts.pool.use, work),
            )
            await self._write.run(enforcement.clear_doomed, self._parts.writing)
        return len(gone)

    def _begin_erasing(self, ids: IdArray) -> None:
        """On the write thread. The labels of series that have come back since stay."""
        erasing.begin(self._parts.writing, ids, self._index.forgotten(ids))
        self._let_go(ids)

    async def append(self, batch: SampleBatch) -> None:
        """Returns when every row is durable. Raises QueueFullError or StoreError."""
        await self._commit.append(batch)

    async def flush(self) -> None:
        """Returns when all that was acknowledged before is in the engine. Raises StoreError."""
        await self._staging.flush()

    async def describe(self, infos: Sequence[MetricInfo]) -> None:
        changed = updated(self._metrics, infos)
        if changed:
            await self._write.run(self._insert_metrics, tuple(changed.values()))
            self._metrics.update(changed)

    async def metrics(self) -> tuple[MetricInfo, ...]:
        return described(self._index, self._metrics)

    async def gather(self, asks: Sequence[Ask], budget: Budget) -> Answers:
        """The port of PromQL's engine: see `promql.ports.SeriesSource`."""

        def fetch(connection: Connection) -> Answers:
            engine = reader.EngineSampler(
                connection, lambda: seconds_left(budget, self._clock.monotonic_s), self._parts.computes_from
            )
            answers = self._coarsely(asks, engine, budget, now_ms) if budget.approximate else {}
            rest = [ask for ask in asks if ask not in answers]
            if self.newest is not None:
                with suppress(layers.NotHeldError):  # raised where something had to make way meanwhile
                    return answers | self._gather(rest, layers.LayeredSampler(self.newest, engine), budget, now_ms)
            return answers | self._gather(rest, engine, budget, now_ms)

        now_ms = self._clock.now_ms()
        if self.newest is not None and not budget.approximate:
            held = layers.HeadSampler(self.newest)
            with suppress(layers.NotHeldError):
                if self._small(asks):
                    return self._gather(asks, held, budget, now_ms)
                return await self._read.run(self._gather, asks, held, budget, now_ms)
        return await self._reading(fetch)

    def _gather(self, asks: Sequence[Ask], sampler: gathering.Sampler, budget: Budget, now_ms: int) -> Answers:
        return gathering.gather(
            asks, self._selections, self.cuts, sampler, budget, now_ms=now_ms, monotonic_s=self._clock.monotonic_s
        )

    def _coarsely(self, asks: Sequence[Ask], engine: reader.EngineSampler, budget: Budget, now_ms: int) -> Answers:
        """Those that are better answered from roll-ups."""

        def planned(lengths: Lengths, ask: Ask) -> rollup.Plan:
            span = rollup.Span(ask.after_ms + 1, ask.grid.end_ms + 1)
            return rollup.plan(span, ask.range_ms, kept_at(lengths, now_ms), self._parts.opened.spans)

        def parts(ids: IdArray, ask: Ask) -> list[tuple[rollup.Plan, IdArray]]:
            return self.cuts.parts(ids, lambda lengths: planned(lengths, ask))

        return coarse.gather(asks, self._selections, parts, engine.read, budget, self._clock.monotonic_s)

    def _small(self, asks: Sequence[Ask]) -> bool:
        """Whether to answer from memory takes about a millisecond at most: waking a thread takes nearly as long."""
        if self.cuts.rules.policies:
            return False
        weight = 0.0
        for ask in asks:
            series = self._selections.known(ask.matchers)
            if series is None:
                return False
            span_ms = series * (ask.grid.end_ms - ask.after_ms)
            weight += max(1 / SMALL_ASKS, series * ask.grid.count / SMALL_POINTS, span_ms / SMALL_SPAN_MS)
        return weight <= 1

    async def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> SeriesBlock:
        def fetch(connection: Connection) -> SeriesBlock:
            ids = self._index.find(matchers)
            check_series(len(ids), self._settings.read_series_max)
            parts = self.cuts.parts(ids, lambda lengths: max(start_ms, now_ms - lengths.raw_ms))
            asked = [reader.Asked(some, from_ms, end_ms) for from_ms, some in parts]
            return reader.select(connection, asked, self._settings.read_points_max, self._index.labels)

        now_ms = self._clock.now_ms()
        return await self._reading(fetch)

    async def steps(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int, step_ms: int) -> StepBlock:
        def fetch(connection: Connection) -> StepBlock:
            ids = self._index.find(matchers)
            check_series(len(ids), self._settings.read_series_max)
            check_cells(len(ids), wanted.count, self._settings.read_points_max)
            opened = self._parts.opened.spans
            parts = self.cuts.parts(ids, lambda lengths: rollup.plan(asked, step_ms, kept_at(lengths, now_ms), opened))
            return reader.steps(connection, parts, wanted, self._index.labels)

        wanted, asked = grid(start_ms, end_ms, step_ms), rollup.Span(start_ms, end_ms)
        now_ms = self._clock.now_ms()
        check_cells(1, wanted.count, self._settings.read_points_max)
        return await self._reading(fetch)

    async def latest(self, matchers: Sequence[Matcher], since_ms: int) -> SeriesBlock:
        def asked() -> list[tuple[int, IdArray]]:
            ids = self._index.find(matchers)
            check_series(len(ids), self._settings.read_series_max)
            return self.cuts.parts(ids, lambda lengths: max(since_ms, now_ms - lengths.raw_ms))

        def fetch(connection: Connection) -> SeriesBlock:
            return reader.latest(connection, asked(), self._index.labels)

        def held(newest: layers.Newest) -> SeriesBlock:
            return layers.latest(newest, asked(), self._index.labels)

        now_ms = self._clock.now_ms()
        if self.newest is not None:
            with suppress(layers.NotHeldError):
                return await self._read.run(held, self.newest)
        return await self._reading(fetch)

    async def keep(self, policies: tuple[Policy, ...]) -> None:
        """From now on nothing past these policies is returned, nor past the defaults where none of them fits."""
        before = self.cuts.rules.policies
        await self._read.run(self.cuts.keep, policies)
        if before and policies != before and self.newest is not None:
            await self._read.run(self.newest.head.clear)  # of what was past the old ones some is gone for good

    async def clean_up(self, at_ms: int) -> int:
        """Drop the days that are past for every series; returns how many stored samples went with them.

        What is to go is rolled up before, and buckets past their own retention are dropped too.
        """
        await self._staging.flush()
        past = await self._write.run(self._days_past, at_ms)
        days = list(past)
        if days:
            last_day = days[-1]
            async with self._rolling:
                while await self._roll_up((last_day + 1) * DAY_MS // HOUR_MS):
                    pass
                await self._write.run(self._parts.opened.forget, self._parts.writing, last_day)
        removed = 0
        for at in range(0, len(days), retention.DROPS_AT_ONCE):
            some = days[at : at + retention.DROPS_AT_ONCE]
            removed += await self._write.run(self._drop_days, some, at_ms)
        if removed:
            kept = str(Duration(self.cuts.raw_longest_ms))
            log.info("samples past their retention removed", samples=removed, days=len(days), retention=kept)
        for table in (enforcement.FIVE_MINUTES, enforcement.HOURS):
            buckets = await self._write.run(self._drop_buckets, table, at_ms)
            if buckets:
                log.info("roll-ups past their retention removed", table=table.name, buckets=buckets)
        await self._forget_silent(at_ms)
        return removed

    async def _forget_silent(self, at_ms: int) -> None:
        """Series with nothing left; where the index is nearly full, those that have but old roll-ups, oldest first."""
        silent = await self._silent(at_ms, lambda lengths: lengths.longest_ms)
        forgotten = await self.forget(*silent)
        if forgotten:
            log.info("series without samples forgotten", series=forgotten)
        crowd = self._index.crowd()
        crowded = 0
        if crowd:
            ids, lasts = await self._silent(at_ms, lambda lengths: lengths.raw_ms)
            crowded = await self.forget(ids[:crowd], lasts[:crowd])
        if crowded:
            log.warning(
                "series forgotten to make room: only roll-ups were left of them",
                series=crowded,
                setting="store.series_max",
            )
        gone_ms = at_ms - max(lengths.longest_ms for lengths in self.cuts.rules.lengths)
        await self._folding(partial(catalog.purge, day=gone_ms // DAY_MS))
        await self._read.run(self._index.compact, at_ms)

    async def _silent(self, at_ms: int, kept: Callable[[Lengths], int]) -> tuple[IdArray, TimeArray]:
        """Those without a sample so long, the longest silent first, and when they had their last.

        The engine is asked: others may write to it too. A sample that comes between the two looks takes its series
        off the list, one that comes later is seen by its time.
        """

        def look(connection: Connection) -> tuple[IdArray, TimeArray]:
            silent = self.cuts.silent(at_ms, kept, self._index.silent)
            if len(silent):
                self._index.load_spans(catalog.days(connection, silent))
            lasts = self._index.lasts(silent)
            still = np.isin(silent, self.cuts.silent(at_ms, kept, self._index.silent))
            return silent[still], lasts[still]

        return await self._reading(look)

    async def enforce(self, at_ms: int) -> enforcement.Removed:
        """One round of removing what is past its policy from partitions that hold other series too."""
        await self._staging.flush()
        return await self._enforcer.round(at_ms)

    async def preview(self, policies: tuple[Policy, ...]) -> enforcement.Loss:
        """What would no longer be kept with these in place of the present policies. Takes some seconds at most."""

        def count(connection: Connection) -> enforcement.Loss:
            ids = self._index.find(())
            before = self.cuts.in_force
            after = InForce(replace(before.rules, policies=policies), self.cuts.resolved(policies))
            return enforcement.loss(connection, enforcement.shortened(before, after, ids, now_ms), len(ids))

        now_ms = self._clock.now_ms()
        return await self._reading(count)

    async def partitions(self) -> tuple[enforcement.Partition, ...]:
        """What lies on the disk, the oldest first."""
        return tuple(await self._reading(enforcement.partitions))

    async def drop(self, some: Sequence[enforcement.Partition], at_ms: int) -> None:
        """These partitions, whatever the retention says. What past days hold is rolled up before where that works."""
        days = sorted(one.number for one in some if one.table is enforcement.RAW)
        if days and self.newest is not None:
            await self._read.run(self.newest.head.clear)
        over = [day for day in days if day < at_ms // DAY_MS]
        if over:
            async with self._rolling:
                try:
                    await self._staging.flush()
                    while await self._roll_up((over[-1] + 1) * DAY_MS // HOUR_MS):
                        pass
                except StoreError as error:  # as where there is no room left
                    log.warning("samples are dropped before they were rolled up", reason=str(error))
                await self._write.run(self._parts.opened.forget, self._parts.writing, over[-1])
        for table in enforcement.TABLES:
            numbers = [one.number for one in some if one.table is table]
            for at in range(0, len(numbers), retention.DROPS_AT_ONCE):
                batch = numbers[at : at + retention.DROPS_AT_ONCE]
                await self._write.run(enforcement.drop, self._parts.writing, table, batch)

    def _longest_ms(self, resolution: Resolution) -> int:
        """On the write thread: every series whose samples are stored is in the index by then."""
        in_force = self.cuts.in_force
        ids = self._index.find(()) if in_force.rules.policies else None
        if ids is None or not len(ids):
            return max(lengths.of(resolution) for lengths in in_force.rules.lengths)
        return int(in_force.lengths_ms(ids, resolution).max())

    def _days_past(self, at_ms: int) -> dict[int, int]:
        return retention.days_past(self._parts.writing, at_ms - self._longest_ms(Resolution.RAW))

    def _drop_days(self, days: Sequence[int], at_ms: int) -> int:
        """Those of them that are still past: a policy may have changed since."""
        past = self._days_past(at_ms)
        still = [day for day in days if day in past]
        if still:
            enforcement.drop(self._parts.writing, enforcement.RAW, still)
            self._parts.enforced.forget(self._parts.writing, enforcement.RAW, still[-1])
        return sum(past[day] for day in still)

    def _drop_buckets(self, table: enforcement.Table, at_ms: int) -> int:
        cut_ms = at_ms - self._longest_ms(table.resolution)
        buckets = rollup.drop_past(self._parts.writing, table.name, cut_ms)
        if buckets:
            self._parts.enforced.forget(self._parts.writing, table, cut_ms // table.part_ms - 1)
        return buckets

    async def roll_up(self) -> bool:
        """Compute the buckets of hours that are over, at most of one day; whether there may be more to do."""
        await self._staging.flush()
        async with self._rolling:
            return await self._roll_up((self._clock.now_ms() - rollup.SETTLE_MS) // HOUR_MS)

    async def _roll_up(self, until_hour: int) -> bool:
        work = await self._write.run(self._parts.opened.take, until_hour)
        if work is None:
            return False
        enforced, some = self._parts.enforced, work
        if enforced.touched(work.span.start_ms // DAY_MS):
            some = await self._folding(partial(rollup.remaining, work=work, gone=enforced.gone))
        for ids in await self._folding(partial(rollup.slices, work=some)):
            await self._folding(partial(rollup.compute, work=some, ids=ids))
        await self._write.run(self._parts.opened.finish, self._parts.writing, work)
        return True

    async def _settle(self, until_hour: int, work: Callable[[], Awaitable[bool]]) -> bool:
        """What `work` returns, done when all these hours are rolled up and before anything else is."""
        async with self._rolling:
            while await self._roll_up(until_hour):
                pass
            return await work()

    async def _folding(self, fold: Callable[[Connection], T]) -> T:
        return await self._read.run(self._parts.folding.use, fold)

    async def stored(self, table: str) -> list[dump.StoredPart]:
        """What a backup has to read of it: see `dump`."""
        return await self._folding(lambda connection: dump.parts(connection, table))

    async def dump(self, piece: dump.Piece) -> tuple[Columns, dump.Piece | None]:
        return await self._folding(lambda connection: dump.read(connection, piece))

    async def check(self) -> None:
        """Raises StoreError where the engine does not answer."""
        await self._read.run(
            self._parts.pool.use, lambda connection: connection.read("select toUInt64(1) as one", _ONE)
        )

    async def stats(self) -> SampleStats:
        def fetch(connection: Connection) -> SampleStats:
            size = connection.read(
                "select sum(rows) as rows, sum(bytes_on_disk) as bytes, uniqExact(partition_id) as days "  # noqa: S608
                f"from {PARTS} where table = 'samples'",
                _SIZE,
            )
            rows, used, days = (int(size[name][0]) for name in ("rows", "bytes", "days"))
            return SampleStats(rows, used, len(self._index), days)

        return await self._reading(fetch)

    async def merge(self) -> None:
        """Merge every day into its final form now: for tests and benchmarks, as the engine does it by itself."""
        await self._staging.flush()
        await self._write.run(self._parts.writing.run, "optimize table samples final")

    async def _reading(self, fetch: Callable[[Connection], T]) -> T:
        await self._staging.settle()
        return await self._read.run(self._parts.pool.use, fetch)

    def _stage(self, batch: SampleBatch) -> None:
        """On the journal's thread, or the writer's where there is none. The series that are not yet kept go along, so
        that no sample is without its labels."""
        new = self._index.unsaved(batch.ids)
        self._staging.commit(new, batch)
        self._index.saved(new)
        if self.newest is not None:
            self.newest.commit(batch)
        self._index.touch(batch.ids, batch.times)

    def _let_go(self, ids: IdArray) -> None:
        if self.newest is not None:
            self.newest.forget(ids)

    def _begin_head(self) -> None:
        """On the write thread, after all that was acknowledged before has reached the engine."""
        if self._parts.journal is None or not self._settings.head_mb:  # where others write too it would not be all
            return
        opened_ms = reader.newest_ms(self._parts.writing)
        newest = self.newest = layers.Newest(self._index, self._settings.head_mb << 20, opened_ms)
        for name, doc, of in (
            ("series", "Series of which samples are held in memory.", lambda: len(newest.head)),
            ("samples", "Samples that are held in memory.", lambda: newest.head.samples),
            ("bytes", "Bytes of memory that they take.", lambda: newest.head.bytes),
            ("horizon_seconds", "Unix time below which samples had to make way.", lambda: newest.horizon_s),
        ):
            self._telemetry.gauge(f"store_head_{name}", doc).set_function(of)

    async def _warm(self, newest: layers.Newest) -> None:
        """What the engine has of the last hour is held in memory too: some series at a time, once."""
        from_ms = self._clock.now_ms() - WARM_MS
        ids = await self._read.run(self._index.find, (), from_ms)
        try:
            for at in range(0, len(ids), WARMED_AT_ONCE):
                if newest.crowded:
                    return
                some = ids[at : at + WARMED_AT_ONCE]
                await self._folding(partial(layers.warm, newest=newest, ids=some, from_ms=from_ms))
        except (StoreError, LimitError) as error:
            log.warning("samples of before the start stay on the disk alone", reason=str(error))

    def _insert(self, series: NewSeries, batches: Sequence[SampleBatch]) -> None:
        """On the write thread: the series before their samples."""
        if series:
            catalog.insert(self._parts.writing, series)
        if not batches:
            return
        batch = joined(batches)
        days = self._index.unkept(batch.ids, batch.times)
        if len(days):
            catalog.insert_days(self._parts.writing, days)
            self._index.kept(days)
        self._parts.opened.touch(self._parts.writing, batch, self._clock.now_ms())
        self._parts.writing.insert("samples", ROWS, self._exponents.encode(batch, self._clock.now_ms()))

    def _replay(self) -> None:
        """On the write thread, before anybody else: what was acknowledged and had not reached the engine."""
        journal, samples = self._parts.journal, 0
        if journal is None:
            return
        for series, batches in gathered(journal.replay(), self._settings.flush_rows):
            self._index.load((series_id, catalog.labels_of(text)) for series_id, text in series)
            self._insert(series, batches)
            for batch in batches:
                self._index.touch(batch.ids, batch.times)
            samples += sum(map(len, batches))
        journal.drop(journal.cut())
        if samples:
            log.info("samples taken from the journal", samples=samples)

    def _bury(self, ids: IdArray) -> None:
        """The newest row of an id counts. Those that came back before this thread got here keep theirs."""
        gone = self._index.forgotten(ids)
        if len(gone):
            catalog.bury(self._parts.writing, gone)

    def _insert_metrics(self, infos: Sequence[MetricInfo]) -> None:
        rows = {field: [getattr(info, field) for info in infos] for field in METRICS.types}
        self._parts.writing.insert("metrics", METRICS, rows)


def kept_at(lengths: Lengths, at_ms: int) -> rollup.Kept:
    return rollup.Kept(at_ms - lengths.raw_ms, at_ms - lengths.five_minutes_ms, at_ms - lengths.hours_ms)


def updated(known: dict[str, MetricInfo], infos: Sequence[MetricInfo]) -> dict[str, MetricInfo]:
    """What of it is news: the last word on each metric, an empty field changing nothing."""
    changed: dict[str, MetricInfo] = {}
    for info in infos:
        before = changed.get(info.name, known.get(info.name, MetricInfo(info.name, kind="")))
        after = replace(
            before, unit=info.unit or before.unit, kind=info.kind or before.kind, help=info.help or before.help
        )
        if after != known.get(info.name):
            changed[info.name] = after
        else:
            changed.pop(info.name, None)
    return changed


def described(index: LabelIndex, known: dict[str, MetricInfo]) -> tuple[MetricInfo, ...]:
    """Every metric that has series, by name."""
    return tuple(known.get(name, MetricInfo(name)) for name in index.values("__name__"))
