"""Tree to text and back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from tests.promql.trees import expressions
from tests.support.promql_trees import bare

from tocsin.promql import ast
from tocsin.promql.parse import parse
from tocsin.promql.text import LINE_BYTES_MAX, duration, pretty, quoted, text_of


@given(expressions())
def test_what_is_written_is_read_as_the_same_tree(tree: ast.Expr) -> None:
    assert compared(parse(text_of(tree))) == compared(tree)


@given(expressions())
def test_what_is_laid_out_is_read_as_the_same_tree(tree: ast.Expr) -> None:
    assert compared(parse(pretty(tree))) == compared(tree)


@given(expressions())
def test_a_text_of_its_own_is_left_as_it_is(tree: ast.Expr) -> None:
    text = text_of(tree)
    assert text_of(parse(text)) == text


def compared(tree: ast.Expr) -> Any:
    """Without places, and the matchers of each selector in order."""
    return _in_order(bare(tree))


def _in_order(node: Any) -> Any:
    if not isinstance(node, tuple):
        return node
    matchers = bool(node) and all(isinstance(each, tuple) and each and each[0] == "Matcher" for each in node)
    return tuple(sorted(node)) if matchers else tuple(map(_in_order, node))


@pytest.mark.parametrize(
    ("given_", "written"),
    [
        ("sum(rate(http_requests_total[5m]))by(job)", "sum by (job) (rate(http_requests_total[5m]))"),
        ("sum by () (a)", "sum(a)"),
        ("sum without () (a)", "sum without () (a)"),
        ("TOPK(3,a)", "topk(3, a)"),
        ('{b="c",a!~"d"}', '{a!~"d",b="c"}'),
        ('{__name__="up",job="x"}', '{__name__="up",job="x"}'),
        ('{"my.metric","a.b"="c"}', '{"a.b"="c",__name__="my.metric"}'),
        ("up{}", "up"),
        ("up{job='a\"b'}", r'up{job="a\"b"}'),
        ("a[90s] @ 3 offset -1w", "a[1m30s] @ 3.000 offset -1w"),
        ("a[1h:]", "a[1h:]"),
        ("a[1h:30]@start()", "a[1h:30s] @ start()"),
        ("a+on(b)group_left c", "a + on (b) group_left () c"),
        ("a+ignoring(b,c)group_right(d)c", "a + ignoring (b, c) group_right (d) c"),
        ("a>bool 1", "a > bool 1"),
        ("a and on() b", "a and on () b"),
        ("a + fill(1) b", "a + fill (1) b"),
        ("a + on(x) fill_left(-Inf) b", "a + on (x) fill_left (-Inf) b"),
        ("1e6", "1000000"),
        ("0x1F", "31"),
        ("inf", "+Inf"),
        ("Inf^2", "Inf ^ 2"),
        ("-a^2", "-a ^ 2"),
        ("(a)", "(a)"),
        ("`a\\b`", r'"a\\b"'),
        ("# nothing\nup # all", "up"),
    ],
)
def test_expressions_are_written_as_prometheus_writes_them(given_: str, written: str) -> None:
    assert text_of(parse(given_)) == written


@pytest.mark.parametrize(
    ("ms", "written"),
    [
        (0, "0s"),
        (1, "1ms"),
        (90_000, "1m30s"),
        (5_400_000, "1h30m"),
        (604_800_000, "1w"),
        (7_776_000_000, "90d"),
        (31_536_000_000, "1y"),
        (86_401_001, "1d1s1ms"),
    ],
)
def test_durations(ms: int, written: str) -> None:
    assert duration(ms) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ('a"b\\', r'"a\"b\\"'),
        ("\a\n\x00\x7f", r'"\a\n\x00\x7f"'),
        ("é☃", '"é☃"'),
        ("\u00a0\u200b", r'"\u00a0\u200b"'),
        ("\U000e0001", r'"\U000e0001"'),
    ],
)
def test_strings(value: str, written: str) -> None:
    assert quoted(value) == written


def test_short_expressions_stay_on_their_line() -> None:
    assert pretty(parse("sum(a)/sum(b)")) == "sum(a) / sum(b)"


def test_long_expressions_are_split_where_they_branch() -> None:
    given_ = """
    histogram_quantile(0.99, sum by (le, job) (rate(http_request_duration_seconds_bucket{job="api"}[5m])))
      > on (job) group_left () -(topk(5, threshold_of_the_first_kind + threshold_of_the_second_kind
      + threshold_of_the_third_kind + threshold_of_the_fourth_kind))
    """
    assert (
        pretty(parse(given_))
        == """\
  histogram_quantile(
    0.99,
    sum by (le, job) (rate(http_request_duration_seconds_bucket{job="api"}[5m]))
  )
> on (job) group_left ()
  -(
    topk(
      5,
        threshold_of_the_first_kind + threshold_of_the_second_kind + threshold_of_the_third_kind
      +
        threshold_of_the_fourth_kind
    )
  )"""
    )


def test_a_split_subquery_keeps_its_window_behind_it() -> None:
    name = "a" * LINE_BYTES_MAX
    assert pretty(parse(f"max_over_time(sum({name})[1h:5m] offset 5m)")) == (
        f"max_over_time(\n  sum(\n    {name}\n  )[1h:5m] offset 5m\n)"
    )
