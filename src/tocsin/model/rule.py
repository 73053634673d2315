"""Rules: what is wrong, for how long, and how bad that is."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from tocsin.model.duration import DAY_MS
from tocsin.model.errors import UserError
from tocsin.model.labels import METRIC_NAME, Labels, quote
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

# A metric's name that PromQL reads without quotes; some of its words would be taken for something else.
_PLAIN_METRIC = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
_WORDS = frozenset(
    ("anchored", "atan2", "bool", "group_left", "group_right", "ignoring", "inf", "nan", "on", "smoothed")
)

NAME_CHARS_MAX = 255
DURATION_MS_MAX = 365 * DAY_MS
EXPR_CHARS_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Rule:
    """A threshold on every series of one metric that fits the matchers. `id` 0 means not yet saved.

    Or, where `expr` is given, a PromQL expression: each series that it gives is an alert, and metric_name, condition,
    threshold and matchers say nothing.

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
    expr: str = ""

    def selects(self, labels: Labels) -> bool:
        return labels.name == self.metric_name and matches_all(self.matchers, labels)

    def expression(self) -> str:
        """The rule as PromQL, with the name in quotes within the braces where it needs them (Prometheus 3)."""
        if self.expr:
            return self.expr
        name = self.metric_name
        plain = _PLAIN_METRIC.fullmatch(name) is not None and name.lower() not in _WORDS
        inner = [str(matcher) for matcher in self.matchers]
        if not plain:
            inner.insert(0, quote(name))
        braces = f"{{{', '.join(inner)}}}" if inner else ""
        return f"{name if plain else ''}{braces} {self.condition.value} {exact(self.threshold)}"


def exact(number: float) -> str:
    """The shortest text that reads back as the same float64: `80`, `0.1`, `123456789`, `1e+300`."""
    return repr(float(number)).removesuffix(".0")


def check_rule(rule: Rule) -> Rule:
    """The rule itself, if it makes sense. Raises UserError that names the field."""
    if not rule.name.strip():
        raise UserError("Give the rule a name.", field="name")
    if len(rule.name) > NAME_CHARS_MAX:
        raise UserError(f"The name is longer than {NAME_CHARS_MAX} characters.", field="name")
    if not 0 <= rule.duration_ms <= DURATION_MS_MAX:
        raise UserError("The duration must be between 0 seconds and 365 days.", field="duration")
    if not rule.expr:
        _check_threshold(rule)
    elif len(rule.expr) > EXPR_CHARS_MAX:
        raise UserError(f"The expression is longer than {EXPR_CHARS_MAX:,} characters.", field="expr")
    elif rule.metric_name or rule.matchers:
        raise UserError("Give either an expression or a metric with a threshold, not both.", field="expr")
    return rule


def _check_threshold(rule: Rule) -> None:
    if not rule.metric_name.strip():
        raise UserError("Say which metric the rule watches.", field="metric_name")
    if len(rule.metric_name) > NAME_CHARS_MAX:
        raise UserError(f"The metric's name is longer than {NAME_CHARS_MAX} characters.", field="metric_name")
    if not math.isfinite(rule.threshold):
        raise UserError("The threshold must be a finite number.", field="threshold")
    if any(matcher.label == METRIC_NAME for matcher in rule.matchers):
        raise UserError("Name the metric in metric_name, not in the tags.", field="tags")
    for matcher in rule.matchers:
        try:
            matcher.check()
        except UserError as error:
            raise UserError(str(error), field="tags") from error
