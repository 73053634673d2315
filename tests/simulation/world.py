"""A world made of numbers: a machine that reads what a seed says, and a mail server that fails when it is told to."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tocsin.app.config import Settings
from tocsin.app.world import Samples, World
from tocsin.ingest.host.filesystem import FileSystems
from tocsin.ingest.host.reading import Family, Reading
from tocsin.ingest.settings import HostSettings
from tocsin.model.outbox import Letter, LetterKind
from tocsin.model.series import MetricInfo
from tocsin.notify.ports import Delivered, Outcome, Receiver, Retry
from tocsin.runtime.clock import Clock, LoopClock
from tocsin.runtime.disk import DiskSpace
from tocsin.runtime.offload import InlineOffload
from tocsin.runtime.telemetry import Telemetry
from tocsin.store.memory import MemorySampleStore
from tocsin.store.vault import Vault

START_MS = 1_800_000_000_000

Signal = Callable[[int], float]
"""The value at a time in ms."""


@dataclass
class Machine:
    """A family of readings that are signals, and a record of all that was read."""

    clock: Clock
    signals: Mapping[str, Signal]
    name: str = "machine"
    metrics: tuple[MetricInfo, ...] = ()
    period_s: float = 0.0
    read_so_far: dict[str, list[tuple[int, float]]] = field(default_factory=dict)

    def read(self, at_s: float) -> Iterable[Reading]:
        at_ms = self.clock.now_ms()
        for name, signal in self.signals.items():
            value = signal(at_ms)
            self.read_so_far.setdefault(name, []).append((at_ms, value))
            yield Reading(name, value)


@dataclass(frozen=True)
class Mail:
    """A letter as it was taken."""

    at_ms: int
    kind: LetterKind
    key: str
    alert_id: int
    rule: str
    created_at_ms: int


@dataclass
class MailServer:
    """Takes every letter but those that come while it is down."""

    clock: Clock
    down: tuple[tuple[int, int], ...] = ()
    taken: list[Mail] = field(default_factory=list)

    async def send(self, letter: Letter) -> Outcome:
        at_ms = self.clock.now_ms()
        await asyncio.sleep(0.02)
        if any(start <= at_ms < end for start, end in self.down):
            return Retry("the mail server is down")
        alert = letter.alert
        self.taken.append(Mail(at_ms, letter.kind, letter.key, alert.id, alert.rule_name, letter.created_at_ms))
        return Delivered("250 taken")

    async def close(self) -> None:
        pass


def virtual_world(machine: Machine, mail: MailServer, samples: MemorySampleStore, clock: LoopClock, seed: int) -> World:
    """For the running virtual loop. Samples outlive a restart, as they would on the disk."""

    @asynccontextmanager
    async def open_samples(
        world: World, data_dir: Path, settings: Settings, telemetry: Telemetry, vault: Vault | None
    ) -> AsyncIterator[Samples]:
        yield samples

    def open_receivers(world: World, settings: Settings, telemetry: Telemetry) -> Receiver:
        return mail

    def open_machine(settings: HostSettings) -> tuple[Sequence[Family], FileSystems | None]:
        return (machine,), None

    numbers = itertools.count(1)
    return World(
        clock=clock,
        chance=random.Random(seed),
        secrets=lambda: f"secret-{next(numbers)}",
        offload=lambda name, threads: InlineOffload(),
        open_samples=open_samples,
        open_receivers=open_receivers,
        open_machine=open_machine,
        disk=lambda path: DiskSpace(10**12, 10**12),
        host="sim",
    )
