"""The disk budget: before the disk is full, the oldest partitions go, loudly."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tocsin.model.audit import SYSTEM, AuditEntry
from tocsin.model.duration import DAY_MS
from tocsin.model.size import format_size
from tocsin.runtime.clock import Clock
from tocsin.runtime.disk import DiskSpace
from tocsin.runtime.log import get_log
from tocsin.runtime.telemetry import Telemetry
from tocsin.store.samples.enforcement import RAW, Partition
from tocsin.store.settings import StoreSettings

log = get_log("store")

LAST_DROP = "retention.last_drop"
"""The stored setting that holds what was dropped last, for people to see."""


class Droppable(Protocol):
    async def partitions(self) -> tuple[Partition, ...]: ...

    async def drop(self, some: Sequence[Partition], at_ms: int) -> None:
        """These partitions, rolled up before where that is possible. Raises StoreError."""
        ...


class Remembered(Protocol):
    async def get(self, name: str) -> Any: ...

    async def put(self, name: str, value: Any, entry: AuditEntry) -> None: ...


@dataclass(frozen=True, slots=True)
class Need:
    """So many bytes must go, because of `why`."""

    bytes: int
    why: str


@dataclass(frozen=True, slots=True)
class DiskUse:
    """`last_drop` is what `_seen` makes of the last time that the budget was not enough, None for never."""

    stored: tuple[Partition, ...]
    space: DiskSpace | None
    budget: int | None
    free_min: int
    last_drop: dict[str, Any] | None


def need(used: int, space: DiskSpace | None, budget: int | None, free_min: int) -> Need | None:
    """What must go now. `space` None: the disk does not say, or is a server's."""
    over = used - budget if budget is not None else 0
    short = free_min - space.free if space is not None else 0
    if over <= 0 and short <= 0:
        return None
    if over >= short and budget is not None:
        return Need(over, f"the sample store takes {format_size(used)} of its budget of {format_size(budget)}")
    free = space.free if space is not None else 0
    return Need(short, f"the disk has {format_size(free)} left, and {format_size(free_min)} must stay free")


def victims(stored: Sequence[Partition], wanted: int, at_ms: int) -> list[Partition]:
    """The partitions to drop, in their order, until `wanted` bytes are gone.

    Samples of past days first, then roll-ups, the oldest of each first; today's samples only where that is all.
    """
    today = at_ms // DAY_MS
    order = sorted(
        stored, key=lambda one: (one.table is RAW and one.number >= today, one.table is not RAW, one.start_ms)
    )
    chosen: list[Partition] = []
    for one in order:
        if sum(each.bytes for each in chosen) >= wanted:
            break
        chosen.append(one)
    return chosen


class DiskGuard:
    """`space` reads the disk of the sample store; None where it has none of its own."""

    def __init__(
        self,
        samples: Droppable,
        remembered: Remembered,
        settings: StoreSettings,
        space: Callable[[], Awaitable[DiskSpace | None]],
        *,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._samples = samples
        self._remembered = remembered
        self._settings = settings
        self._space = space
        self._clock = clock
        self._dropped = telemetry.counter(
            "store_budget_dropped_samples", "Samples dropped before their time because the disk budget was used up."
        )
        self._dropped_bytes = telemetry.counter("store_budget_dropped_bytes", "Bytes dropped for the disk budget.")
        self._free = telemetry.gauge("store_disk_free_bytes", "Bytes that are free on the sample store's disk.")
        self._used = telemetry.gauge("store_disk_used_bytes", "Bytes that samples and roll-ups take on the disk.")

    async def use(self) -> DiskUse:
        """What there is and may be. Raises StoreError."""
        stored, space = await self._samples.partitions(), await self._read_space()
        last = await self._remembered.get(LAST_DROP)
        return DiskUse(stored, space, self._settings.disk_budget_bytes, self._free_min(space), last)

    async def check(self, at_ms: int) -> int:
        """Drop what must go; returns how many samples went. Raises StoreError."""
        stored, space = await self._samples.partitions(), await self._read_space()
        used = sum(one.bytes for one in stored)
        self._used.set(used)
        if space is not None:
            self._free.set(space.free)
        wanted = need(used, space, self._settings.disk_budget_bytes, self._free_min(space))
        chosen = victims(stored, wanted.bytes, at_ms) if wanted is not None else []
        if wanted is None or not chosen:
            return 0
        await self._samples.drop(chosen, at_ms)
        return await self._tell(chosen, wanted.why, at_ms)

    async def _tell(self, chosen: Sequence[Partition], why: str, at_ms: int) -> int:
        samples = sum(one.rows for one in chosen if one.table is RAW)
        size = sum(one.bytes for one in chosen)
        self._dropped.inc(samples)
        self._dropped_bytes.inc(size)
        seen = {
            "at_ms": at_ms,
            "why": why,
            "samples": samples,
            "buckets": sum(one.rows for one in chosen if one.table is not RAW),
            "bytes": size,
            "until_ms": max(one.end_ms for one in chosen),
            "partitions": len(chosen),
        }
        log.warning("samples dropped for the disk budget", **{name: seen[name] for name in seen if name != "at_ms"})
        entry = AuditEntry(at_ms, SYSTEM, "retention.budget_drop", "sample store", None, seen)
        await self._remembered.put(LAST_DROP, seen, entry)
        return samples

    async def _read_space(self) -> DiskSpace | None:
        try:
            return await self._space()
        except OSError as error:
            log.warning("the free space of the disk cannot be read", reason=str(error))
            return None

    def _free_min(self, space: DiskSpace | None) -> int:
        return self._settings.disk_free_min_bytes(space.total if space is not None else 0)
