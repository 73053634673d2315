"""What a server stands on: time, chance, threads, stores, receivers and the machine. The simulation has its own."""

from __future__ import annotations

import random
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tocsin.api.ports import SampleReader
from tocsin.app.config import Settings
from tocsin.ingest.host.filesystem import FileSystems
from tocsin.ingest.host.machine import machine_families, machine_file_systems
from tocsin.ingest.host.reading import Family
from tocsin.ingest.ports import MetadataSink, SampleSink, SeriesIndex
from tocsin.ingest.settings import HostSettings
from tocsin.model.matcher import Matcher
from tocsin.model.retention import Policy
from tocsin.notify.ports import Receiver
from tocsin.notify.registry import open_registry
from tocsin.runtime.chance import SecretMaker, fresh_chance, new_secret
from tocsin.runtime.clock import Clock, SystemClock
from tocsin.runtime.disk import DiskSpace, disk_space
from tocsin.runtime.offload import DaemonOffload, Offload, ThreadOffload
from tocsin.runtime.telemetry import Telemetry
from tocsin.store.backup.ports import SampleDump
from tocsin.store.samples.cuts import Cuts
from tocsin.store.samples.enforcement import Loss, Partition, Removed
from tocsin.store.samples.store import SampleStats, SampleStore
from tocsin.store.vault import Vault


class Samples(SeriesIndex, SampleSink, MetadataSink, SampleReader, SampleDump, Protocol):
    """A sample store as a whole."""

    @property
    def cuts(self) -> Cuts:
        """How long each series is kept: nothing past it is returned."""
        ...

    @property
    def crowded(self) -> bool:
        """Whether the room for series is nearly used up."""
        ...

    async def keep(self, policies: tuple[Policy, ...]) -> None: ...

    async def roll_up(self) -> bool: ...

    async def clean_up(self, at_ms: int) -> int: ...

    async def enforce(self, at_ms: int) -> Removed: ...

    async def preview(self, policies: tuple[Policy, ...]) -> Loss: ...

    async def partitions(self) -> tuple[Partition, ...]: ...

    async def fitting(self, selectors: Sequence[Sequence[Matcher]]) -> Loss: ...

    async def erase(self, selectors: Sequence[Sequence[Matcher]]) -> int: ...

    async def drop(self, some: Sequence[Partition], at_ms: int) -> None: ...

    async def check(self) -> None: ...

    async def stats(self) -> SampleStats: ...


OpenSamples = Callable[["World", Path, Settings, Telemetry, Vault | None], AbstractAsyncContextManager[Samples]]
OpenReceivers = Callable[["World", Settings, Telemetry], Receiver]
OpenMachine = Callable[[HostSettings], tuple[Sequence[Family], FileSystems | None]]

MOUNT_THREADS = 8


@dataclass(frozen=True, slots=True)
class World:
    """`offload` makes a pool of threads of that name and number; `host` is the machine's own name."""

    clock: Clock
    chance: random.Random
    secrets: SecretMaker
    offload: Callable[[str, int], Offload]
    open_samples: OpenSamples
    open_receivers: OpenReceivers
    open_machine: OpenMachine
    disk: Callable[[Path], DiskSpace]
    host: str


@asynccontextmanager
async def clickhouse(
    world: World, data_dir: Path, settings: Settings, telemetry: Telemetry, vault: Vault | None
) -> AsyncIterator[Samples]:
    """The embedded engine, with threads of its own; encrypted where there is a vault."""
    write, read = world.offload("samples-write", 1), world.offload("samples-read", settings.store.readers)
    journaling = world.offload("samples-journal", 1)
    try:
        store = await SampleStore.open(
            data_dir / "samples",
            settings.store,
            settings.retention,
            vault=vault,
            clock=world.clock,
            telemetry=telemetry,
            write=write,
            read=read,
            journaling=journaling,
        )
        async with store:
            yield store
    finally:
        write.close()
        read.close()
        journaling.close()


def real_receivers(world: World, settings: Settings, telemetry: Telemetry) -> Receiver:
    return open_registry(settings.smtp, world.clock, telemetry, settings.server.external_url)


def this_machine(settings: HostSettings) -> tuple[Sequence[Family], FileSystems | None]:
    return machine_families(settings), machine_file_systems(settings, DaemonOffload("mounts", MOUNT_THREADS))


def real_world() -> World:
    return World(
        clock=SystemClock(),
        chance=fresh_chance(),
        secrets=new_secret,
        offload=ThreadOffload,
        open_samples=clickhouse,
        open_receivers=real_receivers,
        open_machine=this_machine,
        disk=disk_space,
        host=socket.gethostname(),
    )
