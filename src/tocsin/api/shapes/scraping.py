"""Scrape jobs and their targets."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tocsin.api.shapes.base import Listed, Seconds, Shape, Tags
from tocsin.api.times import rfc3339
from tocsin.ingest.scrape.book import JobView
from tocsin.ingest.scrape.scraper import Health, Watched
from tocsin.ingest.scrape.target import Dropped


class ScrapeJobBody(BaseModel):
    """One entry of Prometheus' `scrape_configs`, as JSON. Keys that are not listed here are Prometheus' own."""

    model_config = ConfigDict(frozen=True, extra="allow")

    enabled: bool | None = Field(default=None, description="false: paused, and nothing of it is scraped")

    def config(self) -> dict[str, Any]:
        """The entry itself: what was sent, without what is tocsin's."""
        return {key: value for key, value in self.model_dump(exclude_unset=True).items() if key not in _OURS}


class NewScrapeJob(ScrapeJobBody):
    job_name: str


class ScrapeJobChange(ScrapeJobBody):
    """Keys that are sent are set, null takes one out. A secret that is sent as `<secret>` stays what it was."""

    version: int | None = Field(default=None, description="what you read; a change of somebody else's then wins")


_OURS = frozenset({"enabled", "version"})


class TargetCounts(Shape):
    up: int
    down: int
    unknown: int = Field(description="not asked yet")
    dropped: int = Field(description="left out by relabelling")


class ScrapeJob(Shape):
    id: int | None = Field(description="null for a job of the configuration file, which cannot be changed here")
    job_name: str
    source: Literal["file", "api"]
    enabled: bool
    version: int | None
    config: dict[str, Any] = Field(description="the entry as it was written, secrets masked")
    targets: TargetCounts
    errors: list[str] = Field(description="why it is not scraped, or why targets could not be found out")
    updated_at: str | None

    @classmethod
    def of(cls, view: JobView) -> ScrapeJob:
        stored = view.stored
        return cls(
            id=stored.id if stored else None,
            job_name=view.name,
            source="api" if stored else "file",
            enabled=view.enabled,
            version=stored.version if stored else None,
            config=dict(view.config),
            targets=TargetCounts(
                **{health.value: view.counts.get(health, 0) for health in Health}, dropped=view.dropped
            ),
            errors=list(view.errors),
            updated_at=rfc3339(stored.updated_at_ms) if stored else None,
        )


class ScrapeJobList(Listed[ScrapeJob]):
    pass


class Target(Shape):
    job_name: str
    state: Literal["active", "dropped"]
    url: str | None = Field(description="null for a dropped one")
    labels: Tags = Field(description="what its series get")
    discovered: Tags = Field(description="what it was before relabelling")
    health: Health | None
    error: str = Field(description="why the last scrape failed, or why the target is dropped")
    warning: str = Field(description="what of the last answer was refused")
    scraped_at: str | None
    duration: Seconds | None = Field(description="seconds that the last scrape took")
    samples: int = Field(description="samples in the last answer")
    kept: int = Field(description="samples that relabelling left of them")
    missed: int = Field(description="scrapes left out because the one before took too long")
    interval: Seconds | None
    timeout: Seconds | None

    @classmethod
    def of(cls, one: Watched | Dropped) -> Target:
        return cls._dropped(one) if isinstance(one, Dropped) else cls._active(one)

    @classmethod
    def _active(cls, watched: Watched) -> Target:
        target, last = watched.target, watched.last
        return cls(
            job_name=target.job,
            state="active",
            url=target.url,
            labels=target.labels.as_dict(),
            discovered=target.discovered.as_dict(),
            health=last.health,
            error=last.error,
            warning=last.warning,
            scraped_at=rfc3339(last.at_ms) if last.at_ms else None,
            duration=last.duration_s if last.at_ms else None,
            samples=last.samples,
            kept=last.kept,
            missed=watched.missed,
            interval=target.interval_ms / 1_000,
            timeout=target.timeout_ms / 1_000,
        )

    @classmethod
    def _dropped(cls, dropped: Dropped) -> Target:
        return cls(
            job_name=dropped.job,
            state="dropped",
            url=None,
            labels={},
            discovered=dropped.discovered.as_dict(),
            health=None,
            error=dropped.reason,
            warning="",
            scraped_at=None,
            duration=None,
            samples=0,
            kept=0,
            missed=0,
            interval=None,
            timeout=None,
        )


class TargetList(Listed[Target]):
    pass
