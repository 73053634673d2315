"""Which rules select a series, found without asking every rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tocsin.model.labels import Labels
from tocsin.model.matcher import MatchOp
from tocsin.model.rule import Rule
from tocsin.runtime.log import get_log

log = get_log("rules")

Pair = tuple[str, str]


@dataclass(slots=True)
class _Metric:
    """The rules of one metric: under one label pair that they demand, or with those that demand none."""

    by_pair: dict[Pair, dict[int, Rule]] = field(default_factory=dict)
    others: dict[int, Rule] = field(default_factory=dict)


class Selection:
    """Rules by metric, and within a metric by one label that must be equal.

    Ten thousand rules on one metric, one for each host, cost a series one look-up for each of its labels.
    """

    def __init__(self) -> None:
        self._metrics: dict[str, _Metric] = {}
        self._places: dict[int, tuple[str, Pair | None]] = {}

    def add(self, rule: Rule) -> None:
        metric = self._metrics.setdefault(rule.metric_name, _Metric())
        demanded = [(one.label, one.value) for one in rule.matchers if one.op is MatchOp.EQUAL and one.value]
        pair = min(demanded, key=lambda each: len(metric.by_pair.get(each, ())), default=None)
        bucket = metric.others if pair is None else metric.by_pair.setdefault(pair, {})
        bucket[rule.id] = rule
        self._places[rule.id] = rule.metric_name, pair

    def remove(self, rule_id: int) -> None:
        place = self._places.pop(rule_id, None)
        if place is None:
            return
        name, pair = place
        metric = self._metrics[name]
        if pair is None:
            del metric.others[rule_id]
        else:
            del metric.by_pair[pair][rule_id]
            if not metric.by_pair[pair]:
                del metric.by_pair[pair]
        if not metric.by_pair and not metric.others:
            del self._metrics[name]

    def select(self, labels: Labels) -> list[Rule]:
        """The rules that select this series. One that cannot be asked is logged and selects nothing."""
        metric = self._metrics.get(labels.name)
        return [rule for rule in _candidates(metric, labels) if _selects(rule, labels)] if metric else []


def _candidates(metric: _Metric, labels: Labels) -> Iterator[Rule]:
    yield from metric.others.values()
    if metric.by_pair:
        for pair in labels:
            yield from metric.by_pair.get(pair, {}).values()


def _selects(rule: Rule, labels: Labels) -> bool:
    try:
        return rule.selects(labels)
    except Exception:  # a rule that cannot be asked must not stop the others
        log.exception("rule cannot be matched against a series", rule_id=rule.id, rule=rule.name)
        return False
