"""Group commit: many callers' samples become one insert, and each caller returns when its rows are kept."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tocsin.model.duration import Duration
from tocsin.model.errors import QueueFullError, StoreError
from tocsin.model.series import SampleBatch
from tocsin.runtime.clock import Clock
from tocsin.runtime.log import get_log
from tocsin.runtime.offload import Offload
from tocsin.runtime.telemetry import Telemetry

log = get_log("store")

RETRY_AFTER_S = 1.0


@dataclass(slots=True)
class Waiting:
    batch: SampleBatch
    done: asyncio.Future[None]


class GroupCommit:
    """A queue of batches, drained by one insert at a time.

    An idle writer commits at once. A busy one starts its inserts `wait` apart, or earlier when
    `batch_rows_max` rows wait. The queue holds at most `queue_rows_max` rows, counted until they are
    committed, and with the `held` ones that are committed and still take memory; a batch that does not fit is
    refused and counted, never dropped. `committed` is called after each commit. One loop's callers only.
    """

    def __init__(
        self,
        commit: Callable[[SampleBatch], None],
        *,
        wait: Duration,
        batch_rows_max: int,
        queue_rows_max: int,
        clock: Clock,
        offload: Offload,
        telemetry: Telemetry,
        held: Callable[[], int] = lambda: 0,
        committed: Callable[[], None] = lambda: None,
    ) -> None:
        self._commit = commit
        self._held = held
        self._committed = committed
        self._wait = wait
        self._batch_rows_max = batch_rows_max
        self._queue_rows_max = queue_rows_max
        self._clock = clock
        self._offload = offload
        self._queue: deque[Waiting] = deque()
        self._queued_rows = 0
        self._committing_rows = 0
        self._enough = asyncio.Event()
        self._drain: asyncio.Task[None] | None = None
        self._started_s = -float("inf")
        self._closed = False
        self._rows = telemetry.counter("store_samples", "Samples committed.")
        self._commits = telemetry.counter("store_commits", "Commits of samples.", ["result"])
        self._refused = telemetry.counter("store_samples_refused", "Samples refused because the queue was full.")
        self._waiting = telemetry.gauge("store_queue_samples", "Samples that wait to be committed.")
        self._seconds = telemetry.histogram("store_commit_seconds", "How long commits take.")

    async def append(self, batch: SampleBatch) -> None:
        """Raises QueueFullError where there is no room, StoreError where the insert failed."""
        rows = len(batch)
        if not rows:
            return
        if self._closed:
            raise StoreError("The sample store is closing.")
        held = self._queued_rows + self._committing_rows + self._held()
        if held and held + rows > self._queue_rows_max:
            self._refused.inc(rows)
            raise QueueFullError("The sample store is busy: its queue is full.", retry_after_s=RETRY_AFTER_S)
        waiting = Waiting(batch, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._queued_rows += rows
        self._waiting.set(self._queued_rows + self._committing_rows)
        if self._queued_rows >= self._batch_rows_max:
            self._enough.set()
        if self._drain is None or self._drain.done():
            self._drain = asyncio.create_task(self._drain_queue(), name="store commit")
        await waiting.done

    async def close(self) -> None:
        """Commit what was accepted, and accept no more."""
        self._closed = True
        self._enough.set()
        if self._drain is not None:
            await self._drain

    async def _drain_queue(self) -> None:
        """Runs while there is something to commit; `append` starts it again."""
        taken: list[Waiting] = []
        try:
            while self._queue:
                await self._pause()
                taken = self._take()
                await self._commit_all(taken)
        except asyncio.CancelledError:
            self._fail([*taken, *self._queue], StoreError("The sample store was stopped before the commit."))
            self._queue.clear()
            self._queued_rows = self._committing_rows = 0
            raise

    async def _pause(self) -> None:
        left_s = self._started_s + self._wait.seconds - self._clock.monotonic_s()
        if left_s <= 0 or self._enough.is_set():
            return
        try:
            await asyncio.wait_for(self._enough.wait(), left_s)
        except TimeoutError:
            return

    def _take(self) -> list[Waiting]:
        taken: list[Waiting] = []
        rows = 0
        while self._queue and (not taken or rows + len(self._queue[0].batch) <= self._batch_rows_max):
            taken.append(self._queue.popleft())
            rows += len(taken[-1].batch)
        self._queued_rows -= rows
        self._committing_rows = rows
        if self._queued_rows < self._batch_rows_max and not self._closed:
            self._enough.clear()
        return taken

    async def _commit_all(self, taken: Sequence[Waiting]) -> None:
        self._started_s = self._clock.monotonic_s()
        try:
            await self._offload.run(self._commit_joined, [waiting.batch for waiting in taken])
        except Exception as error:  # whatever it was, its callers must hear of it and the next ones be served
            self._commits.labels("failed").inc()
            unexpected = not isinstance(error, StoreError)
            log.warning(
                "commit failed",
                samples=self._committing_rows,
                reason=str(error),
                exc_info=error if unexpected else None,
            )
            self._fail(taken, error)
        else:
            self._commits.labels("committed").inc()
            self._rows.inc(self._committing_rows)
            for waiting in taken:
                if not waiting.done.done():  # a caller that was cancelled meanwhile
                    waiting.done.set_result(None)
            self._committed()
        self._seconds.observe(self._clock.monotonic_s() - self._started_s)
        self._committing_rows = 0
        self._waiting.set(self._queued_rows)

    def _commit_joined(self, batches: Sequence[SampleBatch]) -> None:
        self._commit(joined(batches))

    @staticmethod
    def _fail(callers: Sequence[Waiting], error: Exception) -> None:
        for waiting in callers:
            if not waiting.done.done():
                waiting.done.set_exception(_own(error))


def _own(error: Exception) -> Exception:
    """Each caller raises an error of its own, so that their tracebacks do not grow into one another."""
    if isinstance(error, StoreError):
        return StoreError(str(error), retry_after_s=error.retry_after_s)
    failure = StoreError(f"The sample store failed: {error}")
    failure.__cause__ = error
    return failure


def joined(batches: Sequence[SampleBatch]) -> SampleBatch:
    """One batch in the order of arrival, so that later rows stay later; a copy, as callers may reuse their arrays."""
    return SampleBatch(
        np.concatenate([batch.ids for batch in batches]),
        np.concatenate([batch.times for batch in batches]),
        np.concatenate([batch.values for batch in batches]),
    )
