from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.promql.functions.calls import answer, called
from tests.promql.reference import functions as reference
from tests.promql.reference.instant import RefusedError, Sample
from tests.promql.world import NUMBERS, STEPS, alike, at, instant, labels, same, vector, vectors

from tocsin.promql.here import EvaluationError
from tocsin.promql.values import Scalar, Vector


@pytest.mark.parametrize(
    ("name", "value", "params", "expected"),
    [
        ("abs", -3, (), 3),
        ("ceil", 1.2, (), 2),
        ("floor", -1.2, (), -2),
        ("exp", 1, (), math.e),
        ("ln", 0, (), -math.inf),
        ("ln", -1, (), math.nan),
        ("log2", 8, (), 3),
        ("log10", 1000, (), 3),
        ("sqrt", 9, (), 3),
        ("sqrt", -1, (), math.nan),
        ("sgn", -7, (), -1),
        ("sgn", 0, (), 0),
        ("sgn", math.nan, (), math.nan),
        ("round", 2.5, (), 3),
        ("round", -2.5, (), -2),
        ("round", 1.37, (0.1,), 1.4),
        ("round", 7, (5,), 5),
        ("round", 8, (5,), 10),
        ("clamp", 5, (0, 3), 3),
        ("clamp", -5, (0, 3), 0),
        ("clamp", 5, (math.nan, 3), math.nan),
        ("clamp_min", 5, (7,), 7),
        ("clamp_max", 5, (3,), 3),
        ("clamp_max", math.nan, (3,), math.nan),
        ("deg", math.pi, (), 180),
        ("rad", 180, (), math.pi),
        ("sin", math.pi / 2, (), 1),
        ("cos", 0, (), 1),
        ("tan", 0, (), 0),
        ("asin", 1, (), math.pi / 2),
        ("acos", 2, (), math.nan),
        ("atan", 1, (), math.pi / 4),
        ("sinh", 0, (), 0),
        ("cosh", 0, (), 1),
        ("tanh", math.inf, (), 1),
        ("asinh", 0, (), 0),
        ("acosh", 1, (), 0),
        ("atanh", 1, (), math.inf),
    ],
)
def test_every_value_is_changed_and_the_name_goes(
    name: str, value: float, params: tuple[float, ...], expected: float
) -> None:
    ((series, (found,)),) = answer(name, instant({"up a=1": value}), *params).items()
    assert series == "a=1"
    assert found is not None
    assert alike(found, expected, rel=1e-15)


def test_clamp_with_its_bounds_the_wrong_way_round_is_empty() -> None:
    assert answer("clamp", instant({"up": 1}), 3, 0) == {"": [None]}


def test_series_that_differ_in_their_name_alone_are_refused() -> None:
    with pytest.raises(EvaluationError, match="same labelset"):
        answer("abs", instant({"up a=1": 1, "down a=1": 2}))


def test_pi_is_a_scalar() -> None:
    found = called("pi")
    assert isinstance(found, Scalar)
    assert found.values.tolist() == [math.pi]


def test_a_scalar_becomes_a_series_without_labels() -> None:
    assert answer("vector", 5) == {"": [5]}


def test_a_vector_is_a_scalar_where_it_has_one_series() -> None:
    series = vector((labels("up a=1"), [1, 2, None]), (labels("up a=2"), [None, 3, None]))
    found = called("scalar", series)
    assert isinstance(found, Scalar)
    assert alike(found.values[0], 1)
    assert all(map(math.isnan, found.values[1:]))


SIMPLE = """
    abs ceil floor exp ln log2 log10 sqrt sgn round deg rad
    sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh
"""
NAMES = st.sampled_from(SIMPLE.split())


def agree(found: Vector | None, expected: list[list[Sample]] | None) -> bool:
    if found is None or expected is None:
        return found is None and expected is None
    return all(same(at(found, step), expected[step], rel=1e-12) for step in range(STEPS))


def compare(name: str, series: Vector, *params: float) -> None:
    try:
        found = called(name, series, *params)
    except EvaluationError:
        found = None
    assert found is None or isinstance(found, Vector)
    try:
        steps = [reference.call(name, [at(series, step), *map(float, params)], step * 60_000) for step in range(STEPS)]
        expected = [each for each in steps if isinstance(each, list)]
    except RefusedError:
        expected = None
    assert agree(found, expected)


@given(NAMES, vectors())
def test_functions_of_one_value_are_those_of_mathematics(name: str, series: Vector) -> None:
    compare(name, series)


@given(vectors(), NUMBERS, NUMBERS)
def test_bounds_hold(series: Vector, least: float, most: float) -> None:
    compare("clamp", series, least, most)
    compare("clamp_min", series, least)
    compare("clamp_max", series, most)


@given(vectors(), st.sampled_from([0.1, 0.5, 1.0, 3.0, -2.0]))
def test_rounding_goes_to_multiples(series: Vector, nearest: float) -> None:
    compare("round", series, nearest)
