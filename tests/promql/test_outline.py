"""The tree as /api/v1/parse_query answers it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from tests.promql.trees import expressions

from tocsin.promql import ast
from tocsin.promql.outline import Outline, outline
from tocsin.promql.parse import parse

UP: Outline = {
    "type": "vectorSelector",
    "name": "up",
    "matchers": [{"name": "__name__", "value": "up", "type": "="}],
    "offset": 0,
    "timestamp": None,
    "startOrEnd": None,
    "anchored": False,
    "smoothed": False,
}
ONE: Outline = {"type": "numberLiteral", "val": "1"}


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("1", ONE),
        ("NaN", {"type": "numberLiteral", "val": "NaN"}),
        ("'a'", {"type": "stringLiteral", "val": "a"}),
        ("up", UP),
        ("up offset 5m", {**UP, "offset": 300_000}),
        ("up @ 1.5", {**UP, "timestamp": 1_500}),
        ("up @ end()", {**UP, "startOrEnd": "end"}),
        ("up[5m] offset -1m", {**UP, "type": "matrixSelector", "range": 300_000, "offset": -60_000}),
        ("(up)", {"type": "parenExpr", "expr": UP}),
        ("-up", {"type": "unaryExpr", "op": "-", "expr": UP}),
        (
            "up[1h:] @ start()",
            {
                "type": "subquery",
                "expr": UP,
                "range": 3_600_000,
                "step": 0,
                "offset": 0,
                "timestamp": None,
                "startOrEnd": "start",
            },
        ),
        (
            "topk by (job) (1, up)",
            {"type": "aggregation", "op": "topk", "expr": UP, "param": ONE, "grouping": ["job"], "without": False},
        ),
        (
            "1 > bool 1",
            {"type": "binaryExpr", "op": ">", "lhs": ONE, "rhs": ONE, "matching": None, "bool": True},
        ),
        (
            "up * on (a) group_left (b) up",
            {
                "type": "binaryExpr",
                "op": "*",
                "lhs": UP,
                "rhs": UP,
                "matching": {
                    "card": "many-to-one",
                    "labels": ["a"],
                    "on": True,
                    "include": ["b"],
                    "fillValues": {"lhs": None, "rhs": None},
                },
                "bool": False,
            },
        ),
        (
            "round(up)",
            {
                "type": "call",
                "func": {"name": "round", "argTypes": ["vector", "scalar"], "variadic": 1, "returnType": "vector"},
                "args": [UP],
            },
        ),
    ],
)
def test_trees_are_drawn_as_prometheus_draws_them(text: str, drawn: Outline) -> None:
    assert outline(parse(text)) == drawn


def test_a_name_before_the_braces_is_the_last_matcher() -> None:
    assert [each["name"] for each in outline(parse('up{b="c",a="d"}'))["matchers"]] == ["b", "a", "__name__"]


def test_a_last_argument_that_repeats_is_said_to() -> None:
    assert outline(parse('label_join(up, "a", "b")'))["func"]["variadic"] == -1


@given(expressions())
def test_every_tree_can_be_drawn(tree: ast.Expr) -> None:
    assert json.loads(json.dumps(outline(tree)))["type"]
