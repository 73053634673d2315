"""Which targets there are: the jobs' addresses, relabelled, handed to the scraper."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tocsin.ingest.scrape.job import ScrapeJob, TargetGroup
from tocsin.ingest.scrape.scraper import Scraper, Wanted, Watched
from tocsin.ingest.scrape.target import Dropped, Target, populate
from tocsin.runtime.offload import Offload


@dataclass(frozen=True, slots=True)
class Populated:
    """A job with its targets, and with the addresses that relabelling left out. `found` is what discovery gave."""

    job: ScrapeJob
    found: tuple[TargetGroup, ...]
    targets: tuple[Target, ...]
    dropped: tuple[Dropped, ...]

    def wanted(self) -> Iterable[Wanted]:
        most = self.job.limits.targets
        refusal = f"The job has {len(self.targets)} targets; target_limit is {most}."
        broken = bool(most) and len(self.targets) > most
        return (Wanted(target, self.job, refusal if broken else "") for target in self.targets)


class TargetPool:
    """Changes come one after another; each ends with the scraper told."""

    def __init__(self, scraper: Scraper, offload: Offload) -> None:
        self._scraper = scraper
        self._offload = offload
        self._changing = asyncio.Lock()
        self._jobs: dict[str, Populated] = {}

    async def set_jobs(
        self, jobs: Iterable[ScrapeJob], found: Mapping[str, Sequence[TargetGroup]] | None = None
    ) -> None:
        """These and no others; `found` are the groups that were discovered for the job of that name."""
        async with self._changing:
            wanted = [(job, tuple((found or {}).get(job.name, ()))) for job in jobs]
            self._jobs = await self._offload.run(_populate, wanted, self._jobs)
            await self._scraper.apply(one for populated in self._jobs.values() for one in populated.wanted())

    def active(self) -> Sequence[Watched]:
        return self._scraper.watched()

    def dropped(self) -> Sequence[Dropped]:
        return tuple(one for populated in self._jobs.values() for one in populated.dropped)


def _populate(
    wanted: Sequence[tuple[ScrapeJob, tuple[TargetGroup, ...]]], before: Mapping[str, Populated]
) -> dict[str, Populated]:
    done: dict[str, Populated] = {}
    for job, found in wanted:
        known = before.get(job.name)
        if known is not None and known.job == job and known.found == found:
            done[job.name] = Populated(job, found, known.targets, known.dropped)
        else:
            targets, dropped = populate(job, (*job.groups, *found))
            done[job.name] = Populated(job, found, tuple(targets), tuple(dropped))
    return done
