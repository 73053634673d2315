"""From the journal into the engine: what was acknowledged is gathered here and inserted many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tocsin.model.duration import Duration
from tocsin.model.errors import StoreError
from tocsin.model.series import SampleBatch
from tocsin.runtime.clock import Clock
from tocsin.runtime.log import get_log
from tocsin.runtime.offload import Offload
from tocsin.runtime.telemetry import Telemetry
from tocsin.store.samples.journal import Journal, NewSeries

log = get_log("store")

RETRY_S = 1.0

Insert = Callable[[NewSeries, Sequence[SampleBatch]], None]


@dataclass(frozen=True, slots=True)
class Cut:
    """What was staged when a segment of the journal ended."""

    segment: int
    sequence: int
    series: NewSeries
    batches: Sequence[SampleBatch]
    rows: int


class Staging:
    """`commit` runs on the journal's thread, `insert` on the engine's; the rest belongs to the event loop.

    What is staged is flushed when there are `flush_rows` of it or the first is `flush_wait` old, when a read wants
    it, and at the close. A flush that failed is tried again with the same rows first, so that the order is kept.
    """

    def __init__(
        self,
        journal: Journal,
        insert: Insert,
        *,
        flush_wait: Duration,
        flush_rows: int,
        clock: Clock,
        telemetry: Telemetry,
        journaling: Offload,
        write: Offload,
    ) -> None:
        self._journal = journal
        self._insert = insert
        self._flush_wait = flush_wait
        self._flush_rows = flush_rows
        self._clock = clock
        self._journaling = journaling
        self._write = write
        self._series: list[tuple[int, str]] = []
        self._batches: list[SampleBatch] = []
        self._fresh_rows = 0
        self._sequence = 0
        self._cut: Cut | None = None
        self._flushed = 0
        self._task: asyncio.Task[StoreError | None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._failing = False
        self._behind = False  # what came while the engine took nothing waits for its turn
        self._closed = False
        self._flushes = telemetry.counter("store_flushes", "Flushes of the journal into the engine.", ["result"])
        self._seconds = telemetry.histogram("store_flush_seconds", "How long flushes take.")
        staged = telemetry.gauge("store_staged_samples", "Samples in the journal and not yet in the engine.")
        staged.set_function(lambda: self.rows)

    @property
    def rows(self) -> int:
        return self._fresh_rows + (self._cut.rows if self._cut else 0)

    def commit(self, series: NewSeries, batch: SampleBatch) -> None:
        """Returns when it is durable. Raises StoreError."""
        self._journal.append(series, batch)
        self._series += series
        self._batches.append(batch)
        self._fresh_rows += len(batch)
        self._sequence += 1

    def arrange(self) -> None:
        """See that what is staged will be flushed: to be called on the loop after commits."""
        if self._closed or self._busy or self._sequence == self._flushed:
            return
        if self._failing:
            self._flush_in(RETRY_S)
        elif self._fresh_rows >= self._flush_rows or self._behind:
            self._start()
        else:
            self._flush_in(self._flush_wait.seconds)

    async def flush(self) -> None:
        """Returns when all that was committed before is in the engine. Raises StoreError."""
        wanted = self._sequence
        while self._flushed < wanted:
            error = await asyncio.shield(self._start())  # others wait for the same flush
            if error is not None:
                raise StoreError(str(error), retry_after_s=RETRY_S)

    async def settle(self) -> None:
        """Flush for a read. While the engine takes nothing, reads go on without the newest samples."""
        if not self._failing:
            try:
                await self.flush()
            except StoreError:
                return  # logged, and tried again soon

    async def close(self) -> None:
        """Flush, and let go of the journal; what cannot be flushed now is at the next start."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        try:
            await self.flush()
        except StoreError as error:
            log.warning("samples stay in the journal until the next start", samples=self.rows, reason=str(error))
        finally:
            await self._journaling.run(self._journal.close)

    @property
    def _busy(self) -> bool:
        return self._task is not None and not self._task.done()

    def _flush_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is not None and self._timer.when() > loop.time() + seconds:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = loop.call_later(seconds, self._due)

    def _due(self) -> None:
        self._timer = None
        self._start()

    def _start(self) -> asyncio.Task[StoreError | None]:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._flush(), name="store flush")
            self._task.add_done_callback(lambda _: self.arrange())
        return self._task

    async def _flush(self) -> StoreError | None:
        began_s = self._clock.monotonic_s()
        try:
            if self._cut is None:
                self._cut = await self._journaling.run(self._take)
            await self._write.run(self._insert, self._cut.series, self._cut.batches)
        except Exception as error:  # whatever it was, readers must hear of it and the rows be tried again
            self._flushes.labels("failed").inc()
            failure = error if isinstance(error, StoreError) else StoreError(f"The sample store failed: {error}")
            if not self._failing:
                log.warning(
                    "the engine takes no samples; they wait in the journal",
                    reason=str(error),
                    exc_info=None if failure is error else error,
                )
            self._failing = True
            return failure
        if self._failing:
            log.info("the engine takes samples again")
        self._behind, self._failing = self._failing, False
        self._flushes.labels("flushed").inc()
        self._seconds.observe(self._clock.monotonic_s() - began_s)
        done, self._cut = self._cut, None
        self._flushed = done.sequence
        await self._journaling.run(self._journal.drop, done.segment)
        return None

    def _take(self) -> Cut:
        """On the journal's thread, between commits."""
        cut = Cut(self._journal.cut(), self._sequence, self._series, self._batches, self._fresh_rows)
        self._series, self._batches, self._fresh_rows = [], [], 0
        return cut


class Unstaged:
    """What `Staging` is, where there is no journal: a sample is acknowledged when it is in the engine."""

    rows = 0

    def __init__(self, insert: Insert) -> None:
        self._insert = insert

    def commit(self, series: NewSeries, batch: SampleBatch) -> None:
        """Returns when it is in the engine. Raises StoreError."""
        self._insert(series, [batch])

    def arrange(self) -> None:
        pass

    async def flush(self) -> None:
        pass

    async def settle(self) -> None:
        pass

    async def close(self) -> None:
        pass
