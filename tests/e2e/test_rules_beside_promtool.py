"""Random rules and templates: what we make of them, Debian's promtool must find right.

Series are 47 s apart, so that no sample is on the edge of a window: Prometheus 3 leaves out the left edge, Debian's,
which is 2.42, does not.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tocsin.app.rule_files import run_tests
from tocsin.model.templates.errors import TemplateError
from tocsin.model.templates.expand import AlertData, expand, parse_template
from tocsin.model.templates.values import TemplateSample

pytestmark = pytest.mark.process

MINUTES = 20
VALUES = ["0", "1", "0x2", "1x1", "_", "stale", "0x3", "_x2", "2", "1+1x2"]
EXPRESSIONS = [
    "m == 0", "m > 0", 'absent(m{i="0"})', "sum by (j) (m) > 1", "m and on (j) rec > 1", "other", "m or c > 1",
    "count_over_time(m[150s]) > 2", "max_over_time(c[4m]) > 1 unless m", "ALERTS{alertname='A0'}",
]  # fmt: skip


def promtool(folder: Path, *arguments: str) -> tuple[bool, str]:
    ran = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60, check=False, cwd=folder)
    return ran.returncode == 0, ran.stdout + ran.stderr


def write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))  # JSON is YAML


def alerting(chance: random.Random, number: int) -> dict[str, Any]:
    rule: dict[str, Any] = {"alert": f"A{number}", "expr": chance.choice(EXPRESSIONS)}
    for key in ("for", "keep_firing_for"):
        if chance.random() < 0.6:
            rule[key] = f"{chance.randint(0, 4)}m"
    return rule | {"labels": chance.choice([{}, {"s": "x"}, {"j": ""}, {"v": "{{ $value | humanize }}"}])}


def world(chance: random.Random) -> tuple[dict[str, Any], dict[str, Any]]:
    """A rule file, and a file of tests that expects nothing."""
    labels = chance.choice([{}, {"k": "{{ 1 }}"}])
    records = [
        {"record": "rec", "expr": "sum by (j) (m)"},
        {"record": "other", "expr": chance.choice(["rec > 1", "count by (i) (m) > 0", "m == 0"]), "labels": labels},
    ]
    alerts = [alerting(chance, number) for number in range(4)]
    groups = [{"name": "records", "rules": records}, {"name": "alerts", "rules": alerts}]
    series = [
        {"series": f'{name}{{i="{i}",j="{j}"}}', "values": " ".join(["_", *chance.choices(VALUES, k=10)])}
        for name in "mc"
        for i in range(2)
        for j in range(2)
    ]
    cases = [
        {"expr": expr, "eval_time": f"{minute}m"}
        for minute in range(MINUTES)
        for expr in ("ALERTS", "ALERTS_FOR_STATE", "rec", "other")
    ]
    order = chance.choice([["records", "alerts"], ["alerts", "records"]])
    test = {"interval": "47s", "input_series": series, "promql_expr_test": cases}
    return {"groups": groups}, {"rule_files": ["rules.yml"], "group_eval_order": order, "tests": [test]}


@pytest.mark.parametrize("seed", range(12))
def test_promtool_finds_the_same_series_and_alerts(tmp_path: Path, seed: int) -> None:
    rules, suite = world(random.Random(seed))
    write(tmp_path / "rules.yml", rules)
    write(tmp_path / "tests.yml", suite)
    (made,) = run_tests([tmp_path / "tests.yml"], "")
    assert not made.problems
    cases = {(case["expr"], case["eval_time"]): case for case in suite["tests"][0]["promql_expr_test"]}
    if made.failures and made.failures[0].rule:  # two of its series became one: theirs fail at the same rule then
        right, said = promtool(tmp_path, "test", "rules", "tests.yml")
        assert not right
        assert all(f"rule: {failure.rule}, time: " in said for failure in made.failures)
        return
    for failure in made.failures:
        samples = [text.rpartition(" ") for text in failure.unexpected]
        cases[failure.expr, f"{failure.at_ms // 60_000}m"]["exp_samples"] = [
            {"labels": labels, "value": float(value)} for labels, _, value in samples
        ]
    write(tmp_path / "tests.yml", suite)
    right, said = promtool(tmp_path, "test", "rules", "tests.yml")
    assert right, said
    assert any("exp_samples" in case for case in cases.values())


OPERANDS = [
    "$value", "$labels", "$labels.job", ".Labels", ".Value", "1", "1.5", "-3", "0x10", '"a"', '"b.c:90"', "`x y`",
    "'c'", "true", "false", '""', "0", "1e3", "$labels.nope", "$externalLabels", '"%v"', '"%5.2f"', '"%d"', '"%s|%q"',
    "1_000", "07", '(len "abc")', "1e20", "123456789", "0.1", "-0.0", '(query "up" | first)', '(query "up" | len)',
]  # fmt: skip
FUNCTIONS = [
    "print", "println", "printf", "len", "index", "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "not", "humanize",
    "humanize1024", "humanizeDuration", "humanizePercentage", "humanizeTimestamp", "toTime", "title", "toUpper",
    "toLower", "match", "reReplaceAll", "stripPort", "stripDomain", "value", "label", "args", "html", "js", "urlquery",
    "slice", "parseDuration", "safeHtml", "graphLink", "tableLink",
]  # fmt: skip


class Templates:
    """Random ones, more wrong than right."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    def body(self, depth: int = 2) -> str:
        pick = self._chance.choice
        return "".join(pick([" text ", "\n", self._action(depth)]) for _ in range(pick([1, 2, 3])))

    def _action(self, depth: int) -> str:
        pick = self._chance.choice
        left, right = pick(["{{", "{{ ", "{{- "]), pick(["}}", " }}", " -}}"])
        if depth and pick([True, False]):
            word = pick(["if", "with", "with $x :=", "range $i, $x :=", "range"])
            over = pick(['query "up"', "$labels"]) if word.startswith("range") else self._pipe(1)
            otherwise = pick(["", "{{else}}" + self.body(depth - 1)])
            return f"{left}{word} {over}{right}{self.body(depth - 1)}{otherwise}{{{{end}}}}"
        return f"{left}{self._pipe(2)}{right}"

    def _pipe(self, depth: int) -> str:
        return " | ".join(self._command(depth) for _ in range(self._chance.choice([1, 1, 1, 2])))

    def _command(self, depth: int) -> str:
        pick = self._chance.choice
        if pick([True, True, False]):
            return " ".join([pick(FUNCTIONS), *(self._operand(depth) for _ in range(pick([0, 1, 1, 1, 2, 3])))])
        return self._operand(depth)

    def _operand(self, depth: int) -> str:
        return f"({self._pipe(depth - 1)})" if depth and self._chance.random() < 0.25 else self._chance.choice(OPERANDS)


def parses(text: str) -> bool:
    try:
        parse_template(text)
    except TemplateError:
        return False
    return True


ODD = [
    "", "{{", "}}", "{{ }}", "{{end}}", "{{else}}", "{{/* x */}}", "{{- /* x */ -}}", "{{/* x */ }}", "{{ nope }}",
    "{{ $no }}", "{{ 1 | 2 }}", "{{ (1 }}", "{{ 1) }}", '{{ "a }}', "{{ if 1 }}", "{{ break }}", "{{-3}}", "{{ .. }}",
    "{{range 1}}{{break}}{{end}}", '{{define "t"}}{{end}}', '{{if 1}}{{define "t"}}{{end}}{{end}}', '{{template "t"}}',
    "{{ print 1 2 }}", "{{ .a.b }}", '{{ "\\z" }}', "{{ 1.2.3 }}", "{{ $labels.job.x }}", "{{ (print 1).x }}",
    "{{ $x := 1 }}{{ $x }}",
]  # fmt: skip


def test_promtool_parses_the_same_templates(tmp_path: Path) -> None:
    templates = Templates(0)
    texts = {f"t{number}": templates.body() + odd for number, odd in enumerate(ODD * 20)}
    rule = {"alert": "A", "expr": "up", "annotations": texts}
    write(tmp_path / "rules.yml", {"groups": [{"name": "g", "rules": [rule]}]})
    _, said = promtool(tmp_path, "check", "rules", "rules.yml")
    refused = set(re.findall(r'annotation "(t\d+)": template: ', said))
    assert refused == {name for name, text in texts.items() if not parses(text)}


@pytest.mark.parametrize("seed", range(4))
def test_promtool_fills_in_the_same_text(tmp_path: Path, seed: int) -> None:
    templates = Templates(seed)
    texts = {f"t{number}": text for number in range(300) if parses(text := templates.body())}
    labels = {"__name__": "up", "job": "a", "x": "y"}
    answers = {"up": (TemplateSample(labels, 2.0),)}
    made = {name: str(expand("A", text, AlertData(labels, 2.0), 60_000, answers)) for name, text in texts.items()}
    right = {name: text for name, text in made.items() if not text.startswith("<error")}
    assert len(right) > 30
    rule = {"alert": "A", "expr": "up > 0", "annotations": {name: texts[name] for name in right}}
    write(tmp_path / "rules.yml", {"groups": [{"name": "g", "rules": [rule]}]})
    expected = {"exp_labels": {"job": "a", "x": "y"}, "exp_annotations": right}
    case = {"eval_time": "1m", "alertname": "A", "exp_alerts": [expected]}
    test = {
        "interval": "1m",
        "input_series": [{"series": 'up{job="a",x="y"}', "values": "1 2"}],
        "alert_rule_test": [case],
    }
    write(tmp_path / "tests.yml", {"rule_files": ["rules.yml"], "tests": [test]})
    agrees, said = promtool(tmp_path, "test", "rules", "tests.yml")
    assert agrees, said
