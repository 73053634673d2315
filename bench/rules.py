"""Rounds of rules: 1,000 that look at one series each, and 1,000 that aggregate 4,000 of 40,000 series each.

The rules are evaluated as a group's are: read in one go, at one moment, on the real store with its threads.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import numpy as np
from tests.support.samples import open_store

from bench.devops import METRICS, Fleet
from bench.figures import show
from tocsin.model.series import SampleBatch
from tocsin.promql.engine import Answer, Engine
from tocsin.promql.settings import QuerySettings
from tocsin.runtime.clock import SystemClock
from tocsin.runtime.offload import ThreadOffload
from tocsin.store.samples.store import SampleStore
from tocsin.store.settings import StoreSettings

HOSTS, STEPS, RULES, ROUNDS = 4_000, 180, 1_000, 7
LABELS = ("region", "datacenter", "team", "service", "os", "arch", "rack", "service_environment")
ONE = [f'cpu_usage_user{{hostname="host_{number}"}} > 90' for number in range(RULES)]
RATE = [f'rate(cpu_usage_user{{hostname="host_{number}"}}[5m]) > 0.5' for number in range(RULES)]
MANY = [
    f"avg by ({LABELS[number // 10 % len(LABELS)]}) (cpu_usage_{METRICS[number % 10]}) > {number % 97}"
    for number in range(RULES)
]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_measure(Path(folder)))


async def _measure(folder: Path) -> None:
    clock = SystemClock()
    fleet = Fleet(HOSTS, STEPS, clock.now_ms())
    threads, queries = ThreadOffload("store", 1), ThreadOffload("queries", 2)
    async with open_store(folder / "samples", clock, StoreSettings(), offload=threads) as store:
        await _load(store, fleet)
        engine = Engine(QuerySettings(), monotonic_s=clock.monotonic_s, threads=queries)
        for title, texts in (
            ("one series each", ONE),
            ("a rate of one series each", RATE),
            ("4,000 series each", MANY),
        ):
            taken = []
            for number in range(ROUNDS):
                began = time.perf_counter()
                answers = await engine.query_many(store, texts, fleet.end_ms - number * 1_000)
                taken.append((time.perf_counter() - began) * 1e3)
                assert all(isinstance(answer, Answer) for answer in answers)
            show(f"{RULES:,} rules of {title}: the first round", taken[:1], "ms")
            show(f"{RULES:,} rules of {title}: a round", taken[1:], "ms")
    threads.close()
    queries.close()


async def _load(store: SampleStore, fleet: Fleet) -> None:
    ids = np.array([store.intern(labels) for labels in fleet.labels()], np.uint64)
    for number, (at_ms, values) in enumerate(zip(fleet.times.tolist(), fleet.readings(), strict=True)):
        await store.append(SampleBatch(ids, np.full(len(ids), at_ms, np.int64), values))
        if number % 20 == 0:  # faster than anybody sends: the queue would be full
            await store.flush()
    await store.flush()


if __name__ == "__main__":
    main()
