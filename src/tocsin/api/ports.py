"""What api reads straight from the stores; everything else it asks of a room's service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tocsin.model.audit import Actor
from tocsin.model.backup import Backup, BackupProgress
from tocsin.model.labels import Labels
from tocsin.model.matcher import Matcher
from tocsin.model.page import Page, PageRequest
from tocsin.model.series import Cardinality, MetricInfo, SeriesBlock, StepBlock
from tocsin.promql.frame import LabelFrame
from tocsin.promql.ports import SeriesSource


class SampleReader(SeriesSource, Protocol):
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

    async def count(self, matchers: Sequence[Matcher]) -> int:
        """How many known series fit."""
        ...

    async def series(
        self,
        matchers: Sequence[Matcher],
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 0,
        after: int | None = None,
    ) -> tuple[Labels, ...]:
        """The known series that fit, by id; with `after` only larger ids, with a limit only so many.

        With times only those that may have a sample with start ≤ time ≤ end: the span from a series' first
        to its last sample overlaps it. The span is known to the UTC day, or better.
        """
        ...

    async def label_names(
        self, matchers: Sequence[Matcher], start_ms: int | None = None, end_ms: int | None = None, limit: int = 0
    ) -> tuple[str, ...]:
        """The names of the labels of these series, `__name__` among them, sorted."""
        ...

    async def label_values(
        self,
        name: str,
        matchers: Sequence[Matcher],
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 0,
    ) -> tuple[str, ...]:
        """The values of that label among these series, sorted."""
        ...

    async def frame(
        self,
        selectors: Sequence[Sequence[Matcher]],
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 0,
    ) -> LabelFrame:
        """The labels of the series that fit any of the selectors, in their order; times and limit as for `series`."""
        ...

    async def cardinality(self, most: int, matchers: Sequence[Matcher] = ()) -> Cardinality:
        """What has the most series and values among the series that fit: at most so many of each."""
        ...

    async def metrics(self) -> tuple[MetricInfo, ...]:
        """Every metric that has series, with what is known of it, by name."""
        ...


class SeriesLookup(Protocol):
    def labels(self, series_id: int) -> Labels:
        """Raises KeyError for an id that was never interned."""
        ...


class BackupDesk(Protocol):
    """Makes backups of all that the server keeps, one at a time. Raises StoreError."""

    @property
    def default_place(self) -> str:
        """Empty where the settings name none."""
        ...

    async def start(self, to: str | None, actor: Actor) -> Backup:
        """Begin one, in the place of the settings unless told. Raises UserError; ConflictError while one runs."""
        ...

    async def get(self, backup_id: int) -> Backup:
        """Raises NotFoundError."""
        ...

    async def page(self, page: PageRequest) -> Page[Backup]:
        """The newest first."""
        ...

    def progress(self, backup_id: int) -> BackupProgress | None:
        """None for one that does not run."""
        ...
