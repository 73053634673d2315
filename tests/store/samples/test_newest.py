"""Memory before the engine: whatever is written, evicted, deleted and restarted, both together answer as one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from tests.support.clickhouse import Front, server_url
from tests.support.samples import UNSYNCED, AnyStore, Row, batch, open_store

from tocsin.model.duration import HOUR_MS, MINUTE_MS
from tocsin.model.labels import Labels
from tocsin.model.matcher import parse_selector
from tocsin.promql.ports import Ask, Budget, Gathered
from tocsin.promql.values import Grid, Ranges, Vector
from tocsin.runtime.clock import FixedClock
from tocsin.runtime.telemetry import Telemetry
from tocsin.store.memory import MemorySampleStore
from tocsin.store.samples import layers, reader
from tocsin.store.samples.engine import Connection
from tocsin.store.samples.head import Head
from tocsin.store.samples.store import SampleStore
from tocsin.store.settings import RetentionSettings

NOW = 1_800_000_000_000
HOSTS = [Labels.metric("cpu", {"host": f"h{number}"}) for number in range(8)]


def ask(text: str = "cpu", function: str = "", *, at_ms: int = NOW, range_ms: int = HOUR_MS, steps: int = 1) -> Ask:
    return Ask(parse_selector(text), Grid(at_ms, MINUTE_MS, steps), range_ms, function)


def plain(gathered: Gathered) -> dict[Labels, list[tuple[int, bytes]]]:
    found = gathered.found
    if isinstance(found, Vector):
        rows = {
            labels: [(step, value.tobytes()) for step, value in enumerate(values) if there[step]]
            for labels, values, there in zip(found.frame, found.values, found.present, strict=True)
        }
    else:
        offsets = found.block.offsets.tolist()
        rows = {
            labels: [(int(found.block.times[at]), found.block.values[at].tobytes()) for at in range(start, end)]
            for labels, start, end in zip(found.frame, offsets[:-1], offsets[1:], strict=True)
        }
    return {labels: row for labels, row in rows.items() if row}


async def how(store: SampleStore, one: Ask) -> list[str]:
    return [source.how for source in (await store.gather([one], Budget()))[one].sources]


async def times(store: SampleStore, one: Ask) -> list[int]:
    found = (await store.gather([one], Budget()))[one].found
    assert isinstance(found, Ranges)
    return [int(at_ms) for at_ms in found.block.times]


async def warmed() -> None:
    """What the store does by itself after it was opened is done: all of it on this thread."""
    for _ in range(100):
        await asyncio.sleep(0)


def written(chance: random.Random, clock: FixedClock) -> list[Row]:
    now_ms = clock.now_ms()
    return [
        (
            chance.choice(HOSTS),
            now_ms - (chance.randrange(2 * HOUR_MS) if chance.random() < 0.1 else chance.randrange(20_000)),
            chance.choice((1.5, float("nan"), 1e300, round(chance.random(), 2))),
        )
        for _ in range(chance.randrange(1, 200))
    ]


async def agree(store: SampleStore, twin: MemorySampleStore, chance: random.Random, clock: FixedClock) -> None:
    asks = [
        ask(
            chance.choice(("cpu", 'cpu{host="h1"}', 'cpu{host=~"h[23]"}')),
            chance.choice(("", "newest", "sum_over_time", "rate", "newest_time")),
            at_ms=clock.now_ms() - chance.choice((0, 0, 0, 90_000, HOUR_MS)),
            range_ms=chance.choice((MINUTE_MS, 5 * MINUTE_MS, HOUR_MS, 3 * HOUR_MS)),
            steps=chance.choice((1, 1, 5)),
        )
        for _ in range(3)
    ]
    ours, theirs = await store.gather(asks, Budget()), await twin.gather(asks, Budget())
    for one in asks:
        assert plain(ours[one]) == plain(theirs[one]), one


@pytest.mark.parametrize("seed", range(4))
async def test_memory_and_engine_answer_as_one(tmp_path: Path, seed: int) -> None:
    chance, clock = random.Random(seed), FixedClock(NOW)
    async with MemorySampleStore(UNSYNCED, RetentionSettings(), clock=clock) as twin:
        for life in range(3):
            settings = replace(UNSYNCED, head_mb=chance.choice((1, 64)))
            async with open_store(tmp_path / "samples", clock, settings) as store:
                if chance.random() < 0.3:
                    await warmed()
                if life == 1 and store.newest is not None:
                    store.newest.head = Head(
                        chance.choice((3_000, 8_000, 20_000))
                    )  # so small that samples make way all the time
                for _ in range(8):
                    rows = written(chance, clock)
                    for one in (store, twin):
                        await put(one, rows)
                    if chance.random() < 0.1:
                        gone = [parse_selector(f'{{host="h{chance.randrange(8)}"}}')]
                        for one in (store, twin):
                            await one.erase(gone)
                    clock.advance(chance.randrange(120_000))
                    await agree(store, twin, chance, clock)


async def put(store: AnyStore, rows: Sequence[Row]) -> None:
    await store.append(batch(store, rows))


def minutes(count: int, hosts: Sequence[Labels] = HOSTS) -> list[Row]:
    return [(labels, NOW - at * MINUTE_MS, float(at)) for at in range(count)[::-1] for labels in hosts]


async def test_what_was_just_written_is_answered_from_memory(tmp_path: Path) -> None:
    async with open_store(tmp_path / "samples", FixedClock(NOW)) as store:
        await put(store, minutes(30))
        for function in ("", "newest", "rate"):
            assert await how(store, ask(function=function)) == ["memory"]


async def test_the_latest_values_are_those_of_the_memory_twin(tmp_path: Path) -> None:
    clock = FixedClock(NOW)
    async with (
        MemorySampleStore(UNSYNCED, RetentionSettings(), clock=clock) as twin,
        open_store(tmp_path / "samples", clock) as store,
    ):
        for one in (store, twin):
            await put(one, written(random.Random(5), clock))
        for since_ms in (0, NOW - 5_000, NOW + 1):
            ours, theirs = [await one.latest(parse_selector("cpu"), since_ms) for one in (store, twin)]
            assert ours.series == theirs.series
            assert ours.times.tolist() == theirs.times.tolist()
            assert ours.values.tobytes() == theirs.values.tobytes()


async def test_reads_from_memory_leave_the_journal_alone(tmp_path: Path) -> None:
    telemetry = Telemetry()
    async with open_store(tmp_path / "samples", FixedClock(NOW), telemetry=telemetry) as store:
        await put(store, minutes(30))
        await how(store, ask())
        assert b'flushes_total{result="flushed"} 0' in telemetry.render() or b"flushes_total{" not in telemetry.render()


async def test_after_a_restart_the_last_hour_is_in_memory_again(tmp_path: Path) -> None:
    clock = FixedClock(NOW)
    async with open_store(tmp_path / "samples", clock) as store:
        await put(store, minutes(90))
    async with open_store(tmp_path / "samples", clock) as store:
        assert await how(store, ask()) == ["engine"]
        await warmed()
        assert await how(store, ask(range_ms=HOUR_MS)) == ["memory"]
        assert await how(store, ask(range_ms=2 * HOUR_MS)) == ["engine"]
        assert len(await times(store, ask('cpu{host="h1"}', range_ms=2 * HOUR_MS))) == 90


async def test_a_series_that_is_new_after_a_restart_needs_no_engine_for_what_came_since(tmp_path: Path) -> None:
    clock = FixedClock(NOW)
    async with open_store(tmp_path / "samples", clock) as store:
        await put(store, minutes(5, HOSTS[:1]))
    clock.advance(10 * MINUTE_MS)
    async with open_store(tmp_path / "samples", clock) as store:
        await put(store, [(HOSTS[1], clock.now_ms(), 1.0)])
        assert await how(store, ask('cpu{host="h1"}', at_ms=clock.now_ms(), range_ms=5 * MINUTE_MS)) == ["memory"]


async def test_what_had_to_make_way_is_read_from_the_engine(tmp_path: Path) -> None:
    async with open_store(tmp_path / "samples", FixedClock(NOW)) as store:
        assert store.newest is not None
        store.newest.head = Head(8_000)
        chance = random.Random(1)
        for labels, at_ms, _ in minutes(600, HOSTS[:2]):
            await put(store, [(labels, at_ms, chance.random())])
        assert len(await times(store, ask(range_ms=20 * HOUR_MS))) == 1_200
        assert await how(store, ask(range_ms=20 * HOUR_MS)) == ["engine"]
        assert await how(store, ask(range_ms=5 * MINUTE_MS)) == ["memory"]


async def test_series_that_are_held_are_not_read_from_the_engine_for_the_sake_of_others(tmp_path: Path) -> None:
    clock = FixedClock(NOW)
    async with open_store(tmp_path / "samples", clock, replace(UNSYNCED, head_mb=64)) as store:
        await put(store, minutes(30))
        assert store.newest is not None
        store.newest.head.drop(batch(store, minutes(1, HOSTS[:1])).ids)
        found = (await store.gather([ask()], Budget()))[ask()]
        assert [(source.how, source.series, source.samples) for source in found.sources] == [
            ("memory", 7, 210),
            ("engine", 1, 30),
        ]


async def test_what_was_filled_since_it_was_asked_for_is_read_from_memory(tmp_path: Path) -> None:
    async with open_store(tmp_path / "samples", FixedClock(NOW)) as store:
        await put(store, minutes(30))
        assert store.newest is not None
        nothing = reader.EngineSampler(cast("Connection", None), lambda: None)
        ids = np.unique(batch(store, minutes(1)).ids)
        slices = [*layers.LayeredSampler(store.newest, nothing).slices(ids, NOW - HOUR_MS, NOW, 1_000)]
        assert sum(len(samples.times) for _, samples in slices) == 240


async def test_a_forgotten_series_that_comes_back_has_its_samples(tmp_path: Path) -> None:
    clock = FixedClock(NOW)
    async with open_store(tmp_path / "samples", clock) as store:
        await put(store, minutes(3, HOSTS[:1]))
        await store.forget(batch(store, minutes(1, HOSTS[:1])).ids)
        clock.advance(MINUTE_MS)
        await put(store, [(HOSTS[0], clock.now_ms(), 9.0)])
        assert len(await times(store, ask(at_ms=clock.now_ms()))) == 4


async def test_without_memory_for_it_all_is_read_from_the_engine(tmp_path: Path) -> None:
    async with open_store(tmp_path / "samples", FixedClock(NOW), replace(UNSYNCED, head_mb=0)) as store:
        await put(store, minutes(3))
        assert await how(store, ask()) == ["engine"]


async def test_nothing_is_held_of_a_server_to_which_others_write(tmp_path: Path, clickhouse_server: Front) -> None:
    settings = replace(UNSYNCED, url=server_url("served", clickhouse_server))
    async with open_store(tmp_path / "samples", FixedClock(NOW), settings) as store:
        await put(store, minutes(3))
        assert store.newest is None
        assert await how(store, ask()) == ["engine"]
