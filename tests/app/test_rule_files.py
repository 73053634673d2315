"""Rule files and their tests, as `tocsin rules check` and `rules test` judge them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tocsin.app.rule_files import Verdict, check_files, exported, failure_lines, run_tests
from tocsin.model.errors import UserError
from tocsin.model.rule_group import AlertingRule
from tocsin.model.templates.expand import AlertData, expand
from tocsin.rules.load import load

RULES = """
groups:
- name: alerts
  rules:
  - alert: Down
    expr: up == 0
    for: 3m
    keep_firing_for: 3m
    labels: {severity: page}
    annotations:
      summary: '{{ $labels.instance }} in {{ $externalLabels.cluster }}, {{ with query "job:up:sum" }}{{ . | first | value }}{{ end }} up'
- name: records
  labels: {team: x}
  rules:
  - record: job:up:sum
    expr: sum by (job) (up)
"""  # noqa: E501 - a line of YAML

HEAD = """
rule_files: ["*les.yml"]
group_eval_order: [records, alerts]
tests:
- name: down
  external_labels: {cluster: c1}
  input_series:
  - series: up{job="a", instance="i1"}
    values: 1 1 0x9 1x5
  - series: up{job="a", instance="i2"}
    values: 1x20
"""

FIRING = """
    exp_alerts:
    - exp_labels: {severity: page, instance: i1, job: a}
      exp_annotations: {summary: "i1 in c1, 1 up"}
"""


def verdict(folder: Path, cases: str, rules: str = RULES, head: str = HEAD) -> Verdict:
    (folder / "rules.yml").write_text(rules)
    (folder / "tests.yml").write_text(head + cases)
    (only,) = run_tests([folder / "tests.yml"])
    return only


def lines(made: Verdict) -> list[str]:
    return [line for failure in made.failures for line in failure_lines(failure)]


@pytest.mark.parametrize(("minute", "fires"), [(4, False), (5, True), (11, True), (13, True), (14, True), (15, False)])
def test_an_alert_fires_after_its_duration_and_as_long_as_it_is_kept(tmp_path: Path, minute: int, fires: bool) -> None:
    case = f"  alert_rule_test:\n  - eval_time: {minute}m\n    alertname: Down\n{FIRING if fires else ''}"
    assert lines(verdict(tmp_path, case)) == []


@pytest.mark.parametrize(
    ("expr", "minute", "samples"),
    [
        ("job:up:sum", 4, [('job:up:sum{job="a", team="x"}', 1)]),
        ("ALERTS", 2, [('ALERTS{alertname="Down", alertstate="pending", severity="page", instance="i1", job="a"}', 1)]),
        ("ALERTS", 6, [('ALERTS{alertname="Down", alertstate="firing", severity="page", instance="i1", job="a"}', 1)]),
        ("ALERTS_FOR_STATE", 3, [('ALERTS_FOR_STATE{alertname="Down", severity="page", instance="i1", job="a"}', 120)]),
        ("ALERTS", 15, []),
        ("1 + 1", 0, [("{}", 2)]),
    ],
)
def test_queries_see_what_went_in_and_what_rules_made(
    tmp_path: Path, expr: str, minute: int, samples: list[tuple[str, int]]
) -> None:
    expected = json.dumps([{"labels": labels, "value": value} for labels, value in samples])
    case = f"  promql_expr_test:\n  - expr: {expr}\n    eval_time: {minute}m\n    exp_samples: {expected}\n"
    assert lines(verdict(tmp_path, case)) == []


def test_what_differs_is_shown(tmp_path: Path) -> None:
    case = f"  alert_rule_test:\n  - eval_time: 6m\n    alertname: Down\n{FIRING.replace('1 up', '2 up')}"
    made = verdict(tmp_path, case + "  promql_expr_test:\n  - {expr: count(up), exp_samples: [{value: 2}]}\n")
    labels = '{alertname="Down", instance="i1", job="a", severity="page"}'
    assert lines(made) == [
        "alert Down at 6m:",
        f'  - {labels} {{summary="i1 in c1, 2 up"}}',
        f'  + {labels} {{summary="i1 in c1, 1 up"}}',
    ]


def test_samples_that_differ_are_shown(tmp_path: Path) -> None:
    case = "  promql_expr_test:\n  - {expr: count(up), exp_samples: [{value: 3}]}\n  - {expr: 'up{', eval_time: 1m}\n"
    assert lines(verdict(tmp_path, case)) == [
        "expr count(up) at 0s:",
        "  - {} 3",
        "  + {} 2",
        "expr up{ at 1m:",
        "    1:4: parse error: unexpected end of input inside braces",
    ]


def test_a_number_may_differ_in_its_last_bit_where_the_file_says_so(tmp_path: Path) -> None:
    case = "  promql_expr_test:\n  - {expr: 0.1 + 0.2, exp_samples: [{value: 0.3}]}\n"
    assert not verdict(tmp_path, case).passed
    assert verdict(tmp_path, case, head="fuzzy_compare: true" + HEAD).passed


def test_a_rule_that_cannot_be_evaluated_fails_the_test(tmp_path: Path) -> None:
    rules = (
        'groups: [{name: g, rules: [{record: r, expr: "label_replace(up, \\"instance\\", \\"\\", \\"\\", \\"\\")"}]}]'
    )
    made = verdict(tmp_path, "  promql_expr_test:\n  - {expr: up}\n", rules)
    assert lines(made) == ["rule r at 0s:", "    vector cannot contain metrics with the same labelset"]


def test_a_series_that_a_rule_no_longer_records_ends_at_once(tmp_path: Path) -> None:
    rules = "groups: [{name: g, rules: [{record: r, expr: up == 0}]}]"
    case = "  promql_expr_test:\n  - {expr: r, eval_time: 12m}\n  - {expr: r, eval_time: 11m}\n"
    made = verdict(tmp_path, case, rules)
    assert [failure.at_ms for failure in made.failures] == [660_000]


def test_an_offset_of_a_group_looks_at_the_past(tmp_path: Path) -> None:
    rules = "groups: [{name: g, query_offset: 2m, rules: [{record: r, expr: up == 0}]}]"
    case = "  promql_expr_test:\n  - {expr: count(r offset 2m), eval_time: 4m, exp_samples: [{value: 1}]}\n"
    assert lines(verdict(tmp_path, case, rules)) == []


def test_a_test_may_last_for_weeks(tmp_path: Path) -> None:
    head = "rule_files: [rules.yml]\nevaluation_interval: 1d\n"
    case = (
        "tests: [{interval: 1d, input_series: [{series: up, values: 1x99}], promql_expr_test: [{expr: r, eval_time: 99d"
    )
    rules = "groups: [{name: g, rules: [{record: r, expr: 'sum_over_time(up[30d])'}]}]"
    assert lines(verdict(tmp_path, case + ", exp_samples: [{labels: r, value: 30}]}]}]", rules, head)) == []


def test_files_with_problems_are_not_tested(tmp_path: Path) -> None:
    made = verdict(tmp_path, "", rules="groups: [{name: g, rules: [{}]}]")
    assert not made.passed
    assert {problem.file for problem in made.problems} == {str(tmp_path / "rules.yml")}
    (tmp_path / "tests.yml").write_text("rule_files: [none.yml]")
    (only,) = run_tests([tmp_path / "tests.yml"])
    assert "none.yml: The file cannot be read: No such file or directory." in str(only.problems[0])
    (only,) = run_tests([tmp_path / "missing.yml"])
    assert not only.passed
    (tmp_path / "tests.yml").write_text("tests: [{interval: x}]")
    (only,) = run_tests([tmp_path / "tests.yml"])
    assert str(only.problems[0]).endswith(
        "tests.yml:1:20: tests[0].interval: 'x' is not a duration; write it like 30s, 5m, 1h30m or 7d."
    )


def test_tests_are_chosen_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "tests.yml").write_text("tests: [{name: disks}, {name: network}, {}]")
    assert [each.name for each in run_tests([tmp_path / "tests.yml"])] == ["disks", "network", "test 3"]
    assert [each.name for each in run_tests([tmp_path / "tests.yml"], "^net")] == ["network"]
    with pytest.raises(UserError, match="is not a regular expression"):
        run_tests([tmp_path / "tests.yml"], "(")


def test_a_rule_file_is_checked(tmp_path: Path) -> None:
    (tmp_path / "good.yml").write_text(RULES)
    (tmp_path / "latin.yml").write_bytes(b"# caf\xe9")
    good, latin = check_files([tmp_path / "good.yml", tmp_path / "latin.yml"])
    assert (good.rules, good.problems) == (2, ())
    assert "not UTF-8 text: byte 5" in str(latin.problems[0])


def test_rules_that_hide_one_another_are_warned_of(tmp_path: Path) -> None:
    rule = "  - {alert: A, expr: up, labels: {s: %s}}\n"
    (tmp_path / "r.yml").write_text("groups:\n- name: g\n  rules:\n" + "".join(rule % each for each in "xyx"))
    (checked,) = check_files([tmp_path / "r.yml"])
    assert checked.problems == ()
    told = "group 'g', rule 'A': There is a rule of this name with the same labels in line 4 already."
    assert [str(each) for each in checked.warnings] == [f"{tmp_path / 'r.yml'}:6:5: {told}"]


def test_saved_rules_become_a_file_that_reads_back() -> None:
    saved = {
        "name": "High CPU Usage",
        "expr": '{"system.cpu.usage", host="a"} > 80',
        "duration": 300.0,
        "severity": "warning",
        "description": "Look at {{ top }}.",
    }
    rules = [saved | {"enabled": True}, saved | {"enabled": False}]
    (group,) = load(exported(rules), "r.yml").checked()
    assert group.rules == (
        AlertingRule(
            "High CPU Usage",
            '{"system.cpu.usage", host="a"} > 80',
            for_ms=300_000,
            labels=(("severity", "warning"),),
            annotations=(("description", 'Look at {{ "{{" }} top }}.'),),
        ),
    )
    assert expand("A", group.rules[0].annotations[0][1], AlertData({}, 1.0), 0, {}) == "Look at {{ top }}."


@pytest.mark.process
def test_the_commands_say_how_it_went(tmp_path: Path) -> None:
    def tocsin(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tocsin.app", "rules", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)

    (tmp_path / "rules.yml").write_text(RULES)
    (tmp_path / "bad.yml").write_text("groups: [{}]")
    (tmp_path / "tests.yml").write_text(HEAD)
    (tmp_path / "wrong.yml").write_text(HEAD + "  promql_expr_test: [{expr: 1}]")
    good, bad = tocsin("check", "rules.yml"), tocsin("check", "rules.yml", "bad.yml")
    assert (good.returncode, good.stdout) == (0, "Checking rules.yml\n  SUCCESS: 2 rules found\n")
    assert (bad.returncode, "bad.yml:1:10: Give the group a name." in bad.stdout) == (1, True)
    good, bad = tocsin("test", "tests.yml"), tocsin("test", "tests.yml", "wrong.yml")
    assert (good.returncode, good.stdout) == (0, "Unit testing tests.yml\n  SUCCESS: 1 tests\n")
    assert (bad.returncode, "  FAILED: down\n    expr 1 at 0s:\n      + {} 1\n" in bad.stdout) == (1, True)
    told = json.loads(tocsin("test", "wrong.yml", "--json").stdout)["items"]
    assert [(each["passed"], each["failures"][0]["unexpected"]) for each in told] == [(False, ["{} 1"])]
    assert tocsin("test").returncode == 2
