"""What a recording rule stores of what its expression gave; pure."""

from __future__ import annotations

from collections.abc import Sequence

from tocsin.model.labels import METRIC_NAME, Labels
from tocsin.model.rule_group import Pairs, RecordingRule
from tocsin.rules.alerting import RuleError
from tocsin.rules.answers import Row


def recorded(rule: RecordingRule, labels: Pairs, rows: Sequence[Row], limit: int = 0) -> list[Row]:
    """The rows under the rule's name, with `labels` (the group's and its own) over theirs.

    Raises RuleError where two series would be one, or there are more than `limit` (0 is none).
    """
    made = [(Labels.of({**dict(each.pairs), **dict(labels), METRIC_NAME: rule.record}), value) for each, value in rows]
    if len({each for each, _ in made}) < len(made):
        raise RuleError("vector contains metrics with the same labelset after applying rule labels")
    if limit and len(made) > limit:
        raise RuleError(f"exceeded limit of {limit} with {len(made)} series")
    return made
