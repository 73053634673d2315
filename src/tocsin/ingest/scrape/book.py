"""The scrape jobs as people see and change them: those of the file, which only the file changes, and those made here.

Every change is checked, audited, saved, and then scraped by.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tocsin.ingest.ports import ScrapeJobStore
from tocsin.ingest.scrape.config import parse_job
from tocsin.ingest.scrape.discovery.loop import Discoverer
from tocsin.ingest.scrape.job import ScrapeJob
from tocsin.ingest.scrape.masking import check_destinations, masked, unmasked
from tocsin.ingest.scrape.pool import TargetPool
from tocsin.ingest.scrape.scraper import Health, Watched
from tocsin.ingest.scrape.target import Dropped
from tocsin.model.audit import Actor, AuditEntry
from tocsin.model.errors import ConflictError, NotFoundError, UserError
from tocsin.model.scrape import StoredJob
from tocsin.runtime.clock import Clock
from tocsin.runtime.log import get_log

log = get_log("ingest")


@dataclass(frozen=True, slots=True)
class JobView:
    """A job for people: `config` has its secrets masked; `stored` is None for one of the file.

    `errors` say why it is not scraped, or why some of its targets could not be found out.
    """

    name: str
    config: Mapping[str, Any]
    stored: StoredJob | None
    counts: Mapping[Health, int]
    dropped: int
    errors: tuple[str, ...] = ()

    @property
    def enabled(self) -> bool:
        return self.stored is None or self.stored.enabled


class ScrapeBook:
    """Holds all jobs in memory. Changes wait for one another; reading never waits."""

    def __init__(self, store: ScrapeJobStore, discoverer: Discoverer, pool: TargetPool, clock: Clock) -> None:
        self._store = store
        self._discoverer = discoverer
        self._pool = pool
        self._clock = clock
        self._of_file: tuple[ScrapeJob, ...] = ()
        self._stored: dict[int, StoredJob] = {}
        self._wrong: dict[int, str] = {}
        self._lock = asyncio.Lock()

    async def load(self, of_file: Sequence[ScrapeJob]) -> None:
        """At start and on reload: the jobs of the file, and those of the store as they are now. Raises StoreError."""
        async with self._lock:
            stored = await self._store.jobs()
            self._of_file = tuple(of_file)
            self._stored = {job.id: job for job in stored}
            await self._scrape()

    def jobs(self) -> tuple[JobView, ...]:
        """By name, those of the file first."""
        counts: dict[str, Counter[Health]] = {}
        for watched in self._pool.active():
            counts.setdefault(watched.target.job, Counter())[watched.last.health] += 1
        dropped = Counter(one.job for one in self._pool.dropped())
        sought: dict[str, list[str]] = {}
        for one in self._discoverer.sought():
            if one.error:
                sought.setdefault(one.job, []).append(one.error)

        def view(name: str, config: Mapping[str, Any], stored: StoredJob | None) -> JobView:
            wrong = self._wrong.get(stored.id) if stored else None
            if wrong or (stored and not stored.enabled):
                return JobView(name, masked(config), stored, {}, 0, (wrong,) if wrong else ())
            errors = tuple(sought.get(name, ()))
            return JobView(name, masked(config), stored, counts.get(name, {}), dropped[name], errors)

        views = [view(job.name, job.written, None) for job in self._of_file]
        views += [view(job.name, job.config, job) for job in self._stored.values()]
        return tuple(sorted(views, key=lambda one: (one.name, one.stored is not None)))

    def job(self, job_id: int) -> JobView:
        """Raises NotFoundError."""
        self._kept(job_id)
        return next(one for one in self.jobs() if one.stored and one.stored.id == job_id)

    def active(self) -> Sequence[Watched]:
        return self._pool.active()

    def dropped(self) -> Sequence[Dropped]:
        return self._pool.dropped()

    async def add(self, config: Mapping[str, Any], actor: Actor, *, enabled: bool = True) -> JobView:
        """Raises UserError that names the key, ConflictError where the name is taken."""
        async with self._lock:
            full, at_ms = unmasked(config, {}), self._clock.now_ms()
            name = self._name_of(parse_job(full))
            job = StoredJob(0, name, full, enabled, created_at_ms=at_ms, updated_at_ms=at_ms)
            saved = await self._store.add_job(job, self._entry("scrape_job.add", actor, after=job))
            await self._take(saved)
            log.info("scrape job added", job=saved.name, by=actor.name)
            return self.job(saved.id)

    async def change(
        self,
        job_id: int,
        changes: Mapping[str, Any],
        actor: Actor,
        *,
        enabled: bool | None = None,
        version: int | None = None,
    ) -> JobView:
        """Set the keys that are given; one that is None is taken out.

        A secret that is masked or not sent is kept, unless what changes decides where it is sent to.
        Raises UserError, NotFoundError, and ConflictError where `version` is not the one that is kept.
        """
        async with self._lock:
            before = self._kept(job_id)
            if version is not None and version != before.version:
                raise ConflictError(
                    f"The scrape job {before.name} was changed meanwhile: read it again.", field="version"
                )
            sent = {key: value for key, value in {**masked(before.config), **changes}.items() if value is not None}
            full = unmasked(sent, before.config)
            job = parse_job(full)
            if full != before.config:
                check_destinations(sent, _usable(before), job)
            after = replace(
                before,
                name=self._name_of(job, before.name),
                config=full,
                enabled=before.enabled if enabled is None else enabled,
                updated_at_ms=self._clock.now_ms(),
            )
            entry = self._entry("scrape_job.change", actor, before=before, after=after)
            saved = await self._store.replace_job(after, entry)
            await self._take(saved)
            log.info("scrape job changed", job=saved.name, by=actor.name)
            return self.job(job_id)

    async def delete(self, job_id: int, actor: Actor) -> None:
        """Its series end. Raises NotFoundError."""
        async with self._lock:
            job = self._kept(job_id)
            await self._store.delete_job(job_id, self._entry("scrape_job.delete", actor, before=job))
            del self._stored[job_id]
            await self._scrape()
            log.info("scrape job deleted", job=job.name, by=actor.name)

    def _kept(self, job_id: int) -> StoredJob:
        try:
            return self._stored[job_id]
        except KeyError:
            raise NotFoundError(f"There is no scrape job {job_id}.") from None

    def _name_of(self, job: ScrapeJob, before: str = "") -> str:
        """Raises ConflictError where the file has a name that is new to it."""
        if job.name != before and any(one.name == job.name for one in self._of_file):
            raise ConflictError(f"The configuration file has a scrape job {job.name} already.", field="job_name")
        return job.name

    async def _take(self, job: StoredJob) -> None:
        self._stored[job.id] = job
        await self._scrape()

    async def _scrape(self) -> None:
        """Those of the file, and those stored ones that are not paused and can be used."""
        self._wrong = {}
        names = {job.name for job in self._of_file}
        jobs = list(self._of_file)
        for stored in self._stored.values():
            if stored.name in names:
                self._wrong[stored.id] = "The configuration file has a job of this name, which is scraped instead."
            elif stored.enabled:
                try:
                    jobs.append(parse_job(stored.config))
                except UserError as error:  # an older tocsin took it
                    self._wrong[stored.id] = str(error)
        await self._discoverer.set_jobs(jobs)

    def _entry(
        self, action: str, actor: Actor, *, before: StoredJob | None = None, after: StoredJob | None = None
    ) -> AuditEntry:
        return AuditEntry(
            at_ms=self._clock.now_ms(),
            actor=actor,
            action=action,
            target=f"scrape job {(after or before or _NOBODY).name}",
            before=None if before is None else job_json(before),
            after=None if after is None else job_json(after),
        )


_NOBODY = StoredJob(0, "", {})


def _usable(stored: StoredJob) -> ScrapeJob | None:
    """None for one that an older tocsin took and this one does not."""
    try:
        return parse_job(stored.config)
    except UserError:
        return None


def job_json(job: StoredJob) -> dict[str, Any]:
    """As the audit log keeps it."""
    return {**masked(job.config), "enabled": job.enabled}
