"""What policies take off the disk of the real engine, and what a kill in the middle of it leaves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from tests.support.samples import batch, open_store, rows

from tocsin.model.duration import DAY_MS, HOUR_MS, MINUTE_MS
from tocsin.model.errors import StoreError
from tocsin.model.labels import Labels
from tocsin.model.matcher import Matcher, MatchOp, parse_selector
from tocsin.model.retention import Lengths, Policy, Rules
from tocsin.runtime.clock import FixedClock
from tocsin.runtime.telemetry import Telemetry
from tocsin.store.samples.enforcement import FIVE_MINUTES, HOURS, RAW, Partition, due, rules_of, rules_text
from tocsin.store.samples.native import Shape
from tocsin.store.samples.store import SampleStore

ROOT = Path(__file__).parents[3]
TODAY = 20_790  # the last day of a block of roll-ups is far
NOW = TODAY * DAY_MS + 12 * HOUR_MS
DEV, OPS = Labels.metric("cpu", {"team": "dev"}), Labels.metric("cpu", {"team": "ops"})
ALL = (Matcher("__name__", MatchOp.REGEX, ".*"),)
TWO_DAYS = Policy(0, "dev", parse_selector('{team="dev"}'), 2 * DAY_MS)
DEFAULTS = Lengths(7 * DAY_MS, 90 * DAY_MS, 730 * DAY_MS)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
async def store(tmp_path: Path, clock: FixedClock) -> AsyncIterator[SampleStore]:
    async with open_store(tmp_path / "samples", clock) as opened:
        yield opened


async def put(store: SampleStore, labels: Labels, at_ms: int, *values: float) -> None:
    given = [(labels, at_ms + at * MINUTE_MS, value) for at, value in enumerate(values)]
    await store.append(batch(store, given))
    await store.flush()


async def rolled(store: SampleStore) -> None:
    while await store.roll_up():
        pass


async def enforced(store: SampleStore) -> tuple[int, int]:
    at_ms = store._clock.now_ms()
    samples, buckets = await store.clean_up(at_ms), 0
    while True:
        done = await store.enforce(at_ms)
        samples, buckets = samples + done.samples, buckets + done.buckets
        if not done.more:
            return samples, buckets


def count(store: SampleStore, table: str, labels: Labels) -> int:
    """Rows on the disk, whatever may be read of them."""
    sql = f"select count() as n from {table} final where id = {labels.series_id()}"
    return int(store._parts.writing.read(sql, Shape({"n": "UInt64"}))["n"][0])


async def hourly(store: SampleStore, labels: Labels) -> list[tuple[float, float]]:
    """(mean, highest) of each hour that has any."""
    block = await store.steps([*ALL, Matcher("team", MatchOp.EQUAL, labels.get("team"))], 0, NOW + DAY_MS, 24 * HOUR_MS)
    return [(a, b) for a, b in zip(block.avg.ravel().tolist(), block.max.ravel().tolist(), strict=True) if a == a]


async def test_roll_ups_outlive_the_samples_that_a_policy_removes(store: SampleStore) -> None:
    at_ms = NOW - 4 * DAY_MS
    await put(store, DEV, at_ms, 1.0, 3.0)
    await put(store, OPS, at_ms, 10.0)
    await store.keep((TWO_DAYS,))
    assert await enforced(store) == (2, 0)  # never rolled up before
    assert (count(store, "samples", DEV), count(store, "samples", OPS)) == (0, 1)
    assert await hourly(store, DEV) == [(2.0, 3.0)]
    assert await hourly(store, OPS) == [(10.0, 10.0)]


async def test_a_late_sample_of_another_series_leaves_the_roll_ups_of_removed_ones_alone(store: SampleStore) -> None:
    at_ms = NOW - 4 * DAY_MS
    await put(store, DEV, at_ms, 1.0, 3.0)
    await put(store, OPS, at_ms, 10.0)
    await store.keep((TWO_DAYS,))
    await enforced(store)
    await put(store, OPS, at_ms + 1, 30.0)
    assert await hourly(store, DEV) == [(2.0, 3.0)]  # the hour is open again, for others
    await rolled(store)
    assert (await hourly(store, DEV), await hourly(store, OPS)) == ([(2.0, 3.0)], [(20.0, 30.0)])


async def test_a_longer_policy_afterwards_does_not_roll_up_what_is_left(tmp_path: Path, clock: FixedClock) -> None:
    at_ms = NOW - 4 * DAY_MS
    async with open_store(tmp_path / "samples", clock) as store:
        await put(store, DEV, at_ms, 1.0, 3.0)
        await put(store, OPS, at_ms, 10.0)
        await store.keep((TWO_DAYS,))
        await enforced(store)
        await store.keep(())
        await put(store, DEV, at_ms + 1, 100.0)  # accepted again, and all that is left of its bucket
    async with open_store(tmp_path / "samples", clock) as store:  # which series are late is forgotten, the mark is not
        await rolled(store)
        store.cuts.defaults = Lengths(DAY_MS, 90 * DAY_MS, 730 * DAY_MS)
        assert await hourly(store, DEV) == [(2.0, 3.0)]


async def test_buckets_of_a_short_policy_leave_their_block_by_the_day(store: SampleStore, clock: FixedClock) -> None:
    short = Policy(0, "dev", TWO_DAYS.matchers, 2 * DAY_MS, 2 * DAY_MS, 3 * DAY_MS)
    for day in range(6):
        await put(store, DEV, NOW - day * DAY_MS, 1.0)
        await put(store, OPS, NOW - day * DAY_MS, 1.0)
    clock.at_ms += 2 * HOUR_MS
    await rolled(store)
    await store.keep((short,))
    assert await enforced(store) == (3, 3 + 2)
    assert [count(store, table, DEV) for table in ("samples", "rollup_5m", "rollup_1h")] == [3, 3, 4]
    assert [count(store, table, OPS) for table in ("samples", "rollup_5m", "rollup_1h")] == [6, 6, 6]
    clock.at_ms += DAY_MS
    assert await enforced(store) == (1, 2)


async def test_a_day_that_holds_no_kept_series_is_dropped_and_not_rewritten(tmp_path: Path, clock: FixedClock) -> None:
    telemetry = Telemetry()
    async with open_store(tmp_path / "samples", clock, telemetry=telemetry) as store:
        await put(store, OPS, NOW, 1.0)
        await put(store, DEV, NOW - 4 * DAY_MS, 1.0)
        await put(store, DEV, NOW - 5 * DAY_MS, 1.0)
        await put(store, OPS, NOW - 5 * DAY_MS, 1.0)
        await store.keep((TWO_DAYS,))
        assert await enforced(store) == (2, 0)
        for how in ("drop", "rewrite"):
            labels = {"table": "samples", "how": how}
            assert telemetry.registry.get_sample_value("tocsin_store_rows_expired_total", labels) == 1


async def test_rules_that_change_while_a_round_runs_end_it(store: SampleStore) -> None:
    await put(store, DEV, NOW - 4 * DAY_MS, 1.0)
    await put(store, OPS, NOW - 4 * DAY_MS, 1.0)
    await store.keep((TWO_DAYS,))
    read = store._enforcer._read

    async def changing(work: object) -> object:
        store.cuts.keep(())
        return await read(work)  # type: ignore[arg-type]

    store._enforcer._read = changing
    assert (await store.enforce(NOW)).more
    assert count(store, "samples", DEV) == 1


async def test_many_series_and_both_kinds_of_parts(store: SampleStore) -> None:
    series = [Labels.metric("m", {"n": str(n), "team": "dev" if n % 3 else "ops"}) for n in range(600)]
    for half in (series[::2], series[1::2], series):
        await store.append(batch(store, [(labels, NOW - 3 * DAY_MS, 1.0) for labels in half]))
        await store.flush()
    await store.keep((TWO_DAYS,))
    assert (await enforced(store))[0] >= 400
    assert len(await store.select(ALL, 0, NOW)) == 200
    await store.keep(())
    assert len(await store.select(ALL, 0, NOW)) == 200


class Hurrying(FixedClock):
    """Each look at it takes five minutes."""

    def monotonic_s(self) -> float:
        self.advance(300_000)
        return super().monotonic_s()


async def test_a_rewrite_that_does_not_end_is_left_alone_and_taken_up_again(tmp_path: Path, clock: FixedClock) -> None:
    async with open_store(tmp_path / "samples", clock) as store:
        await put(store, DEV, NOW - 4 * DAY_MS, 1.0)
        await put(store, OPS, NOW - 4 * DAY_MS, 1.0)
        await store.keep((TWO_DAYS,))
        store._parts.writing.run("system stop merges samples")
        store._enforcer._clock = Hurrying(NOW)
        with pytest.raises(StoreError, match="is still rewriting"):
            await store.enforce(NOW)
        store._parts.writing.run("system start merges samples")
        store._enforcer._clock = clock
        while (await store.enforce(NOW)).more:
            pass
        assert (count(store, "samples", DEV), count(store, "samples", OPS)) == (0, 1)


def test_what_is_due_follows_from_the_rules_and_the_time_alone() -> None:
    rules = Rules(DEFAULTS, (Policy(1, "a", TWO_DAYS.matchers, 2 * DAY_MS, 20 * DAY_MS, 400 * DAY_MS),))

    def asked(table: object, number: int) -> tuple[int, ...]:
        return due(rules, Partition(table, number, 1, 1), NOW)  # type: ignore[arg-type]

    assert asked(RAW, TODAY - 2) == (0, 0)
    assert asked(RAW, TODAY - 3) == (0, (TODAY - 2) * DAY_MS)
    assert asked(RAW, TODAY - 8) == ((TODAY - 7) * DAY_MS, (TODAY - 7) * DAY_MS)
    block = (TODAY - 20) // 30
    assert asked(FIVE_MINUTES, block) == (0, (TODAY - 20) * DAY_MS)
    assert asked(HOURS, (TODAY - 400) // 30) == (0, 0)  # long ones leave by whole blocks
    assert asked(HOURS, (TODAY - 430) // 30 - 1)[1] == (TODAY - 430) // 30 * 30 * DAY_MS


def test_rules_survive_as_text() -> None:
    rules = Rules(DEFAULTS, (Policy(1, "1", parse_selector('{a="ü\\"",b=~"x.*"}'), None, 5, 2**60),))
    assert rules_of(rules_text(rules)) == rules


CHILD = """
import asyncio, os, signal, sys
from pathlib import Path
from tests.store.samples.test_enforcement import *

class Killing:
    def __init__(self, connection):
        self.connection = connection
    def __getattr__(self, name):
        return getattr(self.connection, name)
    def run(self, sql):
        self.connection.run(sql)
        if sql.startswith("alter table samples delete"):
            os.kill(os.getpid(), signal.SIGKILL)

async def main():
    async with open_store(Path(sys.argv[1]), FixedClock(NOW)) as store:
        for day in range(3, 6):
            await put(store, DEV, NOW - day * DAY_MS, 1.0, 3.0)
            await put(store, OPS, NOW - day * DAY_MS, 10.0)
        await store.keep((TWO_DAYS,))
        killing = Killing(store._parts.writing)
        store._enforcer._write = lambda work: store._write.run(work, killing)
        await store.enforce(NOW)

asyncio.run(main())
"""


def killed_while_rewriting(path: Path) -> bool:
    child = subprocess.run([sys.executable, "-c", CHILD, str(path)], cwd=ROOT, timeout=60, check=False)
    return child.returncode == -9


@pytest.mark.process
async def test_a_kill_in_the_middle_of_a_rewrite_is_taken_up_again(tmp_path: Path, clock: FixedClock) -> None:
    path = tmp_path / "samples"
    assert killed_while_rewriting(path)
    async with open_store(path, clock) as store:
        await store.keep((TWO_DAYS,))
        await put(store, OPS, NOW - 4 * DAY_MS + 1, 30.0)  # late, while the rewrite may be half done
        await rolled(store)
        assert sorted(await hourly(store, DEV)) == [(2.0, 3.0)] * 3
        while (await store.enforce(NOW)).more:
            pass
        assert (count(store, "samples", DEV), count(store, "samples", OPS)) == (0, 4)
        assert sorted(await hourly(store, DEV)) == [(2.0, 3.0)] * 3
        assert sorted(value for _, _, value in rows(await store.select(ALL, 0, NOW))) == [10.0, 10.0, 10.0, 30.0]
        assert np.isfinite(await hourly(store, OPS)).all()
