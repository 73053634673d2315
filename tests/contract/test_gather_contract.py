"""What every sample store must answer to PromQL's engine: the same as a plain reading of the samples."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.support.clickhouse import Front, server_url
from tests.support.samples import UNSYNCED, AnyStore, Row, batch, floats, open_store, vault_for
from tests.support.series_source import MemorySource

from tocsin.model.duration import DAY_MS, HOUR_MS, MINUTE_MS
from tocsin.model.errors import LimitError, TransientError, UserError
from tocsin.model.labels import Labels
from tocsin.model.matcher import Matcher, MatchOp, parse_selector
from tocsin.model.retention import Policy
from tocsin.promql.ports import Ask, Budget, Gathered
from tocsin.promql.values import Grid, Ranges, Vector
from tocsin.runtime.clock import FixedClock
from tocsin.store.memory import MemorySampleStore
from tocsin.store.settings import RetentionSettings

NOW = 1_800_000_000_000
STALE = float(floats(0x7FF0000000000002)[0])
KINDS = ("memory", "clickhouse", "encrypted clickhouse", "served")
HOSTS = [Labels.metric("cpu", {"host": f"h{number}", "zone": "ab"[number % 2]}) for number in range(6)]


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture(params=KINDS)
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, clickhouse_server: Front, clock: FixedClock
) -> AsyncIterator[AnyStore]:
    kind = request.param
    if kind == "memory":
        async with MemorySampleStore(UNSYNCED, RetentionSettings(), clock=clock) as twin:
            yield twin
    else:
        settings = replace(UNSYNCED, url=server_url(kind, clickhouse_server))
        async with open_store(tmp_path / "samples", clock, settings, vault=vault_for(kind)) as real:
            yield real


def some_rows(seed: int, hosts: Sequence[Labels] = HOSTS, count: int = 200) -> list[Row]:
    """Random times within an hour, some of them twice; NaN and stale markers among the values."""
    chance = random.Random(seed)
    values = (1.25, -3.0, 1e300, 0.1, float("nan"), float("inf"), STALE)
    return [
        (chance.choice(hosts), NOW - chance.randrange(HOUR_MS), chance.choice((*values, chance.random())))
        for _ in range(count)
    ]


async def put(store: AnyStore, rows: Sequence[Row]) -> None:
    await store.append(batch(store, rows))


def oracle(rows: Sequence[Row]) -> MemorySource:
    """Of equal times the last row counts."""
    series: dict[Labels, dict[int, float]] = {}
    for labels, at_ms, value in rows:
        series.setdefault(labels, {})[at_ms] = value
    return MemorySource(
        {
            labels: (np.array(sorted(own), np.int64), np.array([own[at_ms] for at_ms in sorted(own)]))
            for labels, own in series.items()
        }
    )


def of(text: str, function: str = "newest", *, range_ms: int = 5 * MINUTE_MS, grid: Grid | None = None) -> Ask:
    return Ask(parse_selector(text), grid or Grid(NOW), range_ms, function)


def plain(gathered: Gathered) -> dict[Labels, list[tuple[int, bytes]]]:
    """By labels: (step or ms, bits of the value), so that NaN can be compared."""
    found = gathered.found
    if isinstance(found, Vector):
        rows = {
            labels: [(step, one.tobytes()) for step, one in enumerate(values) if there[step]]
            for labels, values, there in zip(found.frame, found.values, found.present, strict=True)
        }
    else:
        offsets = found.block.offsets.tolist()
        rows = {
            labels: [
                (int(found.block.times[at]), found.block.values[at].tobytes()) for at in range(*offsets[row : row + 2])
            ]
            for row, labels in enumerate(found.frame)
        }
    return {labels: row for labels, row in rows.items() if row}


async def same(store: AnyStore, rows: Sequence[Row], asks: Sequence[Ask]) -> None:
    ours = await store.gather(asks, Budget())
    theirs = await oracle(rows).gather(asks, Budget())
    for ask in asks:
        assert plain(ours[ask]) == plain(theirs[ask]), ask


async def test_random_asks_are_answered_as_by_reading_plainly(store: AnyStore) -> None:
    rows = some_rows(1)
    for at in range(0, len(rows), 50):
        await put(store, rows[at : at + 50])
    grids = (Grid(NOW), Grid(NOW - HOUR_MS, 7 * MINUTE_MS, 9), Grid(NOW - 20 * MINUTE_MS, 1_000, 30))
    functions = ("newest", "newest_time", "", "sum_over_time", "rate", "max_over_time", "last_over_time", "changes")
    asks = [
        of(text, function, range_ms=range_ms, grid=grid)
        for text in ("cpu", 'cpu{zone="a"}', 'cpu{host=~"h[12]"}', "nothing")
        for function in functions
        for range_ms in (5 * MINUTE_MS, 17 * MINUTE_MS)
        for grid in grids
    ]
    await same(store, rows, asks)


async def test_what_is_written_later_is_seen(store: AnyStore) -> None:
    first = some_rows(2)
    await put(store, first)
    await same(store, first, [of("cpu"), of("cpu", "")])
    late = some_rows(3, [*HOSTS, Labels.metric("cpu", {"host": "new"})])
    await put(store, late)
    await same(store, [*first, *late], [of("cpu"), of("cpu", ""), of("cpu", "count_over_time", range_ms=HOUR_MS)])


async def test_the_window_is_open_at_its_start(store: AnyStore) -> None:
    rows = [(HOSTS[0], NOW - MINUTE_MS, 1.0), (HOSTS[0], NOW, 2.0)]
    await put(store, rows)
    gathered = (await store.gather([of("cpu", "", range_ms=MINUTE_MS)], Budget())).popitem()[1]
    assert isinstance(gathered.found, Ranges)
    assert gathered.found.block.times.tolist() == [NOW]


async def test_parameters_of_functions_are_passed_on(store: AnyStore) -> None:
    rows = some_rows(4)
    await put(store, rows)
    ask = replace(of("cpu", "quantile_over_time", range_ms=HOUR_MS), params=(0.3,))
    await same(store, rows, [ask])


async def test_samples_past_their_retention_are_not_answered(store: AnyStore, clock: FixedClock) -> None:
    rows = [(labels, NOW - minutes * MINUTE_MS, float(minutes)) for labels in HOSTS for minutes in range(60)]
    await put(store, rows)
    short = Policy(1, "short", (Matcher("zone", MatchOp.EQUAL, "b"),), raw_ms=10 * MINUTE_MS)
    await store.keep((short,))
    kept = [row for row in rows if row[0].get("zone") == "a" or row[1] >= NOW - 10 * MINUTE_MS]
    await same(store, kept, [of("cpu", function, range_ms=HOUR_MS) for function in ("", "count_over_time", "newest")])
    await store.keep(())
    clock.advance(7 * DAY_MS - 30 * MINUTE_MS)
    kept = [row for row in rows if row[1] >= NOW - 30 * MINUTE_MS]
    await same(store, kept, [of("cpu", "", range_ms=HOUR_MS)])


async def test_series_that_were_erased_are_answered_no_more(store: AnyStore) -> None:
    rows = some_rows(5)
    await put(store, rows)
    await store.gather([of("cpu")], Budget())
    await store.erase([parse_selector('{host="h1"}')])
    left = [row for row in rows if row[0] != HOSTS[1]]
    await same(store, left, [of("cpu"), of("cpu", "", range_ms=HOUR_MS)])
    again = [(HOSTS[1], NOW - 5, 7.0)]
    await put(store, again)
    await same(store, [*left, *again], [of("cpu"), of("cpu", "", range_ms=HOUR_MS)])


async def test_limits_are_kept_before_anything_is_read(store: AnyStore) -> None:
    await put(store, some_rows(6))
    with pytest.raises(LimitError, match="6 series fit, and a query may read 5"):
        await store.gather([of("cpu")], Budget(series_max=5))
    with pytest.raises(LimitError, match="too many samples"):
        await store.gather([of("cpu", "", range_ms=HOUR_MS)], Budget(samples_max=10))
    with pytest.raises(LimitError, match=r"6 series of 10 steps are 60 values"):
        await store.gather([of("cpu", grid=Grid(NOW, 1, 10))], Budget(points_max=59))


async def test_time_that_has_run_out_is_told(store: AnyStore, clock: FixedClock) -> None:
    await put(store, some_rows(7))
    with pytest.raises(TransientError, match="timed out"):
        await store.gather([of("cpu")], Budget(deadline_s=clock.monotonic_s() - 1))


async def test_a_pattern_that_is_none_is_refused(store: AnyStore) -> None:
    with pytest.raises(UserError):
        await store.gather([Ask((Matcher("a", MatchOp.REGEX, "("),), Grid(NOW), 1)], Budget())


async def test_it_is_told_how_much_was_read(store: AnyStore) -> None:
    rows = [(labels, NOW - minutes * MINUTE_MS, 1.0) for labels in HOSTS for minutes in range(10)]
    await put(store, rows)
    gathered = (await store.gather([of("cpu", "sum_over_time", range_ms=5 * MINUTE_MS)], Budget())).popitem()[1]
    assert sum(source.samples for source in gathered.sources) == 30
    assert {source.series for source in gathered.sources} == {6}


async def test_roll_ups_are_read_only_where_the_asker_allows_it(store: AnyStore, clock: FixedClock) -> None:
    """An hour lies between what is asked and the present, so that its buckets are there."""
    start = (NOW // HOUR_MS - 30) * HOUR_MS
    rows = [
        (labels, start + 7 + minute * MINUTE_MS, float(minute % 17)) for labels in HOSTS for minute in range(26 * 60)
    ]
    await put(store, rows)
    await store.flush()
    while await store.roll_up():
        pass
    ask = of("cpu", "max_over_time", range_ms=HOUR_MS, grid=Grid(start + HOUR_MS, HOUR_MS, 26))
    exact = (await store.gather([ask], Budget()))[ask]
    rough = (await store.gather([ask], Budget(approximate=True)))[ask]
    assert plain(exact) == plain(rough)
    assert exact.notes == ()
    assert {source.resolution for source in exact.sources} == {"raw"}
    if not isinstance(store, MemorySampleStore):  # which has no roll-ups
        assert {source.resolution for source in rough.sources} == {"1h"}
        assert "roll-ups of 1h" in rough.notes[0]
        with pytest.raises(LimitError, match="too many samples"):
            await store.gather([ask], Budget(approximate=True, samples_max=10))
