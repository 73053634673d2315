"""Targets that answer what a test says, on a loop of virtual time, and a scraper that asks them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx
import numpy as np
from tests.ingest.fakes import MemoryIndex, MemorySink, appender_into
from tests.support.virtual_time import run_virtual

from tocsin.ingest.scrape.config import parse_job
from tocsin.ingest.scrape.door import Door
from tocsin.ingest.scrape.pool import TargetPool
from tocsin.ingest.scrape.scraper import Scraper, Watched
from tocsin.ingest.settings import IngestSettings, ScrapeSettings
from tocsin.model.series import STALE
from tocsin.runtime.clock import LoopClock
from tocsin.runtime.offload import InlineOffload
from tocsin.runtime.telemetry import Telemetry

T = TypeVar("T")

START_MS = 1_800_000_000_000
TEXT = {"Content-Type": "text/plain; version=0.0.4"}
STALE_BITS = int(np.array([STALE]).view(np.uint64)[0])

Answer = str | Callable[[httpx.Request], Awaitable[httpx.Response]]


def response(body: bytes = b"", headers: dict[str, str] | None = None, status: int = 200) -> httpx.Response:
    """As it comes over the wire: httpx has not looked into it yet."""
    return httpx.Response(status, headers=headers, stream=httpx.ByteStream(body))


def always(body: bytes = b"", headers: dict[str, str] | None = None, status: int = 200) -> Answer:
    async def answer(request: httpx.Request) -> httpx.Response:
        return response(body, headers, status)

    return answer


class Site:
    """What each host answers, and when it was asked."""

    def __init__(self, clock: LoopClock) -> None:
        self.pages: dict[str, Answer] = {}
        self.asked: list[tuple[int, httpx.Request]] = []
        self._clock = clock

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append((self._clock.now_ms(), request))
        answer = self.pages.get(request.url.host)
        if answer is None:
            raise httpx.ConnectError("Connection refused", request=request)
        if isinstance(answer, str):
            return response(answer.encode(), TEXT)
        return await answer(request)

    def times(self, host: str) -> list[int]:
        return [at_ms for at_ms, request in self.asked if request.url.host == host]


class Scene:
    """A scraper with its far sides."""

    def __init__(self, settings: ScrapeSettings | None = None) -> None:
        self.clock = LoopClock(asyncio.get_running_loop(), START_MS)
        self.site = Site(self.clock)
        self.telemetry = Telemetry()
        self.sink = MemorySink(MemoryIndex())
        self.limits = IngestSettings()
        self.scraper = Scraper(
            settings or ScrapeSettings(),
            self.limits,
            appender_into(self.sink, clock=self.clock, telemetry=self.telemetry),
            Door(self.clock, InlineOffload(), lambda: httpx.MockTransport(self.site)),
            clock=self.clock,
            offload=InlineOffload(),
            telemetry=self.telemetry,
        )
        self.pool = TargetPool(self.scraper, InlineOffload())

    async def jobs(self, *written: dict[str, Any]) -> None:
        await self.pool.set_jobs([parse_job(one) for one in written])

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.scraper.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            await self.scraper.close()

    def samples(self, name: str = "") -> list[tuple[int, str, float]]:
        """(ms since the start, series, value) in the order of storing; the report only where it is asked for."""
        return [
            (at_ms - START_MS, series, value)
            for series, at_ms, value in self.sink.samples()
            if (series.startswith(name) if name else not series.startswith(("up{", "scrape_")))
        ]

    def values(self, series: str) -> list[float | str]:
        """One series' values; a stale marker is "stale"."""
        return [
            _shown(value)
            for _, one, value in self.samples("") + self.samples("up") + self.samples("scrape_")
            if one == series
        ]

    def counted(self, name: str, **labels: str) -> float:
        return self.telemetry.registry.get_sample_value(f"tocsin_{name}", labels) or 0.0

    def one(self) -> Watched:
        (watched,) = self.pool.active()
        return watched


def _shown(value: float) -> float | str:
    return "stale" if int(np.array([value]).view(np.uint64)[0]) == STALE_BITS else value


def run(play: Callable[[], Any]) -> Any:
    return run_virtual(play)


def node(*targets: str, **more: Any) -> dict[str, Any]:
    """A job of 10 s."""
    return {
        "job_name": "node",
        "scrape_interval": "10s",
        "static_configs": [{"targets": list(targets) or ["a:1"]}],
        **more,
    }
