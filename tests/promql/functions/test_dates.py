from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.promql.functions.calls import answer, called
from tests.promql.reference import functions as reference
from tests.promql.world import alike, instant, shown

from tocsin.promql.values import Grid, Scalar, Vector

AT_S = 1_709_164_799  # Wednesday, 28 February 2024, 23:59:59


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("minute", 59),
        ("hour", 23),
        ("day_of_month", 28),
        ("day_of_week", 3),
        ("day_of_year", 59),
        ("days_in_month", 29),
        ("month", 2),
        ("year", 2024),
    ],
)
def test_parts_of_dates_are_those_of_utc(name: str, expected: float) -> None:
    assert answer(name, instant({"up a=1": AT_S})) == {"a=1": [expected]}


def test_without_an_argument_the_step_has_a_date() -> None:
    found = called("month", grid=Grid(AT_S * 1000, 86_400_000, 3))
    assert isinstance(found, Vector)
    assert shown(found) == {"": [2, 2, 3]}


def test_what_is_no_moment_has_no_date() -> None:
    (value,) = answer("year", instant({"up": math.nan}))[""]
    assert value is not None
    assert math.isnan(value)


def test_time_is_that_of_the_step_in_seconds() -> None:
    found = called("time", grid=Grid(1_500, 1_000, 3))
    assert isinstance(found, Scalar)
    assert found.values.tolist() == [1.5, 2.5, 3.5]


def test_the_timestamp_of_a_computed_value_is_that_of_the_step() -> None:
    found = called("timestamp", instant({"up a=1": 7}), grid=Grid(90_000))
    assert isinstance(found, Vector)
    assert shown(found) == {"a=1": [90]}


@given(st.sampled_from(sorted(reference.DATES)), st.floats(-6e10, 2e11))
def test_dates_are_those_of_the_calendar(name: str, seconds: float) -> None:
    (value,) = answer(name, instant({"up": seconds}))[""]
    assert value is not None
    assert alike(value, reference.dated(name, seconds))
