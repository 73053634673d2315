from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.ingest.scrape.world import Scene, node, run

from tocsin.ingest.scrape.config import parse_job
from tocsin.ingest.scrape.discovery.loop import Discoverer
from tocsin.ingest.scrape.discovery.source import Found, Source
from tocsin.ingest.scrape.job import Discovery, DnsDiscovery, ScrapeJob, TargetGroup
from tocsin.ingest.scrape.pool import TargetPool
from tocsin.model.errors import TransientError
from tocsin.runtime.offload import InlineOffload


@dataclass
class Told:
    """A source that finds what a test says."""

    period_ms: int = 30_000
    targets: tuple[str, ...] = ()
    error: str = ""
    hang: bool = False
    bug: bool = False
    asked: list[float] = field(default_factory=list)
    closed: bool = False

    async def find(self) -> Found:
        self.asked.append(asyncio.get_running_loop().time())
        if self.hang:
            await asyncio.sleep(1e6)
        if self.bug:
            raise ZeroDivisionError
        if self.error:
            raise TransientError(self.error)
        return Found((TargetGroup(self.targets),))

    async def close(self) -> None:
        self.closed = True


class CountingPool(TargetPool):
    changes = 0

    async def set_jobs(
        self, jobs: Iterable[ScrapeJob], found: Mapping[str, Sequence[TargetGroup]] | None = None
    ) -> None:
        self.changes += 1
        await super().set_jobs(jobs, found)


class Play(Scene):
    """A scene whose jobs look for their targets; `told` are the sources by the name that is looked for."""

    def __init__(self) -> None:
        super().__init__()
        self.pool: CountingPool = CountingPool(self.scraper, InlineOffload())
        self.told: dict[str, Told] = {}
        self.discoverer = Discoverer(self.pool, self._open, clock=self.clock, telemetry=self.telemetry)

    def _open(self, wanted: Discovery) -> Source:
        assert isinstance(wanted, DnsDiscovery)
        return self.told.setdefault(wanted.names[0], Told())

    async def look(self, *written: dict[str, Any]) -> None:
        await self.discoverer.set_jobs([parse_job(one) for one in written])

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.discoverer.run())
        try:
            async with self.running():
                yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            await self.discoverer.close()

    def urls(self) -> list[str]:
        return [watched.target.url for watched in self.pool.active()]


def seeking(*names: str, **more: Any) -> dict[str, Any]:
    return {**node(**more), "static_configs": [], "dns_sd_configs": [{"names": [name]} for name in names]}


def test_what_is_found_is_scraped_beside_what_is_named() -> None:
    async def play() -> Play:
        scene = Play()
        scene.told["x"] = Told(targets=("b:1", "c:1"))
        await scene.look({**seeking("x"), "static_configs": [{"targets": ["a:1"]}]})
        assert scene.urls() == ["http://a:1/metrics"]
        async with scene.looking():
            await asyncio.sleep(0.1)
            assert scene.urls() == [f"http://{host}:1/metrics" for host in "abc"]
            await asyncio.sleep(10)
        return scene

    scene = run(play)
    assert sorted(request.url.host for _, request in scene.site.asked) == ["a", "b", "c"]


def test_a_source_is_asked_again_after_its_interval_and_its_targets_follow() -> None:
    async def play() -> Play:
        scene = Play()
        scene.told["x"] = Told(targets=("a:1",))
        await scene.look(seeking("x"))
        async with scene.looking():
            await asyncio.sleep(10)
            scene.told["x"].targets = ("b:1",)
            await asyncio.sleep(19)
            assert scene.urls() == ["http://a:1/metrics"]
            await asyncio.sleep(2)
            assert scene.urls() == ["http://b:1/metrics"]
        return scene

    assert run(play).told["x"].asked == [0.0, 30.0]


def test_a_source_that_fails_keeps_its_targets_and_is_told() -> None:
    async def play() -> Play:
        scene = Play()
        scene.told["x"] = Told(targets=("a:1",))
        await scene.look(seeking("x"))
        async with scene.looking():
            await asyncio.sleep(1)
            scene.told["x"].error = "Nobody is there."
            await asyncio.sleep(30)
            (sought,) = scene.discoverer.sought()
            assert sought.error == "Nobody is there."
            assert scene.urls() == ["http://a:1/metrics"]
        return scene

    assert run(play).counted("discoveries_failed_total", kind="dns") == 1


def test_a_source_with_a_bug_is_counted_and_asked_again() -> None:
    async def play() -> Play:
        scene = Play()
        scene.told["x"] = Told(bug=True)
        await scene.look(seeking("x"))
        async with scene.looking():
            await asyncio.sleep(31)
        return scene

    scene = run(play)
    assert scene.told["x"].asked == [0.0, 30.0]
    assert scene.counted("discoveries_failed_total", kind="dns") == 2


def test_a_source_that_hangs_delays_no_other() -> None:
    async def play() -> list[str]:
        scene = Play()
        scene.told |= {"bad": Told(hang=True), "x": Told(targets=("a:1",))}
        await scene.look(seeking("bad", "x"))
        async with scene.looking():
            await asyncio.sleep(1)
            return scene.urls()

    assert run(play) == ["http://a:1/metrics"]


def test_other_jobs_leave_a_job_what_was_found_for_it() -> None:
    async def play() -> Play:
        scene = Play()
        scene.told["x"] = Told(targets=("a:1",))
        await scene.look(seeking("x"))
        async with scene.looking():
            await asyncio.sleep(1)
            await scene.look(seeking("x"), {**seeking("y"), "job_name": "other"})
            assert scene.urls() == ["http://a:1/metrics"]
            await asyncio.sleep(1)
        return scene

    assert run(play).told["x"].asked == [0.0]


def test_a_job_that_looks_no_longer_loses_what_was_found() -> None:
    async def play() -> Play:
        scene = Play()
        scene.told["x"] = Told(targets=("a:1",), hang=False)
        await scene.look(seeking("x"))
        async with scene.looking():
            await asyncio.sleep(1)
            scene.told["x"].hang = True
            await asyncio.sleep(30)
            await scene.look(node("b:1"))
            await asyncio.sleep(1)
            assert scene.urls() == ["http://b:1/metrics"]
            assert scene.told["x"].closed
        return scene

    run(play)


def test_sources_that_change_together_change_the_targets_once() -> None:
    async def play() -> int:
        scene = Play()
        names = [f"x{number}" for number in range(20)]
        scene.told |= {name: Told(targets=(f"{name}:1",)) for name in names}
        await scene.look(seeking(*names))
        before = scene.pool.changes
        async with scene.looking():
            await asyncio.sleep(5)
        assert len(scene.urls()) == 20
        return scene.pool.changes - before

    assert run(play) == 1
