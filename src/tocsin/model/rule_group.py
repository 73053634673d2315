"""Rules as Prometheus' rule files have them: groups of expressions that record series or raise alerts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from tocsin.model.place import Place

Pairs: TypeAlias = tuple[tuple[str, str], ...]
"""Names and values, in the order of the file: a map that cannot change."""


@dataclass(frozen=True, slots=True)
class RecordingRule:
    """What `expr` gives is stored as the metric `record`, with `labels` laid over its own (an empty value removes)."""

    record: str
    expr: str
    labels: Pairs = ()
    place: Place = field(default=Place(), compare=False)

    @property
    def name(self) -> str:
        return self.record


@dataclass(frozen=True, slots=True)
class AlertingRule:
    """Each series that `expr` gives is an alert, firing once it has been there for `for_ms`.

    It keeps firing for `keep_firing_for_ms` after the series is gone. Values of `labels` and `annotations` are
    templates (`model/templates`).
    """

    alert: str
    expr: str
    for_ms: int = 0
    keep_firing_for_ms: int = 0
    labels: Pairs = ()
    annotations: Pairs = ()
    place: Place = field(default=Place(), compare=False)

    @property
    def name(self) -> str:
        return self.alert


GroupRule: TypeAlias = RecordingRule | AlertingRule


@dataclass(frozen=True, slots=True)
class RuleGroup:
    """Rules that are evaluated one after another, at the same moment; `file` and `name` together are its identity.

    An `interval_ms` or `query_offset_ms` of None is the server's. A rule that gives more than `limit` series or alerts
    fails; 0 is no limit. `labels` are laid under those of each rule.
    """

    name: str
    rules: tuple[GroupRule, ...] = ()
    interval_ms: int | None = None
    limit: int = 0
    query_offset_ms: int | None = None
    labels: Pairs = ()
    file: str = ""

    def labels_of(self, rule: GroupRule) -> Pairs:
        """The rule's own win over the group's."""
        return tuple((dict(self.labels) | dict(rule.labels)).items())


@dataclass(frozen=True, slots=True)
class StoredRuleFile:
    """A rule file that was uploaded."""

    name: str
    text: str
    updated_by: str
    updated_at_ms: int
