"""Text to tree: what is taken, and what is refused where."""

from __future__ import annotations

import contextlib
import random
import time

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
        ("foo bar", 5, 'unexpected identifier "bar"'),
        ("1 1", 3, 'unexpected number "1"'),
        ("(foo", 1, "unclosed left parenthesis"),
        ("foo)", 4, "unexpected right parenthesis"),
        ("foo[5m", 7, "unclosed left bracket"),
        ("foo[", 5, "unclosed left bracket"),
        ("foo[0s]", 5, "duration must be greater than 0"),
        ("foo[1m30]", 5, 'bad number or duration syntax: "1m30"'),
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
        ("abs(a,)", 6, "trailing commas not allowed"),
        ("foo{a=}", 7, "expected string"),
        ('foo{a="b"', 10, "unexpected end of input inside braces"),
        ('foo{a="b" c="d"}', 11, 'unexpected identifier "c" in label matching, expected "," or "}"'),
        ('foo{a="b" or c="d"}', 11, 'unexpected identifier "or" in label matching'),
        ('foo{a=~"("}', 8, "is not a regular expression"),
        ('foo{__name__="bar"}', 5, "metric name must not be set twice"),
        ('foo{"bar"}', 5, "metric name must not be set twice"),
        ("{}", 1, "at least one non-empty matcher"),
        ('{a=~".*"}', 1, "at least one non-empty matcher"),
        ('{a!="b"}', 1, "at least one non-empty matcher"),
        ("a + bool b", 5, "bool modifier can only be used on comparison operators"),
        ("1 == 1", 3, "comparisons between scalars must use BOOL modifier"),
        ("1 and a", 1, 'set operator "and" not allowed in binary scalar expression'),
        ("1 * on (x) a", 1, "vector matching only allowed between instant vectors"),
        ("a and on (x) group_left () b", 14, 'no grouping allowed for "and" operation'),
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
        ("1__000", 1, 'bad number or duration syntax: "1__000"'),
        ("5m5", 1, 'bad number or duration syntax: "5m5"'),
        ("a ☃ b", 3, "unexpected character: '☃'"),
        ("`open", 1, "unterminated raw string"),
        (r'"\'"', 1, "unknown escape sequence U+0027"),
        (r'"\x4"', 1, "illegal character in escape sequence"),
        (r'"\400"', 1, "escape sequence is an invalid Unicode code point"),
        (r'"\ud800"', 1, "escape sequence is an invalid Unicode code point"),
        (r'"a\xc5z"', 1, "the string is not valid UTF-8"),
        ('"\ud800"', 2, "invalid UTF-8 rune"),
        ("1e999", 1, "out of range"),
        ("0x8000000000000000", 1, "out of range"),
        ("0x", 1, 'bad number or duration syntax: "0x"'),
        ("1e", 1, 'bad number or duration syntax: "1e"'),
        ("1_", 1, 'bad number or duration syntax: "1_"'),
        ("0b11", 1, 'bad number or duration syntax: "0b11"'),
        ("1.5m", 1, 'bad number or duration syntax: "1.5m"'),
        ("a[300y]", 3, "duration out of range"),
        ("a[1e300]", 3, "duration out of range"),
        ("a[9999999999999999999999s]", 3, "duration out of range"),
        ("a[-5m]", 3, "duration must be greater than 0"),
        ("a[5m:0s]", 6, "duration must be greater than 0"),
        ("a[5m:b]", 6, 'unexpected identifier "b" in subquery selector, expected number, duration, or "]"'),
        ("a[b]", 3, "in subquery or range selector, expected number or duration"),
        ("a[5m 1m]", 6, 'unexpected duration "1m" in subquery or range, expected ":" or "]"'),
        ("a[5m:1m 1m]", 9, 'in subquery selector, expected "]"'),
        ("a]", 2, "unexpected right bracket ']'"),
        ("a[1m][1m]", 6, "ranges only allowed for vector selectors"),
        ("a offset", 9, "unexpected end of input in offset, expected number or duration"),
        ("a offset b", 10, 'unexpected identifier "b" in offset'),
        ("a @", 4, "unexpected end of input in @, expected timestamp"),
        ("a @ b", 5, 'unexpected identifier "b" in @, expected timestamp'),
        ("a @ start", 10, "unexpected end of input in @"),
        ("a @ start() @ 5", 13, "@ <timestamp> may not be set multiple times"),
        ("a +", 4, "unexpected end of input"),
        ("a + * b", 5, "unexpected <op:*>"),
        ("a = b", 3, 'unexpected "="'),
        ("a =~ b", 3, "unexpected <op:=~>"),
        ("a ! b", 3, "unexpected character: '!'"),
        ("a b c", 3, 'unexpected identifier "b"'),
        ("sum a", 5, 'unexpected identifier "a"'),
        ("sum a by (b)", 5, 'unexpected identifier "a"'),
        ("sum by b (a)", 8, 'unexpected identifier "b" in grouping opts, expected "("'),
        ("sum by (b c) (a)", 11, 'in grouping opts, expected "," or ")"'),
        ("sum by (5) (a)", 9, 'unexpected number "5" in grouping opts, expected label'),
        ("sum by (a:b) (a)", 9, 'unexpected metric identifier "a:b" in grouping opts, expected label'),
        ("sum by (a) (b) by (c)", 16, "unexpected <by>"),
        ("sum(a, b,)", 9, "trailing commas not allowed"),
        ("sum((a)", 4, "unclosed left parenthesis"),
        ("count_values(1, a)", 14, "expected type string in aggregation parameter, got scalar"),
        ('topk("a", a)', 6, "expected type scalar in aggregation parameter, got string"),
        ("a + group_left (b) c", 5, "unexpected <group_left>"),
        ("a + on (b) ignoring (c) d", 12, "unexpected <ignoring>"),
        ("1 + fill(0) 2", 1, "filling in missing series only allowed between instant vectors"),
        ("a + fill(b) c", 10, "in fill modifier, expected number"),
        ("foo{,}", 5, 'unexpected "," in label matching, expected identifier or "}"'),
        ('foo{a="b",,}', 11, 'unexpected "," in label matching'),
        ("foo{a}", 6, 'unexpected "}" in label matching, expected label matching operator'),
        ("foo{a=5}", 7, 'unexpected number "5" in label matching, expected string'),
        ("foo{a=b}", 7, 'unexpected identifier "b" in label matching, expected string'),
        ("foo{a==b}", 6, "unexpected <op:==> in label matching"),
        ("foo{{}", 5, 'unexpected "{" in label matching'),
        ('{""}', 2, "a metric has no name"),
        ("Sum(a) + Rate(a[5m])", 10, 'unknown function with name "Rate"'),
        ("by(a)", 1, 'unknown function with name "by"'),
        ("info(a)", 1, "info() is experimental in Prometheus and not supported"),
        ("a[5m] anchored", 7, "anchored modifier is experimental in Prometheus and not supported"),
        ("a smoothed", 3, "smoothed modifier is experimental in Prometheus and not supported"),
        ("and a", 5, 'unexpected identifier "a"'),
        ("abs(", 4, "unclosed left parenthesis"),
        ("abs(a b)", 7, 'unexpected identifier "b"'),
        ("a " + "b" * 5_000, 3, 'unexpected identifier "' + "b" * 59 + '…"'),
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
        ("089", 89.0),
        ("1_000.5_0", 1000.5),
        ("0x_1F_00", 7936.0),
        ("1e+1_0", 1e10),
        ("2 ", 2.0),
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


@pytest.mark.parametrize(
    ("text", "range_ms"),
    [("a[5m]", 300_000), ("a[300]", 300_000), ("a[0.5]", 500), ("a[1e3]", 1_000_000), ("a[ 1h30m ]", 5_400_000)],
)
def test_ranges_are_durations_or_seconds(text: str, range_ms: int) -> None:
    tree = parse(text)
    assert isinstance(tree, ast.RangeSelector)
    assert tree.range_ms == range_ms


@pytest.mark.parametrize(
    ("text", "offset_ms"),
    [("a offset 5m", 300_000), ("a offset -5m", -300_000), ("a offset +5", 5_000), ("a offset 0s", 0)],
)
def test_offsets(text: str, offset_ms: int) -> None:
    tree = parse(text)
    assert isinstance(tree, ast.Selector)
    assert tree.offset_ms == offset_ms


@pytest.mark.parametrize(
    ("text", "at"),
    [("a @ 1.5", 1_500), ("a @ -1", -1_000), ("a @ 5m", 300_000), ("a @ start()", "start"), ("a @ END()", "end")],
)
def test_fixed_times(text: str, at: ast.At) -> None:
    tree = parse(text)
    assert isinstance(tree, ast.Selector)
    assert tree.at == at


@pytest.mark.parametrize("text", ["1 + on () a", "1 + ignoring () a", "a * on () group_left () 2"])
def test_matching_that_names_no_label_is_let_be_beside_a_number(text: str) -> None:
    tree = parse(text)
    assert isinstance(tree, ast.Binary)
    assert tree.matching is None


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("sum(a) by (b)", "sum by (b) (a)"),
        ("sum by (b,) (a)", "sum by (b) (a)"),
        ("sum by (b, b) (a)", "sum by (b) (a)"),
        ('sum by ("b") (a)', "sum by (b) (a)"),
        ('a{b="c",}', 'a{b="c"}'),
        ("a{}", "a"),
        ("a * on (b) group_left c", "a * on (b) group_left () c"),
        ("a\r\n+\tb # the end", "a + b"),
        ("a#comment\r+ b", "a + b"),
        ("2 * 5m", "2 * 300"),
    ],
)
def test_the_same_may_be_said_in_other_ways(text: str, same: str) -> None:
    assert bare(parse(text)) == bare(parse(same))


@pytest.mark.parametrize("word", ["sum", "by", "bool", "offset", "inf", "on", "atan2", "end", "fill"])
def test_any_word_can_be_a_label(word: str) -> None:
    tree = parse(f'sum by ({word}) (a{{{word}="b"}})')
    assert isinstance(tree, ast.Aggregate)
    assert isinstance(tree.expr, ast.Selector)
    assert (tree.labels, tree.expr.matchers[1].label) == ((word,), word)


@pytest.mark.parametrize(
    "text", ["9" * 90_000 + "z", "1m" * 40_000 + "z", '"' + "\\a" * 40_000, "_1" * 50_000, "a" * 99_999]
)
def test_long_words_take_no_longer_than_they_are(text: str) -> None:
    started_s = time.perf_counter()
    with contextlib.suppress(ParseError):
        parse(text)
    assert time.perf_counter() - started_s < 5  # it is some milliseconds, or minutes
