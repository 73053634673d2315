"""What api reads straight from the stores; everything else it asks of a room's service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tocsin.model.labels import Labels
from tocsin.model.matcher import Matcher
from tocsin.model.series import MetricInfo, SeriesBlock, StepBlock


class SampleReader(Protocol):
    """Samples out. Nothing past its retention is ever returned; all times ms UTC. Raises StoreError."""

    async def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> SeriesBlock:
        """Every sample with start ≤ time < end of the series that fit. Raises LimitError."""
        ...

    async def steps(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int, step_ms: int) -> StepBlock:
        """Min, avg and max of each step, computed in the engine. Raises LimitError."""
        ...

    async def latest(self, matchers: Sequence[Matcher], since_ms: int) -> SeriesBlock:
        """The newest sample of each series since then, where it has one."""
        ...

    def series(self, matchers: Sequence[Matcher]) -> tuple[Labels, ...]:
        """The known series that fit, from the index."""
        ...

    async def metrics(self) -> tuple[MetricInfo, ...]:
        """Every metric that has series, with what is known of it, by name."""
        ...


class SeriesLookup(Protocol):
    def labels(self, series_id: int) -> Labels:
        """Raises KeyError for an id that was never interned."""
        ...
