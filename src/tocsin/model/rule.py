"""Rules: what is wrong, for how long, and how bad that is."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from tocsin.model.duration import DAY_MS
from tocsin.model.errors import UserError
from tocsin.model.labels import METRIC_NAME, Labels
from tocsin.model.matcher import Matcher, matches_all


class Condition(StrEnum):
    ABOVE = ">"
    AT_LEAST = ">="
    BELOW = "<"
    AT_MOST = "<="
    EQUAL = "=="
    NOT_EQUAL = "!="

    def holds(self, value: float, threshold: float) -> bool:
        """IEEE comparison: NaN meets no condition but `!=`, and a reading of NaN is no reading."""
        return not math.isnan(value) and _COMPARE[self](value, threshold)


_COMPARE: dict[Condition, Callable[[float, float], bool]] = {
    Condition.ABOVE: operator.gt,
    Condition.AT_LEAST: operator.ge,
    Condition.BELOW: operator.lt,
    Condition.AT_MOST: operator.le,
    Condition.EQUAL: operator.eq,
    Condition.NOT_EQUAL: operator.ne,
}


class Severity(StrEnum):
    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"

    @property
    def colour(self) -> str:
        return _COLOURS[self]

    @property
    def repeat_ms(self) -> int:
        """How often a firing, unacknowledged alert is announced again, unless settings say otherwise."""
        return _REPEAT_MS[self]


_COLOURS = {Severity.CRITICAL: "#FF0000", Severity.WARNING: "#FFA500", Severity.INFO: "#0000FF"}
_REPEAT_MS = {Severity.CRITICAL: 300_000, Severity.WARNING: 1_800_000, Severity.INFO: 3_600_000}

NAME_CHARS_MAX = 255
DURATION_MS_MAX = 365 * DAY_MS


@dataclass(frozen=True, slots=True)
class Rule:
    """A threshold on every series of one metric that fits the matchers. `id` 0 means not yet saved.

    The condition must hold for `duration_ms` without a break before an alert fires. `template_key`
    names the default alert that the rule came from. `version` rises with each change.
    """

    id: int
    name: str
    metric_name: str
    condition: Condition
    threshold: float
    duration_ms: int = 0
    severity: Severity = Severity.WARNING
    matchers: tuple[Matcher, ...] = ()
    enabled: bool = True
    description: str = ""
    template_key: str = ""
    version: int = 1
    created_at_ms: int = 0
    updated_at_ms: int = 0

    def selects(self, labels: Labels) -> bool:
        return labels.name == self.metric_name and matches_all(self.matchers, labels)

    def expression(self) -> str:
        """The rule as PromQL."""
        name = self.metric_name
        inner = [str(matcher) for matcher in self.matchers]
        plain = name.replace("_", "a").replace(":", "a").isalnum() and name.isascii() and not name[0].isdigit()
        selector = f"{name}{{{', '.join(inner)}}}" if plain and inner else name
        if not plain:
            selector = "{" + ", ".join([f'"{name}"', *inner]) + "}"
        return f"{selector} {self.condition.value} {self.threshold:g}"


def check_rule(rule: Rule) -> Rule:
    """The rule itself, if it makes sense. Raises UserError that names the field."""
    if not rule.name.strip():
        raise UserError("Give the rule a name.", field="name")
    if len(rule.name) > NAME_CHARS_MAX:
        raise UserError(f"The name is longer than {NAME_CHARS_MAX} characters.", field="name")
    if not rule.metric_name.strip():
        raise UserError("Say which metric the rule watches.", field="metric_name")
    if len(rule.metric_name) > NAME_CHARS_MAX:
        raise UserError(f"The metric's name is longer than {NAME_CHARS_MAX} characters.", field="metric_name")
    if not math.isfinite(rule.threshold):
        raise UserError("The threshold must be a finite number.", field="threshold")
    if not 0 <= rule.duration_ms <= DURATION_MS_MAX:
        raise UserError("The duration must be between 0 seconds and 365 days.", field="duration")
    if any(matcher.label == METRIC_NAME for matcher in rule.matchers):
        raise UserError("Name the metric in metric_name, not in the tags.", field="tags")
    return rule
