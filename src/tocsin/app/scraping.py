"""The part of the composition that scrapes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tocsin.app.config import Settings
from tocsin.app.world import World
from tocsin.ingest.appender import Appender
from tocsin.ingest.ports import ScrapeJobStore
from tocsin.ingest.scrape.book import ScrapeBook
from tocsin.ingest.scrape.config import ScrapeConfig, read_config
from tocsin.ingest.scrape.discovery.loop import Discoverer, sources
from tocsin.ingest.scrape.door import Door, check_files
from tocsin.ingest.scrape.job import HttpDiscovery
from tocsin.ingest.scrape.pool import TargetPool
from tocsin.ingest.scrape.scraper import Scraper
from tocsin.model.errors import UserError
from tocsin.runtime.dns import Resolver
from tocsin.runtime.log import get_log
from tocsin.runtime.offload import Offload
from tocsin.runtime.telemetry import Telemetry

log = get_log("app")


@dataclass(frozen=True, slots=True)
class Scraping:
    """What scrapes. `files` is the thread that reads what may hang: configuration, secrets, lists of targets."""

    scraper: Scraper
    discoverer: Discoverer
    book: ScrapeBook
    files: Offload

    async def read(self, settings: Settings) -> ScrapeConfig:
        """The scrape file as it is now. Raises UserError, and nothing has changed."""
        config = await self.files.run(scrape_config, settings)
        if config.passed_over:
            log.info("sections that are not about scraping are passed over", sections=", ".join(config.passed_over))
        return config


@asynccontextmanager
async def open_scraping(
    settings: Settings, jobs: ScrapeJobStore, appender: Appender, world: World, telemetry: Telemetry
) -> AsyncIterator[Scraping]:
    """Raises UserError where the scrape file is wrong."""
    async with AsyncExitStack() as stack:
        files, reading = world.offload("files", 1), world.offload("scraping", 1)
        stack.callback(files.close)
        stack.callback(reading.close)
        door = Door(world.clock, files)
        scraper = Scraper(
            settings.scrape,
            settings.ingest,
            appender,
            door,
            clock=world.clock,
            offload=reading,
            telemetry=telemetry,
        )
        stack.push_async_callback(scraper.close)
        pool = TargetPool(scraper, reading)
        discoverer = Discoverer(pool, sources(door, Resolver(), files), clock=world.clock, telemetry=telemetry)
        stack.push_async_callback(discoverer.close)
        scraping = Scraping(scraper, discoverer, ScrapeBook(jobs, discoverer, pool, world.clock), files)
        await scraping.book.load((await scraping.read(settings)).jobs)
        yield scraping


def check_scraping(settings: Settings) -> ScrapeConfig:
    """Also the files that it names: a running server only says of the targets that theirs cannot be read.

    Raises UserError.
    """
    config = scrape_config(settings)
    for job in config.jobs:
        asked = [one.http for one in job.discoveries if isinstance(one, HttpDiscovery)]
        for options in (job.http, *asked):
            try:
                check_files(options)
            except UserError as error:
                raise UserError(f"{settings.scrape.config_file}: job {job.name}: {error}") from error
    return config


def scrape_config(settings: Settings) -> ScrapeConfig:
    """Nothing where no file is named. Raises UserError."""
    if not settings.scrape.config_file:
        return ScrapeConfig()
    return read_config(Path(settings.scrape.config_file))
