"""Order, absence, and what counters are called."""

from __future__ import annotations

import math

import pytest
from tests.promql.functions.calls import NOBODY, answer, called
from tests.promql.world import SPAN, instant, labels, shown, vector

from tocsin.model.matcher import Matcher, MatchOp
from tocsin.promql import ast
from tocsin.promql.functions.absent import absent_labels
from tocsin.promql.functions.counters import counter_note
from tocsin.promql.here import Here
from tocsin.promql.notes import Notes
from tocsin.promql.values import Grid, Vector


def test_sorting_puts_nan_last_either_way() -> None:
    series = instant({"up a=1": math.nan, "up a=2": 1, "up a=3": 2})
    assert list(answer("sort", series)) == ["up a=2", "up a=3", "up a=1"]
    assert list(answer("sort_desc", series)) == ["up a=3", "up a=2", "up a=1"]


def test_a_sorted_answer_says_so_and_a_range_has_no_order() -> None:
    found = called("sort", instant({"up": 1}))
    assert isinstance(found, Vector)
    assert found.sorted
    ranged = called("sort", vector((labels("up a=1"), [2, 2]), (labels("up a=2"), [1, 1])))
    assert isinstance(ranged, Vector)
    assert not ranged.sorted
    assert list(shown(ranged)) == ["up a=1", "up a=2"]


def test_labels_sort_naturally() -> None:
    series = instant({"up a=node10 b=1": 1, "up a=node2 b=2": 2, "up a=node2 b=1": 3, "up b=9": 4})
    rising = ["up b=9", "up a=node2 b=1", "up a=node2 b=2", "up a=node10 b=1"]
    assert list(answer("sort_by_label", series, "a")) == rising
    assert list(answer("sort_by_label_desc", series, "a")) == rising[::-1]
    assert list(answer("sort_by_label", series, "b", "a"))[:2] == ["up a=node2 b=1", "up a=node10 b=1"]


def selector(*matchers: Matcher) -> ast.Selector:
    return ast.Selector("up", matchers, 0, None, SPAN)


EQUAL_A = Matcher("a", MatchOp.EQUAL, "1")


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (selector(EQUAL_A), {"a": "1"}),
        (selector(Matcher("__name__", MatchOp.EQUAL, "up"), EQUAL_A), {"a": "1"}),
        (selector(EQUAL_A, Matcher("a", MatchOp.EQUAL, "2"), Matcher("b", MatchOp.EQUAL, "3")), {"b": "3"}),
        (selector(EQUAL_A, Matcher("a", MatchOp.NOT_EQUAL, "2")), {}),
        (selector(Matcher("a", MatchOp.NOT_EQUAL, "2"), EQUAL_A), {"a": "1"}),
        (selector(Matcher("a", MatchOp.REGEX, "1.*")), {}),
        (selector(Matcher("a", MatchOp.EQUAL, "")), {}),
        (ast.RangeSelector(selector(EQUAL_A), 60_000, SPAN), {"a": "1"}),
        (ast.Paren(selector(EQUAL_A), SPAN), {"a": "1"}),
        (ast.Aggregate("sum", selector(EQUAL_A), None, (), without=False, span=SPAN), {}),
    ],
)
def test_absence_is_told_with_the_labels_that_were_asked_for(node: ast.Expr, expected: dict[str, str]) -> None:
    frame = absent_labels(node)
    assert len(frame) == 1
    assert frame.dicts() == [expected]


def test_absent_is_one_where_nothing_is_there() -> None:
    series = vector((labels("up a=1"), [1, None]))
    found = called("absent", series, nodes=(selector(EQUAL_A),))
    assert isinstance(found, Vector)
    assert shown(found) == {"a=1": [None, 1]}


def test_what_is_rated_and_not_named_like_a_counter_is_told_once() -> None:
    notes = Notes("rate(x[5m])")
    here = Here(Grid(0), ast.Call("rate", (NOBODY,), SPAN), notes)
    frame = instant({"requests_total a=1": 1, "heat a=1": 1, "heat a=2": 1, "a=1": 1}).frame
    counter_note(frame, here)
    sentence = "metric might not be a counter, name does not end in _total/_sum/_count/_bucket"
    assert notes.infos == (f'PromQL info: {sentence}: "heat" (1:1)',)
    assert notes.warnings == ()
