"""Random writes and reads of the head agree with a dict of dicts; what it cannot know it does not claim."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.samples import floats

from tocsin.model.series import FloatArray, IdArray, TimeArray
from tocsin.store.samples.head import Head

MB = 1 << 20
EVER = np.iinfo(np.int64).min
NOWHERE = np.iinfo(np.int64).max
ODD = [*floats(0x7FF0000000000002, 0x7FF8000000001234, 0xFFF8000000000001).tolist(), float("inf"), -0.0, 1e300, 5e-324]


def ids_of(*ids: int) -> IdArray:
    return np.array(ids, np.uint64)


def times_of(times: Sequence[int]) -> TimeArray:
    return np.array(times, np.int64)


def begun(head: Head, ids: IdArray, since: int = EVER) -> None:
    head.begin(ids, np.full(len(ids), since, np.int64))


def put(head: Head, series: int, times: Sequence[int], values: Sequence[float]) -> None:
    rows = head.append(np.full(len(times), series, np.uint64), times_of(times), np.array(values, np.float64))
    assert not len(rows)


def bits(values: FloatArray) -> list[int]:
    return [int(each) for each in values.view(np.uint64)]


def all_of(head: Head, series: int, after: int = EVER, until: int = NOWHERE) -> tuple[list[int], list[int]]:
    _, offsets, times, values = head.read(ids_of(series), after, until, 1_000)
    assert offsets.tolist() == [0, len(times)]
    return times.tolist(), bits(values)


@dataclass
class Plain:
    """The same as dicts."""

    rows: dict[int, dict[int, float]] = field(default_factory=dict)

    def put(self, series: int, time: int, value: float) -> None:
        self.rows.setdefault(series, {})[time] = value

    def of(self, series: int, after: int, until: int) -> tuple[list[int], list[int]]:
        own = self.rows.get(series, {})
        times = sorted(time for time in own if after < time <= until)
        return times, bits(np.array([own[time] for time in times], np.float64))


@pytest.mark.parametrize("seed", range(12))
def test_random_writes_are_read_as_they_came(seed: int) -> None:
    chance = random.Random(seed)
    head, plain = Head(64 * MB), Plain()
    ids = ids_of(*(chance.randrange(1 << 64) for _ in range(5)))
    begun(head, ids)
    step, digits = chance.choice((1, 1_000, 15_000, 70_000)), chance.choice((0, 2, 17))
    now = dict.fromkeys(ids.tolist(), 1_800_000_000_000)
    for _ in range(40):
        rows = []
        for _ in range(chance.randrange(1, 120)):
            one = chance.choice(ids.tolist())
            now[one] += step if chance.random() < 0.9 else chance.randrange(1, 100_000)
            late = chance.random() < 0.05
            at = now[one] - (chance.randrange(300) * step if late else 0)
            odd = chance.random() < 0.01
            value = chance.choice(ODD) if odd else round(chance.uniform(-1e3, 1e3), digits)
            rows.append((one, at, value))
            plain.put(one, at, value)
        series, times, values = zip(*rows, strict=True)
        assert not len(head.append(ids_of(*series), times_of(times), np.array(values, np.float64)))
        for one in ids.tolist():
            after, until = sorted(now[one] + chance.randrange(-400, 5) * step for _ in range(2))
            assert all_of(head, one, after, until) == plain.of(one, after, until)
    assert head.samples == sum(map(len, plain.rows.values()))


@given(
    st.lists(
        st.tuples(st.integers(-(2**60), 2**60), st.floats(allow_subnormal=True) | st.sampled_from(ODD)), min_size=1
    )
)
def test_any_times_and_values_come_back_to_the_bit(rows: list[tuple[int, float]]) -> None:
    head, plain = Head(MB), Plain()
    begun(head, ids_of(1))
    for time, value in rows:
        put(head, 1, [time], [value])
        plain.put(1, time, value)
    assert all_of(head, 1) == plain.of(1, EVER, NOWHERE)


def test_a_series_that_is_not_known_is_told() -> None:
    head = Head(MB)
    begun(head, ids_of(7))
    rows = head.append(ids_of(7, 8, 7, 9), times_of([1, 2, 3, 4]), np.ones(4))
    assert rows.tolist() == [1, 3]
    assert head.since(ids_of(7, 8)).tolist() == [EVER, NOWHERE]


def test_samples_before_what_is_held_are_not() -> None:
    head = Head(MB)
    begun(head, ids_of(1), since=100)
    put(head, 1, [99, 100, 50, 101], [1, 2, 3, 4])
    assert all_of(head, 1)[0] == [100, 101]


def test_what_the_engine_had_goes_before_what_came() -> None:
    head = Head(MB)
    begun(head, ids_of(1), since=1_000)
    put(head, 1, [1_000, 1_010], [5.0, 6.0])
    times = np.arange(0, 1_005, dtype=np.int64)
    both = np.concatenate((times, times))
    head.fill(ids_of(1, 2), 0, times_of([0, 1_005, 2_010]), both, both.astype(np.float64))
    assert head.since(ids_of(1, 2)).tolist() == [0, 0]
    assert all_of(head, 1) == ([*range(1_000), 1_000, 1_010], bits(np.array([*range(1_000), 5.0, 6.0], np.float64)))
    assert all_of(head, 2)[0] == times.tolist()
    put(head, 2, [2_000], [1.0])
    assert all_of(head, 2)[0] == [*times.tolist(), 2_000]


def test_a_series_that_missed_a_sample_is_not_filled() -> None:
    head = Head(MB)
    begun(head, ids_of(1), since=1_000)
    put(head, 1, [900, 1_000], [1.0, 1.0])  # the engine may not have had the first of them
    head.fill(ids_of(1), 0, times_of([0, 1]), times_of([5]), np.ones(1))
    assert head.since(ids_of(1)).tolist() == [1_000]


def test_after_a_series_was_dropped_nothing_is_filled() -> None:
    head = Head(MB)
    head.drop(ids_of(1))
    head.fill(ids_of(1), 0, times_of([0, 1]), times_of([5]), np.ones(1))
    assert len(head) == 0


def test_offsets_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="offsets"):
        Head(MB).fill(ids_of(1), 0, times_of([0, 2]), times_of([5]), np.ones(1))
    with pytest.raises(ValueError, match="length"):
        Head(MB).append(ids_of(1), times_of([0, 2]), np.ones(1))


def test_a_dropped_series_is_gone_and_may_begin_anew() -> None:
    head = Head(MB)
    ids = np.arange(5_000, dtype=np.uint64) * np.uint64(4_096)  # they share their places in the table
    begun(head, ids)
    for series in (0, 4_096 * 17):
        put(head, series, [1, 2], [1.0, 2.0])
    even = ids[::2].copy()
    head.drop(even)
    assert (head.since(ids) == EVER).tolist() == [False, True] * 2_500
    assert all_of(head, 0) == ([], [])
    assert all_of(head, 4_096 * 17)[0] == [1, 2]
    begun(head, even, since=9)
    assert head.since(ids)[:2].tolist() == [9, EVER]
    head.clear()
    assert (len(head), head.samples, head.bytes) == (0, 0, 0)


def test_beyond_the_budget_the_oldest_samples_make_way() -> None:
    head, chance = Head(300_000), np.random.default_rng(1)
    ids = np.arange(1, 51, dtype=np.uint64)
    begun(head, ids)
    for at in range(5_000):
        head.append(ids, np.full(50, at * 1_000, np.int64), chance.random(50))
        assert head.bytes <= head.budget
    since = head.since(ids)
    assert head.horizon_ms == since.max()
    assert since.min() > 4_000_000
    for series in ids.tolist():
        first_s = -(-int(since[series - 1]) // 1_000)
        assert all_of(head, series)[0] == list(range(first_s * 1_000, 5_000_000, 1_000))


def test_series_that_have_ended_make_way_too() -> None:
    head = Head(100_000)
    for series in range(20_000):
        begun(head, ids_of(series))
        put(head, series, [series], [1.0])
    assert head.bytes <= head.budget
    assert all_of(head, 19_999)[0] == [19_999]


def test_the_newest_of_each_series_is_known_at_once() -> None:
    head = Head(MB)
    begun(head, ids_of(1, 2))
    put(head, 1, list(range(100)), list(range(100)))
    put(head, 1, [99], [5.0])
    since, times, values = head.newest(ids_of(1, 2, 3), 50, 200) or pytest.fail("all are known")
    assert since.tolist() == [EVER, EVER, NOWHERE]
    assert times.tolist() == [99, 50, 50]
    assert values[0] == 5.0
    assert head.newest(ids_of(1), 0, 98) is None


def test_reads_are_cut_into_slices() -> None:
    head = Head(MB)
    ids = ids_of(*range(1, 11))
    begun(head, ids)
    for series in ids.tolist():
        put(head, series, list(range(100)), [series] * 100)
    first, found = 0, []
    while first < len(ids):
        since, offsets, _, values = head.read(ids[first:], EVER, NOWHERE, 250)
        assert 1 <= len(since) <= 3
        assert len(offsets) == len(since) + 1
        found += values.tolist()
        first += len(since)
    assert found == [series for series in range(1, 11) for _ in range(100)]


def test_regular_gauges_of_two_decimals_take_about_two_bytes() -> None:
    head, chance = Head(64 * MB), np.random.default_rng(2)
    ids = np.arange(100, dtype=np.uint64)
    begun(head, ids)
    for at in range(2_560):
        head.append(ids, np.full(100, at * 10_000, np.int64), np.round(chance.random(100) * 100, 2))
    assert head.bytes / head.samples < 2.7


def test_threads_read_while_one_appends() -> None:
    head, stop = Head(200_000), threading.Event()
    ids = ids_of(*range(20))
    begun(head, ids)
    wrong: list[int] = []

    def read() -> None:
        while not stop.is_set():
            since, offsets, times, values = head.read(ids, EVER, NOWHERE, 1 << 40)
            owner = np.repeat(np.arange(20), np.diff(offsets))
            wrong.extend(np.flatnonzero((values != times) | (times < since[owner])).tolist())

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for at in range(3_000):
        head.append(ids, np.full(20, at, np.int64), np.full(20, float(at)))
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
