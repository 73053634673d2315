"""What a caller may read: the one way from a route to the samples and to the index of series.

`Readings` is given the store and hands out a `ScopedReader` for each caller, which puts the caller's own matchers into
every question. The services hold no other reader, so that nothing can be asked past it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

from tocsin.api.ports import SampleReader
from tocsin.model.labels import METRIC_NAME, Labels
from tocsin.model.matcher import Matcher
from tocsin.model.series import Cardinality, MetricInfo, SeriesBlock, StepBlock
from tocsin.promql.frame import LabelFrame
from tocsin.promql.ports import Answers, Ask, Budget

Scope: TypeAlias = tuple[Matcher, ...]
"""All of them must hold for a series that is seen; none: everything is seen."""


class ScopedReader:
    """Fits SampleReader and promql's SeriesSource; sees the series that fit the scope, and no others."""

    def __init__(self, store: SampleReader, scope: Scope) -> None:
        self._store = store
        self.scope = scope

    async def gather(self, asks: Sequence[Ask], budget: Budget) -> Answers:
        if not self.scope:
            return await self._store.gather(asks, budget)
        scoped = [replace(ask, matchers=self._within(ask.matchers)) for ask in asks]
        answers = await self._store.gather(list(dict.fromkeys(scoped)), budget)
        return {ask: answers[one] for ask, one in zip(asks, scoped, strict=True)}

    async def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> SeriesBlock:
        return await self._store.select(self._within(matchers), start_ms, end_ms)

    async def steps(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int, step_ms: int) -> StepBlock:
        return await self._store.steps(self._within(matchers), start_ms, end_ms, step_ms)

    async def latest(self, matchers: Sequence[Matcher], since_ms: int) -> SeriesBlock:
        return await self._store.latest(self._within(matchers), since_ms)

    async def count(self, matchers: Sequence[Matcher]) -> int:
        return await self._store.count(self._within(matchers))

    async def series(
        self,
        matchers: Sequence[Matcher],
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 0,
        after: int | None = None,
    ) -> tuple[Labels, ...]:
        return await self._store.series(self._within(matchers), start_ms, end_ms, limit, after)

    async def label_names(
        self, matchers: Sequence[Matcher], start_ms: int | None = None, end_ms: int | None = None, limit: int = 0
    ) -> tuple[str, ...]:
        return await self._store.label_names(self._within(matchers), start_ms, end_ms, limit)

    async def label_values(
        self,
        name: str,
        matchers: Sequence[Matcher],
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 0,
    ) -> tuple[str, ...]:
        return await self._store.label_values(name, self._within(matchers), start_ms, end_ms, limit)

    async def frame(
        self,
        selectors: Sequence[Sequence[Matcher]],
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 0,
    ) -> LabelFrame:
        return await self._store.frame([self._within(one) for one in selectors], start_ms, end_ms, limit)

    async def cardinality(self, most: int, matchers: Sequence[Matcher] = ()) -> Cardinality:
        return await self._store.cardinality(most, self._within(matchers))

    async def metrics(self) -> tuple[MetricInfo, ...]:
        found = await self._store.metrics()
        if not self.scope:
            return found
        mine = set(await self._store.label_values(METRIC_NAME, self.scope))
        return tuple(info for info in found if info.name in mine)

    def _within(self, matchers: Sequence[Matcher]) -> tuple[Matcher, ...]:
        return (*matchers, *self.scope)


class Readings:
    """Holds the store, and lets nobody have it."""

    def __init__(self, store: SampleReader) -> None:
        self.__store = store

    def of(self, scope: Scope) -> ScopedReader:
        return ScopedReader(self.__store, scope)
