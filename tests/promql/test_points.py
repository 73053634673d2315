"""Points as JSON: cases of Prometheus' own, and every number against a slow version built on repr."""

from __future__ import annotations

import json
import math
import struct
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tocsin.promql import points


def text(value: float) -> str:
    (only,) = points.texts(np.array([value]))
    return only


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (-20.0, "-20"),
        (0.1, "0.1"),
        (100.0, "100"),
        (-439.82, "-439.82"),
        (123456789.123, "123456789.123"),
        (1e-6, "0.000001"),
        (1.2345e-6, "0.0000012345"),
        (1e-7, "1e-07"),
        (9.99e-7, "9.99e-07"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (-1.5e300, "-1.5e+300"),
        (1e23, "1e+23"),
        (5e-324, "5e-324"),
        (2.0**53 + 2, "9007199254740994"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (2.2250738585072014e-308, "2.2250738585072014e-308"),
        (math.nan, "NaN"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
    ],
)
def test_a_value_is_written_as_go_writes_it(value: float, expected: str) -> None:
    assert text(value) == expected


@pytest.mark.parametrize(
    ("time_ms", "expected"),
    [
        (0, "0"),
        (1, "0.001"),
        (10, "0.010"),
        (100, "0.100"),
        (1001, "1.001"),
        (1010, "1.010"),
        (1500, "1.500"),
        (-1, "-0.001"),
        (-12_000, "-12"),
        (1_435_781_430_781, "1435781430.781"),
        (-(1 << 63), "-9223372036854775.808"),
    ],
)
def test_a_time_is_in_seconds(time_ms: int, expected: str) -> None:
    assert points.singles(time_ms, np.array([20.0])) == [f'[{expected},"20"]'.encode()]


def test_only_what_is_present_is_written() -> None:
    values = np.array([[1.0, 2.5, math.inf], [4.0, 5.0, 6.0], [math.nan, 8.0, 9.0]])
    present = np.array([[True, False, True], [False] * 3, [True] * 3])
    assert points.rows(np.array([1000, 2000, 2500]), values, present) == [
        b'[[1,"1"],[2.500,"+Inf"]]',
        b"[]",
        b'[[1,"NaN"],[2,"8"],[2.500,"9"]]',
    ]


def test_a_series_may_have_times_of_its_own() -> None:
    assert points.row(np.array([1, 2]), np.array([0.5, -0.5])) == b'[[0.001,"0.5"],[0.002,"-0.5"]]'
    assert points.row(np.zeros(0, np.int64), np.zeros(0)) == b"[]"


def test_nothing_is_written_of_no_series_and_no_times() -> None:
    none = np.zeros(0, np.int64)
    assert points.rows(none, np.zeros((2, 0)), np.zeros((2, 0), np.bool_)) == [b"[]", b"[]"]
    assert points.rows(np.array([1]), np.zeros((0, 1)), np.zeros((0, 1), np.bool_)) == []
    assert points.singles(0, np.zeros(0)) == []


def test_slices_and_transposed_arrays_are_taken() -> None:
    values = np.arange(12.0).reshape(4, 3)
    times = np.arange(8)[::2] * 1000
    (first, *_) = points.rows(times, values.T, np.ones((4, 3), np.bool_).T)
    assert json.loads(first) == [[0, "0"], [2, "3"], [4, "6"], [6, "9"]]


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="a column for each time"):
        points.rows(np.array([1]), np.zeros((1, 2)), np.zeros((1, 2), np.bool_))


def test_the_longest_points_fit() -> None:
    times = np.array([-(1 << 63), -(1 << 63) + 1])
    values = np.array([[-1.2345678901234567e-308, -1.2345678901234567e-6]])
    assert points.rows(times, values, np.ones((1, 2), np.bool_)) == [
        b'[[-9223372036854775.808,"-1.2345678901234567e-308"],[-9223372036854775.807,"-0.0000012345678901234567"]]'
    ]


def slow(value: float) -> str:
    """Of a finite value."""
    sign, numbers, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    minus, numerals = "-" if sign else "", "".join(map(str, numbers))
    if value and not 1e-6 <= abs(value) < 1e21:
        fraction = f".{numerals[1:]}" if numerals[1:] else ""
        return f"{minus}{numerals[0]}{fraction}e{exponent + len(numerals) - 1:+03d}"
    return f"{Decimal((sign, numbers, exponent)):f}"


ANY_BITS = st.integers(0, (1 << 64) - 1).map(lambda bits: float(struct.unpack("<d", struct.pack("<Q", bits))[0]))
DECIMALS = st.builds(
    lambda digits, exponent: float(f"{digits}e{exponent}"), st.integers(-(10**17), 10**17), st.integers(-30, 12)
)
POWERS = st.integers(-1074, 1023).map(lambda n: 2.0**n)


@given(st.lists(st.one_of(ANY_BITS, DECIMALS, POWERS, st.floats()).filter(math.isfinite), max_size=200))
@example([2.0**n for n in range(-1074, 1024)])
@example([float(f"1e{n}") for n in range(-323, 309)])
def test_every_number_is_written_as_the_slow_version_does(values: list[float]) -> None:
    assert points.texts(np.array(values, np.float64)) == [slow(value) for value in values]


def test_many_numbers_of_chance_are_written_as_the_slow_version_does() -> None:
    bits = np.random.default_rng(7).integers(0, 1 << 64, 20_000, dtype=np.uint64)
    values = bits.view(np.float64)
    values = values[np.isfinite(values)]
    assert points.texts(values) == [slow(value) for value in values.tolist()]
