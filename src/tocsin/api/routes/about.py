"""What the server says about itself: to probes, to Prometheus, to the UI, and to the generators of clients."""

from __future__ import annotations

import asyncio

import msgspec
from fastapi import Request
from starlette.responses import PlainTextResponse, Response

from tocsin.access.policy import Permission
from tocsin.api.deps import UNSCOPED, ReadinessCheck, Wired, require
from tocsin.api.description import family
from tocsin.api.errors import problem
from tocsin.api.shapes import about as shapes
from tocsin.api.times import rfc3339
from tocsin.model.errors import TocsinError
from tocsin.runtime.log import get_log
from tocsin.runtime.telemetry import CONTENT_TYPE

log = get_log("api")

router = family("server")

PROBES = ["GET", "HEAD"]


@router.api_route("/healthz", methods=PROBES, include_in_schema=False)
@router.api_route("/-/healthy", methods=PROBES, include_in_schema=False)
async def say_healthy() -> Response:
    """The process runs and its loop turns."""
    return PlainTextResponse("ok")


@router.api_route("/readyz", methods=PROBES, include_in_schema=False)
@router.api_route("/-/ready", methods=PROBES, include_in_schema=False)
async def say_ready(wired: Wired) -> Response:
    reasons = [why for why in await asyncio.gather(*map(_why_not, wired.readiness)) if why]
    if reasons:
        return problem(503, " ".join(reasons), headers={"Retry-After": "5"})
    return PlainTextResponse("ok")


async def _why_not(check: ReadinessCheck) -> str:
    try:
        async with asyncio.timeout(check.timeout_s):
            await check.check()
    except TimeoutError:
        return f"{check.name} has not answered for {check.timeout_s:g} seconds."
    except TocsinError as error:
        return f"{check.name} is not ready: {error}"
    except Exception:  # a probe wants an answer whatever is wrong
        log.exception("readiness check failed", check=check.name)
        return f"{check.name} is not ready; the server's log says why."
    return ""


@router.get("/metrics", dependencies=[UNSCOPED], include_in_schema=False)
async def render_metrics(wired: Wired) -> Response:
    return Response(wired.telemetry.render(), media_type=CONTENT_TYPE)


@router.get("/api/about", dependencies=[require(Permission.METRICS_READ)])
async def read_about(wired: Wired) -> shapes.About:
    """What a page needs to know about this server."""
    about = wired.about()
    interval_ms = about.host_interval_ms
    return shapes.About(
        version=about.version,
        started_at=rfc3339(about.started_at_ms),
        smtp=about.smtp,
        encrypted=about.encrypted,
        host_interval=None if interval_ms is None else interval_ms / 1_000,
    )


@router.get("/api/openapi.json", dependencies=[require(Permission.METRICS_READ)], include_in_schema=False)
async def read_openapi(request: Request, wired: Wired) -> Response:
    document = await wired.offload.run(request.app.openapi)  # the first time takes some 50 ms
    return Response(msgspec.json.encode(document), media_type="application/json")
