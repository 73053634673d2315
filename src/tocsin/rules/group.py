"""A group as it is evaluated: what each rule is called, which may be asked together, and when; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from tocsin.model.labels import METRIC_NAME, Labels
from tocsin.model.matcher import Matcher
from tocsin.model.rule import Rule, Severity
from tocsin.model.rule_group import AlertingRule, GroupRule, Pairs, RecordingRule, RuleGroup
from tocsin.promql.ast import Selector, walk
from tocsin.promql.engine import parsed
from tocsin.rules.alerting import ALERTS, ALERTS_FOR_STATE

SAVED = "rules"
"""The group of the rules that people make one by one; it is in no file."""

SEVERITY = "severity"
DESCRIPTION = "description"
_SEVERITIES = {each.value: each for each in Severity}


@dataclass(frozen=True, slots=True)
class PlacedRule:
    """A rule of a group. `labels` are the group's and its own.

    `key` is the same as long as the rule is, also when its expression changes: its open alerts are found by it.
    `rule_id` is that of a rule that was saved by itself.
    """

    key: str
    rule: GroupRule
    labels: Pairs = ()
    rule_id: int | None = None


@dataclass(frozen=True, slots=True)
class PlacedGroup:
    """`stages` are runs of rules, by their places, none of which reads what another of the same run writes."""

    group: RuleGroup
    rules: tuple[PlacedRule, ...]
    interval_ms: int
    query_offset_ms: int
    offset_ms: int
    stages: tuple[tuple[int, ...], ...]

    @property
    def key(self) -> tuple[str, str]:
        return self.group.file, self.group.name

    def last_ms(self, at_ms: int) -> int:
        """The group's newest moment up to then: the same after every restart."""
        return (at_ms - self.offset_ms) // self.interval_ms * self.interval_ms + self.offset_ms


def placed(group: RuleGroup, rules: Sequence[PlacedRule], *, interval_ms: int, query_offset_ms: int) -> PlacedGroup:
    """With the server's interval and offset where the group has none. The expressions are known to parse."""
    interval = group.interval_ms or interval_ms
    offset = group.query_offset_ms if group.query_offset_ms is not None else query_offset_ms
    return PlacedGroup(
        group, tuple(rules), interval, offset, moment_ms(group, interval), stages([each.rule for each in rules])
    )


def moment_ms(group: RuleGroup, interval_ms: int) -> int:
    """Where in its interval a group is evaluated, so that not all are at once."""
    digest = blake2b(f"{group.file}\0{group.name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") % interval_ms


def rules_of(group: RuleGroup) -> tuple[PlacedRule, ...]:
    """The rules of a group in a file. Namesakes are told apart by their order."""
    seen: Counter[str] = Counter()
    made: list[PlacedRule] = []
    for rule in group.rules:
        seen[rule.name] += 1
        key = f"{source_of(group.file)}{group.name}\n{rule.name}\n{seen[rule.name]}"
        made.append(PlacedRule(key, rule, group.labels_of(rule)))
    return tuple(made)


def source_of(file: str) -> str:
    """What the keys of a file's rules begin with."""
    return f"{file}\n"


def saved_key(rule_id: int) -> str:
    """The key of a rule that was saved by itself."""
    return f"#{rule_id}"


def group_of_saved(rules: Iterable[Rule]) -> tuple[RuleGroup, tuple[PlacedRule, ...]]:
    """Rules that are expressions, one group of them."""
    made = tuple(map(_saved, rules))
    return RuleGroup(SAVED, tuple(each.rule for each in made)), made


def _saved(rule: Rule) -> PlacedRule:
    labels: Pairs = ((SEVERITY, rule.severity.value),)
    annotations: Pairs = ((DESCRIPTION, rule.description),) if rule.description else ()
    alerting = AlertingRule(rule.name, rule.expr, rule.duration_ms, labels=labels, annotations=annotations)
    return PlacedRule(saved_key(rule.id), alerting, labels, rule.id)


def severity_of(labels: Labels) -> Severity:
    """By the label that everybody uses for it; a word that is none of ours is a warning."""
    word = labels.get(SEVERITY).lower()
    return _SEVERITIES.get(word, Severity.WARNING)


def stages(rules: Sequence[GroupRule]) -> tuple[tuple[int, ...], ...]:
    """Rules in order, cut where one reads what an earlier one since the last cut writes."""
    made: list[list[int]] = []
    written: set[str] = set()
    for at, rule in enumerate(rules):
        if not made or _reads(rule, written):
            made.append([])
            written = set()
        made[-1].append(at)
        written |= {rule.record} if isinstance(rule, RecordingRule) else {ALERTS, ALERTS_FOR_STATE}
    return tuple(map(tuple, made))


def _reads(rule: GroupRule, written: set[str]) -> bool:
    selectors = [node.matchers for node in walk(parsed(rule.expr)) if isinstance(node, Selector)]
    return any(_fits(matchers, name) for matchers in selectors for name in written)


def _fits(matchers: Sequence[Matcher], name: str) -> bool:
    """Whether a series of that name may be among what is selected."""
    return all(matcher.matches_value(name) for matcher in matchers if matcher.label == METRIC_NAME)
