"""The application: one line for each thing that surrounds a request, then the routes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware

from tocsin.api.deps import Services, Wiring
from tocsin.api.description import describe
from tocsin.api.envelope import Envelope
from tocsin.api.errors import add_handlers
from tocsin.api.forms import ErrorForm, RestatedErrors
from tocsin.api.origin import Origins
from tocsin.api.prometheus import answers
from tocsin.api.routes import (
    about,
    alerts,
    audit,
    backups,
    collectd,
    erasure,
    federate,
    history,
    influx,
    lines,
    live,
    metrics,
    otlp,
    outbox,
    people,
    prometheus_rules,
    prometheus_series,
    prometheus_status,
    prometheus_targets,
    promql,
    remote_read,
    remote_write,
    retention,
    rule_groups,
    rules,
    scrape,
    series,
    session,
    trends,
)
from tocsin.api.settings import ServerSettings
from tocsin.api.site import BUILT, read_site, site_routes

GZIP_MIN_BYTES = 2_048
GZIP_LEVEL = 4
"""Measured on chart JSON: 90 MB/s to 30 % of the size; 6 is at 24 MB/s and 9 at 6 MB/s for 27 %."""

FAMILIES = (
    session,
    metrics,
    series,
    trends,
    erasure,
    retention,
    rules,
    rule_groups,
    alerts,
    history,
    outbox,
    scrape,
    people,
    audit,
    backups,
    about,
    live,
    influx,
    remote_write,
    lines,
    otlp,
    collectd,
    promql,
    prometheus_series,
    prometheus_rules,
    prometheus_targets,
    prometheus_status,
    federate,
    remote_read,
)

FORMS: dict[str, ErrorForm | None] = {
    "/api/v1/": answers.error_form,
    **dict.fromkeys(("/api/v1/write", "/api/v1/import"), None),
    **dict.fromkeys(otlp.PATHS, otlp.error_form),
}
"""The form of errors on the paths that begin so; None is a problem document, as everywhere else."""


def build_api(services: Services, settings: ServerSettings, site: Path = BUILT) -> FastAPI:
    """`site` is where the built UI lies; it is read here, once."""
    envelope = Middleware(Envelope, clock=services.clock, telemetry=services.telemetry, body_max=settings.body_max)
    restated = Middleware(RestatedErrors, forms=FORMS)
    cors = [_cors(settings.cors_origins)] if settings.cors_origins else []
    app = FastAPI(
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        middleware=[
            *cors,
            restated,
            envelope,
            Middleware(GZipMiddleware, minimum_size=GZIP_MIN_BYTES, compresslevel=GZIP_LEVEL),
        ],
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.wiring = Wiring(services, settings, Origins(settings))
    add_handlers(app)
    add_routes(app)
    app.router.routes.extend(site_routes(read_site(site)))
    app.openapi = cache(lambda: describe(app))  # type: ignore[method-assign]  # FastAPI's way to give another document
    return app


def _cors(origins: Sequence[str]) -> Middleware:
    """Pages of these origins may ask with a token; a browser sends them no cookie of ours."""
    return Middleware(
        CORSMiddleware,
        allow_origins=list(origins),
        allow_methods=["GET", "POST", "OPTIONS"],
        allow_headers=["Accept", "Authorization", "Content-Type"],
        expose_headers=["Date", "Retry-After"],
    )


def add_routes(app: FastAPI) -> None:
    """The routes themselves: `include_router` would match each request twice, and build all of them at the first."""
    for family in FAMILIES:
        app.router.routes.extend(family.router.routes)
