"""Rounds of rules: 1,000 that look at one series each, and 1,000 that aggregate 4,000 of 40,000 series each.

The rules are evaluated as a group's are: read in one go, at one moment, on the real store with its threads; first the
queries alone, and then as a group that keeps its alerts and writes their series.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tests.support.samples import open_store

from bench.arrival import InstantStore, Silent
from bench.devops import METRICS, Fleet
from bench.figures import show
from tocsin.model.duration import Duration
from tocsin.model.labels import Labels
from tocsin.model.rule_group import AlertingRule, RuleGroup
from tocsin.model.series import FloatArray, SampleBatch
from tocsin.promql.engine import Answer, Engine
from tocsin.promql.settings import QuerySettings
from tocsin.rules.evaluation import Evaluation, Means, RuleState
from tocsin.rules.expanding import Site
from tocsin.rules.group import placed, rules_of
from tocsin.rules.settings import RulesSettings
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
            await _group(title, texts, engine, store, fleet.end_ms, queries)
    threads.close()
    queries.close()


async def _group(
    title: str, texts: list[str], engine: Engine, store: SampleStore, end_ms: int, offload: ThreadOffload
) -> None:
    """Alerts that fire in the first round go on firing: the state store answers at once."""
    group = RuleGroup("bench", tuple(AlertingRule(f"Rule{number}", text) for number, text in enumerate(texts)))
    plan = placed(group, rules_of(group), interval_ms=15_000, query_offset_ms=0)
    means = Means(
        engine=engine,
        source=store,
        store=InstantStore(),
        recorder=Straight(store),
        sink=Silent(),
        clock=SystemClock(),
        offload=offload,
        site=Site(),
        settings=RulesSettings(start_grace=Duration(0)),
    )
    evaluation = Evaluation(plan, [RuleState(rule) for rule in plan.rules], means, started_ms=end_ms - 60_000)
    taken = []
    for number in range(ROUNDS):
        began = time.perf_counter()
        await evaluation.evaluate(end_ms + number * 1_000)
        taken.append((time.perf_counter() - began) * 1e3)
    firing = sum(len(state.alerts) for state in evaluation.states)
    assert not any(state.last.error for state in evaluation.states)
    show(f"{RULES:,} rules of {title}: a group's first round, {firing:,} alerts", taken[:1], "ms")
    show(f"{RULES:,} rules of {title}: a group's round", taken[1:], "ms")


class Straight:
    """Recorder that writes to the store, without the appender's checks."""

    def __init__(self, store: SampleStore) -> None:
        self._store = store

    async def record(self, series: Sequence[Labels], values: FloatArray, at_ms: int) -> tuple[str, ...]:
        ids = np.array([self._store.intern(labels) for labels in series], np.uint64)
        await self._store.append(SampleBatch(ids, np.full(len(ids), at_ms, np.int64), values))
        return ()


async def _load(store: SampleStore, fleet: Fleet) -> None:
    ids = np.array([store.intern(labels) for labels in fleet.labels()], np.uint64)
    for number, (at_ms, values) in enumerate(zip(fleet.times.tolist(), fleet.readings(), strict=True)):
        await store.append(SampleBatch(ids, np.full(len(ids), at_ms, np.int64), values))
        if number % 20 == 0:  # faster than anybody sends: the queue would be full
            await store.flush()
    await store.flush()


if __name__ == "__main__":
    main()
