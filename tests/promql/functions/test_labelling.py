from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.promql.functions.calls import answer, called
from tests.promql.reference import functions as reference
from tests.promql.reference.instant import RefusedError
from tests.promql.world import STEPS, at, instant, labels, same, vector, vectors

from tocsin.model.matcher import compiled
from tocsin.promql.functions.labelling import Template
from tocsin.promql.here import EvaluationError
from tocsin.promql.values import Vector


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("dst", "$1", "host", r"(.*):\d+"), {"up dst=web host=web:80": [1]}),
        (("dst", "$1-$2", "host", r"(.*):(\d+)"), {"up dst=web-80 host=web:80": [1]}),
        (("dst", "${1}x", "host", r"(.*):\d+"), {"up dst=webx host=web:80": [1]}),
        (("dst", "$1x", "host", r"(.*):\d+"), {"up host=web:80": [1]}),
        (("dst", "${name}", "host", r"(?P<name>.*):\d+"), {"up dst=web host=web:80": [1]}),
        (("dst", "$$1", "host", ".*"), {"up dst=$1 host=web:80": [1]}),
        (("dst", "a$", "host", ".*"), {"up dst=a$ host=web:80": [1]}),
        (("dst", "x", "host", "web"), {"up host=web:80": [1]}),
        (("dst", "x", "none", ""), {"up dst=x host=web:80": [1]}),
        (("host", "", "host", ".*"), {"up": [1]}),
        (("__name__", "down", "host", ".*"), {"down host=web:80": [1]}),
        (("dst", "$1", "host", "(x)|web:80"), {"up host=web:80": [1]}),
    ],
)
def test_a_label_is_made_of_another(args: tuple[str, ...], expected: dict[str, list[float | None]]) -> None:
    assert answer("label_replace", instant({"up host=web:80": 1}), *args) == expected


def test_what_does_not_match_keeps_its_label() -> None:
    series = instant({"up a=1 b=x": 1, "up a=2 b=y": 2})
    assert answer("label_replace", series, "b", "new", "a", "1") == {"up a=1 b=new": [1], "up a=2 b=y": [2]}


def test_series_that_become_one_are_refused_or_joined_where_they_take_turns() -> None:
    with pytest.raises(EvaluationError, match="same labelset"):
        answer("label_replace", instant({"up a=1": 1, "up a=2": 2}), "a", "x", "a", ".*")
    turns = vector((labels("up a=1"), [1, None]), (labels("up a=2"), [None, 2]))
    assert answer("label_replace", turns, "a", "x", "a", ".*") == {"up a=x": [1, 2]}


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("dst", "$1", "a", "("), "invalid regular expression in label_replace(): ("),
        (("", "$1", "a", "x"), "invalid destination label name in label_replace(): "),
    ],
)
def test_label_replace_says_what_is_wrong(args: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(EvaluationError, match=re.escape(sentence)):
        answer("label_replace", instant({"up a=1": 1}), *args)


def test_labels_are_joined_with_empty_ones_for_absent() -> None:
    series = instant({"up a=1 b=2": 1, "up a=3": 2})
    joined = {"up a=1 b=2 d=1-2-": [1], "up a=3 d=3--": [2]}
    assert answer("label_join", series, "d", "-", "a", "b", "none") == joined
    assert answer("label_join", instant({"up d=1": 1}), "d", "-") == {"up": [1]}


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("", "-", "a"), "invalid destination label name in label_join(): "),
        (("d", "-", ""), "invalid source label name in label_join(): "),
    ],
)
def test_label_join_says_what_is_wrong(args: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(EvaluationError, match=re.escape(sentence)):
        answer("label_join", instant({"up a=1": 1}), *args)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("$1", "ab"),
        ("$01", ""),
        ("$1$2", "abcd"),
        ("$9", ""),
        ("${second}!", "cd!"),
        ("${1", "${1"),
        ("$ $", "$ $"),
        ("$1_", ""),
        ("$0", "abcd"),
        ("$nobody", ""),
    ],
)
def test_templates_expand_as_in_go(template: str, expected: str) -> None:
    assert Template.of(template).expanded(compiled("(ab)(?P<second>cd)").fullmatch("abcd")) == expected


LABEL = st.sampled_from(["a", "b", "c", "__name__", "new"])


@given(
    vectors(),
    LABEL,
    st.sampled_from(["$1", "x$1", "$2$1", "x", "", "$$"]),
    LABEL,
    st.sampled_from([".*", "(.*)", "(1)|(2)", "(.)", "", "x|(.+)"]),
)
def test_replacing_is_done_as_series_by_series(
    series: Vector, target: str, replacement: str, source: str, pattern: str
) -> None:
    compare("label_replace", series, target, replacement, source, pattern)


@given(vectors(), LABEL, st.sampled_from(["-", ""]), st.lists(LABEL, max_size=3))
def test_joining_is_done_as_series_by_series(series: Vector, target: str, separator: str, sources: list[str]) -> None:
    compare("label_join", series, target, separator, *sources)


def compare(name: str, series: Vector, *texts: str) -> None:
    try:
        found = called(name, series, *texts)
    except EvaluationError:
        found = None
    try:
        expected = [reference.call(name, [at(series, step), *texts], 0) for step in range(STEPS)]
    except RefusedError:
        assert found is None
        return
    assert isinstance(found, Vector)
    for step, each in enumerate(expected):
        assert isinstance(each, list)
        assert same(at(found, step), each)
