from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.promql.reference import instant as reference
from tests.promql.world import NUMBERS, SPAN, STEPS, alike, at, here, instant, labels, same, shown, vector, vectors

from tocsin.promql.ast import Binary, Card, Matching, Number
from tocsin.promql.binary import binary, negated
from tocsin.promql.here import EvaluationError
from tocsin.promql.values import Scalar, Value, Vector

ONE_TO_ONE = Matching(Card.ONE_TO_ONE, on=False, labels=())


def computed(
    left: Value, op: str, right: Value, matching: Matching | None = None, *, as_bool: bool = False
) -> dict[str, list[float | None]]:
    found = binary(node(op, matching, as_bool=as_bool), left, right, here())
    assert isinstance(found, Vector)
    return {name: values for name, values in shown(found).items() if any(value is not None for value in values)}


def node(op: str, matching: Matching | None = None, *, as_bool: bool = False) -> Binary:
    return Binary(op, Number(0, SPAN), Number(0, SPAN), matching, as_bool, SPAN)


def scalar(*values: float) -> Scalar:
    return Scalar(np.array(values, np.float64))


def on(*names: str, card: Card = Card.ONE_TO_ONE, include: tuple[str, ...] = ()) -> Matching:
    return Matching(card, on=True, labels=names, include=include)


@pytest.mark.parametrize(
    ("left", "op", "right", "answer"),
    [
        (7, "+", 2, 9),
        (7, "-", 2, 5),
        (7, "*", 2, 14),
        (7, "/", 2, 3.5),
        (1, "/", 0, math.inf),
        (-1, "/", 0, -math.inf),
        (0, "/", 0, math.nan),
        (7, "%", 4, 3),
        (-7, "%", 4, -3),
        (7, "%", -4, 3),
        (7, "%", 0, math.nan),
        (7, "%", math.inf, 7),
        (math.inf, "%", 7, math.nan),
        (2, "^", 10, 1024),
        (2, "^", 0.5, math.sqrt(2)),
        (-8, "^", 1 / 3, math.nan),
        (math.nan, "^", 0, 1),
        (1, "atan2", -1, 3 * math.pi / 4),
        (1, "==", 1, 1),
        (math.nan, "==", math.nan, 0),
        (math.nan, "!=", math.nan, 1),
        (2, ">", 1, 1),
        (2, "<=", 1, 0),
    ],
)
def test_numbers_compute_as_in_go(left: float, op: str, right: float, answer: float) -> None:
    found = binary(node(op, as_bool=True), scalar(left), scalar(right), here())
    assert isinstance(found, Scalar)
    assert alike(float(found.values[0]), answer)


def test_arithmetic_with_a_scalar_takes_the_name_away() -> None:
    assert computed(instant({"up a=1": 3}), "*", scalar(2)) == {"a=1": [6]}
    assert computed(scalar(1), "-", instant({"up a=1": 3})) == {"a=1": [-2]}


def test_a_comparison_keeps_series_with_their_names_and_values() -> None:
    series = instant({"up a=1": 3, "up a=2": 1})
    assert computed(series, ">", scalar(2)) == {"up a=1": [3]}
    assert computed(scalar(2), ">", series) == {"up a=2": [1]}


def test_a_comparison_with_bool_tells_0_and_1_of_nameless_series() -> None:
    series = instant({"up a=1": 3, "up a=2": 1})
    assert computed(series, ">", scalar(2), as_bool=True) == {"a=1": [1], "a=2": [0]}


def test_two_names_become_one_series_where_they_take_turns() -> None:
    series = vector((labels("up a=1"), [1, None]), (labels("down a=1"), [None, 2]))
    assert computed(series, "+", scalar(1, 1)) == {"a=1": [2, 3]}


def test_two_names_at_one_step_are_refused() -> None:
    with pytest.raises(EvaluationError, match="vector cannot contain metrics with the same labelset"):
        computed(instant({"up a=1": 1, "down a=1": 2}), "+", scalar(1))


def test_a_sign_takes_the_name_away() -> None:
    found = negated(vector((labels("up a=1"), [3, None]), (labels("down a=1"), [None, 2])), here())
    assert isinstance(found, Vector)
    assert shown(found) == {"a=1": [-3, -2]}
    with pytest.raises(EvaluationError, match="same labelset"):
        negated(instant({"up a=1": 1, "down a=1": 2}), here())


def test_vectors_meet_by_all_labels_but_the_name() -> None:
    left, right = instant({"up a=1": 3, "up a=2": 5}), instant({"down a=1": 1, "down a=3": 1})
    assert computed(left, "+", right, ONE_TO_ONE) == {"a=1": [4]}
    assert computed(left, ">", right, ONE_TO_ONE) == {"up a=1": [3]}
    assert computed(left, "<", right, ONE_TO_ONE, as_bool=True) == {"a=1": [0]}


def test_on_keeps_its_labels_alone_and_ignoring_drops_its_own() -> None:
    left, right = instant({"up a=1 b=1": 3}), instant({"down a=1 b=2": 1})
    assert computed(left, "+", right, on("a")) == {"a=1": [4]}
    assert computed(left, ">", right, on("a")) == {"a=1": [3]}
    assert computed(left, "-", right, Matching(Card.ONE_TO_ONE, on=False, labels=("b",))) == {"a=1": [2]}
    assert computed(left, ">", right, Matching(Card.ONE_TO_ONE, on=False, labels=("b",))) == {"up a=1": [3]}


def test_a_comparison_on_the_name_keeps_it() -> None:
    assert computed(instant({"up a=1": 3}), ">", instant({"up a=2": 1}), on("__name__")) == {"up": [3]}


def test_group_left_takes_labels_from_the_one_side() -> None:
    left = instant({"cpu a=1 b=1": 3, "cpu a=1 b=2": 4})
    right = instant({"info a=1 c=x": 2})
    joined = on("a", card=Card.MANY_TO_ONE, include=("c",))
    assert computed(left, "*", right, joined) == {"a=1 b=1 c=x": [6], "a=1 b=2 c=x": [8]}
    assert computed(left, ">", right, joined) == {"cpu a=1 b=1 c=x": [3], "cpu a=1 b=2 c=x": [4]}


def test_group_right_is_group_left_with_sides_changed() -> None:
    left, right = instant({"info a=1 c=x": 8}), instant({"cpu a=1 b=1": 2, "cpu a=1 b=2": 4})
    joined = on("a", card=Card.ONE_TO_MANY, include=("c",))
    assert computed(left, "/", right, joined) == {"a=1 b=1 c=x": [4], "a=1 b=2 c=x": [2]}
    assert computed(left, ">", right, joined) == {"cpu a=1 b=1 c=x": [8], "cpu a=1 b=2 c=x": [8]}


def test_a_label_that_the_one_side_lacks_goes() -> None:
    joined = on("a", card=Card.MANY_TO_ONE, include=("b",))
    assert computed(instant({"cpu a=1 b=1": 3}), "*", instant({"info a=1": 2}), joined) == {"a=1": [6]}


def test_an_included_label_may_change_from_step_to_step() -> None:
    left = vector((labels("cpu a=1"), [1, 2]))
    right = vector((labels("info a=1 c=x"), [1, None]), (labels("info a=1 c=y"), [None, 1]))
    joined = on("a", card=Card.MANY_TO_ONE, include=("c",))
    assert computed(left, "*", right, joined) == {"a=1 c=x": [1, None], "a=1 c=y": [None, 2]}


def test_series_that_take_turns_are_no_duplicates() -> None:
    left = vector((labels("cpu a=1"), [1, 2]))
    right = vector((labels("info a=1 c=x"), [10, None]), (labels("info a=1 c=y"), [None, 20]))
    assert computed(left, "+", right, on("a")) == {"a=1": [11, 22]}


def test_duplicates_of_the_one_side_are_refused_with_their_labels() -> None:
    with pytest.raises(EvaluationError) as caught:
        computed(instant({"cpu a=1": 1}), "+", instant({"info a=1 c=x": 1, "info a=1 c=y": 1}), on("a"))
    assert str(caught.value) == (
        'found duplicate series for the match group {a="1"} on the right hand-side of the operation: '
        '[{__name__="info", a="1", c="y"}, {__name__="info", a="1", c="x"}];many-to-many matching not allowed: '
        "matching labels must be unique on one side"
    )


def test_duplicates_do_no_harm_where_the_other_side_is_empty() -> None:
    left = vector((labels("cpu a=1"), [1, None]))
    right = vector((labels("info a=1 c=x"), [1, 1]), (labels("info a=1 c=y"), [None, 1]))
    assert computed(left, "+", right, on("a")) == {"a=1": [2, None]}


def test_many_to_one_must_be_said() -> None:
    with pytest.raises(EvaluationError, match=r"many-to-one matching must be explicit \(group_left/group_right\)"):
        computed(instant({"cpu a=1 b=1": 1, "cpu a=1 b=2": 1}), "+", instant({"info a=1": 1}), on("a"))


def test_grouping_labels_must_tell_results_apart() -> None:
    many = instant({"cpu a=1": 1, "mem a=1": 1})
    with pytest.raises(EvaluationError, match="grouping labels must ensure unique matches"):
        computed(many, "+", instant({"info a=1": 1}), on("a", card=Card.MANY_TO_ONE))


def test_and_or_unless_look_at_labels_and_keep_values() -> None:
    left, right = instant({"up a=1": 1, "up a=2": 2}), instant({"down a=2": 3, "down a=3": 4})
    sets = Matching(Card.MANY_TO_MANY, on=False, labels=())
    assert computed(left, "and", right, sets) == {"up a=2": [2]}
    assert computed(left, "or", right, sets) == {"up a=1": [1], "up a=2": [2], "down a=3": [4]}
    assert computed(left, "unless", right, sets) == {"up a=1": [1]}


def test_sets_are_made_step_by_step() -> None:
    left, right = vector((labels("up a=1"), [1, None])), vector((labels("down a=1"), [3, 4]))
    sets = Matching(Card.MANY_TO_MANY, on=True, labels=("a",))
    assert computed(left, "or", right, sets) == {"up a=1": [1, None], "down a=1": [None, 4]}


def test_a_fill_value_stands_for_a_missing_series() -> None:
    left, right = instant({"up a=1": 1, "up a=2": 2}), instant({"down a=2": 3, "down a=3": 4})
    filled = Matching(Card.ONE_TO_ONE, on=True, labels=("a",), fill_left=10, fill_right=20)
    assert computed(left, "+", right, filled) == {"a=1": [21], "a=2": [5], "a=3": [14]}


CARDS = st.sampled_from([Card.ONE_TO_ONE, Card.MANY_TO_ONE, Card.ONE_TO_MANY])
NAMES = st.lists(st.sampled_from(["a", "b", "c", "__name__"]), unique=True, max_size=3).map(tuple)
FILL = st.none() | st.sampled_from([0.0, 5.0])


@st.composite
def matchings(draw: st.DrawFn) -> Matching:
    card, on_, names = draw(CARDS), draw(st.booleans()), draw(NAMES)
    include: tuple[str, ...] = ()
    if card is not Card.ONE_TO_ONE:
        include = tuple(name for name in draw(NAMES) if not (on_ and name in names))
    return Matching(card, on_, names, include, draw(FILL), draw(FILL))


def agree(found: Vector | None, expected: list[list[reference.Sample]] | None) -> bool:
    if found is None or expected is None:
        return found is None and expected is None
    return all(same(at(found, step), expected[step], rel=1e-14) for step in range(STEPS))


def answered(*args: object, **named: object) -> Vector | None:
    try:
        found = binary(*args, **named)  # type: ignore[arg-type]
    except EvaluationError:
        return None
    assert isinstance(found, Vector)
    return found


@given(vectors(), st.sampled_from(reference.ARITHMETIC + reference.COMPARISONS), vectors(), matchings(), st.booleans())
def test_vectors_meet_as_one_step_after_another_would(
    left: Vector, op: str, right: Vector, matching: Matching, as_bool: bool
) -> None:
    as_bool = as_bool and op in reference.COMPARISONS
    try:
        expected = [reference.vectors(op, at(left, s), at(right, s), matching, as_bool) for s in range(STEPS)]
    except reference.RefusedError:
        expected = None
    assert agree(answered(node(op, matching, as_bool=as_bool), left, right, here(STEPS)), expected)


@given(vectors(), st.sampled_from(reference.SETS), vectors(), st.booleans(), NAMES)
def test_sets_are_as_one_step_after_another_would_be(
    left: Vector, op: str, right: Vector, on_: bool, names: tuple[str, ...]
) -> None:
    matching = Matching(Card.MANY_TO_MANY, on_, names)
    try:
        expected = [reference.sets(op, at(left, s), at(right, s), matching) for s in range(STEPS)]
    except reference.RefusedError:
        expected = None
    assert agree(answered(node(op, matching), left, right, here(STEPS)), expected)


@given(
    vectors(),
    st.sampled_from(reference.ARITHMETIC + reference.COMPARISONS),
    st.lists(NUMBERS, min_size=STEPS, max_size=STEPS),
    st.booleans(),
    st.booleans(),
)
def test_scalars_meet_vectors_as_one_step_after_another_would(
    series: Vector, op: str, numbers: list[float], as_bool: bool, scalar_first: bool
) -> None:
    as_bool = as_bool and op in reference.COMPARISONS
    try:
        expected = [reference.with_scalar(op, at(series, s), numbers[s], as_bool, scalar_first) for s in range(STEPS)]
    except reference.RefusedError:
        expected = None
    sides = (scalar(*numbers), series) if scalar_first else (series, scalar(*numbers))
    assert agree(answered(node(op, as_bool=as_bool), *sides, here(STEPS)), expected)
