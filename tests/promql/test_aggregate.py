from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.promql.reference import aggregation as reference
from tests.promql.world import SPAN, STEPS, at, here, instant, labels, same, shown, vector, vectors

from tocsin.promql.aggregate import FOLDS, aggregate
from tocsin.promql.ast import Aggregate, Number
from tocsin.promql.here import EvaluationError
from tocsin.promql.notes import Notes
from tocsin.promql.values import Scalar, Text, Value, Vector


def folded(
    op: str,
    series: Vector,
    param: float | str | None = None,
    *,
    by: tuple[str, ...] = (),
    without: bool = False,
    notes: Notes | None = None,
) -> Vector:
    value: Value | None = None
    if isinstance(param, str):
        value = Text(param)
    elif param is not None:
        value = Scalar(np.full(series.values.shape[1], float(param)))
    node = Aggregate(op, Number(0, SPAN), Number(0, SPAN) if param is not None else None, by, without, SPAN)
    return aggregate(node, series, value, here(series.values.shape[1], notes))


def single(op: str, *values: float, param: float | None = None) -> float:
    series = instant({f"up a={at}": value for at, value in enumerate(values)})
    ((value,),) = shown(folded(op, series, param)).values()
    assert value is not None
    return value


@pytest.mark.parametrize(
    ("op", "values", "answer"),
    [
        ("sum", (1, 2, 3), 6),
        ("sum", (1e100, 1, -1e100), 1),
        ("sum", (math.inf, -math.inf), math.nan),
        ("avg", (1, 2, 6), 3),
        ("avg", (1e308, 1e308, 1e308), 1e308),
        ("avg", (math.inf, 1), math.inf),
        ("min", (3, math.nan, 1), 1),
        ("min", (math.nan, math.nan), math.nan),
        ("max", (math.nan, 3, 1), 3),
        ("count", (math.nan, 3, 1), 3),
        ("group", (7, 8), 1),
        ("stddev", (2, 4, 4, 4, 5, 5, 7, 9), 2),
        ("stdvar", (2, 4, 4, 4, 5, 5, 7, 9), 4),
        ("stdvar", (math.inf,), math.nan),
    ],
)
def test_a_group_becomes_one_number(op: str, values: tuple[float, ...], answer: float) -> None:
    assert single(op, *values) == pytest.approx(answer, rel=1e-15, nan_ok=True)


@pytest.mark.parametrize(
    ("phi", "answer"),
    [(0, 1), (0.5, 2.5), (0.9, 3.7), (1, 4), (-0.1, -math.inf), (1.1, math.inf), (math.nan, math.nan)],
)
def test_a_quantile_lies_between_its_neighbours(phi: float, answer: float) -> None:
    assert single("quantile", 4, 2, 1, 3, param=phi) == pytest.approx(answer, nan_ok=True)


def test_a_quantile_outside_0_to_1_is_warned_of() -> None:
    notes = Notes("quantile(2, up)")
    folded("quantile", instant({"up": 1}), 2, notes=notes)
    assert notes.warnings == ("PromQL warning: quantile value should be between 0 and 1, got 2 (1:1)",)


def test_by_keeps_labels_and_without_takes_them_and_the_name() -> None:
    series = instant({"up a=1 b=1": 1, "up a=1 b=2": 2, "up a=2 b=1": 4})
    assert shown(folded("sum", series, by=("a",))) == {"a=1": [3], "a=2": [4]}
    assert shown(folded("sum", series, without=True, by=("a",))) == {"b=1": [5], "b=2": [2]}
    assert shown(folded("sum", series, by=("__name__",))) == {"up": [7]}
    assert shown(folded("sum", series)) == {"": [7]}


def test_a_group_without_anybody_has_no_value_at_that_step() -> None:
    series = vector((labels("up a=1"), [1, None]), (labels("up a=2"), [2, 3]))
    assert shown(folded("sum", series, by=("a",))) == {"a=1": [1, None], "a=2": [2, 3]}


def test_topk_is_sorted_inside_each_group_with_nan_last() -> None:
    series = instant({"up a=1": 1, "up a=2": math.nan, "up a=3": 3, "up a=4": 2})
    best = folded("topk", series, 2)
    assert list(shown(best).items()) == [("up a=3", [3]), ("up a=4", [2])]
    assert best.sorted
    assert list(shown(folded("bottomk", series, 2)).items()) == [("up a=1", [1]), ("up a=4", [2])]
    assert list(shown(folded("topk", series, 9)))[-1] == "up a=2"


def test_topk_of_a_range_is_taken_at_each_step() -> None:
    series = vector((labels("up a=1"), [1, 9]), (labels("up a=2"), [2, 3]))
    assert shown(folded("topk", series, 1)) == {"up a=1": [None, 9], "up a=2": [2, None]}


@pytest.mark.parametrize(
    ("k", "sentence"),
    [(math.nan, "Parameter value is NaN"), (1e20, r"Scalar value 1e\+20 overflows int64")],
)
def test_k_must_be_a_number_of_series(k: float, sentence: str) -> None:
    with pytest.raises(EvaluationError, match=sentence):
        folded("topk", instant({"up": 1}), k)
    with pytest.raises(EvaluationError, match=sentence):
        folded("limitk", instant({}), k)


@pytest.mark.parametrize("op", ["topk", "bottomk", "limitk", "limit_ratio", "quantile"])
def test_of_nobody_nobody_is_chosen(op: str) -> None:
    assert shown(folded(op, instant({}), 0.5 if op == "limit_ratio" else 1)) == {}


def test_k_below_one_chooses_nobody() -> None:
    assert shown(folded("topk", instant({"up": 1}), 0)) == {}


def test_limitk_takes_the_first_of_each_group() -> None:
    series = instant({"up a=1 b=1": 1, "up a=1 b=2": 2, "up a=2 b=1": 3})
    assert shown(folded("limitk", series, 1, by=("a",))) == {"up a=1 b=1": [1], "up a=2 b=1": [3]}


def test_limit_ratio_and_its_complement_share_the_series_out() -> None:
    series = instant({f"up a={at}": at for at in range(200)})
    some, others = (set(shown(folded("limit_ratio", series, ratio))) for ratio in (0.3, -0.7))
    assert some | others == set(shown(series))
    assert not some & others
    assert 30 < len(some) < 90


def test_a_ratio_outside_its_bounds_is_capped_and_warned_of() -> None:
    notes = Notes("limit_ratio(1.5, up)")
    assert shown(folded("limit_ratio", instant({"up": 1}), 1.5, notes=notes)) == {"up": [1]}
    assert notes.warnings == ("PromQL warning: ratio value should be between -1 and 1, got 1.5, capping to 1 (1:1)",)


@pytest.mark.parametrize("op", ["sum", "avg", "topk", "limitk", "limit_ratio", "quantile", "stddev"])
def test_no_steps_have_no_answers(op: str) -> None:
    assert folded(op, vector((labels("up"), [])), None if op in FOLDS else 1.0).values.size == 0


def test_count_values_counts_each_value_in_a_label() -> None:
    series = instant({"up a=1": 1, "up a=2": 1, "up a=3": 0.25, "up a=4": 1e21, "up a=5": math.inf})
    assert shown(folded("count_values", series, "v")) == {
        "v=1": [2],
        "v=0.25": [1],
        "v=1000000000000000000000": [1],
        "v=+Inf": [1],
    }
    assert shown(folded("count_values", series, "a", without=True, by=("a",))) == {"": [5]}


def test_count_values_needs_a_label() -> None:
    with pytest.raises(EvaluationError, match='invalid label name ""'):
        folded("count_values", instant({"up": 1}), "")


BY = st.lists(st.sampled_from(["a", "b", "c", "__name__"]), unique=True, max_size=3).map(tuple)
PLAIN = ("sum", "avg", "min", "max", "count", "group", "stddev", "stdvar")


def agree(op: str, series: Vector, param: float | str | None, by: tuple[str, ...], *, without: bool) -> None:
    found = folded(op, series, param, by=by, without=without)
    for step in range(STEPS):
        expected = reference.aggregate(op, at(series, step), by, without, param)
        if op in ("topk", "bottomk"):  # of equals any may stay
            assert sorted(map(repr, (v for _, v in at(found, step)))) == sorted(map(repr, (v for _, v in expected)))
        else:
            assert same(at(found, step), expected, rel=1e-12), (at(found, step), expected)


@given(st.sampled_from(PLAIN), vectors(), BY, st.booleans())
def test_groups_fold_as_one_step_after_another_would(
    op: str, series: Vector, by: tuple[str, ...], without: bool
) -> None:
    agree(op, series, None, by, without=without)


@given(vectors(), BY, st.booleans(), st.floats(-0.5, 1.5))
def test_quantiles_are_those_of_sorted_members(series: Vector, by: tuple[str, ...], without: bool, phi: float) -> None:
    agree("quantile", series, phi, by, without=without)


@given(st.sampled_from(["topk", "bottomk", "limitk"]), vectors(), BY, st.booleans(), st.integers(-1, 7))
def test_the_chosen_are_those_of_sorted_members(
    op: str, series: Vector, by: tuple[str, ...], without: bool, k: int
) -> None:
    agree(op, series, float(k), by, without=without)


@given(vectors(), st.sampled_from(["v", "a", "__name__"]), BY, st.booleans())
def test_values_are_counted_as_one_step_after_another_would(
    series: Vector, label: str, by: tuple[str, ...], without: bool
) -> None:
    agree("count_values", series, label, by, without=without)


MODERATE = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30)


@given(MODERATE)
def test_folds_are_those_of_exact_arithmetic(values: list[float]) -> None:
    assert single("sum", *values) == pytest.approx(reference.exact_total(values), rel=1e-14)
    assert single("avg", *values) == pytest.approx(reference.exact_mean(values), rel=1e-14)
    assert single("stdvar", *values) == pytest.approx(reference.exact_variance(values), rel=1e-9, abs=1e-6)
