from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.model.errors import UserError
from tocsin.model.labels import METRIC_NAME, Labels
from tocsin.model.matcher import Matcher, MatchOp, equals
from tocsin.model.rule import DURATION_MS_MAX, NAME_CHARS_MAX, Condition, Rule, Severity, check_rule, exact

RULE = Rule(1, "High CPU Usage", "system.cpu.usage", Condition.ABOVE, 80.0, 300_000)


@pytest.mark.parametrize(
    ("condition", "below", "equal", "above"),
    [
        (">", False, False, True),
        (">=", False, True, True),
        ("<", True, False, False),
        ("<=", True, True, False),
        ("==", False, True, False),
        ("!=", True, False, True),
    ],
)
def test_conditions_below_at_and_above_the_threshold(condition: str, below: bool, equal: bool, above: bool) -> None:
    holds = Condition(condition).holds
    assert (holds(79.9, 80.0), holds(80.0, 80.0), holds(80.1, 80.0)) == (below, equal, above)


@pytest.mark.parametrize("condition", Condition)
def test_a_reading_of_nan_meets_no_condition(condition: Condition) -> None:
    assert not condition.holds(math.nan, 80.0)
    assert not condition.holds(math.nan, math.nan)


@pytest.mark.parametrize(
    ("condition", "at_plus", "at_minus"),
    [(">", True, False), (">=", True, False), ("<", False, True), ("<=", False, True), ("==", False, False)],
)
def test_infinity_is_compared_like_a_number(condition: str, at_plus: bool, at_minus: bool) -> None:
    assert Condition(condition).holds(math.inf, 80.0) is at_plus
    assert Condition(condition).holds(-math.inf, 80.0) is at_minus


def test_infinity_equals_infinity_and_zero_equals_minus_zero() -> None:
    assert Condition.EQUAL.holds(math.inf, math.inf)
    assert Condition.EQUAL.holds(-0.0, 0.0)
    assert not Condition.NOT_EQUAL.holds(-0.0, 0.0)


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_each_condition_has_an_opposite(value: float, threshold: float) -> None:
    for one, other in ((">", "<="), ("<", ">="), ("==", "!=")):
        assert Condition(one).holds(value, threshold) != Condition(other).holds(value, threshold)


@pytest.mark.parametrize(
    ("severity", "colour", "repeat_ms"),
    [("critical", "#FF0000", 300_000), ("warning", "#FFA500", 1_800_000), ("info", "#0000FF", 3_600_000)],
)
def test_severities_have_a_colour_and_a_repeat_interval(severity: str, colour: str, repeat_ms: int) -> None:
    assert Severity(severity).colour == colour
    assert Severity(severity).repeat_ms == repeat_ms


def test_a_rule_without_a_severity_is_a_warning() -> None:
    assert RULE.severity is Severity.WARNING


def test_a_rule_selects_the_series_of_its_metric_that_fit() -> None:
    rule = replace(RULE, matchers=equals({"host": "a"}))
    assert rule.selects(Labels.metric("system.cpu.usage", {"host": "a", "cpu": "0"}))
    assert not rule.selects(Labels.metric("system.cpu.usage", {"host": "b"}))
    assert not rule.selects(Labels.metric("system.cpu.usage"))
    assert not rule.selects(Labels.metric("system.memory.usage", {"host": "a"}))
    assert not rule.selects(Labels.of(host="a"))


MOUNT = Matcher("mount", MatchOp.EQUAL, "/")


# Each of these was read by a PromQL parser (promql-parser 0.12).
@pytest.mark.parametrize(
    ("metric_name", "matchers", "expression"),
    [
        ("up", (), "up > 80"),
        ("node:cpu_usage:rate5m", (), "node:cpu_usage:rate5m > 80"),
        ("up", (MOUNT,), 'up{mount="/"} > 80'),
        ("sum", (), "sum > 80"),
        ("up", (MOUNT, Matcher("device", MatchOp.REGEX, r"sd\d")), r'up{mount="/", device=~"sd\\d"} > 80'),
        ("up", (Matcher("service.name", MatchOp.NOT_EQUAL, "a"),), 'up{"service.name"!="a"} > 80'),
        ("up", (Matcher("größe", MatchOp.NOT_REGEX, "a|b"),), 'up{"größe"!~"a|b"} > 80'),
        ("system.cpu.usage", (), '{"system.cpu.usage"} > 80'),
        ("system.disk.usage", (MOUNT,), '{"system.disk.usage", mount="/"} > 80'),
        ("température", (), '{"température"} > 80'),
        ("5xx_total", (), '{"5xx_total"} > 80'),
        ('say "hi"\\', (), r'{"say \"hi\"\\"} > 80'),
        ("two\nlines", (), r'{"two\nlines"} > 80'),
        ("NaN", (), '{"NaN"} > 80'),
        ("inf", (MOUNT,), '{"inf", mount="/"} > 80'),
        ("bool", (), '{"bool"} > 80'),
        ("group_left", (), '{"group_left"} > 80'),
    ],
)
def test_a_rule_is_valid_promql(metric_name: str, matchers: tuple[Matcher, ...], expression: str) -> None:
    assert replace(RULE, metric_name=metric_name, matchers=matchers).expression() == expression


@pytest.mark.parametrize("condition", Condition)
def test_the_expression_has_the_rules_operator(condition: Condition) -> None:
    rule = replace(RULE, metric_name="up", condition=condition, threshold=-0.5)
    assert rule.expression() == f"up {condition.value} -0.5"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (80.0, "80"),
        (0.0, "0"),
        (-5.0, "-5"),
        (0.1, "0.1"),
        (123456789.0, "123456789"),
        (1234567.891, "1234567.891"),
        (9007199254740993.0, "9007199254740992"),
        (1e16, "1e+16"),
        (1e300, "1e+300"),
        (1e-7, "1e-07"),
        (5e-324, "5e-324"),
        (80, "80"),
    ],
)
def test_a_threshold_is_written_short_and_exact(number: float, text: str) -> None:
    assert exact(number) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_threshold_reads_back_as_the_same_number(number: float) -> None:
    assert math.copysign(1, float(exact(number))) == math.copysign(1, number)
    assert float(exact(number)) == number


def test_a_rule_that_makes_sense_is_returned_as_it_is() -> None:
    assert check_rule(RULE) is RULE


@pytest.mark.parametrize(
    ("field", "rule"),
    [
        ("name", replace(RULE, name="")),
        ("name", replace(RULE, name=" \t")),
        ("name", replace(RULE, name="x" * (NAME_CHARS_MAX + 1))),
        ("metric_name", replace(RULE, metric_name="")),
        ("metric_name", replace(RULE, metric_name="  ")),
        ("metric_name", replace(RULE, metric_name="x" * (NAME_CHARS_MAX + 1))),
        ("threshold", replace(RULE, threshold=math.nan)),
        ("threshold", replace(RULE, threshold=math.inf)),
        ("threshold", replace(RULE, threshold=-math.inf)),
        ("duration", replace(RULE, duration_ms=-1)),
        ("duration", replace(RULE, duration_ms=DURATION_MS_MAX + 1)),
        ("tags", replace(RULE, matchers=(Matcher(METRIC_NAME, MatchOp.EQUAL, "up"),))),
        ("tags", replace(RULE, matchers=(Matcher("", MatchOp.EQUAL, "x"),))),
        ("tags", replace(RULE, matchers=(Matcher("mount", MatchOp.REGEX, "("),))),
    ],
)
def test_a_rule_that_makes_no_sense_names_its_field(field: str, rule: Rule) -> None:
    with pytest.raises(UserError) as caught:
        check_rule(rule)
    assert caught.value.field == field
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    "rule",
    [
        replace(RULE, name="x" * NAME_CHARS_MAX),
        replace(RULE, duration_ms=0),
        replace(RULE, duration_ms=DURATION_MS_MAX),
        replace(RULE, threshold=-1e300),
        replace(RULE, matchers=(Matcher("mount", MatchOp.REGEX, "/data.*"),)),
    ],
)
def test_a_rule_at_its_limits_is_accepted(rule: Rule) -> None:
    assert check_rule(rule) is rule
