from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.promql.functions.calls import answer, called
from tests.promql.reference import functions as reference
from tests.promql.reference.instant import RefusedError
from tests.promql.world import at, instant, labels, same, vector

from tocsin.promql.functions.histograms import NOT_MONOTONIC
from tocsin.promql.here import EvaluationError
from tocsin.promql.notes import Notes
from tocsin.promql.values import Vector


def buckets(**counts: float) -> Vector:
    """`le_0_1=5` is the bucket up to 0.1."""
    bounds = {name.removeprefix("le_").replace("_", "."): count for name, count in counts.items()}
    return instant({f"h_bucket le={'+Inf' if le == 'inf' else le}": count for le, count in bounds.items()})


def quantile(phi: float, series: Vector, notes: Notes | None = None) -> float:
    ((value,),) = answer("histogram_quantile", phi, series, notes=notes).values()
    assert value is not None
    return value


@pytest.mark.parametrize(
    ("phi", "expected"),
    [
        (0, 0),
        (0.25, 0.1),
        (0.5, 0.2),
        (0.95, 1),
        (1, 1),
        (-0.1, -math.inf),
        (1.1, math.inf),
        (math.nan, math.nan),
    ],
)
def test_a_quantile_lies_on_a_straight_line_in_its_bucket(phi: float, expected: float) -> None:
    series = buckets(le_0_2=50, le_1=90, le_inf=100)
    assert quantile(phi, series) == pytest.approx(expected, nan_ok=True)


def test_bounds_below_zero_are_answered_as_they_are() -> None:
    assert quantile(0.1, instant({"h le=-1": 5, "h le=1": 10, "h le=+Inf": 10})) == -1


@pytest.mark.parametrize(
    "series",
    [
        instant({"h le=1": 5}),
        instant({"h le=+Inf": 5}),
        instant({"h le=1": 0, "h le=+Inf": 0}),
    ],
)
def test_there_is_no_quantile_without_observations_or_bounds(series: Vector) -> None:
    assert math.isnan(quantile(0.5, series))


def test_counts_that_fall_are_mended_and_told() -> None:
    notes = Notes("histogram_quantile(0.5, h)")
    assert quantile(0.5, instant({"h le=1": 10, "h le=2": 5, "h le=+Inf": 10}), notes) == 0.5
    assert notes.infos == (f"{NOT_MONOTONIC} (1:1)",)


def test_rounding_is_mended_silently() -> None:
    notes = Notes()
    quantile(0.5, instant({"h le=1": 10, "h le=2": 10 - 1e-13, "h le=+Inf": 10}), notes)
    assert notes.infos == ()


def test_a_bucket_without_a_bound_is_left_out_and_warned_of() -> None:
    notes = Notes("histogram_quantile(0.5, h)")
    series = instant({"h le=1": 10, "h le=+Inf": 10, "h le=high": 3, "h": 4})
    assert quantile(0.5, series, notes) == 0.5
    assert notes.warnings == (
        'PromQL warning: bucket label "le" is missing or has a malformed value of "" for metric name "h" (1:1)',
        'PromQL warning: bucket label "le" is missing or has a malformed value of "high" for metric name "h" (1:1)',
    )


def test_a_quantile_outside_0_to_1_is_warned_of() -> None:
    notes = Notes("histogram_quantile(5, h)")
    quantile(5, buckets(le_1=1, le_inf=1), notes)
    assert notes.warnings == ("PromQL warning: quantile value should be between 0 and 1, got 5 (1:1)",)


def test_each_histogram_has_its_own_quantile_at_each_step() -> None:
    series = vector(
        (labels("h a=1 le=1"), [10, None]),
        (labels("h a=1 le=2"), [10, 10]),
        (labels("h a=1 le=+Inf"), [10, 10]),
        (labels("h a=2 le=1"), [None, 0]),
        (labels("h a=2 le=+Inf"), [None, 10]),
    )
    assert answer("histogram_quantile", 0.5, series) == {"a=1": [0.5, 1], "a=2": [None, 1]}


def test_histograms_that_differ_in_their_name_alone_are_refused() -> None:
    series = instant({"h le=1": 1, "h le=+Inf": 1, "g le=1": 1, "g le=+Inf": 1})
    with pytest.raises(EvaluationError, match="same labelset"):
        quantile(0.5, series)


@pytest.mark.parametrize(
    ("lower", "upper", "expected"),
    [
        (0, 0.2, 0.5),
        (0.1, 0.2, 0.25),
        (0.2, 1, 0.4),
        (-math.inf, math.inf, 1),
        (1, math.inf, 0.1),
        (0.5, 0.5, 0),
        (math.nan, 1, math.nan),
    ],
)
def test_a_fraction_is_the_share_between_two_bounds(lower: float, upper: float, expected: float) -> None:
    series = buckets(le_0_2=50, le_1=90, le_inf=100)
    ((value,),) = answer("histogram_fraction", lower, upper, series).values()
    assert value == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    "name", ["histogram_avg", "histogram_count", "histogram_sum", "histogram_stddev", "histogram_stdvar"]
)
def test_numbers_are_no_native_histograms(name: str) -> None:
    assert answer(name, instant({"up": 1})) == {}


BOUNDS = ["-1", "0", "0.5", "1", "1.0", "2.5", "+Inf", "Inf", "none"]
COUNTS = st.lists(st.none() | st.sampled_from([0.0, 1.0, 2.0, 2.0 + 1e-13, 5.0, 10.0]), min_size=2, max_size=2)


@st.composite
def classic(draw: st.DrawFn) -> Vector:
    known = draw(
        st.lists(
            st.tuples(st.sampled_from(["h", "g"]), st.sampled_from(["1", "2"]), st.sampled_from(BOUNDS)), unique=True
        )
    )
    return vector(*((labels(f"{name} a={a} le={le}"), draw(COUNTS)) for name, a, le in known), steps=2)


def compare(name: str, series: Vector, *params: float) -> None:
    try:
        found = called(name, *params, series)
    except EvaluationError:
        found = None
    try:
        expected = [reference.call(name, [*map(float, params), at(series, step)], 0) for step in range(2)]
    except RefusedError:
        assert found is None
        return
    assert isinstance(found, Vector)
    for step, each in enumerate(expected):
        assert isinstance(each, list)
        assert same(at(found, step), each, rel=1e-12), (step, at(found, step), each)


@given(classic(), st.sampled_from([0.0, 0.3, 0.5, 0.99, 1.0, 1.5, math.nan]))
def test_quantiles_are_those_of_one_histogram_after_another(series: Vector, phi: float) -> None:
    compare("histogram_quantile", series, phi)


EDGES = st.sampled_from([-math.inf, -1.0, 0.0, 0.3, 1.0, 2.0, 7.0, math.inf, math.nan])


@given(classic(), EDGES, EDGES)
def test_fractions_are_those_of_one_histogram_after_another(series: Vector, lower: float, upper: float) -> None:
    compare("histogram_fraction", series, lower, upper)
