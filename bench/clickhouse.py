"""The way to a ClickHouse server over HTTP, beside the engine inside: python -m bench clickhouse.

The server is the front of the tests (`tests/support/clickhouse_front`) over the same engine, in a process of its own on
loopback. It is written in Python, so its share is more than a real server's; what is learned is the price of
the way and how sets of ids should travel, not the speed of ClickHouse.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from tests.support.clickhouse import Front, running_front

from bench.figures import show
from tocsin.model.duration import DAY_MS, HOUR_MS
from tocsin.model.labels import Labels
from tocsin.model.matcher import parse_matcher
from tocsin.model.series import IdArray, SampleBatch
from tocsin.runtime.clock import SystemClock
from tocsin.runtime.offload import ThreadOffload
from tocsin.runtime.telemetry import Telemetry
from tocsin.store.samples.engine import IDS, Connection
from tocsin.store.samples.engines import open_engine
from tocsin.store.samples.native import Shape
from tocsin.store.samples.store import SampleStore
from tocsin.store.settings import RetentionSettings, StoreSettings

CLOCK = SystemClock()
NOW = CLOCK.now_ms() // DAY_MS * DAY_MS + 12 * HOUR_MS
SERIES, TICKS = 1_000, 360
MANY_IDS = (100, 256, 1_000, 10_000, 40_000)
ROWS = {1: 20, 2_000: 20, 200_000: 5}
RUNS = 7
_COUNT = Shape({"n": "UInt64"})


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, running_front(Path(folder) / "front") as front:
        asyncio.run(_all(Path(folder), front))
        _id_sets(front)


async def _all(folder: Path, front: Front) -> None:
    ways = {"inside": "", "HTTP, lz4": front.url(), "HTTP, plain": front.url(options="?compress=0")}
    for way, url in ways.items():
        async with _opened(folder / "samples", way, replace(StoreSettings(), url=url)) as store:
            await _inserts(store, way)
            await _reads(store, way)


@asynccontextmanager
async def _opened(path: Path, way: str, settings: StoreSettings) -> AsyncIterator[SampleStore]:
    threads = ThreadOffload("write", 1), ThreadOffload("read", settings.readers), ThreadOffload("journal", 1)
    began = time.perf_counter()
    store = await SampleStore.open(
        path,
        settings,
        RetentionSettings(),
        clock=CLOCK,
        telemetry=Telemetry(),
        write=threads[0],
        read=threads[1],
        journaling=threads[2],
    )
    show(f"{way}: open a new store", [(time.perf_counter() - began) * 1e3], "ms")
    async with store:
        yield store
    for each in threads:
        each.close()


async def _inserts(store: SampleStore, way: str) -> None:
    """Into the engine itself, past the journal."""
    ids = _series(store, "batch", 10_000)
    for rows, count in ROWS.items():
        waits = []
        for number in range(count):
            times = NOW + number * 1_000_000 + np.arange(rows) // len(ids)
            values = np.random.default_rng(number).normal(50, 10, rows).round(2)
            batch = SampleBatch(np.resize(ids, rows), times, values)
            work = partial(store._insert, (), [batch])  # noqa: SLF001 - without the queue before it
            waits.append(await _took_ms(lambda work=work: asyncio.to_thread(work)))  # type: ignore[misc]  # noqa: TID251
        show(f"{way}: insert {rows:,} rows", waits, "ms")


async def _reads(store: SampleStore, way: str) -> None:
    ids = _series(store, "cpu", SERIES)
    times = NOW - (np.arange(TICKS) * 10_000).repeat(SERIES)
    values = np.random.default_rng(1).normal(50, 10, len(times)).round(2)
    await store.append(SampleBatch(np.tile(ids, TICKS), times, values))
    start_ms = NOW - TICKS * 10_000
    name = parse_matcher('__name__="cpu"')
    for title, matchers in (("1 series", [name, parse_matcher('n="7"')]), (f"{SERIES:,} series", [name])):
        kinds: dict[str, Callable[[], Awaitable[object]]] = {
            "select": partial(store.select, matchers, start_ms, NOW),
            "steps": partial(store.steps, matchers, start_ms, NOW, 60_000),
        }
        for kind, read in kinds.items():
            show(f"{way}: {kind} {title}", [await _took_ms(read) for _ in range(RUNS)], "ms")


def _id_sets(front: Front) -> None:
    """In the statement, or beside it as external data."""
    engine = open_engine(Path(), replace(StoreSettings(), url=front.url()))
    connection = engine.connect(reading=False)
    connection.run("create table t (id UInt64) engine = MergeTree order by id")
    connection.run("insert into t select number from numbers(100000)")
    for count in MANY_IDS:
        ids = np.random.default_rng(1).integers(0, 2**63, count, np.uint64)
        show(f"{count:,} ids in the statement", [_count_ms(connection, ids, inline=True) for _ in range(RUNS)], "ms")
        show(f"{count:,} ids beside it", [_count_ms(connection, ids, inline=False) for _ in range(RUNS)], "ms")
    engine.close()


def _count_ms(connection: Connection, ids: IdArray, *, inline: bool) -> float:
    beside = ids if inline else np.resize(ids, max(len(ids), 257))  # more than stand in the statement by themselves
    within = f"({','.join(map(str, ids.tolist()))})" if inline else IDS
    sql = f"select count() as n from t where id in {within} settings max_query_size = 10000000"
    began = time.perf_counter()
    connection.read(sql, _COUNT, None if inline else beside)
    return (time.perf_counter() - began) * 1e3


def _series(store: SampleStore, name: str, count: int) -> IdArray:
    ids = np.array([store.intern(Labels.metric(name, {"n": str(n), "host": "a"})) for n in range(count)], np.uint64)
    ids.sort()
    return ids


async def _took_ms(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return (time.perf_counter() - began) * 1e3


if __name__ == "__main__":
    main()
