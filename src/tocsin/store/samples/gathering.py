"""What queries ask of the series: found in the index, read slice by slice, and reduced at once to what was asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from tocsin.model.errors import LimitError, TransientError
from tocsin.model.matcher import Matcher
from tocsin.model.series import STALE, FloatArray, IdArray, SeriesBlock, TimeArray
from tocsin.promql import windows
from tocsin.promql.frame import LabelFrame, RowArray
from tocsin.promql.ports import Answers, Ask, Budget, Gathered, Source
from tocsin.promql.values import BoolArray, Ranges, Vector
from tocsin.store.samples.cuts import Cuts
from tocsin.store.samples.index import LabelIndex

TIMED_OUT = "query timed out while its samples were read"
PUSHED_DOWN = "pushed down"
REMEMBERED_MAX = 2_000
"""Selectors whose series are remembered."""
REMEMBERED_SERIES_MAX = 1_000_000
"""Series of all of them together: about 60 bytes each."""

_STALE_BITS = np.array([STALE]).view(np.uint64)[0]


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """The series of a selector: ids uint64[n], rising, and their labels in the same order."""

    ids: IdArray
    frame: LabelFrame


class Selections:
    """The series of selectors, remembered until the index changes. Any thread may ask."""

    def __init__(self, index: LabelIndex) -> None:
        self._index = index
        self._version = -1
        self._known: dict[tuple[Matcher, ...], Found] = {}
        self._series = 0

    def known(self, matchers: tuple[Matcher, ...]) -> int | None:
        """How many series there are; None where they would have to be looked for."""
        found = self._known.get(matchers) if self._version == self._index.version else None
        return None if found is None else len(found.ids)

    def find(self, matchers: tuple[Matcher, ...], series_max: int) -> Found:
        """Raises LimitError where they are more than may be read, UserError for a pattern that is none."""
        version = self._index.version  # before looking: what comes meanwhile is seen the next time
        known = self._known
        if version != self._version:
            self._known, self._version, self._series = {}, version, 0
            known = self._known
        found = known.get(matchers)
        if found is None:
            found = Found(*self._index.labelled(matchers, series_max))
            self._series += len(found.ids)
            if len(known) < REMEMBERED_MAX and self._series < REMEMBERED_SERIES_MAX:
                known[matchers] = found
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Of some series, in their order: series i owns times and values [offsets[i]:offsets[i + 1]], times rising."""

    offsets: TimeArray
    times: TimeArray
    values: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Computed:
    """values float64[series, moments] and bool[series, moments]; how many samples were looked at."""

    values: FloatArray
    present: BoolArray
    samples: int


class Sampler(Protocol):
    """Reads samples, wherever they are."""

    @property
    def how(self) -> str:
        """As `Source.how` says it."""
        ...

    def split(self, ids: IdArray, after_ms: int) -> Sequence[tuple[Sampler, RowArray | None]]:
        """Who reads the samples after that moment, of which of the series: their places; None is all."""
        del ids, after_ms
        return [(self, None)]

    def latest(self, ids: IdArray, after_ms: int, until_ms: int) -> tuple[TimeArray, FloatArray] | None:
        """(times int64[n], values float64[n]) of the newest sample of each with after < time ≤ until.

        The time is `after` where there is none. None where all samples must be read to know.
        """
        del ids, after_ms, until_ms
        return None

    def computed(self, ask: Ask, ids: IdArray, after_ms: int, samples_max: int) -> Computed | None:
        """The answer, where it is better computed there than from samples that are read; None where it is not.

        Raises LimitError where it would look at more than samples_max.
        """
        del ask, ids, after_ms, samples_max
        return None

    def slices(self, ids: IdArray, after_ms: int, until_ms: int, samples_max: int) -> Iterator[tuple[int, Samples]]:
        """Samples with after < time ≤ until of all the series, some series at a time: (the first one's place, theirs).

        Raises LimitError where they are more than samples_max.
        """
        ...


def gather(
    asks: Sequence[Ask],
    selections: Selections,
    cuts: Cuts,
    sampler: Sampler,
    budget: Budget,
    *,
    now_ms: int,
    monotonic_s: Callable[[], float],
) -> Answers:
    """Every ask answered; those of the same series and overlapping times are read together.

    Raises LimitError where it is more than the budget allows, TransientError where time runs out.
    """
    founds = {ask: selections.find(ask.matchers, budget.series_max) for ask in asks}
    for ask, found in founds.items():
        check_points(len(found.ids), ask.grid.count, budget.points_max)
    answers: Answers = {}
    left = budget.samples_max
    for together in _together(asks):
        found = founds[together[0]]
        reading = _Reading(
            [_Draft.of(ask, found.frame) for ask in together],
            max(ask.grid.end_ms for ask in together),
            left,
            lambda: check_time(budget, monotonic_s),
            monotonic_s,
        )
        after_ms = min(ask.after_ms for ask in together)
        for kept_after_ms, rows in _parts(cuts, found.ids, now_ms, after_ms):
            ids = found.ids if rows is None else found.ids[rows]
            for reader, some in sampler.split(ids, kept_after_ms):
                reading.read(reader, ids if some is None else ids[some], kept_after_ms, _within(rows, some))
        left -= sum(source.samples for source in reading.sources)
        answers |= {draft.ask: Gathered(draft.done(), tuple(reading.sources)) for draft in reading.drafts}
    return answers


def _within(rows: RowArray | None, some: RowArray | None) -> RowArray | None:
    """Places among the rows as places among all; None is all of them."""
    if rows is None or some is None:
        return some if rows is None else rows
    return rows[some]


@dataclass(slots=True, eq=False)
class _Reading:
    """Asks of the same series that are answered together."""

    drafts: list[_Draft]
    until_ms: int
    samples_max: int
    check_time: Callable[[], None]
    monotonic_s: Callable[[], float]
    sources: list[Source] = field(default_factory=list)

    def read(self, sampler: Sampler, ids: IdArray, after_ms: int, rows: RowArray | None) -> None:
        """Those series; `rows` are their places in the answer, None where they are all of them."""
        began_s = self.monotonic_s()
        self.check_time()
        left = self.samples_max - sum(source.samples for source in self.sources)
        how = sampler.how
        read = self._latest(sampler, ids, after_ms, rows)
        if read is None:
            read = self._computed(sampler, ids, after_ms, left, rows)
            how = how if read is None else PUSHED_DOWN
        if read is None:
            read = 0
            for first, samples in sampler.slices(ids, after_ms, self.until_ms, left):
                self.check_time()
                read += int(samples.offsets[-1] - samples.offsets[0])
                for draft in self.drafts:
                    draft.take(samples, first, rows)
        self.sources.append(Source(how, len(ids), read, self.monotonic_s() - began_s))

    def _computed(
        self, sampler: Sampler, ids: IdArray, after_ms: int, samples_max: int, rows: RowArray | None
    ) -> int | None:
        """As `_latest`."""
        if len(self.drafts) > 1:
            return None
        found = sampler.computed(self.drafts[0].ask, ids, after_ms, samples_max)
        if found is None:
            return None
        self.drafts[0].fill(found.values, found.present, rows)
        return found.samples

    def _latest(self, sampler: Sampler, ids: IdArray, after_ms: int, rows: RowArray | None) -> int | None:
        """How many samples were looked at; None where that is not enough to answer."""
        ask = self.drafts[0].ask
        if len(self.drafts) > 1 or ask.function != "newest" or ask.grid.count > 1:
            return None
        found = sampler.latest(ids, after_ms, self.until_ms)
        if found is None:
            return None
        times, values = found
        there = times > after_ms
        present = there & (values.view(np.uint64) != _STALE_BITS)
        self.drafts[0].fill(values[:, np.newaxis], present[:, np.newaxis], rows)
        return int(np.count_nonzero(there))


def check_points(series: int, steps: int, points_max: int) -> None:
    if series * steps > points_max:
        raise LimitError(
            f"{series:,} series of {steps:,} steps are {series * steps:,} values, and a query may have {points_max:,}. "
            "Ask for a longer step, a shorter time or fewer series."
        )


def check_time(budget: Budget, monotonic_s: Callable[[], float]) -> None:
    if budget.deadline_s is not None and monotonic_s() > budget.deadline_s:
        raise TransientError(TIMED_OUT)


def seconds_left(budget: Budget, monotonic_s: Callable[[], float]) -> float | None:
    return None if budget.deadline_s is None else budget.deadline_s - monotonic_s()


def check_samples(found: int, samples_max: int) -> None:
    if found > samples_max:
        raise LimitError(
            "query processing would load too many samples into memory in query execution: ask for a shorter time, "
            "fewer series, or aggregate beforehand with a recording rule"
        )


def _together(asks: Sequence[Ask]) -> Iterable[list[Ask]]:
    """Asks of the same selector whose times overlap."""
    groups: dict[tuple[Matcher, ...], list[list[Ask]]] = {}
    for ask in sorted(asks, key=lambda ask: ask.after_ms):
        own = groups.setdefault(ask.matchers, [])
        if own and ask.after_ms <= max(other.grid.end_ms for other in own[-1]):
            own[-1].append(ask)
        else:
            own.append([ask])
    return [group for own in groups.values() for group in own]


def _parts(cuts: Cuts, ids: IdArray, now_ms: int, after_ms: int) -> list[tuple[int, RowArray | None]]:
    """(after which moment samples are still kept, the places of the series for which that holds; None is all)."""
    parts = cuts.parts(ids, lambda lengths: max(after_ms, now_ms - lengths.raw_ms - 1))
    if len(parts) == 1:
        return [(parts[0][0], None)]
    return [(kept_ms, np.searchsorted(ids, some)) for kept_ms, some in parts]


@dataclass(slots=True, eq=False)
class _Draft:
    """An answer that is being made, slice by slice."""

    ask: Ask
    frame: LabelFrame
    values: FloatArray
    present: BoolArray
    pieces: list[tuple[RowArray, Samples]]

    @classmethod
    def of(cls, ask: Ask, frame: LabelFrame) -> _Draft:
        shape = (len(frame), ask.grid.count) if ask.function else (0, 0)
        return cls(ask, frame, np.zeros(shape), np.zeros(shape, np.bool_), [])

    def take(self, samples: Samples, first: int, rows: RowArray | None) -> None:
        count = len(samples.offsets) - 1
        ask = self.ask
        if not ask.function:
            places = np.arange(first, first + count) if rows is None else rows[first : first + count]
            self.pieces.append((places, samples))
            return
        block = (ask.function, samples.offsets, samples.times, samples.values, ask.grid, ask.range_ms)
        if rows is None:
            windows.reduce_into(*block, self.values, self.present, row=first, params=ask.params)
            return
        values, present = np.empty((count, ask.grid.count)), np.empty((count, ask.grid.count), np.bool_)
        windows.reduce_into(*block, values, present, params=ask.params)
        self.values[rows[first : first + count]] = values
        self.present[rows[first : first + count]] = present

    def fill(self, values: FloatArray, present: BoolArray, rows: RowArray | None) -> None:
        places = slice(None) if rows is None else rows
        self.values[places] = values
        self.present[places] = present

    def done(self) -> Vector | Ranges:
        if self.ask.function:
            return Vector(self.frame, self.values, self.present)
        after_ms, until_ms = self.ask.after_ms, self.ask.grid.end_ms
        owners, times, values = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
        for places, samples in self.pieces:
            owner = np.repeat(places, np.diff(samples.offsets))
            own_times = samples.times[samples.offsets[0] : samples.offsets[-1]]
            wanted = (own_times > after_ms) & (own_times <= until_ms)
            owners.append(owner[wanted])
            times.append(own_times[wanted])
            values.append(samples.values[samples.offsets[0] : samples.offsets[-1]][wanted])
        owner = np.concatenate(owners)
        order = np.argsort(owner, kind="stable")
        offsets = np.concatenate(([0], np.cumsum(np.bincount(owner, minlength=len(self.frame)))))
        block = SeriesBlock((), offsets.astype(np.int64), np.concatenate(times)[order], np.concatenate(values)[order])
        return Ranges(self.frame, block, self.ask.grid, self.ask.range_ms)
