"""Groups of rules as the text of a rule file, which Prometheus and `load` read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

from tocsin.model.duration import format_ms
from tocsin.model.rule_group import AlertingRule, GroupRule, RuleGroup

_WIDTH = 1_000_000
"""Long lines stay whole: an expression that is folded is harder to find."""


def dump(groups: Iterable[RuleGroup]) -> str:
    """What a key has by default is left out."""
    document = {"groups": [_group(each) for each in groups]}
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)


def _group(group: RuleGroup) -> dict[str, Any]:
    written: dict[str, Any] = {"name": group.name}
    if group.interval_ms is not None:
        written["interval"] = format_ms(group.interval_ms)
    if group.query_offset_ms is not None:
        written["query_offset"] = format_ms(group.query_offset_ms)
    if group.limit:
        written["limit"] = group.limit
    if group.labels:
        written["labels"] = dict(group.labels)
    return {**written, "rules": [_rule(each) for each in group.rules]}


def _rule(rule: GroupRule) -> dict[str, Any]:
    alerts = isinstance(rule, AlertingRule)
    written: dict[str, Any] = {"alert" if alerts else "record": rule.name, "expr": rule.expr}
    if isinstance(rule, AlertingRule) and rule.for_ms:
        written["for"] = format_ms(rule.for_ms)
    if isinstance(rule, AlertingRule) and rule.keep_firing_for_ms:
        written["keep_firing_for"] = format_ms(rule.keep_firing_for_ms)
    if rule.labels:
        written["labels"] = dict(rule.labels)
    if isinstance(rule, AlertingRule) and rule.annotations:
        written["annotations"] = dict(rule.annotations)
    return written


class _Dumper(yaml.SafeDumper):
    """No aliases; text of several lines as a block."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - of PyYAML
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if text.isprintable() else '"'
    if style and text.replace("\n", "").isprintable():
        style = "|"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
