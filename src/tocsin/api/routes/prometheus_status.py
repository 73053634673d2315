"""What the server says about itself, in the forms of Prometheus."""

from __future__ import annotations

from typing import Any

import yaml
from fastapi import APIRouter, Response

from tocsin.access.policy import Permission
from tocsin.api.deps import UNSCOPED, Reader, Wired, require
from tocsin.api.prometheus.answers import success
from tocsin.api.prometheus.parameters import Asked
from tocsin.api.times import rfc3339
from tocsin.model.duration import format_ms
from tocsin.model.errors import UserError

router = APIRouter(include_in_schema=False)

SPOKEN = "3.5.0"
"""The version of Prometheus whose API this is: clients choose what they ask for by it."""

MOST = 10
MOST_MAX = 10_000


@router.get("/api/v1/status/buildinfo")
async def read_build_info(_: Reader, wired: Wired) -> Response:
    """Without `features`: Grafana takes whoever has them for Mimir."""
    revision = f"tocsin-{wired.about().version}"
    empty = dict.fromkeys(("branch", "buildUser", "buildDate", "goVersion"), "")
    return success({"version": SPOKEN, "revision": revision, **empty})


@router.get("/api/v1/status/runtimeinfo")
async def read_runtime_info(_: Reader, wired: Wired) -> Response:
    """What of it there is here; the rest is about Go."""
    started, now = rfc3339(wired.about().started_at_ms), rfc3339(wired.clock.now_ms())
    told = {"startTime": started, "serverTime": now, "reloadConfigSuccess": True, "lastConfigTime": started}
    return success(told | {"storageRetention": format_ms(wired.retention.defaults.raw_ms)})


@router.get("/api/v1/status/flags", dependencies=[UNSCOPED])
async def read_flags(wired: Wired) -> Response:
    """The settings that Prometheus has too, under its names."""
    query = wired.queries.settings
    return success(
        {
            "query.lookback-delta": str(query.lookback),
            "query.max-concurrency": str(query.concurrency),
            "query.max-samples": str(query.samples_max),
            "query.timeout": str(query.timeout),
            "storage.tsdb.retention.time": format_ms(wired.retention.defaults.raw_ms),
        }
    )


@router.get("/api/v1/status/config", dependencies=[UNSCOPED, require(Permission.SCRAPE_READ)])
async def read_config(wired: Wired) -> Response:
    """The scrape jobs as Prometheus would have them in its file, without their secrets."""
    jobs = [dict(view.config) for view in wired.scraping.jobs() if view.enabled]
    return success({"yaml": await wired.offload.run(yaml.safe_dump, {"scrape_configs": jobs}, sort_keys=False)})


@router.get("/api/v1/status/tsdb")
async def read_tsdb(reader: Reader, asked: Asked) -> Response:
    """What has the most series and values. There are no chunks, and no memory of labels to tell apart."""
    told = await reader.cardinality(_most(asked.text("limit")))
    return success(
        {
            "headStats": {
                "numSeries": told.series,
                "numLabelPairs": told.label_pairs,
                "chunkCount": 0,
                "minTime": told.first_ms or 0,
                "maxTime": told.last_ms or 0,
            },
            "seriesCountByMetricName": _counted(told.metrics),
            "labelValueCountByLabelName": _counted(told.labels),
            "memoryInBytesByLabelName": [],
            "seriesCountByLabelValuePair": _counted([(f"{name}={value}", count) for name, value, count in told.pairs]),
        }
    )


def _counted(rows: Any) -> list[dict[str, Any]]:
    return [{"name": name, "value": count} for name, count in rows]


def _most(text: str) -> int:
    """Raises UserError."""
    if not text:
        return MOST
    try:
        most = int(text)
    except ValueError:
        most = 0
    if most < 1:
        raise UserError("limit must be a positive number")
    if most > MOST_MAX:
        raise UserError(f"limit must not exceed {MOST_MAX}")
    return most


@router.get("/api/v1/alertmanagers")
async def list_alertmanagers(_: Reader) -> Response:
    """tocsin notifies by itself."""
    return success({"activeAlertmanagers": [], "droppedAlertmanagers": []})
