"""The loop that looks for targets, and tells the pool when there are others."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from tocsin.ingest.scrape.discovery.files import FileSource
from tocsin.ingest.scrape.discovery.names import DnsSource
from tocsin.ingest.scrape.discovery.service import HttpSource
from tocsin.ingest.scrape.discovery.source import Found, Source
from tocsin.ingest.scrape.door import Caller, Door
from tocsin.ingest.scrape.job import Discovery, DnsDiscovery, FileDiscovery, ScrapeJob, TargetGroup
from tocsin.ingest.scrape.pool import TargetPool
from tocsin.model.errors import TocsinError
from tocsin.runtime.clock import Clock
from tocsin.runtime.dns import Resolver
from tocsin.runtime.log import get_log
from tocsin.runtime.offload import Offload
from tocsin.runtime.telemetry import Telemetry

log = get_log("ingest")

SETTLE_S = 1.0
"""Between two changes of the targets: many sources often change together."""

OpenSource = Callable[[Discovery], Source]


@dataclass(slots=True)
class Sought:
    """One entry of a job's `…_sd_configs`, and what came of it."""

    job: str
    wanted: Discovery
    source: Source
    found: Found = field(default_factory=Found)
    error: str = ""
    due_s: float = 0.0
    running: asyncio.Task[None] | None = None


class Discoverer:
    """`set_jobs` says what is looked for; `run` looks, each source at its own pace, none waiting for another."""

    def __init__(self, pool: TargetPool, open_source: OpenSource, *, clock: Clock, telemetry: Telemetry) -> None:
        self._pool = pool
        self._open = open_source
        self._clock = clock
        self._jobs: tuple[ScrapeJob, ...] = ()
        self._sought: list[Sought] = []
        self._leaving: list[Sought] = []
        self._changed = False
        self._told_s: float | None = None
        self._wake = asyncio.Event()
        self._failed = telemetry.counter("discoveries_failed", "Attempts to find targets that failed.", ["kind"])

    async def set_jobs(self, jobs: Iterable[ScrapeJob]) -> None:
        """These and no others. What was found for a job that still looks in the same place stays.

        The targets that are known already are set when it returns.
        """
        self._jobs = tuple(jobs)
        known = {(one.job, one.wanted): one for one in self._sought}
        now_s = self._clock.monotonic_s()
        keys = [(job.name, wanted) for job in self._jobs for wanted in dict.fromkeys(job.discoveries)]
        self._sought = [known[key] if key in known else Sought(*key, self._open(key[1]), due_s=now_s) for key in keys]
        self._leaving += [one for key, one in known.items() if key not in keys]
        await self._tell()
        self._told_s = None  # what is found first is not held back
        self._wake.set()

    def sought(self) -> Sequence[Sought]:
        return tuple(self._sought)

    async def run(self) -> None:
        try:
            while True:
                await self._let_go()
                now_s = self._clock.monotonic_s()
                self._start_due(now_s)
                if self._changed and (self._told_s is None or now_s - self._told_s >= SETTLE_S):
                    await self._tell()
                await self._pause()
        finally:
            running = [one.running for one in (*self._sought, *self._leaving) if one.running is not None]
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def close(self) -> None:
        for one in (*self._sought, *self._leaving):
            await one.source.close()

    async def _tell(self) -> None:
        self._changed = False
        self._told_s = self._clock.monotonic_s()
        found: dict[str, list[TargetGroup]] = {}
        for one in self._sought:
            found.setdefault(one.job, []).extend(one.found.groups)
        await self._pool.set_jobs(self._jobs, found)

    def _start_due(self, now_s: float) -> None:
        for one in self._sought:
            if one.running is None and one.due_s <= now_s:
                one.running = asyncio.create_task(self._look(one), name=f"discovery of {one.job}")
                one.running.add_done_callback(partial(self._ended, one))

    def _ended(self, one: Sought, task: asyncio.Task[None]) -> None:
        one.running = None
        one.due_s = self._clock.monotonic_s() + one.source.period_ms / 1_000
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed.labels(_kind(one.wanted)).inc()
            log.error("a discovery crashed", job=one.job, exc_info=error)

    async def _look(self, one: Sought) -> None:
        try:
            found = await one.source.find()
            error = found.error
        except TocsinError as failed:
            found, error = one.found, str(failed)
        if error:
            self._failed.labels(_kind(one.wanted)).inc()
            if error != one.error:
                log.warning("targets could not be found out", job=one.job, reason=error)
        self._changed |= found.groups != one.found.groups
        one.found, one.error = found, error

    async def _pause(self) -> None:
        now_s = self._clock.monotonic_s()
        waits = [one.due_s - now_s for one in self._sought if one.running is None]
        if self._changed and self._told_s is not None:
            waits.append(self._told_s + SETTLE_S - now_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(waits) if waits else None):
                await self._wake.wait()
        self._wake.clear()

    async def _let_go(self) -> None:
        leaving, self._leaving = self._leaving, []
        for one in leaving:
            if one.running is not None:
                one.running.cancel()
                await asyncio.wait([one.running])
            await one.source.close()


def sources(door: Door, resolver: Resolver, offload: Offload) -> OpenSource:
    """The real ones."""

    def open_source(wanted: Discovery) -> Source:
        match wanted:
            case FileDiscovery():
                return FileSource(wanted, offload)
            case DnsDiscovery():
                return DnsSource(wanted, resolver)
            case _:
                return HttpSource(wanted, Caller(door, wanted.http), offload)

    return open_source


def _kind(wanted: Discovery) -> str:
    match wanted:
        case FileDiscovery():
            return "file"
        case DnsDiscovery():
            return "dns"
        case _:
            return "http"
