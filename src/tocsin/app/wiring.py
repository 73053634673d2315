"""The composition root: one straight line that builds a server from its settings and its world."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from fastapi import FastAPI
from prometheus_client import PlatformCollector, ProcessCollector

from tocsin.access.gate import Gate
from tocsin.access.people import People
from tocsin.alerts.book import AlertBook
from tocsin.alerts.dispatcher import Dispatcher
from tocsin.alerts.routes import DefaultRoute
from tocsin.api.deps import AboutInfo, ReadinessCheck, Services
from tocsin.api.reading import Readings
from tocsin.api.server import build_api
from tocsin.api.stream import Hub
from tocsin.app.backups import Backups, places_of
from tocsin.app.config import Settings, walk
from tocsin.app.housekeeping import Housekeeping
from tocsin.app.rule_groups import open_files, open_runner
from tocsin.app.scraping import Scraping, open_scraping
from tocsin.app.state import decide_restore, open_state_with, unlocked
from tocsin.app.world import Samples, World
from tocsin.ingest.appender import Appender
from tocsin.ingest.host.collector import HostCollector
from tocsin.ingest.intake import Intake
from tocsin.ingest.listen.graphite import GraphiteListener
from tocsin.ingest.listen.statsd import StatsdListener
from tocsin.ingest.wire.otlp_deltas import DeltaStreams
from tocsin.ingest.wire.remote_known import KnownSeries
from tocsin.model.audit import SYSTEM, AuditEntry
from tocsin.model.outbox import Target
from tocsin.notify.deliver import Delivery
from tocsin.notify.desk import OutboxDesk
from tocsin.notify.registry import EMAIL
from tocsin.promql.engine import Engine as QueryEngine
from tocsin.rules.arrival import Arrival
from tocsin.rules.book import RuleBook
from tocsin.runtime.chance import SecretMaker
from tocsin.runtime.disk import DiskSpace
from tocsin.runtime.log import configure_logs, get_log
from tocsin.runtime.offload import Offload
from tocsin.runtime.tasks import Tasks
from tocsin.runtime.telemetry import Telemetry
from tocsin.store.backup.write import Circumstances, Stores
from tocsin.store.budget import DiskGuard
from tocsin.store.erasure import Erasure
from tocsin.store.retention import RetentionBook
from tocsin.store.samples.rollup import RollUpLoop
from tocsin.store.state.state import State
from tocsin.store.vault import Vault, backup_cipher
from tocsin.version import __version__

log = get_log("app")

QUERY_THREADS = 2
DEFAULTS_INSTALLED = "default_alerts.installed"
RELOADABLE = ("retention.", "log.", "alerts.", "smtp.to", "scrape.config_file", "rules.files")


@dataclass(frozen=True, slots=True)
class Engine:
    """Both stores of a data directory, open."""

    settings: Settings
    world: World
    telemetry: Telemetry
    samples: Samples
    state: State
    retention: RetentionBook


@asynccontextmanager
async def open_engine(settings: Settings, data_dir: Path, world: World) -> AsyncIterator[Engine]:
    """The stores alone: what the Python API stands on, and the server too."""
    async with open_engine_with(settings, data_dir, world, await unlocked(settings, data_dir, world.offload)) as engine:
        yield engine


@asynccontextmanager
async def open_engine_with(
    settings: Settings, data_dir: Path, world: World, vault: Vault | None
) -> AsyncIterator[Engine]:
    """Under these keys."""
    telemetry = Telemetry()
    async with AsyncExitStack() as stack:
        state = await stack.enter_async_context(open_state_with(settings, data_dir, world.offload, vault))
        await decide_restore(data_dir, state)
        samples = await stack.enter_async_context(world.open_samples(world, data_dir, settings, telemetry, vault))
        retention = RetentionBook(samples, state.policies, world.clock)
        await retention.load()
        yield Engine(settings, world, telemetry, samples, state, retention)


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs. `sign_in_link` is a secret for the first person, None where a password is set."""

    engine: Engine
    api: FastAPI
    services: Services
    appender: Appender
    tasks: Tasks
    dispatcher: Dispatcher
    scraping: Scraping
    sign_in_link: str | None

    @property
    def people(self) -> People:
        return self.services.people

    async def reload(self, settings: Settings) -> None:
        """Take over what can change while running; say what cannot. Rules are read again from the store."""
        old = {f"{section}.{key}": value for section, key, value, _ in walk(self.engine.settings)}
        new = {f"{section}.{key}": value for section, key, value, _ in walk(settings)}
        kept = [key for key in new if new[key] != old[key] and not key.startswith(RELOADABLE)]
        if kept:
            log.warning("some changed settings wait for the next start", settings=", ".join(kept))
        scraped = await self.scraping.read(settings)  # what can fail comes first
        await self.services.rules.reload()
        await self.services.rule_files.reload(settings.rules.files)
        configure_logs(settings.log.level, settings.log.form)
        self.engine.samples.cuts.defaults = settings.retention.lengths
        self.dispatcher.reload(route_of(settings), settings.alerts)
        await self.scraping.book.load(scraped.jobs)
        log.info("settings reloaded")


@asynccontextmanager
async def open_server(  # noqa: PLR0915 - one straight line, long and dull
    settings: Settings,
    data_dir: Path,
    world: World,
    *,
    url: str,
    admin_password: str | None = None,
    loops: bool = True,
) -> AsyncIterator[Server]:
    """Everything that answers and, with `loops`, everything that happens by itself."""
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(open_engine(settings, data_dir, world))
        clock, telemetry, samples, state = world.clock, engine.telemetry, engine.samples, engine.state
        ProcessCollector(registry=telemetry.registry)
        PlatformCollector(registry=telemetry.registry)
        external_url = settings.server.external_url or url

        hashing = world.offload("hashing", 1)
        stack.callback(hashing.close)
        gate = Gate(
            state.access,
            clock=clock,
            secrets=world.secrets,
            hashing=hashing,
            telemetry=telemetry,
            settings=settings.auth,
        )
        people = People(state.access, gate, clock=clock, secrets=world.secrets)
        link = await people.first_start(admin_password) if loops else None

        hub = Hub(clock, telemetry, samples)
        receivers = world.open_receivers(world, settings, telemetry)
        stack.push_async_callback(receivers.close)
        delivery = Delivery(
            state.outbox,
            receivers,
            clock,
            chance=world.chance,
            telemetry=telemetry,
            settings=settings.delivery,
            worker=node_name(data_dir, world.secrets),
        )
        dispatcher = Dispatcher(
            state.book,
            route_of(settings),
            delivery,
            hub,
            clock=clock,
            telemetry=telemetry,
            settings=settings.alerts,
        )
        arrival = Arrival(state.alerts, samples, dispatcher, clock=clock, telemetry=telemetry, settings=settings.rules)
        appender = Appender(
            samples,
            samples,
            samples,
            (arrival, hub),
            clock=clock,
            telemetry=telemetry,
            settings=settings.ingest,
            kept=samples.cuts,
        )
        runner = open_runner(engine, stack, appender, dispatcher, external_url)
        await runner.load()
        rules = RuleBook(state.rules, arrival, clock, runner)
        await rules.load()
        rule_files = open_files(engine, stack, runner)
        await rule_files.load()
        if loops and await state.settings.get(DEFAULTS_INSTALLED) is None:
            await rules.setup_default_alerts()
            installed = AuditEntry(clock.now_ms(), SYSTEM, "defaults.install", "settings")
            await state.settings.put(DEFAULTS_INSTALLED, installed.at_ms, installed)

        reading = world.offload("host", 1)
        stack.callback(reading.close)
        families, file_systems = world.open_machine(settings.host)
        collector = HostCollector(
            families,
            file_systems,
            appender,
            host=settings.host.host or world.host,
            interval_s=settings.host.interval.seconds,
            offload=reading,
            clock=clock,
            telemetry=telemetry,
        )
        backups = await open_backups(engine, stack, share=settings.backup.share if loops else 1.0)
        guard = disk_guard(engine, data_dir, reading)
        housekeeping = Housekeeping(samples, guard, state.access, clock, telemetry)

        querying = world.offload("queries", QUERY_THREADS)
        stack.callback(querying.close)
        queries = QueryEngine(settings.query, monotonic_s=clock.monotonic_s, threads=querying)
        parsing = world.offload("parsing", 1)
        stack.callback(parsing.close)
        graphite = GraphiteListener(
            settings.graphite, settings.ingest, appender, clock=clock, offload=parsing, telemetry=telemetry
        )
        statsd = StatsdListener(settings.statsd, settings.ingest, appender, clock=clock, telemetry=telemetry)
        scraping = await stack.enter_async_context(
            open_scraping(settings, state.scrape_jobs, appender, world, telemetry)
        )
        started_ms = clock.now_ms()
        services = Services(
            gate=gate,
            people=people,
            access=state.access,
            intake=Intake(appender, samples, clock=clock, telemetry=telemetry),
            ingest=settings.ingest,
            deltas=DeltaStreams(telemetry),
            known_series=KnownSeries(settings.ingest, seed=world.chance.getrandbits(64)),
            rules=rules,
            rule_groups=runner,
            rule_files=rule_files,
            alerts=AlertBook(state.book, hub, clock),
            scraping=scraping.book,
            outbox=OutboxDesk(state.outbox, clock, delivery, settings.delivery),
            backups=backups,
            retention=engine.retention,
            disk=guard,
            erasure=Erasure(samples, state.access.record, clock),
            readings=Readings(samples),
            queries=queries,
            hub=hub,
            telemetry=telemetry,
            clock=clock,
            offload=parsing,
            readiness=(ReadinessCheck("sample store", samples.check), ReadinessCheck("state store", state.check)),
            about=lambda: AboutInfo(
                version=__version__,
                started_at_ms=started_ms,
                smtp=settings.smtp.enabled,
                encrypted=bool(settings.store.encryption_key),  # with a key nothing else is opened
                host_interval_ms=settings.host.interval if settings.host.enabled else None,
            ),
        )
        api = build_api(services, replace(settings.server, external_url=external_url))

        if loops:
            listeners = (
                (graphite, settings.graphite.listen),
                (statsd, settings.statsd.listen + settings.statsd.socket),
            )
            for listener, address in listeners:
                if address:
                    stack.callback(listener.close)
                    listener.bind()
        tasks = await stack.enter_async_context(Tasks(clock, world.chance, telemetry))
        if loops:
            for name, owner, wanted in (
                ("deliver", delivery, True),
                ("dispatch", dispatcher, True),
                ("arrival", arrival, True),
                ("rules", runner, True),
                ("rule_files", rule_files, True),
                ("housekeeping", housekeeping, True),
                ("rollup", RollUpLoop(samples), True),
                ("scrape", scraping.scraper, True),
                ("discovery", scraping.discoverer, True),
                ("host", collector, settings.host.enabled),
                ("graphite", graphite, settings.graphite.listen),
                ("statsd", statsd, settings.statsd.listen + settings.statsd.socket),
                ("backup", backups, settings.backup.every),
            ):
                if wanted:
                    tasks.start(name, owner.run)
        yield Server(engine, api, services, appender, tasks, dispatcher, scraping, link)


async def open_backups(engine: Engine, stack: AsyncExitStack, *, share: float) -> Backups:
    """With a thread of its own."""
    world, settings = engine.world, engine.settings.backup
    saving = world.offload("backup", 1)
    stack.callback(saving.close)
    sealer = backup_cipher(engine.settings.store.encryption_key)
    about = Circumstances(world.clock, world.secrets, saving, sealer, share)
    stores = Stores(engine.samples, engine.state)
    backups = Backups(stores, engine.state.backups, settings, about, engine.telemetry, places_of(settings))
    stack.push_async_callback(backups.close)
    await engine.state.backups.fail_running(world.clock.now_ms())  # the sample store is ours alone: none can run
    return backups


def disk_guard(engine: Engine, data_dir: Path, reading: Offload) -> DiskGuard:
    """Looks at the disk of the data directory, unless the samples are on a server."""

    async def space() -> DiskSpace | None:
        return None if engine.settings.store.url else await reading.run(engine.world.disk, data_dir)

    return DiskGuard(
        engine.samples,
        engine.state.settings,
        engine.settings.store,
        space,
        clock=engine.world.clock,
        telemetry=engine.telemetry,
    )


def route_of(settings: Settings) -> DefaultRoute:
    """Everybody in `smtp.to`, where there is a mail server at all."""
    return DefaultRoute(tuple(Target(EMAIL, address) for address in settings.smtp.to) if settings.smtp.enabled else ())


def node_name(data_dir: Path, secrets: SecretMaker) -> str:
    """The name of the server that owns this data directory, the same after every restart."""
    path = data_dir / "node"
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        name = f"node-{secrets()[:12]}"
        path.write_text(name, encoding="ascii")
        return name
