"""The index of series at a million of them, ten labels each: memory, loading, finding, and a million new ones at once.

python -m bench.index [SERIES]. The stores are opened in processes of their own, so that memory is theirs alone.
"""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import numpy as np

from bench.figures import percentile, resident_mb, show
from tocsin.ingest.appender import Appender
from tocsin.ingest.rows import Rows
from tocsin.ingest.settings import IngestSettings
from tocsin.model.labels import Labels
from tocsin.model.matcher import parse_matcher
from tocsin.runtime.clock import SystemClock
from tocsin.runtime.offload import ThreadOffload
from tocsin.runtime.telemetry import Telemetry
from tocsin.store.samples.index import GRACE_MS, LabelIndex
from tocsin.store.samples.store import SampleStore
from tocsin.store.settings import RetentionSettings, StoreSettings

SERIES = 1_000_000
ROOM = StoreSettings(series_max=2_000_000)
CLOCK = SystemClock()
METRICS = 25
REQUEST = 2_000
SENDERS = 4
KNOWN_EVERY_S = 0.05
ASKED = (
    ("one metric: 40,000 series", '__name__="metric_3"'),
    ("one metric and zone", '__name__="metric_3",az="zone-1"'),
    ("one metric, a pattern of instances", '__name__="metric_3",instance=~"10[.]0[.]1.*"'),
    ("one metric, all but a zone", '__name__="metric_3",az!="zone-1"'),
    ("one instance", 'instance="10.0.3.7:9100"'),
    ("a pattern of metrics", '__name__=~"metric_1.*",az="zone-1"'),
    ("a pattern of pods of all series", 'pod=~"api-1234.*"'),
)


def main() -> None:
    arguments = sys.argv[1:]
    if arguments and arguments[0] == "load":
        asyncio.run(_loaded(Path(arguments[1])))
        return
    count = int(arguments[0]) if arguments and arguments[0].isdigit() else SERIES
    _alone(count)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "samples"
        _load(Path(folder) / "empty", "an empty store")
        asyncio.run(_flood(path, count))
        _load(path, f"{count:,} series")


def labels(number: int) -> Labels:
    """Like those of a container's metrics: ten labels, 25 metrics of each of 40,000 pods."""
    pod = number // METRICS
    return Labels(
        (
            ("__name__", f"metric_{number % METRICS}"),
            ("az", f"zone-{pod % 3}"),
            ("cluster", "prod-eu-1"),
            ("container", f"app-{pod % 50}"),
            ("env", "production"),
            ("instance", f"10.0.{pod // 250 % 160}.{pod % 250}:9100"),
            ("job", "kubernetes-pods"),
            ("namespace", f"team-{pod % 40}"),
            ("node", f"node-{pod // 30}"),
            ("pod", f"api-{pod}-7d9f8b6c5-{pod * 7919 % 100_003:05x}"),
        )
    )


def _alone(count: int) -> None:
    gc.collect()
    before = resident_mb(os.getpid())
    index = LabelIndex(2 * count)
    took = 0.0
    for first in range(0, count, REQUEST):
        some = [labels(number) for number in range(first, min(first + REQUEST, count))]
        took += _seconds(lambda: [index.intern(one) for one in some])  # noqa: B023 - called at once
    gc.collect()
    show("a new series, one by one", [took / count * 1e6], "µs")
    show("memory of a series", [(resident_mb(os.getpid()) - before) * 1e6 / count], "bytes", digits=0)
    known = [labels(number) for number in range(0, count, max(1, count // REQUEST))]
    for name, runs in (("known, not lately", 1), ("known, lately", 5)):
        show(
            f"a series that is {name}",
            [_seconds(lambda: [index.intern(one) for one in known]) / len(known) * 1e6 for _ in range(runs)],
            "µs",
        )
    for name, text in ASKED:
        matchers = [parse_matcher(part) for part in text.split(",")]
        show(f"find: {name}, first", [_seconds(lambda: index.find(matchers)) * 1e3], "ms")  # noqa: B023 - called at once
        show(f"find: {name}", [_seconds(lambda: index.find(matchers)) * 1e3 for _ in range(5)], "ms")  # noqa: B023
        print(f"    {len(index.find(matchers)):,} series")
    metric = parse_matcher('__name__="metric_3"')
    show("label names of one metric", [_seconds(lambda: index.names([metric])) * 1e3 for _ in range(3)], "ms")
    show("values of pod of one metric", [_seconds(lambda: index.values("pod", [metric])) * 1e3 for _ in range(3)], "ms")
    show("label names of a time", [_seconds(lambda: index.names((), 0, 1)) * 1e3 for _ in range(3)], "ms")
    show("cardinality", [_seconds(lambda: index.cardinality(20)) * 1e3 for _ in range(3)], "ms")
    ids = np.random.default_rng(1).permutation(index.find(()))[:200_000]
    times = np.full(len(ids), CLOCK.now_ms())
    show("note 200,000 samples", [_seconds(lambda: index.touch(ids, times)) * 1e3 for _ in range(3)], "ms")
    index.forget(index.find([parse_matcher('az="zone-1"')]))
    index.compact(0)
    show("let go of a third", [_seconds(lambda: index.compact(GRACE_MS))], "s", digits=2)


async def _flood(path: Path, count: int) -> None:
    """All of them new, as four senders of 2,000 samples a request bring them, while a fifth sends known ones."""
    async with _Opened(path) as store:
        appender = Appender(
            store,
            store,
            store,
            (),
            clock=CLOCK,
            telemetry=Telemetry(),
            settings=IngestSettings(),
            kept=store.cuts,
        )
        making = ThreadOffload("making", 1)
        known = _rows([Labels.metric("known", {"n": str(number)}) for number in range(REQUEST)])
        await appender.append(known, "bench")
        done = asyncio.Event()
        waits: list[float] = []
        lags: list[float] = []
        firsts = iter(range(0, count, REQUEST))

        async def flood() -> None:
            for first in firsts:
                rows = await making.run(_rows_from, first, min(first + REQUEST, count))
                await appender.append(rows, "bench")

        watches = [
            asyncio.create_task(_known(lambda: appender.append(_again(known), "bench"), waits, done)),
            asyncio.create_task(_lag(lags, done)),
        ]
        began = time.perf_counter()
        await asyncio.gather(*(flood() for _ in range(SENDERS)))
        took = time.perf_counter() - began
        await store.flush()
        done.set()
        await asyncio.gather(*watches)
        making.close()
        show(f"{count:,} new series at once", [took], "s")
        show("meanwhile, known ones: median", [percentile(waits, 0.5) * 1e3], "ms")
        show("meanwhile, known ones: longest", [max(waits) * 1e3], "ms")
        show("meanwhile, the loop is late: longest", [max(lags) * 1e3], "ms")
        show("resident memory after them", [resident_mb(os.getpid())], "MB", digits=0)


async def _known(send: Callable[[], Awaitable[object]], waits: list[float], done: asyncio.Event) -> None:
    while not done.is_set():
        began = time.perf_counter()
        await send()
        waits.append(time.perf_counter() - began)
        await asyncio.sleep(KNOWN_EVERY_S)


async def _lag(lags: list[float], done: asyncio.Event) -> None:
    while not done.is_set():
        began = time.perf_counter()
        await asyncio.sleep(0.005)
        lags.append(time.perf_counter() - began - 0.005)


def _rows_from(first: int, end: int) -> Rows:
    return _rows([labels(number) for number in range(first, end)])


def _rows(series: Sequence[Labels]) -> Rows:
    which = np.arange(len(series))
    return Rows(tuple(series), which, np.full(len(series), CLOCK.now_ms()), np.ones(len(series)), which)


def _again(rows: Rows) -> Rows:
    return Rows(rows.series, rows.which, np.full(len(rows), CLOCK.now_ms()), rows.values, rows.index)


def _load(path: Path, what: str) -> None:
    print(f"-- {what}", flush=True)
    subprocess.run([sys.executable, "-m", "bench.index", "load", str(path)], check=True)


async def _loaded(path: Path) -> None:
    began = time.perf_counter()
    async with _Opened(path):
        show("opened, in a process of its own", [time.perf_counter() - began], "s", digits=2)
        gc.collect()
        show("resident memory", [resident_mb(os.getpid())], "MB", digits=0)


class _Opened:
    """A store with threads of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads = [ThreadOffload("write", 1), ThreadOffload("read", 2), ThreadOffload("journal", 1)]

    async def __aenter__(self) -> SampleStore:
        write, read, journaling = self._threads
        self._store = await SampleStore.open(
            self._path,
            ROOM,
            RetentionSettings(),
            clock=CLOCK,
            telemetry=Telemetry(),
            write=write,
            read=read,
            journaling=journaling,
        )
        return self._store

    async def __aexit__(self, *_: object) -> None:
        await self._store.close()
        for threads in self._threads:
            threads.close()


def _seconds(work: Callable[[], object]) -> float:
    """Of this thread's CPU, as all of it is computing."""
    began = time.thread_time()
    work()
    return time.thread_time() - began


if __name__ == "__main__":
    main()
