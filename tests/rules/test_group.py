from __future__ import annotations

import pytest

from tocsin.model.labels import Labels
from tocsin.model.rule import Condition, Severity
from tocsin.model.rule_group import AlertingRule, GroupRule, RecordingRule, RuleGroup
from tocsin.rules.group import moment_ms, placed, rules_of, severity_of, stages
from tocsin.rules.lives import side


def record(name: str, expr: str) -> GroupRule:
    return RecordingRule(name, expr)


def alert(expr: str) -> GroupRule:
    return AlertingRule("A", expr)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([], ()),
        ([record("a", "x"), record("b", "y"), alert("x > 1")], ((0, 1, 2),)),
        ([record("a", "x"), record("b", "a + 1")], ((0,), (1,))),
        ([record("a", "x"), record("b", "y"), record("c", "a + b"), record("d", "c"), record("e", "a")],
         ((0, 1), (2,), (3, 4))),
        ([record("a", "x"), record("b", "sum(rate(a[5m]))")], ((0,), (1,))),
        ([record("a", "x"), record("b", "max_over_time((a > 1)[5m:1m])")], ((0,), (1,))),
        ([record("a:b", "x"), record("b", '{__name__=~"a:.+"}')], ((0,), (1,))),
        ([record("a:b", "x"), record("b", '{__name__=~"c:.+"}')], ((0, 1),)),
        ([record("a", "x"), record("b", '{job="j"}')], ((0,), (1,))),
        ([record("a", "a")], ((0,),)),
        ([record("b", "a"), record("a", "x")], ((0, 1),)),
        ([alert("x"), alert('ALERTS{alertname="A"}')], ((0,), (1,))),
        ([alert("x"), record("b", "ALERTS_FOR_STATE")], ((0,), (1,))),
        ([record("a", "x"), record("b", "1 + time()")], ((0, 1),)),
    ],
)  # fmt: skip
def test_rules_are_asked_together_up_to_one_that_reads_what_was_written(
    rules: list[GroupRule], expected: tuple[tuple[int, ...], ...]
) -> None:
    assert stages(rules) == expected


def test_a_group_has_its_own_moment_the_same_after_every_restart() -> None:
    one, other = RuleGroup("g", file="a"), RuleGroup("g", file="b")
    assert moment_ms(one, 60_000) == moment_ms(RuleGroup("g", file="a"), 60_000) != moment_ms(other, 60_000)
    plan = placed(one, (), interval_ms=60_000, query_offset_ms=0)
    last = plan.last_ms(1_800_000_000_123)
    assert (last % 60_000, plan.last_ms(last), plan.last_ms(last - 1)) == (plan.offset_ms, last, last - 60_000)


def test_what_a_group_says_itself_wins_over_the_server() -> None:
    mine = placed(RuleGroup("g", interval_ms=5_000, query_offset_ms=0), (), interval_ms=60_000, query_offset_ms=9)
    servers = placed(RuleGroup("g"), (), interval_ms=60_000, query_offset_ms=9)
    assert (mine.interval_ms, mine.query_offset_ms) == (5_000, 0)
    assert (servers.interval_ms, servers.query_offset_ms) == (60_000, 9)


def test_namesakes_in_a_group_are_told_apart() -> None:
    group = RuleGroup("g", (AlertingRule("A", "x"), AlertingRule("A", "y"), AlertingRule("B", "x")), file="f")
    assert len({rule.key for rule in rules_of(group)}) == 3
    assert rules_of(group)[0].key == rules_of(RuleGroup("g", (AlertingRule("A", "z"),), file="f"))[0].key


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("critical", Severity.CRITICAL),
        ("Info", Severity.INFO),
        ("warning", Severity.WARNING),
        ("page", Severity.WARNING),
        ("", Severity.WARNING),
    ],
)
def test_the_label_severity_is_the_alerts_severity(word: str, expected: Severity) -> None:
    assert severity_of(Labels.of(severity=word)) is expected


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        ("up == 0", Condition.EQUAL),
        ("rate(x[5m]) > 1", Condition.ABOVE),
        ("(x <= 1)", Condition.AT_MOST),
        ("1 < x", Condition.ABOVE),
        ("1 >= x", Condition.AT_MOST),
        ("x != 1", Condition.NOT_EQUAL),
        ("x > bool 1", Condition.EQUAL),
        ("absent(x)", Condition.EQUAL),
        ("x > 1 and y < 2", Condition.EQUAL),
    ],
)
def test_an_expression_says_on_which_side_values_are_worse(expr: str, expected: Condition) -> None:
    assert side(expr) is expected
