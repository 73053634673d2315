"""What ingest needs of the rest of the house."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tocsin.model.audit import AuditEntry
from tocsin.model.labels import Labels
from tocsin.model.matcher import Matcher
from tocsin.model.scrape import StoredJob
from tocsin.model.series import MetricInfo, SampleBatch, TimeArray


class SeriesIndex(Protocol):
    """Labels ↔ id, in memory. Ids are `Labels.series_id()`."""

    @property
    def generation(self) -> int:
        """Changes when series were forgotten; ids that were remembered from before must be interned again."""
        ...

    def intern(self, labels: Labels) -> int:
        """The id of these labels, remembered from now on.

        Raises LimitError where there is no room (MetricLimitError: for its metric), ConflictError where
        another series has that id.
        """
        ...

    def labels(self, series_id: int) -> Labels:
        """Raises KeyError for an id that was never interned."""
        ...


class SeriesCensus(Protocol):
    """The index, for who counts its series."""

    @property
    def generation(self) -> int:
        """Another number since series were forgotten."""
        ...

    def labels(self, series_id: int) -> Labels:
        """Raises KeyError for an id that was never interned."""
        ...

    async def count(self, matchers: Sequence[Matcher]) -> int:
        """How many of the known series fit."""
        ...


class SampleSink(Protocol):
    async def append(self, batch: SampleBatch) -> None:
        """Returns when every row is durable. All ids were interned before.

        Raises QueueFullError or StoreError, and then the caller may send the same batch again.
        """
        ...


class SampleObserver(Protocol):
    async def observe(self, batch: SampleBatch, at_ms: int) -> None:
        """Called with each batch after it is durable and before its sender is told so."""
        ...


class RawRetention(Protocol):
    """How long samples are kept; older ones are refused."""

    @property
    def raw_shortest_ms(self) -> int:
        """No series is kept for less."""
        ...

    def raw_ms(self, series: Sequence[Labels]) -> TimeArray:
        """int64[n]: how long samples of each of these series are kept."""
        ...


class MetadataSink(Protocol):
    async def describe(self, infos: Sequence[MetricInfo]) -> None:
        """Remember what metrics measure; the last word wins, an empty field changes nothing."""
        ...


class ScrapeJobStore(Protocol):
    """Scrape jobs, and with each change its audit entry in the same transaction. Raises StoreError."""

    async def jobs(self) -> tuple[StoredJob, ...]:
        """All, by id."""
        ...

    async def add_job(self, job: StoredJob, entry: AuditEntry) -> StoredJob:
        """Save it and give it an id. Raises ConflictError where the name is taken."""
        ...

    async def replace_job(self, job: StoredJob, entry: AuditEntry) -> StoredJob:
        """Save over the version `job.version`, which rises by one. Raises NotFoundError, ConflictError."""
        ...

    async def delete_job(self, job_id: int, entry: AuditEntry) -> None:
        """Raises NotFoundError."""
        ...
