"""What `tocsin query` asks, and what it shows."""

from __future__ import annotations

import math

import pytest

from tocsin.app.querying import (
    INSTANT,
    RANGE,
    Moments,
    asked,
    lines_of,
    lines_of_selectors,
    name_of,
    number,
    pointed,
    rows_of_lines,
    rows_of_stages,
    rows_of_vector,
)
from tocsin.model.errors import UserError

NOW_MS = 1_800_000_000_500


def test_without_a_time_it_is_asked_now() -> None:
    wanted = asked("up", Moments(), NOW_MS)
    assert (wanted.path, wanted.form) == (INSTANT, {"query": "up", "time": "1800000000.500"})


def test_a_moment_is_seconds_or_rfc_3339() -> None:
    for time in ("1000", "1970-01-01T00:16:40Z"):
        assert asked("up", Moments(time=time), NOW_MS).form["time"] == "1000.000"


def test_lookback_and_explain_are_sent_along() -> None:
    form = asked("up", Moments(), NOW_MS, lookback="1m30s", explain=True).form
    assert (form["lookback_delta"], form["explain"]) == ("90.000", "1")


@pytest.mark.parametrize(
    ("moments", "start", "end", "step"),
    [
        (Moments(length="1h"), "1799996400.500", "1800000000.500", "15.000"),
        (Moments(length="1m", end="600"), "540.000", "600.000", "1.000"),
        (Moments(start="1799999000"), "1799999000.000", "1800000000.500", "5.000"),
        (Moments(start="0", end="600", step="2m"), "0.000", "600.000", "120.000"),
    ],
)
def test_a_range_has_a_start_an_end_and_a_step(moments: Moments, start: str, end: str, step: str) -> None:
    wanted = asked("up", moments, NOW_MS)
    assert (wanted.path, wanted.form) == (RANGE, {"query": "up", "start": start, "end": end, "step": step})


@pytest.mark.parametrize(
    ("moments", "sentence"),
    [
        (Moments(end="5"), "Say from when"),
        (Moments(step="5s"), "Say from when"),
        (Moments(time="5", length="1h"), "--time is one moment"),
        (Moments(start="5", length="1h"), "not both"),
        (Moments(start="5", end="4"), "--end is before --start"),
        (Moments(length="1h", step="0"), "--step must be longer"),
        (Moments(time="noon"), "--time is not a time"),
        (Moments(length="noon"), "'noon' is not a duration"),
    ],
)
def test_what_does_not_go_together_is_refused(moments: Moments, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        asked("up", moments, NOW_MS)


@pytest.mark.parametrize(
    ("expr", "detail", "shown"),
    [
        ("a b", 'invalid parameter "query": 1:3: parse error: no', "1:3: parse error: no\n  a b\n    ^"),
        ("a +\n\tb c", "2:4: parse error: no", "2:4: parse error: no\n  \tb c\n  \t  ^"),
        ('"日本" b', "1:6: parse error: no", '1:6: parse error: no\n  "日本" b\n         ^'),
        ("a", "1:2: parse error: more: is wanted", "1:2: parse error: more: is wanted\n  a\n   ^"),
        ("a", "9:1: parse error: no", "9:1: parse error: no"),
        ("a", "query timed out", "query timed out"),
    ],
)
def test_the_place_of_a_mistake_has_a_caret_below_it(expr: str, detail: str, shown: str) -> None:
    assert pointed(expr, detail) == shown


def test_of_a_long_expression_the_surroundings_of_the_mistake_are_shown() -> None:
    _, excerpt, caret = pointed("a" * 500 + "!" + "b" * 500, "1:501: parse error: no").split("\n")
    assert len(excerpt) == 102
    assert excerpt[caret.index("^")] == "!"


def test_a_vector_is_a_row_for_each_series() -> None:
    result = [{"metric": {"__name__": "up", "job": "a"}, "value": [1.0, "NaN"]}, {"metric": {}, "value": [1.0, "2"]}]
    assert rows_of_vector(result) == [{"series": 'up{job="a"}', "value": "NaN"}, {"series": "{}", "value": "2"}]


def test_a_range_is_a_row_with_its_course_for_each_series() -> None:
    result = [
        {"metric": {"job": "a"}, "values": [[0, "0"], [1, "NaN"], [2, "7"], [3, "3.5"]]},
        {"metric": {"job": "b"}, "values": [[1, "NaN"], [2, "NaN"]]},
        {"metric": {"job": "c"}, "values": [[2, "1"], [3, "+Inf"]]},
    ]
    assert rows_of_lines(lines_of(result), 120) == [
        {"series": '{job="a"}', "course": "▁ █▅", "min": "0", "max": "7", "last": "3.5"},
        {"series": '{job="b"}', "course": "    ", "min": "NaN", "max": "NaN", "last": "NaN"},
        {"series": '{job="c"}', "course": "  ▄ ", "min": "1", "max": "+Inf", "last": "+Inf"},
    ]


@pytest.mark.parametrize(("width", "sparks"), [(20, 10), (80, 20), (300, 40)])
def test_a_course_is_as_wide_as_the_terminal_has_room(width: int, sparks: int) -> None:
    result = [{"metric": {}, "values": [[at, str(at)] for at in range(100)]}]
    (row,) = rows_of_lines(lines_of(result), width)
    assert len(row["course"]) == sparks


def test_numbers_have_six_digits_and_what_is_none_its_name() -> None:
    assert [number(value) for value in (1 / 3, 1e9, math.nan, math.inf, -math.inf)] == [
        "0.333333",
        "1e+09",
        "NaN",
        "+Inf",
        "-Inf",
    ]
    assert name_of({}) == "{}"


def test_how_a_query_was_answered_is_told_by_stage_and_by_selector() -> None:
    source = {"how": "memory", "series": 3, "samples": 60, "seconds": 0.0015, "resolution": "raw"}
    explain = {
        "stages": {"wait": 0.0, "parse": 0.00025},
        "selectors": [
            {"selector": "{a}", "function": "rate", "range": 300.0, "sources": [source, {**source, "how": "engine"}]},
            {"selector": "{b}", "function": "samples", "range": 0.0, "sources": [source]},
        ],
    }
    assert rows_of_stages(explain) == [{"stage": "wait", "ms": "0.00"}, {"stage": "parse", "ms": "0.25"}]
    assert lines_of_selectors(explain) == [
        "{a}: rate over 5m",
        "  memory: 3 series, 60 samples in 1.50 ms, resolution raw",
        "  engine: 3 series, 60 samples in 1.50 ms, resolution raw",
        "{b}: samples",
        "  memory: 3 series, 60 samples in 1.50 ms, resolution raw",
    ]
