import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.model.errors import UserError
from tocsin.model.rule_group import AlertingRule, GroupRule, RecordingRule, RuleGroup
from tocsin.rules.dump import dump
from tocsin.rules.load import load

WHOLE = """
groups:
  - name: node
    interval: 30s
    query_offset: 1m
    limit: 10
    labels: {team: infra}
    rules:
      - record: job:up:sum
        expr: sum by (job) (up)
        labels:
          kind: total
      - alert: InstanceDown
        expr: |
          up == 0
        for: 5m
        keep_firing_for: 1h30m
        labels: {severity: page, level: 1}
        annotations:
          summary: '{{ $labels.instance }} is down'
  - name: empty
"""


def problems(text: str) -> list[str]:
    return [str(problem) for problem in load(text, "r.yml").problems]


def test_a_file_becomes_its_groups() -> None:
    assert load(WHOLE, "r.yml").checked() == (
        RuleGroup(
            name="node",
            interval_ms=30_000,
            query_offset_ms=60_000,
            limit=10,
            labels=(("team", "infra"),),
            rules=(
                RecordingRule("job:up:sum", "sum by (job) (up)", (("kind", "total"),)),
                AlertingRule(
                    "InstanceDown",
                    "up == 0\n",
                    for_ms=300_000,
                    keep_firing_for_ms=5_400_000,
                    labels=(("severity", "page"), ("level", "1")),
                    annotations=(("summary", "{{ $labels.instance }} is down"),),
                ),
            ),
            file="r.yml",
        ),
        RuleGroup(name="empty", file="r.yml"),
    )


def test_each_rule_knows_its_line() -> None:
    assert [rule.place.line for rule in load(WHOLE, "r.yml").groups[0].rules] == [9, 13]


def test_json_is_yaml_and_nothing_is_a_file_without_groups() -> None:
    text = '{"groups": [{"name": "a", "rules": [{"record": "b", "expr": "1"}]}]}'
    assert load(text, "r.json").checked()[0].rules == (RecordingRule("b", "1"),)
    assert load("", "r.yml").checked() == ()


def test_names_may_be_any_text() -> None:
    text = 'groups: [{name: a, rules: [{record: grüße.total, expr: \'{"a.b"}\', labels: {"service.name": x}}]}]'
    assert load(text, "r.yml").checked()[0].rules[0].name == "grüße.total"


def test_every_problem_of_a_file_is_told_with_its_place() -> None:
    text = """
groups:
- name: disks
  intervall: 5m
  interval: 60
  rules:
  - alert: Full
    record: x
    expr: |
      sum by (job) (
        rate(x[5m])
      ) +
    for: 1.5h
    labels: [a]
    annotations:
      summary: "{{ $labels.instance }} {{ nope }}"
      text: |
        one
        two {{ if }}
  - expr: up
  - record: a{b}
    expr: >-
      up[5m]
    for: 1m
    labels: {__name__: x, y: [1]}
  - alert: E
  - 7
- name: disks
  limit: -1
  rules: {}
- rules: []
foo: 1
"""
    disks, full, braces = "group 'disks'", "group 'disks', rule 'x'", "group 'disks', rule 'a{b}'"
    assert problems(text) == [
        "r.yml:4:3: There is no key 'intervall' here; did you mean interval?",
        f"r.yml:5:13: {disks}: interval: '60' is not a duration; write it like 30s, 5m or 1h30m.",
        f"r.yml:7:5: {full}: A rule either records or alerts: leave out `record` or `alert`.",
        f"r.yml:12:10: {full}: expr: parse error: unexpected end of input",
        f"r.yml:13:10: {full}: for: '1.5h' is not a duration; write it like 30s, 5m or 1h30m.",
        f"r.yml:14:13: {full}: labels: This must be a map of names and values, and is a list.",
        f'r.yml:16:43: {full}: annotations.summary: The template cannot be parsed: function "nope" not defined.',
        f"r.yml:19:19: {full}: annotations.text: The template cannot be parsed: missing value for if.",
        f"r.yml:20:5: {disks}: Say what the rule records (`record: NAME`) or raises (`alert: NAME`).",
        f"r.yml:21:13: {braces}: A metric's name has no braces; should this stand in `expr`, or under `labels`?",
        f"r.yml:22:11: {braces}: expr: A matrix cannot be alerted on or recorded: the expression must give a vector.",
        f"r.yml:24:5: {braces}: A rule that records has no `for`.",
        f"r.yml:25:14: {braces}: labels.__name__: __name__ is the metric's name, which no label of a rule can be.",
        f"r.yml:25:30: {braces}: labels.y: This must be text, and is a list.",
        "r.yml:26:5: group 'disks', rule 'E': Give the rule an expression in `expr`.",
        f"r.yml:27:5: {disks}: This must be a map, and is '7'.",
        f"r.yml:28:3: {disks}: name: There is a group of this name in line 3 already.",
        f"r.yml:29:10: {disks}: limit: This must be a whole number from 0, and is '-1'.",
        f"r.yml:30:10: {disks}: This must be a list, and is a map.",
        "r.yml:31:3: Give the group a name.",
        "r.yml:32:1: There is no key 'foo' here; there are groups.",
    ]


@pytest.mark.parametrize("expr", ["up +* 1", '"up{a=\\"b\\"} +* 1"', "'up{a=''b''} +* 1'", '!!str "up +* 1"'])
def test_the_place_of_a_wrong_expression_is_that_in_the_file(expr: str) -> None:
    text = f"groups: [{{name: g, rules: [{{expr: {expr}, alert: A}}]}}]"
    column = text.index("*") + 1
    assert problems(text)[0].startswith(f"r.yml:1:{column}: group 'g', rule 'A': expr: parse error: ")


def test_what_is_no_yaml_says_where() -> None:
    assert problems("groups: [") == ["r.yml:2:1: This is not YAML: did not find expected node content."]


def test_a_resource_of_kubernetes_is_told_from_a_rule_file() -> None:
    text = "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nspec: {groups: []}"
    told = "This is a resource of Kubernetes (PrometheusRule); its rule file is what stands under `spec`."
    assert problems(text) == [f"r.yml:1:1: {told}"]


def test_a_file_without_end_is_refused() -> None:
    assert problems("#" * 1_000_001) == ["r.yml: The file is longer than 1,000,000 characters."]
    assert len(problems("groups:\n" + "- 7\n" * 1000)) == 200


def test_a_file_with_problems_has_no_checked_groups() -> None:
    with pytest.raises(UserError, match=r"r.yml:1:9: This must be a list"):
        load("groups: {}", "r.yml").checked()


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
NAMES = TEXTS.filter(lambda name: bool(name.strip()) and not set(name) & set("{}") and name != "__name__")
PAIRS = st.dictionaries(NAMES, TEXTS.filter(lambda text: "{{" not in text), max_size=3).map(lambda d: tuple(d.items()))
LENGTHS = st.integers(0, 10**10)
EXPRESSIONS = st.sampled_from(["up", "up == 0\n", "sum by (job) (\n  rate(x[5m])\n)", '{"a.b", c="d: #e"} > 1', "1"])
RULES: st.SearchStrategy[GroupRule] = st.builds(RecordingRule, NAMES, EXPRESSIONS, PAIRS) | st.builds(
    AlertingRule, NAMES, EXPRESSIONS, LENGTHS, LENGTHS, PAIRS, PAIRS
)
GROUPS = st.lists(
    st.builds(
        RuleGroup,
        NAMES,
        st.lists(RULES, max_size=3).map(tuple),
        st.none() | st.integers(1, 10**10),
        st.integers(0, 100),
        st.none() | LENGTHS,
        PAIRS,
        st.just("r.yml"),
    ),
    max_size=3,
    unique_by=lambda group: group.name,
)


@given(GROUPS)
def test_what_is_written_out_is_read_back(groups: list[RuleGroup]) -> None:
    assert load(dump(groups), "r.yml").checked() == tuple(groups)


def test_a_written_file_reads_as_people_write_it() -> None:
    assert dump(load(WHOLE, "r.yml").checked()[:1]) == (
        """groups:
- name: node
  interval: 30s
  query_offset: 1m
  limit: 10
  labels:
    team: infra
  rules:
  - record: job:up:sum
    expr: sum by (job) (up)
    labels:
      kind: total
  - alert: InstanceDown
    expr: |
      up == 0
    for: 5m
    keep_firing_for: 1h30m
    labels:
      severity: page
      level: '1'
    annotations:
      summary: '{{ $labels.instance }} is down'
"""
    )
