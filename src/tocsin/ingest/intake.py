"""The way in for everything that a caller sends: held to what the caller's token may, then appended.

A token's labels are put on every series, and win: what the sender calls the same stays as `exported_…`, as with
labels of scraped targets. Its rate is held over whole requests, so that what is not taken is told and can be sent
again. Its budget of series refuses new ones, and the known ones flow.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from tocsin.ingest.appender import Appender
from tocsin.ingest.bucket import Bucket
from tocsin.ingest.ports import SeriesCensus
from tocsin.ingest.rows import Appended, IndexArray, Refusal, Rejection, Rows, SeriesBook
from tocsin.model.errors import QueueFullError, TransientError
from tocsin.model.labels import Labels
from tocsin.model.matcher import Matcher, MatchOp
from tocsin.model.people import UNHELD, Allowance
from tocsin.model.series import MetricInfo
from tocsin.runtime.clock import Clock
from tocsin.runtime.telemetry import Telemetry

BURST_S = 10.0
"""How many seconds of a token's rate may come at once."""

RECOUNT_S = 60.0
"""How long a full budget stays full before its series are counted again: some may have been forgotten."""

HELD_MAX = 4_096
"""Tokens whose state is kept; past it the oldest begins anew, with a full bucket."""

REMEMBERED_MAX = 131_072
"""Series, of all tokens together, whose labels are remembered; all are forgotten when there are more."""

EXPORTED = "exported_"

AT_ONCE = 500
"""Series that are looked at before others get their turn: a few ms where all are new."""

T = TypeVar("T")
BoolArray: TypeAlias = npt.NDArray[np.bool_]


def relabelled(labels: Labels, fixed: Labels) -> Labels:
    """`labels` with the fixed ones. What the sender said otherwise stays under `exported_…`."""
    tags = labels.as_dict()
    for name, value in fixed:
        said = tags.get(name)
        if said is not None and said != value:
            kept = EXPORTED + name
            while kept in tags:
                kept = EXPORTED + kept
            tags[kept] = said
        tags[name] = value
    return Labels.of(tags)


class Writer:
    """Of a caller who is held to nothing but the limits of all."""

    allowance: Allowance = UNHELD

    def __init__(self, appender: Appender) -> None:
        self._appender = appender

    def check(self) -> None:
        """Before a request is read. Raises QueueFullError while the caller has to wait."""

    async def append(self, rows: Rows, source: str, refused: Sequence[Rejection] = ()) -> Appended:
        """As `Appender.append`; all or nothing is taken where a rate is held. Raises QueueFullError, StoreError."""
        return await self._appender.append(rows, source, refused)

    async def describe(self, infos: Sequence[MetricInfo]) -> None:
        """Raises StoreError."""
        await self._appender.describe(infos)


@dataclass(slots=True)
class _Memory:
    """Labels as they were sent → as they are stored, for each writer; together no more than `size_max`."""

    size_max: int
    of_writers: list[dict[Labels, Labels]] = field(default_factory=list)
    size: int = 0

    def keep(self, known: dict[Labels, Labels], sent: Labels, stored: Labels) -> None:
        if self.size >= self.size_max:
            for one in self.of_writers:
                one.clear()
            self.of_writers.clear()
            self.size = 0
        if not known:
            self.of_writers.append(known)
        known[sent] = stored
        self.size += 1


class Intake:
    """Gives each caller its writer. The routes have nothing else to store by, so that no door leads around it."""

    def __init__(
        self,
        appender: Appender,
        index: SeriesCensus,
        *,
        clock: Clock,
        telemetry: Telemetry,
        remembered_max: int = REMEMBERED_MAX,
    ) -> None:
        self._appender = appender
        self._index = index
        self._clock = clock
        self._telemetry = telemetry
        self._free = Writer(appender)
        self._held: dict[int, HeldWriter] = {}
        self._memory = _Memory(remembered_max)

    @property
    def remembered(self) -> int:
        return self._memory.size

    def writer(self, token_id: int | None, name: str, allowance: Allowance) -> Writer:
        """Whoever is held to nothing shares one; a token keeps its own until its allowance changes."""
        if token_id is None or allowance == UNHELD:
            return self._free
        known = self._held.pop(token_id, None)
        if known is None or known.allowance != allowance:
            known = HeldWriter(
                self._appender,
                self._index,
                name,
                allowance,
                memory=self._memory,
                clock=self._clock,
                telemetry=self._telemetry,
            )
        self._held[token_id] = known  # the newest stands last
        if len(self._held) > HELD_MAX:
            del self._held[next(iter(self._held))]
        return known


class HeldWriter(Writer):
    """Of a token with labels, a rate or a budget of series. Its work is one look-up for each series of a request."""

    def __init__(
        self,
        appender: Appender,
        index: SeriesCensus,
        name: str,
        allowance: Allowance,
        *,
        memory: _Memory,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        super().__init__(appender)
        self._index = index
        self._name = name
        self.allowance = allowance
        self._memory = memory
        self._clock = clock
        self._delayed = telemetry.counter(
            "token_pushes_delayed", "Requests told to come again later, as their token's rate was used up.", ["token"]
        )
        self._bounded = telemetry.gauge(
            "token_series", "Series with the labels of a token that has a bound for them.", ["token"]
        )
        rate = allowance.rate
        self._bucket = None if rate is None else Bucket(rate, BURST_S, clock.monotonic_s())
        self._known: dict[Labels, Labels] = {}
        self._counted = 0
        self._counted_s = 0.0
        self._generation: int | None = None
        self._admitted: set[int] = set()  # since they were counted
        self._full = False

    def check(self) -> None:
        if self._bucket is None:
            return
        wait_s = self._bucket.wait_s(self._clock.monotonic_s())
        if wait_s > 0:
            self._delayed.labels(self._name).inc()
            told = f"{self._name} may send {self.allowance.rate} samples a second; come again in {math.ceil(wait_s)} s."
            raise QueueFullError(told, retry_after_s=wait_s)

    async def append(self, rows: Rows, source: str, refused: Sequence[Rejection] = ()) -> Appended:
        self.check()  # again: requests that came together have passed the first one together
        sent = len(rows) + len(refused)
        if self._bucket is not None:
            self._bucket.take(sent, self._clock.monotonic_s())
        try:
            if self.allowance.series_max is not None:
                await self._count()
            held, over = await self._hold(rows)
            if self.allowance.series_max is not None:
                self._bounded.labels(self._name).set(self._counted + len(self._admitted))
            return await self._appender.append(held, source, (*refused, *over))
        except TransientError:
            if self._bucket is not None:
                self._bucket.give_back(sent)
            raise

    async def _count(self) -> None:
        """The series that have the token's labels, from the index: so the count outlives a restart."""
        generation, now_s = self._index.generation, self._clock.monotonic_s()
        due = self._full and now_s - self._counted_s >= RECOUNT_S
        if generation == self._generation and not due:
            return
        matchers = [Matcher(name, MatchOp.EQUAL, value) for name, value in self.allowance.labels]
        self._counted = await self._index.count(matchers)
        self._generation, self._counted_s, self._full = generation, now_s, False
        self._admitted.clear()
        self._known.clear()

    async def _hold(self, rows: Rows) -> tuple[Rows, list[Rejection]]:
        """The rows under the token's labels, and those of series that its budget has no room for."""
        if not self.allowance.labels.pairs:
            return rows, []
        if isinstance(rows.series, SeriesBook):
            held, keep = await self._hold_book(rows, rows.series)
        else:
            held, keep = await self._hold_series(rows, rows.series)
        if keep is None:
            return held, []
        most = self.allowance.series_max
        why = f"{self._name} may write {most} series and has them; send fewer different labels or raise its budget."
        return held, [Rejection(int(at), why, Refusal.SERIES_BUDGET) for at in rows.index[~keep]]

    async def _hold_book(self, rows: Rows, book: SeriesBook) -> tuple[Rows, BoolArray | None]:
        """The rows, and bool[rows] where some had no room. Only series without an id are looked at."""
        mine = book.changed(self.allowance.labels, self._relabel)
        held = replace(rows, series=mine)
        if self.allowance.series_max is None:
            return held, None
        fresh = np.unique(rows.which[mine.ids(self._index.generation)[rows.which] == 0]).tolist()
        over = [slot async for slot in _in_turns(fresh) if not self._has_room(mine[slot])]
        if not over:
            return held, None
        keep = ~np.isin(rows.which, over)
        return _only(held, keep, rows.which[keep]), keep

    async def _hold_series(self, rows: Rows, series: tuple[Labels, ...]) -> tuple[Rows, BoolArray | None]:
        """As `_hold_book`. A series without room is left out, as the appender gives all of them ids."""
        admitted = [self._admit(labels) async for labels in _in_turns(series)]
        taken = tuple(labels for labels in admitted if labels is not None)
        held = replace(rows, series=taken)
        if len(taken) == len(series):
            return held, None
        room = np.array([labels is not None for labels in admitted], np.bool_)
        keep = room[rows.which]
        return _only(held, keep, (np.cumsum(room) - 1)[rows.which[keep]]), keep

    def _admit(self, labels: Labels) -> Labels | None:
        """As it is stored; None where there is no room for it."""
        known = self._known.get(labels)
        if known is not None:
            return known
        stored = self._relabel(labels)
        if not self._has_room(stored):
            return None
        self._memory.keep(self._known, labels, stored)
        return stored

    def _relabel(self, labels: Labels) -> Labels:
        return relabelled(labels, self.allowance.labels)

    def _has_room(self, labels: Labels) -> bool:
        most = self.allowance.series_max
        if most is None:
            return True
        series_id = labels.series_id()
        if series_id in self._admitted or self._is_known(series_id, labels):
            return True
        if self._counted + len(self._admitted) >= most:
            self._full = True
            return False
        self._admitted.add(series_id)
        return True

    def _is_known(self, series_id: int, labels: Labels) -> bool:
        try:
            return self._index.labels(series_id) == labels
        except KeyError:
            return False


async def _in_turns(items: Sequence[T]) -> AsyncIterator[T]:
    """All of them; others get their turn after some."""
    for start in range(0, len(items), AT_ONCE):
        if start:
            await asyncio.sleep(0)
        for item in items[start : start + AT_ONCE]:
            yield item


def _only(rows: Rows, keep: BoolArray, which: IndexArray) -> Rows:
    return Rows(rows.series, which, rows.times[keep], rows.values[keep], rows.index[keep])
