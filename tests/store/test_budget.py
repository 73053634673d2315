"""The disk budget: what is dropped, in which order, and how loudly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.support.samples import AnyStore, batch, open_store

from tocsin.model.audit import SYSTEM, AuditEntry
from tocsin.model.duration import DAY_MS, HOUR_MS
from tocsin.model.errors import UserError
from tocsin.model.labels import Labels
from tocsin.model.retention import Lengths
from tocsin.model.size import format_size, parse_size
from tocsin.runtime.clock import FixedClock
from tocsin.runtime.disk import DiskSpace, disk_space
from tocsin.runtime.telemetry import Telemetry
from tocsin.store.budget import LAST_DROP, DiskGuard, need, victims
from tocsin.store.memory import BYTES_A_SAMPLE, MemorySampleStore
from tocsin.store.samples.enforcement import FIVE_MINUTES, HOURS, RAW, Partition
from tocsin.store.settings import StoreSettings

TODAY = 20_790
NOW = TODAY * DAY_MS + 12 * HOUR_MS
CPU = Labels.metric("cpu")
GB = 10**9


class Memory:
    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.entries: list[AuditEntry] = []

    async def get(self, name: str) -> Any:
        return self.values.get(name)

    async def put(self, name: str, value: Any, entry: AuditEntry) -> None:
        self.values[name] = value
        self.entries.append(entry)


class Disk:
    """A disk of 100 GB; `free` None: it does not answer."""

    def __init__(self, free: int | None = 50 * GB) -> None:
        self.free = free

    async def space(self) -> DiskSpace | None:
        if self.free is None:
            raise OSError("no such device")
        return DiskSpace(100 * GB, self.free)


def guard_of(
    store: AnyStore, disk: Disk, remembered: Memory, telemetry: Telemetry | None = None, **settings: str
) -> DiskGuard:
    chosen = StoreSettings(**settings)  # type: ignore[arg-type]  # two of its texts
    return DiskGuard(store, remembered, chosen, disk.space, clock=FixedClock(NOW), telemetry=telemetry or Telemetry())


async def filled(days: int) -> MemorySampleStore:
    store = MemorySampleStore(clock=FixedClock(NOW))
    await store.append(batch(store, [(CPU, NOW - day * DAY_MS, 1.0) for day in range(days)]))
    return store


async def test_within_the_budget_nothing_happens() -> None:
    store, remembered = await filled(5), Memory()
    assert await guard_of(store, Disk(), remembered, disk_budget="1kB").check(NOW) == 0
    assert (await store.stats()).samples == 5
    assert remembered.entries == []


async def test_over_the_budget_the_oldest_days_go_loudly() -> None:
    store, remembered, telemetry = await filled(5), Memory(), Telemetry()
    guard = guard_of(store, Disk(), remembered, telemetry, disk_budget=str(3 * BYTES_A_SAMPLE))
    with capture_logs() as logs:
        assert await guard.check(NOW) == 2
    assert [one.number for one in await store.partitions()] == [TODAY - 2, TODAY - 1, TODAY]
    assert [(one["log_level"], one["event"]) for one in logs] == [("warning", "samples dropped for the disk budget")]
    (entry,) = remembered.entries
    assert (entry.actor, entry.action, entry.after) == (SYSTEM, "retention.budget_drop", remembered.values[LAST_DROP])
    assert remembered.values[LAST_DROP]["until_ms"] == (TODAY - 2) * DAY_MS
    assert telemetry.registry.get_sample_value("tocsin_store_budget_dropped_samples_total") == 2
    assert (await guard.use()).last_drop == remembered.values[LAST_DROP]


async def test_a_disk_that_fills_up_has_room_made_before_it_is_full() -> None:
    store, disk = await filled(3), Disk()
    guard = guard_of(store, disk, Memory())
    disk.free = GB  # the default: 5 % of 100 GB, but 1 GB at most
    assert await guard.check(NOW) == 0
    disk.free = GB - 1
    assert await guard.check(NOW) == 1


async def test_a_disk_that_does_not_answer_leaves_the_budget_to_be_kept() -> None:
    store = await filled(3)
    assert await guard_of(store, Disk(free=None), Memory(), disk_budget="50").check(NOW) == 1


async def test_today_goes_last_and_only_where_nothing_else_is_left() -> None:
    store = await filled(2)
    guard = guard_of(store, Disk(free=0), Memory())
    assert await guard.check(NOW) == 2


def parts(*given: tuple[Any, int]) -> list[Partition]:
    return [Partition(table, number, 10, 100) for table, number in given]


def test_past_days_go_before_roll_ups_and_those_before_today() -> None:
    block = TODAY // 30
    stored = parts(
        (HOURS, block - 20), (FIVE_MINUTES, block), (FIVE_MINUTES, block - 1), (RAW, TODAY), (RAW, TODAY - 9)
    )
    order = [(one.table.name, one.number) for one in victims(stored, 10**9, NOW)]
    assert order == [
        ("samples", TODAY - 9),
        ("rollup_1h", block - 20),
        ("rollup_5m", block - 1),
        ("rollup_5m", block),
        ("samples", TODAY),
    ]
    assert len(victims(stored, 101, NOW)) == 2
    assert victims(stored, 0, NOW) == []


def test_what_must_go_is_what_the_tighter_of_both_limits_asks() -> None:
    space = DiskSpace(100, 10)
    assert need(50, space, None, 10) is None
    assert need(50, space, 60, 5) is None
    over, short = need(50, space, 40, 5), need(50, space, 49, 30)
    assert over is not None
    assert short is not None
    assert (over.bytes, short.bytes) == (10, 20)
    assert short.why == "the disk has 10 B left, and 30 B must stay free"


async def test_the_engine_drops_what_it_is_told_and_keeps_the_roll_ups(tmp_path: Path) -> None:
    clock = FixedClock(NOW)
    async with open_store(tmp_path / "samples", clock) as store:
        await store.append(batch(store, [(CPU, NOW - day * DAY_MS, float(day)) for day in range(4)]))
        guard = guard_of(store, Disk(free=0), Memory(), disk_free_min="1")  # one byte: the oldest partition
        assert await guard.check(NOW) == 1
        use = await guard.use()
        assert [one.number for one in use.stored if one.table is RAW] == [TODAY - 2, TODAY - 1, TODAY]
        assert sum(one.rows for one in use.stored if one.table is HOURS) == 1  # just before
        await store.append(batch(store, [(CPU, NOW - 3 * DAY_MS + 1, 100.0)]))  # late, into the dropped day
        while await store.roll_up():
            pass
        store.cuts.defaults = Lengths(2 * DAY_MS, 90 * DAY_MS, 730 * DAY_MS)
        block = await store.steps([], NOW - 5 * DAY_MS, NOW - 2 * DAY_MS, DAY_MS)
        assert [value for value in block.avg.ravel().tolist() if value == value] == [3.0]


@pytest.mark.parametrize(
    ("text", "size"),
    [("50GB", 50 * GB), ("1.5 kB", 1_500), ("2MiB", 2 * 1024**2), ("7", 7), ("0", 0), ("3tb", 3_000 * GB)],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "-1", "5 parsecs", "1GBB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="is not a size"):
        parse_size(text)


def test_a_wrong_size_in_the_settings_names_its_key() -> None:
    with pytest.raises(UserError, match="disk_budget: '5 apples' is not a size"):
        StoreSettings(disk_budget="5 apples")


def test_sizes_are_written_for_people() -> None:
    assert [format_size(size) for size in (0, 999, 1_000, 1_234_567, 5 * GB)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "1.2 MB",
        "5.0 GB",
    ]


def test_the_disk_says_how_large_it_is(tmp_path: Path) -> None:
    space = disk_space(tmp_path)
    assert space.total >= space.free >= 0
    assert space.total > 0
