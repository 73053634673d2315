"""A week of 1,000 series, read at 5-minute steps: how long it takes, and how much memory it needs meanwhile."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import numpy as np
from tests.support.samples import open_store

from bench.devops import INTERVAL_MS, Fleet
from bench.figures import show
from tocsin.model.duration import DAY_MS, MINUTE_MS
from tocsin.model.labels import Labels
from tocsin.model.series import SampleBatch
from tocsin.promql.engine import Engine, Options
from tocsin.promql.settings import QuerySettings
from tocsin.promql.values import Grid, Vector
from tocsin.runtime.clock import FixedClock
from tocsin.runtime.offload import ThreadOffload
from tocsin.store.samples.store import SampleStore
from tocsin.store.settings import StoreSettings

DAYS, HOSTS, AT_ONCE, RUNS = 7, 100, 250, 3
END_MS = 1_800_000_000_000 // DAY_MS * DAY_MS
QUERIES = {
    "rate": "rate(cpu_usage[5m])",
    "max_over_time": "max_over_time(cpu_usage[5m])",
    "the newest value": "cpu_usage",
    "sum by (region) of rate": "sum by (region) (rate(cpu_usage[5m]))",
}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_measure(Path(folder)))


async def _measure(folder: Path) -> None:
    clock = FixedClock(END_MS)
    threads, queries = ThreadOffload("store", 1), ThreadOffload("queries", 1)
    settings = StoreSettings(fsync=False)
    async with open_store(folder / "samples", clock, settings, offload=threads) as store:
        await _load(store)
        engine = Engine(QuerySettings(samples_max=100_000_000), monotonic_s=clock.monotonic_s, threads=queries)
        grid = Grid(END_MS - DAYS * DAY_MS + 5 * MINUTE_MS, 5 * MINUTE_MS, DAYS * 288 - 1)
        for approximate in (False, True):
            for title, text in QUERIES.items():
                if approximate and "rate" in text:
                    continue
                took, extra, hows = [], [], set[str]()
                for _ in range(RUNS):
                    before = _memory_mb(peak=False)
                    _reset_peak()
                    began = time.perf_counter()
                    answer = await engine.query_range(store, text, grid, Options(approximate=approximate))
                    took.append((time.perf_counter() - began) * 1e3)
                    extra.append(_memory_mb(peak=True) - before)
                    assert isinstance(answer.value, Vector)
                    hows |= {source.how for asked in answer.explain.asked for source in asked.sources}
                    del answer
                name = f"{title} ({', '.join(sorted(hows))})"
                show(name, took, "ms", digits=0)
                show(f"{name}: extra memory at the peak", extra, "MB", digits=0)
    threads.close()
    queries.close()


async def _load(store: SampleStore) -> None:
    fleet = Fleet(HOSTS, DAYS * DAY_MS // INTERVAL_MS, END_MS)
    series = [Labels.metric("cpu_usage", {**labels.tags, "metric": labels.name}) for labels in fleet.labels()]
    ids = np.array([store.intern(labels) for labels in series], np.uint64)
    times, rows = fleet.times, []
    for number, values in enumerate(fleet.readings(), 1):
        rows.append(values)
        if len(rows) == AT_ONCE or number == fleet.steps:
            moments = times[number - len(rows) : number]
            batch = SampleBatch(np.tile(ids, len(rows)), np.repeat(moments, len(ids)), np.concatenate(rows))
            await store.append(batch)
            await store.flush()
            rows = []
    await store.merge()
    while await store.roll_up():
        pass


def _memory_mb(*, peak: bool) -> float:
    name = "VmHWM" if peak else "VmRSS"
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1e3


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


if __name__ == "__main__":
    main()
