"""The API over the real rooms, on the memory twin and a state store in memory, with a clock that stands still."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx
from argon2 import PasswordHasher
from fastapi import FastAPI
from tests.support.state import AT_MS

from tocsin.access.gate import Gate
from tocsin.access.people import People
from tocsin.access.settings import AuthSettings
from tocsin.alerts.book import AlertBook
from tocsin.api.deps import AboutInfo, ReadinessCheck, Services
from tocsin.api.reading import Readings
from tocsin.api.server import build_api
from tocsin.api.settings import ServerSettings
from tocsin.api.stream import Hub
from tocsin.app.backups import Backups, places_of
from tocsin.app.rule_groups import AppenderRecorder
from tocsin.ingest.appender import Appender
from tocsin.ingest.intake import Intake
from tocsin.ingest.ports import SampleObserver
from tocsin.ingest.scrape.book import ScrapeBook
from tocsin.ingest.scrape.discovery.loop import Discoverer, sources
from tocsin.ingest.scrape.door import Door
from tocsin.ingest.scrape.pool import TargetPool
from tocsin.ingest.scrape.scraper import Scraper
from tocsin.ingest.settings import IngestSettings, ScrapeSettings
from tocsin.ingest.wire.otlp_deltas import DeltaStreams
from tocsin.ingest.wire.remote_known import KnownSeries
from tocsin.model.alert import AlertEvent, AlertEventKind, AlertState, Change
from tocsin.model.audit import Actor
from tocsin.model.people import Role
from tocsin.notify.desk import OutboxDesk
from tocsin.notify.settings import DeliverySettings
from tocsin.promql.engine import Engine
from tocsin.promql.settings import QuerySettings
from tocsin.rules.arrival import Arrival
from tocsin.rules.book import RuleBook
from tocsin.rules.evaluation import Means
from tocsin.rules.expanding import Site
from tocsin.rules.files import RuleFiles, reading
from tocsin.rules.runner import Runner
from tocsin.rules.settings import RulesSettings
from tocsin.runtime.clock import FixedClock
from tocsin.runtime.disk import DiskSpace
from tocsin.runtime.dns import Resolver
from tocsin.runtime.offload import InlineOffload
from tocsin.runtime.telemetry import Telemetry
from tocsin.store.backup.settings import BackupSettings
from tocsin.store.backup.write import Circumstances, Stores
from tocsin.store.budget import DiskGuard
from tocsin.store.erasure import Erasure
from tocsin.store.memory import MemorySampleStore
from tocsin.store.retention import RetentionBook
from tocsin.store.settings import StoreSettings
from tocsin.store.state.state import State, open_state

TESTER = Actor("tester")
PASSWORD = "correct horse battery"
NO_SITE = Path("/nonexistent")

KINDS = {AlertState.FIRING: AlertEventKind.FIRING, AlertState.RESOLVED: AlertEventKind.RESOLVED}


@dataclass
class Browsers:
    """Fits rules' AlertSink: what the dispatcher tells the browsers, at once."""

    hub: Hub

    def alerts_changed(self, changes: Sequence[Change]) -> None:
        for change in changes:
            kind = KINDS.get(change.alert.state, AlertEventKind.CHANGED)
            self.hub.publish(AlertEvent(kind, change.alert, change.alert.changed_at_ms))


class Silent:
    def ring(self) -> None:
        pass


@dataclass
class Api:
    app: FastAPI
    services: Services
    clock: FixedClock
    samples: MemorySampleStore
    state: State
    hub: Hub
    telemetry: Telemetry
    scraper: Scraper
    tokens: dict[Role, str] = field(default_factory=dict)

    def client(self, role: Role | None = None, **more: Any) -> httpx.AsyncClient:
        """A program with that role's token; without one, a stranger."""
        headers = {"Authorization": f"Bearer {self.tokens[role]}"} if role else {}
        transport = httpx.ASGITransport(self.app, client=("192.0.2.9", 4_000))
        return httpx.AsyncClient(transport=transport, base_url="http://tocsin.test", headers=headers, **more)

    async def push(self, name: str, value: float, **tags: str) -> None:
        async with self.client(Role.WRITER) as http:
            answer = await http.post("/api/metrics", json={"name": name, "value": value, "tags": tags})
            assert answer.status_code == 200, answer.text


@asynccontextmanager
async def open_api(
    server: ServerSettings | None = None,
    auth: AuthSettings | None = None,
    readiness: Sequence[ReadinessCheck] = (),
    site: Path = NO_SITE,
    recheck_s: float = 30.0,
    observers: Sequence[SampleObserver] = (),
) -> AsyncIterator[Api]:
    clock, telemetry, inline = FixedClock(AT_MS), Telemetry(), InlineOffload()
    secrets = map("secret-{:032d}".format, count())
    samples = MemorySampleStore(clock=clock)
    state = await open_state("sqlite://", write=inline, read=inline)
    hub = Hub(clock, telemetry, samples, gather_s=0, recheck_s=recheck_s)
    gate = Gate(
        state.access,
        clock=clock,
        secrets=lambda: next(secrets),
        hashing=inline,
        telemetry=telemetry,
        settings=auth or AuthSettings(),
        hasher=PasswordHasher(time_cost=1, memory_cost=8, parallelism=1),
    )
    people = People(state.access, gate, clock=clock, secrets=lambda: next(secrets))
    arrival = Arrival(state.alerts, samples, Browsers(hub), clock=clock, telemetry=telemetry)

    async def space() -> DiskSpace:
        return DiskSpace(100 * 10**9, 40 * 10**9)

    retention = RetentionBook(samples, state.policies, clock)
    await retention.load()
    ingest = IngestSettings()
    appender = Appender(
        samples,
        samples,
        samples,
        (arrival, hub, *observers),
        clock=clock,
        telemetry=telemetry,
        settings=ingest,
        kept=samples.cuts,
    )
    queries = Engine(QuerySettings(), monotonic_s=clock.monotonic_s, threads=inline)
    means = Means(
        engine=queries,
        source=samples,
        store=state.alerts,
        recorder=AppenderRecorder(appender),
        sink=Browsers(hub),
        clock=clock,
        offload=inline,
        site=Site(),
        settings=RulesSettings(),
    )
    runner = Runner(means, telemetry)
    await runner.load()
    rules = RuleBook(state.rules, arrival, clock, runner)
    await rules.load()
    files = RuleFiles(state.rule_files, runner, reading(inline), (), clock=clock, offload=inline, telemetry=telemetry)
    await files.load()
    about = Circumstances(clock, lambda: next(secrets), inline)
    settings = BackupSettings()
    backups = Backups(Stores(samples, state), state.backups, settings, about, telemetry, places_of(settings))
    door = Door(clock, inline, lambda: httpx.MockTransport(lambda _: httpx.Response(503, stream=httpx.ByteStream(b""))))
    scraper = Scraper(ScrapeSettings(), ingest, appender, door, clock=clock, offload=inline, telemetry=telemetry)
    pool = TargetPool(scraper, inline)
    discoverer = Discoverer(pool, sources(door, Resolver(), inline), clock=clock, telemetry=telemetry)
    services = Services(
        gate=gate,
        people=people,
        access=state.access,
        intake=Intake(appender, samples, clock=clock, telemetry=telemetry),
        ingest=ingest,
        deltas=DeltaStreams(telemetry),
        known_series=KnownSeries(IngestSettings(), seed=8627),
        rules=rules,
        retention=retention,
        erasure=Erasure(samples, state.access.record, clock),
        disk=DiskGuard(samples, state.settings, StoreSettings(), space, clock=clock, telemetry=telemetry),
        rule_groups=runner,
        rule_files=files,
        alerts=AlertBook(state.book, hub, clock),
        scraping=ScrapeBook(state.scrape_jobs, discoverer, pool, clock),
        outbox=OutboxDesk(state.outbox, clock, Silent(), DeliverySettings()),
        backups=backups,
        readings=Readings(samples),
        queries=queries,
        hub=hub,
        telemetry=telemetry,
        clock=clock,
        offload=inline,
        readiness=(ReadinessCheck("The sample store", samples.check), *readiness),
        about=lambda: AboutInfo("0.1.0", AT_MS - 60_000, smtp=False, encrypted=True, host_interval_ms=5_000),
    )
    api = Api(
        build_api(services, server or ServerSettings(), site), services, clock, samples, state, hub, telemetry, scraper
    )
    for role in Role:
        _, api.tokens[role] = await people.create_token(f"{role} of the tests", role, None, TESTER)
    try:
        yield api
    finally:
        await backups.close()
        await state.close()
