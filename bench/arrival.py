"""Samples against rules: how many comparisons a second one core does, and what a storm costs.

The store behind it answers at once, so that only the judging is measured.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.figures import show
from tocsin.model.alert import Alert, Change
from tocsin.model.labels import Labels
from tocsin.model.matcher import equals
from tocsin.model.rule import Condition, Rule
from tocsin.model.series import SampleBatch
from tocsin.rules.arrival import Arrival
from tocsin.runtime.clock import FixedClock
from tocsin.runtime.telemetry import Telemetry

RULES = 10_000
SERIES = 10_000
BATCH = 10_000
ROUNDS = 30
STEP_MS = 5_000


class InstantStore:
    """AlertStore that takes everything at once."""

    def __init__(self) -> None:
        self._last_id = 0

    async def open_alerts(self) -> tuple[Alert, ...]:
        return ()

    async def save_changes(self, changes: Sequence[Change]) -> tuple[Alert, ...]:
        first = self._last_id + 1
        self._last_id += len(changes)
        return tuple(
            change.alert if change.alert.id else replace(change.alert, id=number)
            for number, change in enumerate(changes, first)
        )


class Silent:
    """AlertSink that tells nobody."""

    def alerts_changed(self, changes: Sequence[Change]) -> None:
        pass


class Known:
    """SeriesLookup."""

    def __init__(self, series: Sequence[Labels]) -> None:
        self.ids = np.array([labels.series_id() for labels in series], np.uint64)
        self._labels = dict(zip(self.ids.tolist(), series, strict=True))

    def labels(self, series_id: int) -> Labels:
        found: Labels = self._labels[series_id]
        return found


@dataclass
class Bench:
    arrival: Arrival
    clock: FixedClock
    known: Known

    async def round(self, values: np.ndarray, batch: int = BATCH) -> tuple[float, float]:
        """(seconds for one value of every series in batches, the longest batch)."""
        at_ms = self.clock.advance(STEP_MS)
        times = np.full(len(values), at_ms)
        spent: list[float] = []
        for first in range(0, len(values), batch):
            part = slice(first, first + batch)
            began = time.perf_counter()
            await self.arrival.observe(SampleBatch(self.known.ids[part], times[part], values[part]), at_ms)
            spent.append(time.perf_counter() - began)
        return sum(spent), max(spent)


def opened(series: Sequence[Labels]) -> Bench:
    clock, known = FixedClock(), Known(series)
    arrival = Arrival(InstantStore(), known, Silent(), clock=clock, telemetry=Telemetry())
    return Bench(arrival, clock, known)


def hosts(count: int, metric: str = "load") -> list[Labels]:
    return [Labels.metric(metric, {"host": f"host-{number}", "zone": f"z{number % 7}"}) for number in range(count)]


def a_rule(number: int, **changes: object) -> Rule:
    rule = Rule(id=number, name=f"rule {number}", metric_name="load", condition=Condition.ABOVE, threshold=90.0)
    return replace(rule, **changes)  # type: ignore[arg-type]  # shorthand


async def steady(
    name: str, rules: Sequence[Rule], series: Sequence[Labels], checks_per_round: int, value: float
) -> None:
    bench = opened(series)
    began = time.perf_counter()
    await bench.arrival.load(rules)
    show(f"{name}: load the rules", [1e3 * (time.perf_counter() - began)], "ms")
    chance = np.random.default_rng(1)
    first, _ = await bench.round(np.full(len(series), value))
    show(f"{name}: first sample of every series", [1e3 * first], "ms")
    runs = [await bench.round(value + chance.random(len(series))) for _ in range(ROUNDS)]
    show(f"{name}: checks on one core", [checks_per_round / total for total, _ in runs], "per s", digits=0)
    show(f"{name}: samples on one core", [len(series) / total for total, _ in runs], "per s", digits=0)
    show(f"{name}: longest batch of {BATCH:,}", [1e3 * max(longest for _, longest in runs)], "ms")


async def storm() -> None:
    series = hosts(SERIES)
    bench = opened(series)
    await bench.arrival.load([a_rule(1)])
    await bench.round(np.full(SERIES, 1.0))
    for name, value in (("break", 95.0), ("recover", 1.0)):
        total, _ = await bench.round(np.full(SERIES, value))
        show(f"storm: {SERIES:,} series {name} in one batch", [1e3 * total], "ms")


async def one_sample() -> None:
    bench = opened(hosts(RULES))
    await bench.arrival.load([a_rule(number, matchers=equals({"host": f"host-{number}"})) for number in range(RULES)])
    await bench.round(np.full(RULES, 1.0))
    spent = []
    for _ in range(300):
        at_ms = bench.clock.advance(STEP_MS)
        batch = SampleBatch(bench.known.ids[:1], np.array([at_ms]), np.array([1.0]))
        began = time.perf_counter()
        await bench.arrival.observe(batch, at_ms)
        spent.append(1e6 * (time.perf_counter() - began))
    show("a batch of one sample", spent, "µs")


async def run() -> None:
    series = hosts(SERIES)
    each_host = [a_rule(number, matchers=equals({"host": f"host-{number}"})) for number in range(RULES)]
    await steady("a rule for each host, good", each_host, series, SERIES, 1.0)
    await steady("a rule for each host, firing", each_host, series, SERIES, 95.0)
    for_all = [a_rule(number) for number in range(100)]
    await steady("100 rules for all hosts, good", for_all, series, 100 * SERIES, 1.0)
    await steady("10 rules for all hosts, firing", for_all[:10], series, 10 * SERIES, 95.0)
    one = [a_rule(number, threshold=float(number)) for number in range(RULES)]
    await steady("10,000 rules on one series", one, series[:1], RULES, -2.0)
    await steady("nobody watches", [a_rule(1, metric_name="other")], hosts(40_000), 0, 1.0)
    await one_sample()
    await storm()


def main() -> None:
    asyncio.run(run())


if __name__ == "__main__":
    main()
