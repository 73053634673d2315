"""Scraping: jobs and their targets."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Path, Query

from tocsin.access.policy import Permission
from tocsin.api.deps import Caller, Wired, require
from tocsin.api.description import family
from tocsin.api.paging import AskedPage, page_of
from tocsin.api.shapes import scraping as shapes
from tocsin.ingest.scrape.scraper import Health, Watched
from tocsin.ingest.scrape.target import Dropped

router = family("scraping")

Id = Annotated[int, Path(ge=1, le=2**63 - 1)]
Reader = require(Permission.SCRAPE_READ)
Viewer = Annotated[Caller, Reader]
Editor = Annotated[Caller, require(Permission.SCRAPE_WRITE)]


@router.get("/api/scrape/jobs", dependencies=[Reader])
async def list_scrape_jobs(wired: Wired, asked: AskedPage) -> shapes.ScrapeJobList:
    """All scrape jobs by name, those of the configuration file too."""
    page = page_of(wired.scraping.jobs(), lambda one: f"{one.name}\0{one.stored is not None}", asked)
    return shapes.ScrapeJobList(items=[shapes.ScrapeJob.of(view) for view in page.items], next=page.next)


@router.post("/api/scrape/jobs", status_code=201)
async def create_scrape_job(body: shapes.NewScrapeJob, wired: Wired, caller: Editor) -> shapes.ScrapeJob:
    """A new job: one entry of Prometheus' `scrape_configs`. It may name no files of the server."""
    view = await wired.scraping.add(body.config(), caller.actor, enabled=body.enabled is not False)
    return shapes.ScrapeJob.of(view)


@router.get("/api/scrape/jobs/{job_id}", dependencies=[Reader])
async def read_scrape_job(job_id: Id, wired: Wired) -> shapes.ScrapeJob:
    """One job that was made here."""
    return shapes.ScrapeJob.of(wired.scraping.job(job_id))


@router.patch("/api/scrape/jobs/{job_id}")
async def change_scrape_job(job_id: Id, body: shapes.ScrapeJobChange, wired: Wired, caller: Editor) -> shapes.ScrapeJob:
    """Change some keys of a job, or pause it. Send the `version` that you read."""
    view = await wired.scraping.change(job_id, body.config(), caller.actor, enabled=body.enabled, version=body.version)
    return shapes.ScrapeJob.of(view)


@router.delete("/api/scrape/jobs/{job_id}", status_code=204)
async def delete_scrape_job(job_id: Id, wired: Wired, caller: Editor) -> None:
    """Delete a job. The series of its targets end; what was stored of them stays."""
    await wired.scraping.delete(job_id, caller.actor)


@router.get("/api/targets")
async def list_targets(
    wired: Wired,
    caller: Viewer,
    asked: AskedPage,
    state: Annotated[Literal["active", "dropped", "any"], Query(description="dropped: by relabelling")] = "active",
    job: Annotated[str | None, Query(description="of this job alone")] = None,
    health: Annotated[Health | None, Query(description="active targets in this state alone")] = None,
) -> shapes.TargetList:
    """What is scraped, and what relabelling left out, by job and URL."""
    rows: list[tuple[str, Watched | Dropped]] = []
    if state != "dropped":
        rows += [
            (f"{one.target.job}\0a{one.order}", one)
            for one in wired.scraping.active()
            if job in (None, one.target.job) and health in (None, one.last.health) and caller.sees(one.target.labels)
        ]
    if state != "active" and health is None and not caller.scope:  # what is dropped has no labels to go by
        rows += [
            (f"{one.job}\0d{at:09}", one) for at, one in enumerate(wired.scraping.dropped()) if job in (None, one.job)
        ]
    rows.sort(key=_order)
    page = page_of(rows, _order, asked)
    return shapes.TargetList(items=[shapes.Target.of(one) for _, one in page.items], next=page.next)


def _order(row: tuple[str, object]) -> str:
    return row[0]
