"""What is scraped, in the forms of Prometheus."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

from fastapi import APIRouter, Response

from tocsin.access.policy import Permission
from tocsin.api.deps import Caller, Wired, require
from tocsin.api.prometheus.answers import success
from tocsin.api.prometheus.metadata import described
from tocsin.api.prometheus.parameters import Asked, selector
from tocsin.api.times import rfc3339
from tocsin.ingest.scrape.scraper import Watched
from tocsin.ingest.scrape.target import Dropped
from tocsin.model.duration import format_ms
from tocsin.model.errors import NotFoundError
from tocsin.model.matcher import matches_all

router = APIRouter(include_in_schema=False)

Viewer = Annotated[Caller, require(Permission.SCRAPE_READ)]

NEVER = "0001-01-01T00:00:00Z"
"""As Go writes a time that was not."""


@router.get("/api/v1/targets")
async def list_targets(wired: Wired, caller: Viewer, asked: Asked) -> Response:
    """The `state` is active, dropped or any; whoever sees only some series sees the active ones that fit."""
    state, pool = asked.text("state", "any").lower(), asked.text("scrapePool")
    active = [one for one in wired.scraping.active() if pool in ("", one.target.job) and caller.sees(one.target.labels)]
    dropped = [one for one in wired.scraping.dropped() if pool in ("", one.job) and not caller.scope]
    active.sort(key=lambda one: (one.target.job, one.order))
    return success(
        {
            "activeTargets": [] if state == "dropped" else [_active(one) for one in active],
            "droppedTargets": [] if state == "active" else [_dropped(one) for one in dropped],
            "droppedTargetCounts": Counter(one.job for one in dropped),
        }
    )


def _active(one: Watched) -> dict[str, Any]:
    target, last = one.target, one.last
    return {
        "discoveredLabels": target.discovered.as_dict(),
        "labels": target.labels.as_dict(),
        "scrapePool": target.job,
        "scrapeUrl": target.url,
        "globalUrl": target.url,
        "lastError": last.error,
        "lastScrape": rfc3339(last.at_ms) if last.at_ms else NEVER,
        "lastScrapeDuration": last.duration_s,
        "health": last.health.value,
        "scrapeInterval": format_ms(target.interval_ms),
        "scrapeTimeout": format_ms(target.timeout_ms),
    }


def _dropped(one: Dropped) -> dict[str, Any]:
    return {"discoveredLabels": one.discovered.as_dict(), "scrapePool": one.job}


@router.get("/api/v1/scrape_pools")
async def list_scrape_pools(wired: Wired, caller: Viewer) -> Response:
    """The names of the jobs that are scraped."""
    names = [view.name for view in wired.scraping.jobs() if view.enabled and not caller.scope]
    seen = [one.target.job for one in wired.scraping.active() if caller.sees(one.target.labels)]
    return success({"scrapePools": sorted({*names, *seen})})


@router.get("/api/v1/targets/metadata")
async def list_target_metadata(wired: Wired, caller: Viewer, asked: Asked) -> Response:
    """What each target says of its metrics."""
    match = asked.text("match_target")
    matchers = selector(match, "match_target") if match else ()
    metric, limit = asked.text("metric"), asked.limit()
    found: list[dict[str, Any]] = []
    for one in wired.scraping.active():
        labels = one.target.labels
        if not caller.sees(labels) or not matches_all(matchers, labels):
            continue
        for info in one.infos.values():
            if metric in ("", info.name):
                named = {} if metric else {"metric": info.name}
                found.append({"target": labels.as_dict(), **named, **described(info)})
    if not found:
        raise NotFoundError("specified metadata not found")
    return success(found[:limit] if limit else found)
