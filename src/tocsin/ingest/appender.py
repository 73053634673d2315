"""The one door of samples into the store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tocsin.ingest.ports import MetadataSink, RawRetention, SampleObserver, SampleSink, SeriesIndex
from tocsin.ingest.refusals import Refusals
from tocsin.ingest.rows import Appended, IndexArray, Refusal, Rejection, Rows, SeriesBook
from tocsin.ingest.settings import IngestSettings
from tocsin.model.duration import format_ms
from tocsin.model.errors import ConflictError, LimitError, MetricLimitError
from tocsin.model.labels import Labels
from tocsin.model.series import IdArray, MetricInfo, SampleBatch
from tocsin.runtime.clock import Clock
from tocsin.runtime.telemetry import Telemetry

BoolArray: TypeAlias = npt.NDArray[np.bool_]

DESCRIBED_MAX = 100_000
AT_ONCE = 250
"""Series that are interned before others have a turn: new ones take about 10 µs each, and reading their labels more."""


class Appender:
    """Refuses what may not be stored, gives series their ids, and tells the observers what is durable.

    `kept` is asked at every append, so that a changed setting or policy holds at once.
    """

    def __init__(
        self,
        index: SeriesIndex,
        sink: SampleSink,
        metadata: MetadataSink,
        observers: Sequence[SampleObserver],
        *,
        clock: Clock,
        telemetry: Telemetry,
        settings: IngestSettings,
        kept: RawRetention,
    ) -> None:
        self._index = index
        self._sink = sink
        self._metadata = metadata
        self._observers = tuple(observers)
        self._clock = clock
        self._settings = settings
        self._kept = kept
        self._described: dict[str, MetricInfo] = {}
        self._ingested = telemetry.counter("samples_ingested", "Samples stored.", ["source"])
        self._refusals = Refusals(clock, telemetry)

    async def append(self, rows: Rows, source: str, refused: Sequence[Rejection] = ()) -> Appended:
        """Store rows and show them to the observers; when it returns, both are done.

        `refused` is what the parser refused already: it is counted and told together with the rest.
        Raises QueueFullError or StoreError, or what an observer raised; the sender may then send the
        same again, as the same series and time is one sample.
        """
        at_ms = self._clock.now_ms()
        batch, rejected = await self._admit(rows, at_ms)
        if len(batch):
            await self._sink.append(batch)
            for observer in self._observers:
                await observer.observe(batch, at_ms)
        self._ingested.labels(source).inc(len(batch))
        everything = (*refused, *rejected)
        self._refusals.note(source, everything)
        return Appended(len(batch), tuple(sorted(everything, key=lambda one: one.index)))

    async def describe(self, infos: Sequence[MetricInfo]) -> None:
        """Pass on what is new about metrics; senders repeat theirs every minute. Raises StoreError."""
        new = [info for info in infos if self._described.get(info.name) != info]
        if not new:
            return
        await self._metadata.describe(new)
        if len(self._described) + len(new) > DESCRIBED_MAX:
            self._described.clear()  # only the price of telling the store again
        self._described.update((info.name, info) for info in new)

    async def _admit(self, rows: Rows, at_ms: int) -> tuple[SampleBatch, list[Rejection]]:
        """What may be stored. A series gets an id only when a sample of it may be."""
        early = rows.times > at_ms + self._settings.future_max
        old, rejected = self._past(rows, at_ms)
        ahead = f"The sample is more than {self._settings.future_max} in the future; check the sender's clock."
        rejected += [Rejection(int(at), ahead, Refusal.FUTURE) for at in rows.index[early]]
        keep = ~(old | early)
        chosen = rows.which[keep] if rejected else rows.which
        if isinstance(rows.series, SeriesBook):
            ids, without = await self._recognised(rows.series, chosen)
        else:
            wanted = np.unique(chosen) if rejected else np.arange(len(rows.series))
            ids = np.zeros(len(rows.series), np.uint64)
            ids[wanted], without = await self._intern(rows.series, wanted)
        if without:
            full = keep & np.isin(rows.which, list(without))
            rejected += [
                Rejection(int(at), *without[int(series)])
                for at, series in zip(rows.index[full], rows.which[full], strict=True)
            ]
            keep &= ~full
        if rejected:
            return SampleBatch(ids[rows.which[keep]], rows.times[keep], rows.values[keep]), rejected
        return SampleBatch(ids[rows.which], rows.times, rows.values), rejected

    def _past(self, rows: Rows, at_ms: int) -> tuple[BoolArray, list[Rejection]]:
        """bool[n]: which samples are past the retention of their series, and what their sender is told.

        Series are looked at only where a sample is older than any series is kept for sure.
        """
        old: BoolArray = rows.times < max(0, at_ms - self._kept.raw_shortest_ms)
        if not old.any():
            return old, []
        late, which = np.unique(rows.which[old], return_inverse=True)
        kept_ms = self._kept.raw_ms([rows.series[at] for at in late.tolist()])
        oldest = np.maximum(0, at_ms - kept_ms)[which]
        past = rows.times[old] < oldest
        old[old] = past
        told = zip(rows.index[old].tolist(), oldest[past].tolist(), strict=True)
        return old, [Rejection(at, _too_old(oldest_ms, at_ms), Refusal.PAST_RETENTION) for at, oldest_ms in told]

    async def _recognised(self, book: SeriesBook, which: IndexArray) -> tuple[IdArray, dict[int, tuple[str, Refusal]]]:
        """As `_intern`: the ids of a whole book, in which those of known series stand already."""
        generation = self._index.generation
        ids = book.ids(generation)
        missing = which[ids[which] == 0]
        if not len(missing):
            return ids, {}
        slots = np.unique(missing)
        ids[slots], without = await self._intern(book, slots)
        if self._index.generation == generation:
            book.ids(generation)[slots] = ids[slots]  # the book may have grown meanwhile, into another array
        return ids, without

    async def _intern(
        self, series: Sequence[Labels], wanted: IndexArray
    ) -> tuple[IdArray, dict[int, tuple[str, Refusal]]]:
        """ids uint64[wanted], 0 where a series got none, and why, by its place in `series`."""
        ids = np.zeros(len(wanted), np.uint64)
        without: dict[int, tuple[str, Refusal]] = {}
        for number, at in enumerate(wanted.tolist()):
            if number and number % AT_ONCE == 0:
                await asyncio.sleep(0)
            try:
                ids[number] = self._index.intern(series[at])
            except MetricLimitError as error:
                without[at] = (str(error), Refusal.METRIC_SERIES_LIMIT)
            except LimitError as error:
                without[at] = (str(error), Refusal.SERIES_LIMIT)
            except ConflictError as error:
                without[at] = (str(error), Refusal.ID_TAKEN)
        return ids, without


def _too_old(oldest_ms: int, at_ms: int) -> str:
    if oldest_ms == 0:
        return "The sample is dated before 1970."
    return f"The sample is older than the {format_ms(at_ms - oldest_ms)} that samples are kept."
