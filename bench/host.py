"""What reading this machine costs: CPU time of a round, and the share of a core at the usual interval."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tocsin.ingest.appender import Appender
from tocsin.ingest.host.collector import HostCollector
from tocsin.ingest.host.machine import machine_families, machine_file_systems
from tocsin.ingest.host.reading import Family
from tocsin.ingest.settings import HostSettings, IngestSettings
from tocsin.model.labels import Labels
from tocsin.model.series import MetricInfo, SampleBatch
from tocsin.runtime.clock import Clock, SystemClock
from tocsin.runtime.offload import DaemonOffload, ThreadOffload
from tocsin.runtime.telemetry import Telemetry
from tocsin.store.memory import MemorySampleStore

ROUNDS = 200


class Nowhere:
    """An index and a sink that cost next to nothing."""

    def __init__(self) -> None:
        self.ids: dict[Labels, int] = {}
        self.generation = 0

    def intern(self, labels: Labels) -> int:
        return self.ids.setdefault(labels, len(self.ids))

    def labels(self, series_id: int) -> Labels:
        raise KeyError(series_id)

    async def append(self, batch: SampleBatch) -> None: ...

    async def describe(self, infos: Sequence[MetricInfo]) -> None: ...


@dataclass(frozen=True, slots=True)
class Bench:
    """This machine's collector, what it reads, and how to end it."""

    collector: HostCollector
    families: Sequence[Family]
    close: Callable[[], None]


def opened(sink: Nowhere, clock: Clock) -> Bench:
    settings, telemetry = HostSettings(), Telemetry()
    appender = Appender(
        sink,
        sink,
        sink,
        (),
        clock=clock,
        telemetry=telemetry,
        settings=IngestSettings(),
        kept=MemorySampleStore(clock=clock).cuts,
    )
    offload, mounts = ThreadOffload("host", 1), DaemonOffload("mount", 16)
    families = machine_families(settings)
    collector = HostCollector(
        families,
        machine_file_systems(settings, mounts),
        appender,
        host="bench",
        interval_s=settings.interval.seconds,
        offload=offload,
        clock=clock,
        telemetry=telemetry,
    )
    return Bench(collector, families, offload.close)


async def measure(rounds: int) -> None:
    clock, nowhere = SystemClock(), Nowhere()
    bench = opened(nowhere, clock)
    collector, families = bench.collector, bench.families
    interval = HostSettings().interval
    stored = await collector.round()
    before_s = time.process_time()
    for _ in range(rounds):
        stored = await collector.round()
    round_s = (time.process_time() - before_s) / rounds
    print(f"a round: {stored} samples of {len(nowhere.ids)} series, {round_s * 1e3:.2f} ms CPU")
    slow_s = 0.0
    for family in families:
        count = len(list(family.read(clock.monotonic_s())))
        before_s = time.process_time()
        for _ in range(10):
            list(family.read(clock.monotonic_s()))
        cost_s = (time.process_time() - before_s) / 10
        slow_s += cost_s / family.period_s if family.period_s else 0.0
        every = f", every {family.period_s:.0f} s" if family.period_s else ""
        print(f"  {family.name:10} {count:4} readings {cost_s * 1e3:7.3f} ms{every}")
    share = round_s / interval.seconds + slow_s
    print(f"at every {interval}: {share:.3%} of one core")
    bench.close()


def main() -> None:
    asyncio.run(measure(ROUNDS))


if __name__ == "__main__":
    main()
