"""Text to tree: what is taken, and what is refused where."""

from __future__ import annotations

import random

import pytest
from tests.support.promql_library import tree_of
from tests.support.promql_random import Expressions
from tests.support.promql_trees import bare

from tocsin.promql import ast
from tocsin.promql.parse import CHARS_MAX, ParseError, parse


@pytest.mark.parametrize("seed", range(20))
def test_trees_are_those_of_the_library(seed: int) -> None:
    expressions = Expressions(random.Random(seed))
    for _ in range(50):
        text = expressions.vector(3)
        assert bare(parse(text)) == bare(tree_of(text)), text


@pytest.mark.parametrize(
    ("text", "column", "said"),
    [
        ("", 1, "no expression found in input"),
        ("# a comment alone", 1, "no expression found in input"),
        ("foo bar", 5, "unexpected identifier 'bar'"),
        ("1 1", 3, "unexpected number '1'"),
        ("(foo", 1, "unclosed left parenthesis"),
        ("foo)", 4, "unexpected right parenthesis"),
        ("foo[5m", 7, "unexpected end of input inside brackets"),
        ("foo[", 5, "unexpected end of input inside brackets"),
        ("foo[0s]", 5, "duration must be greater than 0"),
        ("foo[1m30]", 5, "expected number or duration"),
        ("foo[1s1m]", 5, "not a valid duration"),
        ("sum(", 4, "unclosed left parenthesis"),
        ("sum()", 1, "no arguments for aggregate expression"),
        ("sum(a, b)", 1, "wrong number of arguments for aggregate expression provided, expected 1, got 2"),
        ("topk(a)", 1, "expected 2, got 1"),
        ("topk(a, 1)", 9, "expected type instant vector in aggregation expression, got scalar"),
        ("rate(foo)", 6, 'expected type range vector in call to function "rate", got instant vector'),
        ("time(1)", 1, 'expected 0 argument(s) in call to "time", got 1'),
        ("round(a, 1, 2)", 1, "expected at most 2 argument(s)"),
        ("clamp(a)", 1, "expected 3 argument(s)"),
        ("label_join(a)", 1, "expected at least 3 argument(s)"),
        ("nope(a)", 1, 'unknown function with name "nope"'),
        ("abs(a,)", 7, "trailing commas not allowed"),
        ("foo{a=}", 7, "expected string"),
        ('foo{a="b"', 10, "unexpected end of input inside braces"),
        ('foo{a="b" c="d"}', 11, "unexpected identifier 'c' in label matching"),
        ('foo{a="b" or c="d"}', 11, "unexpected identifier 'or' in label matching"),
        ('foo{a=~"("}', 8, "is not a regular expression"),
        ('foo{__name__="bar"}', 5, "metric name must not be set twice"),
        ('foo{"bar"}', 5, "metric name must not be set twice"),
        ("{}", 1, "at least one non-empty matcher"),
        ('{a=~".*"}', 1, "at least one non-empty matcher"),
        ('{a!="b"}', 1, "at least one non-empty matcher"),
        ("a + bool b", 5, "bool modifier can only be used on comparison operators"),
        ("1 == 1", 1, "comparisons between scalars must use BOOL modifier"),
        ("1 and a", 1, 'set operator "and" not allowed in binary scalar expression'),
        ("1 * on (x) a", 1, "vector matching only allowed between instant vectors"),
        ("a and on (x) group_left () b", 14, "no grouping allowed for 'and' operation"),
        ("a * on (x) group_left (x) b", 12, "must not occur in ON and GROUP clause at once"),
        ("a or fill(0) b", 6, "not allowed for set operators"),
        ("a[5m] + 1", 1, "binary expression must contain only scalar and instant vector types"),
        ('a + "b"', 5, "binary expression must contain only scalar and instant vector types"),
        ("-a[5m]", 1, "unary expression only allowed"),
        ("(a)[5m]", 4, "ranges only allowed for vector selectors"),
        ("a offset 5m [5m]", 13, "no offset modifiers allowed before range"),
        ("a @ 5 [5m]", 7, "no @ modifiers allowed before range"),
        ("a offset 5m offset 5m", 13, "offset may not be set multiple times"),
        ("a @ 1 @ 2", 7, "@ <timestamp> may not be set multiple times"),
        ("a @ Inf", 3, "timestamp out of bounds"),
        ("sum(a) offset 5m", 8, "offset modifier must be preceded by"),
        ("1[5m:]", 1, "subquery is only allowed on instant vector, got scalar instead"),
        ("bool", 1, "unexpected <bool>"),
        ('"open', 1, "unterminated quoted string"),
        ('"\\q"', 1, "unknown escape sequence"),
        ("1_000", 1, "unexpected character '1_000'"),
        ("5m5", 1, "unexpected character '5m5'"),
        ("a ☃ b", 3, "unexpected character '☃'"),
        ("(" * 5_000, 101, "nested too deeply"),
        ("-" * 5_000 + "1", 101, "nested too deeply"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, column: int, said: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse(text)
    assert (caught.value.line, caught.value.column) == (1, column)
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"1:{column}: parse error: ")


def test_lines_are_counted() -> None:
    with pytest.raises(ParseError, match=r"^3:3: parse error"):
        parse("sum(\n  a +\n  )\n)")


def test_chains_of_operators_are_bounded_and_long_ones_work() -> None:
    assert isinstance(parse(" or ".join(["a"] * 200)), ast.Binary)
    with pytest.raises(ParseError, match="nested too deeply"):
        parse("+".join(["1"] * 5_000))


def test_a_text_that_is_too_long_is_refused() -> None:
    with pytest.raises(ParseError, match="longer than"):
        parse("a" * (CHARS_MAX + 1))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1.0),
        ("-1", -1.0),
        ("+0.5", 0.5),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("0x1F", 31.0),
        ("0755", 493.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("100ms", 0.1),
        ("Inf", float("inf")),
        ("-inF", float("-inf")),
    ],
)
def test_numbers(text: str, value: float) -> None:
    tree = parse(text)
    assert isinstance(tree, ast.Number)
    assert tree.value == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"a"', "a"),
        ("'a\"b'", 'a"b'),
        (r'"\n\t\\\""', '\n\t\\"'),
        (r'"é\U0001F600"', "é😀"),
        (r'"\xc3\xa9"', "é"),
        (r'"\141"', "a"),
        (r"`a\nb`", r"a\nb"),
        ("`two\nlines`", "two\nlines"),
    ],
)
def test_strings(text: str, value: str) -> None:
    tree = parse(text)
    assert isinstance(tree, ast.String)
    assert tree.value == value


@pytest.mark.parametrize("word", ["sum", "by", "and", "offset", "start", "without", "group", "limitk", "unless"])
def test_words_of_the_language_can_be_metrics(word: str) -> None:
    tree = parse(f'{word}{{a="b"}}')
    assert isinstance(tree, ast.Selector)
    assert tree.name == word


def test_modifiers_come_in_any_order() -> None:
    one, other = parse("a[5m] offset 1m @ 3"), parse("a[5m] @ 3 offset 1m")
    assert bare(one) == bare(other)
    assert isinstance(one, ast.RangeSelector)
    assert (one.selector.offset_ms, one.selector.at) == (60_000, 3_000)


def test_the_sign_binds_less_than_the_power_and_more_than_the_product() -> None:
    assert isinstance(parse("-2 ^ 2"), ast.Unary)
    product = parse("-a * b")
    assert isinstance(product, ast.Binary)
    assert isinstance(product.left, ast.Unary)
    power = parse("2 ^ 3 ^ 2")
    assert isinstance(power, ast.Binary)
    assert isinstance(power.right, ast.Binary)


def test_keywords_are_taken_in_any_case() -> None:
    assert bare(parse("SUM(a) BY (b)")) == bare(parse("sum by (b) (a)"))


def test_names_in_quotes() -> None:
    tree = parse('{"my.metric", "a.label"=~"x"}')
    assert isinstance(tree, ast.Selector)
    assert [(each.label, each.value) for each in tree.matchers] == [("__name__", "my.metric"), ("a.label", "x")]


def test_every_node_knows_its_place() -> None:
    text = 'sum by (a) (rate(b{c="d"}[5m] offset 1m)) / -(1 + e)'
    said = {text[node.span.start : node.span.end] for node in ast.walk(parse(text))}
    assert said == {
        text,
        'sum by (a) (rate(b{c="d"}[5m] offset 1m))',
        'rate(b{c="d"}[5m] offset 1m)',
        'b{c="d"}[5m] offset 1m',
        'b{c="d"}',
        "-(1 + e)",
        "(1 + e)",
        "1 + e",
        "1",
        "e",
    }


def test_comments_end_with_their_line() -> None:
    assert bare(parse("a # not + this\n + b")) == bare(parse("a + b"))
