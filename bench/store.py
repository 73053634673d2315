"""The sample store alone, embedded, with the default settings: inserts, reads, bytes a sample, memory.

python -m bench.store. One process, so the figures of memory include this script's own batches.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import numpy as np

from bench.figures import cpu_share, percentile, resident_mb, show
from tocsin.model.duration import DAY_MS, HOUR_MS
from tocsin.model.labels import Labels
from tocsin.model.matcher import Matcher, parse_matcher
from tocsin.model.series import IdArray, SampleBatch
from tocsin.runtime.clock import SystemClock
from tocsin.runtime.offload import ThreadOffload
from tocsin.runtime.telemetry import Telemetry
from tocsin.store.memory import MemorySampleStore
from tocsin.store.samples.store import SampleStore
from tocsin.store.settings import RetentionSettings, StoreSettings

CLOCK = SystemClock()
NOW = CLOCK.now_ms() // DAY_MS * DAY_MS + 12 * HOUR_MS
RUNS = 5
LONE_APPENDS = 100
BATCHES = {1: 20, 100: 20, 2_000: 20, 10_000: 20, 100_000: 10, 1_000_000: 3}
SHAPES = ((1_000, 2 * HOUR_MS), (40_000, HOUR_MS // 6))
INTERVAL_MS = 10_000
SMALL_COMMITS = 400


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_all(Path(folder)))


async def _all(folder: Path) -> None:
    async with _Opened(folder / "writes") as store:
        await _idle()
        await _lone_appends(store)
        await _many_callers(store)
        await _batches(store)
    for series, span_ms in SHAPES:
        async with _Opened(folder / f"reads-{series}") as store:
            await _reads(store, series, span_ms)
    await _twin()


class _Opened:
    """A store with threads of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        settings = StoreSettings()
        self._write, self._read = ThreadOffload("write", 1), ThreadOffload("read", settings.readers)
        self._journaling = ThreadOffload("journal", 1)
        self._settings = settings

    async def __aenter__(self) -> SampleStore:
        began = time.perf_counter()
        self._store = await SampleStore.open(
            self._path,
            self._settings,
            RetentionSettings(),
            clock=CLOCK,
            telemetry=Telemetry(),
            write=self._write,
            read=self._read,
            journaling=self._journaling,
        )
        show("open a new store", [(time.perf_counter() - began) * 1e3], "ms")
        return self._store

    async def __aexit__(self, *_: object) -> None:
        began = time.perf_counter()
        await self._store.close()
        show("close it", [(time.perf_counter() - began) * 1e3], "ms")
        self._write.close()
        self._read.close()
        self._journaling.close()


async def _idle() -> None:
    await asyncio.sleep(5)
    show("idle: resident memory", [resident_mb(os.getpid())], "MB", digits=0)
    show("idle: CPU", [await asyncio.get_running_loop().run_in_executor(None, cpu_share, os.getpid(), 10)], "%")


async def _lone_appends(store: SampleStore) -> None:
    """One sample into an idle writer."""
    ids = _series(store, "lone", 1)
    waits = []
    for number in range(LONE_APPENDS):
        await asyncio.sleep(0.06)
        waits.append(await _took_ms(lambda at=number: store.append(_batch(ids, NOW + at))))  # type: ignore[misc] # the loop's own
    show("a lone append, median", [statistics.median(waits)], "ms", digits=2)
    show("a lone append, p99", [percentile(waits, 0.99)], "ms", digits=2)


async def _many_callers(store: SampleStore) -> None:
    """Callers who each send 2,000 samples and wait for the acknowledgement, over and over."""
    ids = _series(store, "caller", 2_000)
    for callers in (1, 8, 64):
        count = SMALL_COMMITS // callers

        async def one(caller: int, count: int = count) -> None:
            for number in range(count):
                await store.append(_batch(ids, NOW + caller * 1_000_000 + number))

        began = time.perf_counter()
        await asyncio.gather(*(one(caller) for caller in range(callers)))
        show(
            f"{callers} callers × 2,000 samples",
            [callers * count * 2_000 / (time.perf_counter() - began)],
            "samples/s",
            digits=0,
        )


async def _batches(store: SampleStore) -> None:
    """The insert alone, without the writer's pauses."""
    ids = _series(store, "batch", 10_000)
    for rows, count in BATCHES.items():
        rates = []
        for number in range(count):
            some = np.resize(ids, rows)
            times = NOW + number * 1_000_000 + np.arange(rows) // len(ids)
            values = np.random.default_rng(number).normal(50, 10, rows).round(2)
            work = partial(store._insert, (), [SampleBatch(some, times, values)])  # noqa: SLF001 - without the queue before it
            took = await asyncio.get_running_loop().run_in_executor(None, _seconds, work)
            rates.append(rows / took)
        show(f"inserts of {rows:,} rows", rates, "rows/s", digits=0)
    show("after the inserts: resident memory", [resident_mb(os.getpid())], "MB", digits=0)


async def _reads(store: SampleStore, series: int, span_ms: int) -> None:
    ids = _series(store, "cpu", series)
    chance = np.random.default_rng(1)
    level = chance.normal(50, 10, series)
    at_a_time = max(1, 100_000 // series)
    for first in range(0, span_ms // INTERVAL_MS, at_a_time):
        count = min(at_a_time, span_ms // INTERVAL_MS - first)
        walk = level + chance.normal(0, 0.5, (count, series)).cumsum(axis=0)
        level = walk[-1]
        times = (NOW - span_ms + (first + np.arange(count)) * INTERVAL_MS).repeat(series)
        await store.append(SampleBatch(np.tile(ids, count), times, walk.round(2).ravel()))
    name = parse_matcher('__name__="cpu"')
    few = [name, parse_matcher('n=~"[0-9]{1,2}"')]
    for phase in ("as it came", "merged"):
        if phase == "merged":
            await store.merge()
        stats = await store.stats()
        show(f"{series:,} series, {phase}: bytes a sample", [stats.bytes / stats.samples], "B", digits=2)
        await _read(store, f"{series:,} series, {phase}", [name, parse_matcher('n="7"')], span_ms, "1")
        await _read(store, f"{series:,} series, {phase}", few, span_ms, "100")
        await _read(store, f"{series:,} series, {phase}", [name], span_ms, f"{series:,}")
    show(f"{series:,} series: resident memory", [resident_mb(os.getpid())], "MB", digits=0)


async def _read(store: SampleStore, title: str, matchers: list[Matcher], span_ms: int, which: str) -> None:
    start_ms, step_ms = NOW - span_ms, max(INTERVAL_MS, span_ms // 300)
    kinds: dict[str, Callable[[], Awaitable[object]]] = {
        "select": lambda: store.select(matchers, start_ms, NOW),
        "steps": lambda: store.steps(matchers, start_ms, NOW, step_ms),
        "latest": lambda: store.latest(matchers, NOW - 300_000),
    }
    for kind, read in kinds.items():
        waits = [await _took_ms(read) for _ in range(RUNS)]
        show(f"{title}: {kind} {which}", waits, "ms")


async def _twin() -> None:
    twin = MemorySampleStore(clock=CLOCK)
    ids = np.array([twin.intern(Labels.metric("m", {"n": str(n)})) for n in range(200)], np.uint64)
    began = time.perf_counter()
    for tick in range(20_000):
        await twin.append(SampleBatch(ids, np.full(200, NOW + tick * 5_000), np.full(200, 1.0)))
        if tick % 1_000 == 0:
            await twin.latest([], NOW)
    await twin.select([parse_matcher('n="1"')], NOW, NOW + HOUR_MS)
    show("memory twin: batches of 200", [20_000 / (time.perf_counter() - began)], "batches/s", digits=0)


def _series(store: SampleStore, name: str, count: int) -> IdArray:
    return np.sort(
        np.array([store.intern(Labels.metric(name, {"n": str(n), "host": "a"})) for n in range(count)], np.uint64)
    )


def _batch(ids: IdArray, at_ms: int) -> SampleBatch:
    return SampleBatch(ids, np.full(len(ids), at_ms), np.full(len(ids), float(at_ms % 97)))


async def _took_ms(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return (time.perf_counter() - began) * 1e3


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
