"""What handlers are given: the rooms' services, and the caller, whose permission is checked here and nowhere else."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends
from starlette.requests import HTTPConnection

from tocsin.access.gate import Gate
from tocsin.access.keys import Principal
from tocsin.access.people import People
from tocsin.access.policy import Permission
from tocsin.access.ports import AccessStore
from tocsin.alerts.book import AlertBook
from tocsin.api.origin import SAFE_METHODS, Origins
from tocsin.api.ports import BackupDesk
from tocsin.api.reading import Readings, Scope, ScopedReader
from tocsin.api.settings import ServerSettings
from tocsin.api.stream import Hub
from tocsin.ingest.intake import Intake
from tocsin.ingest.scrape.book import ScrapeBook
from tocsin.ingest.settings import IngestSettings
from tocsin.ingest.wire.otlp_deltas import DeltaStreams
from tocsin.ingest.wire.remote_known import KnownSeries
from tocsin.model.audit import Actor
from tocsin.model.errors import AccessError, NotSignedInError
from tocsin.model.labels import Labels
from tocsin.model.matcher import matches_all
from tocsin.notify.desk import OutboxDesk
from tocsin.promql.engine import Engine
from tocsin.rules.book import RuleBook
from tocsin.rules.files import RuleFiles
from tocsin.rules.runner import Runner
from tocsin.runtime.clock import Clock
from tocsin.runtime.offload import Offload
from tocsin.runtime.telemetry import Telemetry
from tocsin.store.budget import DiskGuard
from tocsin.store.erasure import Erasure
from tocsin.store.retention import RetentionBook

COOKIE = "tocsin_session"

TOKEN_IN_QUERY_PATHS = frozenset({"/write", "/query", "/api/v2/write"})
"""InfluxDB's own paths, whose clients may send name and password as `u` and `p`."""


@dataclass(frozen=True, slots=True)
class ReadinessCheck:
    """`name` as a person calls it; `check` returns, or raises with the reason why not."""

    name: str
    check: Callable[[], Awaitable[object]]
    timeout_s: float = 2.0


@dataclass(frozen=True, slots=True)
class AboutInfo:
    """What the UI needs to know about the server. `host_interval_ms` None: this machine is not read."""

    version: str
    started_at_ms: int
    smtp: bool
    encrypted: bool
    host_interval_ms: int | None


@dataclass(frozen=True, slots=True)
class Services:
    """The rooms, as `app/wiring` hands them over."""

    gate: Gate
    people: People
    access: AccessStore
    intake: Intake
    ingest: IngestSettings
    deltas: DeltaStreams
    known_series: KnownSeries
    rules: RuleBook
    rule_groups: Runner
    rule_files: RuleFiles
    alerts: AlertBook
    scraping: ScrapeBook
    outbox: OutboxDesk
    backups: BackupDesk
    retention: RetentionBook
    disk: DiskGuard
    erasure: Erasure
    readings: Readings
    queries: Engine
    hub: Hub
    telemetry: Telemetry
    clock: Clock
    offload: Offload
    readiness: tuple[ReadinessCheck, ...]
    about: Callable[[], AboutInfo]


@dataclass(frozen=True, slots=True)
class Wiring:
    """What `build_api` puts at the application's state, once."""

    services: Services
    settings: ServerSettings
    origins: Origins


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and from where."""

    principal: Principal
    address: str

    @property
    def actor(self) -> Actor:
        return self.principal.actor(self.address)

    @property
    def scope(self) -> Scope:
        """What every series must fit that the caller sees."""
        return self.principal.allowance.reads

    def sees(self, labels: Labels) -> bool:
        """Whether a series, or an alert or a target with these labels, is within the scope."""
        return matches_all(self.scope, labels)

    def may(self, permission: Permission) -> bool:
        return permission in self.principal.permissions


def wiring_of(connection: HTTPConnection) -> Wiring:
    wiring: Wiring = connection.app.state.wiring
    return wiring


def body_max(connection: HTTPConnection) -> int:
    return wiring_of(connection).settings.body_max


async def _services(connection: HTTPConnection) -> Services:
    return wiring_of(connection).services


Wired = Annotated[Services, Depends(_services)]


@dataclass(frozen=True, slots=True)
class Require:
    """The one place that checks permissions: the caller must have one of them; none named: be signed in."""

    any_of: tuple[Permission, ...]

    async def __call__(self, connection: HTTPConnection) -> Caller:
        caller = await identify(connection)
        wiring_of(connection).services.gate.check(caller.principal, self.any_of)
        return caller


def require(*any_of: Permission) -> Any:
    """Raises NotSignedInError or AccessError before the handler runs; gives the Caller to who asks for it."""
    return Depends(Require(any_of))


async def _reader(caller: Annotated[Caller, require(Permission.METRICS_READ)], wired: Wired) -> ScopedReader:
    return wired.readings.of(caller.scope)


async def _unscoped(caller: Annotated[Caller, require(Permission.METRICS_READ)]) -> None:
    if caller.scope:
        raise AccessError("This is about the whole server, and your token is held to some of its series.")


UNSCOPED = Depends(_unscoped)
"""For what says something of all series alike: callers who see only some of them are turned away."""

Reader = Annotated[ScopedReader, Depends(_reader)]
"""The series and samples that the caller may see; they must be allowed to read metrics."""


async def identify(connection: HTTPConnection) -> Caller:
    """Raises NotSignedInError; AccessError for a request that another site's page sent with the cookie."""
    wiring = wiring_of(connection)
    scheme, bearer = token_of(connection)
    if bearer is None or scheme == "basic":  # a browser sends cookies and Basic by itself
        check_origin(connection)
    principal = await wiring.services.gate.identify(bearer=bearer, cookie=connection.cookies.get(COOKIE))
    return Caller(principal, wiring.origins.address(connection))


def token_of(connection: HTTPConnection) -> tuple[str, str | None]:
    """(how it was sent, the token), None where none was. Raises NotSignedInError.

    A caller who sends one has chosen it; the cookie is not looked at. Besides Bearer there are InfluxDB's
    Token, and Basic for agents that know no other: there the password is the token, or the name without one.
    """
    header = connection.headers.get("authorization")
    if header is None:
        asked = connection.query_params
        in_query = asked.get("p") or asked.get("u") if connection.scope["path"] in TOKEN_IN_QUERY_PATHS else None
        return "query", in_query or None
    scheme, _, text = header.partition(" ")
    scheme, token = scheme.lower(), text.strip()
    if scheme == "basic":
        token = _token_in_basic(token)
    elif scheme not in ("bearer", "token"):
        token = ""
    if not token:
        raise NotSignedInError("Send the token as `Authorization: Bearer …`.")
    return scheme, token


def _token_in_basic(encoded: str) -> str:
    """The empty string where it is not Basic's form."""
    try:
        name, _, password = b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        return ""
    return password or name


def check_origin(connection: HTTPConnection) -> None:
    """A page of another site may make a browser send requests: those that change something must be our own.

    A WebSocket counts as such, because the same-origin rule does not keep other pages from reading it.
    """
    if connection.scope["type"] == "websocket" or connection.scope["method"] not in SAFE_METHODS:
        wiring_of(connection).origins.check_same(connection)
