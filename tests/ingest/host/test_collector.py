from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from tests.ingest.fakes import MemoryIndex, MemorySink, appender_into

from tocsin.ingest.host.collector import HostCollector
from tocsin.ingest.host.filesystem import FileSystems, Mount, Space
from tocsin.ingest.host.machine import machine_families, machine_file_systems
from tocsin.ingest.host.reading import Family, Reading, any_of
from tocsin.ingest.settings import HostSettings
from tocsin.model.errors import StoreError
from tocsin.model.series import MetricInfo
from tocsin.runtime.clock import FixedClock
from tocsin.runtime.offload import InlineOffload
from tocsin.runtime.telemetry import Telemetry

NOW = FixedClock().at_ms


class Canned:
    """A family that counts its reads, or raises."""

    def __init__(self, name: str = "canned", period_s: float = 0.0, error: Exception | None = None) -> None:
        self.name = name
        self.period_s = period_s
        self.error = error
        self.metrics = (MetricInfo(f"{name}.reads", "{read}"),)
        self.reads_s: list[float] = []

    def read(self, at_s: float) -> Iterable[Reading]:
        self.reads_s.append(at_s)
        if self.error is not None:
            raise self.error
        yield Reading(f"{self.name}.reads", len(self.reads_s), (("kind", "canned"),))


class World:
    """A collector on a clock that moves only when it sleeps."""

    def __init__(
        self,
        *families: Family,
        file_systems: FileSystems | None = None,
        interval_s: float = 5.0,
        wakes_early_ms: int = 0,
    ) -> None:
        self.wakes_early_ms = wakes_early_ms
        self.clock = FixedClock()
        self.telemetry = Telemetry()
        self.sink = MemorySink(MemoryIndex())
        self.slept: list[float] = []
        self.sleeps_max = 1_000
        self.collector = HostCollector(
            families,
            file_systems,
            appender_into(self.sink, clock=self.clock, telemetry=self.telemetry),
            host="web-1",
            interval_s=interval_s,
            offload=InlineOffload(),
            clock=self.clock,
            telemetry=self.telemetry,
            sleep=self._sleep,
        )

    async def _sleep(self, seconds: float) -> None:
        if len(self.slept) == self.sleeps_max:
            raise asyncio.CancelledError
        self.slept.append(seconds)
        self.clock.advance(round(seconds * 1_000) - self.wakes_early_ms)

    async def run(self, sleeps: int) -> None:
        self.sleeps_max = sleeps
        with pytest.raises(asyncio.CancelledError):
            await self.collector.run()

    def counted(self, name: str, **labels: str) -> float:
        return self.telemetry.registry.get_sample_value(f"tocsin_{name}_total", labels) or 0.0


async def test_all_readings_of_a_round_share_one_time_and_the_host() -> None:
    world = World(Canned("a"), Canned("b"))
    assert await world.collector.round() == 2
    assert world.sink.samples() == [
        ('a.reads{host="web-1", kind="canned"}', NOW, 1.0),
        ('b.reads{host="web-1", kind="canned"}', NOW, 1.0),
    ]
    assert len(world.sink.batches) == 1


async def test_the_first_round_comes_a_second_after_a_first_look() -> None:
    family = Canned()
    world = World(family)
    await world.run(sleeps=1)
    assert world.slept == [1.0]
    assert world.sink.samples() == [('canned.reads{host="web-1", kind="canned"}', NOW + 1_000, 2.0)]


async def test_rounds_keep_to_the_schedule_whatever_they_take() -> None:
    class Slow(Canned):
        def read(self, at_s: float) -> Iterable[Reading]:
            world.clock.advance(300)
            return super().read(at_s)

    world = World(Slow())
    await world.run(sleeps=5)
    assert [time - NOW for _, time, _ in world.sink.samples()] == [1_300, 5_000, 10_000, 15_000, 20_000]


async def test_a_late_round_is_skipped_and_counted_and_never_piled_up() -> None:
    class Stuck(Canned):
        def read(self, at_s: float) -> Iterable[Reading]:
            world.clock.advance(12_000 if len(self.reads_s) == 2 else 0)
            return super().read(at_s)

    world = World(Stuck())
    await world.run(sleeps=4)
    assert [time - NOW for _, time, _ in world.sink.samples()] == [1_000, 5_000, 20_000, 25_000]
    assert world.counted("host_rounds_skipped") == 2


async def test_a_sleep_that_ends_early_makes_no_second_round() -> None:
    world = World(Canned(), wakes_early_ms=1)
    await world.run(sleeps=4)
    assert [round((time - NOW) / 1_000) for _, time, _ in world.sink.samples()] == [1, 5, 10, 15]


async def test_an_interval_of_a_second_has_a_round_each_second() -> None:
    world = World(Canned(), interval_s=1.0)
    await world.run(sleeps=3)
    assert [time - NOW for _, time, _ in world.sink.samples()] == [1_000, 2_000, 3_000]


async def test_a_dear_family_is_read_less_often() -> None:
    family = Canned(period_s=60.0)
    world = World(family)
    await world.run(sleeps=26)
    assert [round(at_s - NOW / 1_000) for at_s in family.reads_s] == [1, 60, 120]


async def test_a_family_that_fails_is_counted_and_the_others_go_on() -> None:
    world = World(Canned("bad", error=KeyError("cpu")), Canned("good"))
    await world.collector.round()
    assert [name for name, _, _ in world.sink.samples()] == ['good.reads{host="web-1", kind="canned"}']
    assert world.counted("host_readings_failed", family="bad") == 1


async def test_file_systems_are_part_of_the_round() -> None:
    def space(mount: str) -> Space:
        if mount == "/":
            return Space(10, 5, 5, 0, 0)
        raise OSError("gone")

    mounts = [Mount("/dev/sda1", "/", "ext4"), Mount("/dev/sdb1", "/bad", "ext4")]
    file_systems = FileSystems(lambda: mounts, space, any_of(()), InlineOffload(), timeout_s=1.0)
    world = World(Canned(), file_systems=file_systems)
    await world.collector.round()
    assert ("system.disk.usage", 50.0) in [(name.partition("{")[0], value) for name, _, value in world.sink.samples()]
    assert world.counted("host_readings_failed", family="filesystem") == 1


async def test_a_store_that_is_away_costs_the_round_and_nothing_else() -> None:
    world = World(Canned())
    world.sink.error = StoreError("away")
    assert await world.collector.round() == 0
    world.sink.error = None
    assert await world.collector.round() == 1
    assert world.counted("host_rounds_lost") == 1


async def test_units_are_told_to_the_store() -> None:
    world = World(Canned())
    await world.collector.round()
    assert world.sink.infos["canned.reads"].unit == "{read}"


async def test_devices_that_went_leave_nothing_behind() -> None:
    names = iter(["a", "b"])

    class Changing(Canned):
        def read(self, at_s: float) -> Iterable[Reading]:
            yield Reading("x", 1.0, (("device", next(names)),))

    world = World(Changing())
    await world.collector.round()
    await world.collector.round()
    assert [dict(tags) for _, tags in world.collector._labels] == [{"device": "b"}]


def described(families: Sequence[Family]) -> set[str]:
    return {info.name for family in families for info in family.metrics}


@pytest.mark.parametrize("per_core", [False, True])
async def test_this_machine_can_be_read_and_every_metric_has_a_unit(per_core: bool) -> None:
    settings = HostSettings(per_core=per_core)
    families = machine_families(settings)
    file_systems = machine_file_systems(settings, InlineOffload())
    world = World(*families, file_systems=file_systems)
    await world.collector.round()
    world.clock.advance(1_000)
    await world.collector.round()
    names = {labels.name for labels in world.sink.index.ids}
    assert {"system.memory.usage", "system.disk.usage", "system.cpu.time", "system.uptime"} <= names
    assert ("system.cpu.core.time" in names) is per_core
    assert names <= described(families) | {info.name for info in file_systems.metrics}
    assert all(info.unit for info in world.sink.infos.values())
    assert world.counted("host_readings_failed", family="filesystem") == 0


def test_the_reference_page_names_every_metric() -> None:
    settings = HostSettings(per_core=True)
    page = (Path(__file__).parents[3] / "docs" / "reference" / "host-metrics.md").read_text(encoding="utf-8")
    file_systems = machine_file_systems(settings, InlineOffload())
    infos = {info for family in machine_families(settings) for info in family.metrics} | set(file_systems.metrics)
    assert [info.name for info in infos if f"| `{info.name}` | {info.kind} | `{info.unit}` |" not in page] == []
