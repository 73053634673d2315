"""Clean-up of a day of samples while inserts go on: dropped as a whole, and rewritten because other series stay.

python -m bench.retention [SAMPLES IN THE DAY, 10 million unless told].
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np

from bench.figures import percentile, show
from tocsin.model.duration import DAY_MS, HOUR_MS, Duration
from tocsin.model.labels import Labels
from tocsin.model.matcher import parse_selector
from tocsin.model.retention import Policy
from tocsin.model.series import IdArray, SampleBatch
from tocsin.runtime.clock import FixedClock
from tocsin.runtime.offload import ThreadOffload
from tocsin.runtime.telemetry import Telemetry
from tocsin.store.samples.store import SampleStore
from tocsin.store.settings import RetentionSettings, StoreSettings

ROWS = 10_000_000
SERIES = 5_000
AT_ONCE = 1_000_000
NOW = 20_800 * DAY_MS + 12 * HOUR_MS
PAUSE_S = 0.02
WEEK = Duration(7 * DAY_MS)
SHARES = {"a tenth of the series": 10, "half of the series": 2}


def main() -> None:
    numbers = [text for text in sys.argv[1:] if text.isdigit()]
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_all(Path(folder), int(numbers[0]) if numbers else ROWS))


async def _all(folder: Path, rows: int) -> None:
    for number, (what, every) in enumerate(SHARES.items()):
        await _measured(folder / f"rewrite-{number}", rows, f"{what} go, the day is rewritten", every)
    await _measured(folder / "drop", rows, "all go, the day is dropped", 1)


async def _measured(path: Path, rows: int, what: str, every: int) -> None:
    """One series in `every` falls under a policy of two days; the day is four days old."""
    clock = FixedClock(NOW)
    write, read, journaling = ThreadOffload("write", 1), ThreadOffload("read", 2), ThreadOffload("journal", 1)
    store = await SampleStore.open(
        path,
        StoreSettings(),
        RetentionSettings(raw=WEEK, five_minutes=WEEK, hours=WEEK),
        clock=clock,
        telemetry=Telemetry(),
        write=write,
        read=read,
        journaling=journaling,
    )
    async with store:
        ids = _series(store, every)
        await _fill(store, ids, rows)
        await store.merge()
        while await store.roll_up():  # as it would have been long before
            pass
        await store.keep((Policy(1, "short", parse_selector('{kept="short"}'), 2 * DAY_MS),))
        took, waits, removed = await _beside_inserts(store, ids, lambda: _clean_up(store))
    show(f"{rows:,} samples: {what}", [took], "s", digits=2)
    show("  samples removed", [removed], "", digits=0)
    show("  appends meanwhile, each durable: median", [percentile(waits, 0.5)], "ms", digits=1)
    show("  appends meanwhile, each durable: slowest", [max(waits)], "ms", digits=1)
    for each in (write, read, journaling):
        each.close()


async def _clean_up(store: SampleStore) -> int:
    removed = await store.clean_up(NOW)
    return removed + (await store.enforce(NOW)).samples


async def _beside_inserts(
    store: SampleStore, ids: IdArray, work: Callable[[], Awaitable[int]]
) -> tuple[float, list[float], int]:
    """(seconds, the waits of appends in ms, what the work returned)."""
    task = asyncio.ensure_future(work())
    waits: list[float] = []
    began = time.perf_counter()
    while not task.done() or not waits:
        some = ids[:2_000]
        before = time.perf_counter()
        await store.append(SampleBatch(some, np.full(len(some), NOW + len(waits)), np.ones(len(some))))
        waits.append((time.perf_counter() - before) * 1e3)
        await asyncio.wait({task}, timeout=PAUSE_S)
    removed = await task
    return time.perf_counter() - began, waits, removed


async def _fill(store: SampleStore, ids: IdArray, rows: int) -> None:
    ticks, start_ms = rows // len(ids), (NOW // DAY_MS - 4) * DAY_MS
    step_ms, at_a_time = DAY_MS // ticks, max(1, AT_ONCE // len(ids))
    chance = np.random.default_rng(1)
    for first in range(0, ticks, at_a_time):
        count = min(at_a_time, ticks - first)
        times = (start_ms + (first + np.arange(count)) * step_ms).repeat(len(ids))
        values = chance.normal(50, 10, count * len(ids)).round(2)
        await store.append(SampleBatch(np.tile(ids, count), times, values))
        await store.flush()


def _series(store: SampleStore, every: int) -> IdArray:
    labels = (Labels.metric("m", {"n": str(n), "kept": "short" if n % every == 0 else "long"}) for n in range(SERIES))
    return np.sort(np.array([store.intern(one) for one in labels], np.uint64))


if __name__ == "__main__":
    main()
