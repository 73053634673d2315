from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.samples import floats

from tocsin.model.duration import DAY_MS
from tocsin.model.series import FloatArray, SampleBatch
from tocsin.store.samples.decimal import BITS, Exponents, needed, pack_buckets, values_of
from tocsin.store.samples.native import Columns

ANY_BITS = st.integers(0, 2**64 - 1)
DECIMAL = st.builds(lambda m, e: m / 10.0**e, st.integers(-(10**15), 10**15), st.integers(0, 15))
VALUE = st.one_of(ANY_BITS.map(lambda bits: float(floats(bits)[0])), DECIMAL, st.floats(-1e6, 1e6))
STALE = float(floats(0x7FF0000000000002)[0])


def batch(values: FloatArray, ids: list[int] | None = None) -> SampleBatch:
    return SampleBatch(
        np.array(ids if ids is not None else [7] * len(values), np.uint64), np.arange(len(values)), values
    )


def exponents_of(values: list[float], known: Exponents | None = None, at_ms: int = 0) -> list[int]:
    rows = (known or Exponents()).encode(batch(np.array(values)), at_ms)
    assert same(values_of(rows["m"], rows["e"]), np.array(values))
    return [int(one) for one in rows["e"]]


def same(one: FloatArray, other: FloatArray) -> bool:
    return np.array_equal(one.view(np.int64), other.view(np.int64))


@given(st.lists(st.lists(st.tuples(st.integers(0, 3), ANY_BITS | VALUE), max_size=30), max_size=4))
def test_every_float_comes_back_bit_for_bit(batches: list[list[tuple[int, int | float]]]) -> None:
    known = Exponents()
    for rows in batches:
        values = np.array([floats(v)[0] if isinstance(v, int) else v for _, v in rows], np.float64)
        ids = np.array([series for series, _ in rows], np.uint64)
        m, e = known.scale(ids, values)
        assert same(values_of(m, e), values)


@pytest.mark.parametrize(
    "odd",
    [
        -0.0,
        np.nan,
        STALE,
        -np.nan,
        np.inf,
        -np.inf,
        5e-324,
        2.2e-308,
        1e300,
        1.7976931348623157e308,
        0.1 + 0.2,
        100 / 3,
    ],
)
def test_what_is_no_decimal_keeps_its_bits(odd: float) -> None:
    known = Exponents()
    rows = known.encode(batch(np.array([odd])), 0)
    assert rows["e"].tolist() == [BITS]
    assert same(rows["m"].view(np.float64), np.array([odd]))


@pytest.mark.parametrize("whole", [0.0, 1.0, -1.0, 2.0**53, 2.0**53 + 2, 2.0**62, -(2.0**63), 1e18])
def test_a_whole_number_is_itself(whole: float) -> None:
    assert exponents_of([whole]) == [0]


@pytest.mark.parametrize(
    ("value", "exponent"), [(0.5, 1), (12.34, 2), (-12.34, 2), (1e-9, 9), (1e-18, 18), (1e-19, BITS)]
)
def test_the_exponent_is_the_number_of_digits_after_the_point(value: float, exponent: int) -> None:
    assert needed(np.array([value])).tolist() == [exponent]


def test_beyond_2_to_the_53_whole_numbers_end_where_the_type_does() -> None:
    assert exponents_of([2.0**63]) == [BITS]


def test_all_values_of_a_series_have_the_exponent_of_the_longest() -> None:
    assert exponents_of([1.0, 1.5, 1.25, 3.0]) == [2, 2, 2, 2]


def test_an_exponent_stays_from_batch_to_batch() -> None:
    known = Exponents()
    assert exponents_of([1.25], known) == [2]
    assert exponents_of([3.0, 3.5], known) == [2, 2]


def test_an_exponent_is_forgotten_with_the_day() -> None:
    known = Exponents()
    assert exponents_of([1.25], known, at_ms=DAY_MS - 1) == [2]
    assert exponents_of([3.0], known, at_ms=DAY_MS) == [0]


def test_series_have_exponents_of_their_own() -> None:
    rows = Exponents().encode(batch(np.array([1.0, 1.25, 2.0]), [1, 2, 3]), 0)
    assert rows["e"].tolist() == [0, 2, 0]


def test_a_full_precision_value_makes_its_series_keep_bits() -> None:
    assert exponents_of([1.0, 100 / 3, 2.5]) == [BITS, BITS, BITS]


def test_gaps_and_signed_zeros_change_no_exponent() -> None:
    assert exponents_of([1.0, np.nan, STALE, -0.0, np.inf, 2.0]) == [0, BITS, BITS, BITS, BITS, 0]


def test_a_series_whose_values_fit_no_one_exponent_keeps_bits() -> None:
    assert exponents_of([0.001, 4e15, 1.0]) == [BITS, BITS, BITS]


def test_rows_come_out_in_the_order_of_the_table() -> None:
    rows = Exponents().encode(SampleBatch(np.array([2, 1], np.uint64), np.array([5, 6]), np.array([1.5, 2.0])), 0)
    assert rows["id"].tolist() == [1, 2]
    assert rows["t"].tolist() == [6, 5]
    assert values_of(rows["m"], rows["e"]).tolist() == [2.0, 1.5]


def test_no_rows_are_no_rows() -> None:
    assert exponents_of([]) == []


def buckets(low: list[float], high: list[float], total: list[float], ids: list[int]) -> Columns:
    count = len(low)
    zeros = np.zeros(count, np.int64)
    whole = {"id": np.array(ids, np.uint64), "t": zeros, "n": zeros, "first_t": zeros, "last_t": zeros}
    edges = {"low": low, "high": high, "total": total, "first_v": high, "last_v": low}
    return whole | {name: np.array(values) for name, values in edges.items()}


def test_buckets_of_a_series_share_an_exponent() -> None:
    packed = pack_buckets(buckets([1.5, 2.0, 7.0], [2.25, 3.0, 8.0], [3.75, 5.0, 15.0], [1, 1, 2]))
    assert packed["e"].tolist() == [2, 2, 0]
    assert packed["low_m"].tolist() == [150, 200, 7]
    assert packed["total_m"].tolist() == [375, 500, 15]


@given(st.lists(st.tuples(st.integers(0, 2), VALUE, VALUE, st.floats(-1e9, 1e9)), min_size=1, max_size=20))
def test_the_values_of_a_bucket_come_back_bit_for_bit(rows: list[tuple[int, float, float, float]]) -> None:
    series, low, high, total = (list(column) for column in zip(*sorted(rows, key=lambda row: row[0]), strict=True))
    given_rows = buckets(low, high, total, [int(one) for one in series])
    packed = pack_buckets(given_rows)
    for name, m in (("low", "low_m"), ("high", "high_m"), ("first_v", "first_m"), ("last_v", "last_m")):
        assert same(values_of(packed[m], packed["e"]), given_rows[name])
    kept = values_of(packed["total_m"], packed["e"])
    assert np.all((packed["e"] != BITS) | (kept == given_rows["total"]))
    # half of the last digit, and what the quotient of m and 10^e is rounded by
    off = 0.5 / 10.0 ** np.minimum(packed["e"], 18) * 1.001 + np.spacing(np.abs(given_rows["total"]))
    assert np.all(np.abs(kept - given_rows["total"]) <= off)


def test_a_sum_beyond_2_to_the_53_keeps_the_bits_of_its_bucket() -> None:
    packed = pack_buckets(buckets([9e15], [9e15], [2.7e16], [1]))
    assert packed["e"].tolist() == [BITS]
    assert packed["total_m"].view(np.float64).tolist() == [2.7e16]
