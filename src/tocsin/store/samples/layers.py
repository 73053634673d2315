"""Reads of what is in memory and, where that does not reach back far enough, of the engine below it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tocsin.model.series import FloatArray, IdArray, SampleBatch, SeriesBlock, TimeArray
from tocsin.promql.frame import RowArray
from tocsin.promql.ports import Ask
from tocsin.promql.values import BoolArray
from tocsin.store.samples.blocks import LabelsOf, series_block
from tocsin.store.samples.engine import Connection
from tocsin.store.samples.gathering import Computed, Sampler, Samples, check_samples
from tocsin.store.samples.head import NOWHERE, Head
from tocsin.store.samples.index import LabelIndex
from tocsin.store.samples.reader import EngineSampler
from tocsin.store.samples.table import NEVER_LAST

SLICE_SAMPLES = 32_000
"""Samples that are unpacked at once: 16 bytes each, so that they stay in the processor's cache until reduced."""


_LATEST_MS = (1 << 62) - 1
_NO_LIMIT = 1 << 62


class NotHeldError(Exception):
    """The engine has to be read too."""


class Newest:
    """The head of a store: which samples it holds, and since when. One thread commits; any may ask."""

    def __init__(self, index: LabelIndex, budget: int, opened_ms: int) -> None:
        """`opened_ms`: nothing that was there before is later."""
        self.head = Head(budget)
        self._index = index
        self._opened_ms = opened_ms
        self._newest_ms = opened_ms
        self._lost_ms = NEVER_LAST

    def commit(self, batch: SampleBatch) -> None:
        """Before the index is told of the samples. Series that were not held are from now on."""
        ids, times, values = batch.ids, batch.times, batch.values
        rows = self.head.append(ids, times, values)
        if len(rows):
            fresh = np.unique(ids[rows])
            self.head.begin(fresh, self._bounded(self._lasts(fresh)) + 1)
            self.head.append(ids[rows], times[rows], values[rows])
        self._newest_ms = max(self._newest_ms, int(times.max(initial=self._newest_ms)))

    @property
    def crowded(self) -> bool:
        """Whether more would soon make the oldest go, or nothing more can be put before what is held."""
        return self.head.dropped or self.head.bytes > self.head.budget * 4 // 5

    @property
    def horizon_s(self) -> float:
        """0 where nothing had to make way."""
        return (self.head.horizon_ms or 0) / 1_000

    def forget(self, ids: IdArray) -> None:
        """These series are found no more. When they come back, the engine may still have samples of theirs."""
        if len(ids):
            self._lost_ms = self._newest_ms
            self.head.drop(ids)

    def held(self, ids: IdArray, after_ms: int) -> BoolArray:
        """bool[n]: whether all of the series' samples after that moment are in memory, or there are none."""
        return self.whole(ids, self.head.since(ids), after_ms)

    def read(self, ids: IdArray, after_ms: int, until_ms: int) -> tuple[TimeArray, Samples]:
        """(since when each series is held, its samples in that time); never long under one hold of the lock."""
        parts = []
        first = 0
        while first < len(ids):
            parts.append(self.head.read(ids[first:], after_ms, until_ms, SLICE_SAMPLES))
            first += len(parts[-1][0])
        since, offsets, times, values = zip(*parts, strict=True)
        counts = np.concatenate([np.diff(each) for each in offsets])
        bounds = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        return np.concatenate(since), Samples(bounds, np.concatenate(times), np.concatenate(values))

    def whole(self, ids: IdArray, since: TimeArray, after_ms: int) -> BoolArray:
        """As `held`, of series that are held since then."""
        held = since <= after_ms + 1
        if not held.all():
            thin = np.flatnonzero(~held)
            lasts = self._lasts(ids[thin])
            nowhere = since[thin] == NOWHERE
            lasts[nowhere] = self._bounded(lasts[nowhere])
            held[thin] = lasts <= after_ms
        return held

    def _lasts(self, ids: IdArray) -> TimeArray:
        """int64[n]: a time that no sample of each series is later than."""
        lasts = self._index.lasts(ids)
        lasts[lasts == NEVER_LAST] = self._opened_ms  # it may have been forgotten before
        return np.maximum(lasts, self._lost_ms)

    def _bounded(self, lasts: TimeArray) -> TimeArray:
        """The same of series of which nothing is held.

        What the index knows after a restart is a day, which may end after all that was ever written.
        """
        return np.minimum(lasts, self._newest_ms if self.head.dropped else self._opened_ms)


@dataclass(frozen=True, slots=True)
class HeadSampler(Sampler):
    """Reads what is held. Raises NotHeldError for series of which not all is."""

    newest: Newest
    how = "memory"

    def split(self, ids: IdArray, after_ms: int) -> list[tuple[Sampler, RowArray | None]]:
        if not self.newest.held(ids, after_ms).all():
            raise NotHeldError
        return [(self, None)]

    def latest(self, ids: IdArray, after_ms: int, until_ms: int) -> tuple[TimeArray, FloatArray] | None:
        found = self.newest.head.newest(ids, after_ms, until_ms)
        if found is None:
            return None
        since, times, values = found
        self._check(ids, since, after_ms)
        return times, values

    def slices(self, ids: IdArray, after_ms: int, until_ms: int, samples_max: int) -> Iterator[tuple[int, Samples]]:
        first, read = 0, 0
        while first < len(ids):
            since, offsets, times, values = self.newest.head.read(ids[first:], after_ms, until_ms, SLICE_SAMPLES)
            self._check(ids[first : first + len(since)], since, after_ms)
            read += len(times)
            check_samples(read, samples_max)
            yield first, Samples(offsets, times, values)
            first += len(since)

    def _check(self, ids: IdArray, since: TimeArray, after_ms: int) -> None:
        """It may have had to make way since it was asked for."""
        if not self.newest.whole(ids, since, after_ms).all():
            raise NotHeldError


@dataclass(frozen=True, slots=True)
class LayeredSampler(Sampler):
    """Reads the engine up to where the head of each series begins, and the head from there."""

    newest: Newest
    engine: EngineSampler
    how = "engine"

    def split(self, ids: IdArray, after_ms: int) -> list[tuple[Sampler, RowArray | None]]:
        held = self.newest.held(ids, after_ms)
        if not held.any():
            return [(self, None)]
        parts: tuple[tuple[Sampler, RowArray], ...] = (
            (HeadSampler(self.newest), np.flatnonzero(held)),
            (self, np.flatnonzero(~held)),
        )
        return [(sampler, rows) for sampler, rows in parts if len(rows)]

    def computed(self, ask: Ask, ids: IdArray, after_ms: int, samples_max: int) -> Computed | None:
        """All that was committed is in the engine too when it is read."""
        return self.engine.computed(ask, ids, after_ms, samples_max)

    def slices(self, ids: IdArray, after_ms: int, until_ms: int, samples_max: int) -> Iterator[tuple[int, Samples]]:
        since = self.newest.head.since(ids)
        below_ms = min(until_ms, int(since.max(initial=after_ms)) - 1)
        if below_ms <= after_ms:  # it was filled since it was asked for
            yield from HeadSampler(self.newest).slices(ids, after_ms, until_ms, samples_max)
            return
        read = 0
        for first, below in self.engine.slices(ids, after_ms, below_ms, samples_max):
            some = ids[first : first + len(below.offsets) - 1]
            samples = self._with_head(some, below, after_ms, below_ms, until_ms)
            read += len(samples.times)
            check_samples(read, samples_max)
            yield first, samples

    def _with_head(self, ids: IdArray, below: Samples, after_ms: int, below_ms: int, until_ms: int) -> Samples:
        since, above = self.newest.read(ids, after_ms, until_ms)
        if (np.minimum(since, until_ms + 1) > below_ms + 1).any():  # what was held had to make way meanwhile
            raise NotHeldError
        return merged(below, above, since)


def merged(below: Samples, above: Samples, since: TimeArray) -> Samples:
    """Of each series what is before `since` from `below`, and the rest from `above`."""
    series = np.arange(len(since))
    owner = np.repeat(series, np.diff(below.offsets))
    wanted = below.times < since[owner]
    owners = np.concatenate((owner[wanted], np.repeat(series, np.diff(above.offsets))))
    counts = np.bincount(owners, minlength=len(since))
    order = np.argsort(owners, kind="stable")
    times = np.concatenate((below.times[wanted], above.times))[order]
    values = np.concatenate((below.values[wanted], above.values))[order]
    return Samples(np.concatenate(([0], np.cumsum(counts))).astype(np.int64), times, values)


def warm(connection: Connection, newest: Newest, ids: IdArray, from_ms: int) -> None:
    """What the engine has of these series from that time on is held too."""
    engine = EngineSampler(connection, lambda: None)
    for first, samples in engine.slices(ids, from_ms - 1, _LATEST_MS, _NO_LIMIT):
        some = ids[first : first + len(samples.offsets) - 1]
        newest.head.fill(some, from_ms, samples.offsets, samples.times, samples.values)


def latest(newest: Newest, since: Sequence[tuple[int, IdArray]], labels_of: LabelsOf) -> SeriesBlock:
    """As `reader.latest`. Raises NotHeldError where the engine must be asked."""
    parts = []
    for since_ms, ids in since:
        found = HeadSampler(newest).latest(ids, since_ms - 1, _LATEST_MS)
        if found is None:
            raise NotHeldError
        there = found[0] >= since_ms
        parts.append((ids[there], found[0][there], found[1][there]))
    ids, times, values = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(ids)
    return series_block(ids[order], times[order], values[order], labels_of)
