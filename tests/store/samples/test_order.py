from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tocsin.model.series import SampleBatch
from tocsin.store.samples.order import in_order

NEAR = st.integers(0, 3)
IDS = st.one_of(NEAR, NEAR.map(lambda low: 2**63 + low), NEAR.map(lambda high: high << 60), st.integers(0, 2**64 - 1))
Key = tuple[int, int]


def batch(keys: list[Key]) -> SampleBatch:
    """Each row has its number as its value."""
    return SampleBatch(
        np.array([series for series, _ in keys], np.uint64),
        np.array([at_ms for _, at_ms in keys], np.int64),
        np.arange(len(keys), dtype=np.float64),
    )


def rows(ordered: SampleBatch) -> list[tuple[int, int, int]]:
    return list(zip(ordered.ids.tolist(), ordered.times.tolist(), ordered.values.astype(int).tolist(), strict=True))


@given(st.lists(st.tuples(IDS, st.integers(-3, 3)), max_size=40))
def test_rows_are_sorted_by_series_and_time_and_equal_ones_stay_in_their_order(keys: list[Key]) -> None:
    expected = sorted((series, at_ms, number) for number, (series, at_ms) in enumerate(keys))
    assert rows(in_order(batch(keys))) == expected


@given(st.lists(IDS, min_size=1, max_size=20, unique=True), st.integers(1, 5))
def test_requests_that_follow_one_another_are_sorted(ids: list[int], steps: int) -> None:
    keys = [(series, at_ms) for at_ms in range(steps) for series in ids]
    assert [row[:2] for row in rows(in_order(batch(keys)))] == sorted(keys)


def test_sorted_rows_are_left_alone() -> None:
    given_rows = batch([(1, 1), (1, 2), (1, 2), (2, 0)])
    assert in_order(given_rows) is given_rows
