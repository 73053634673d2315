"""How groups and their rules are doing, as people are shown it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tocsin.model.alert import Alert
from tocsin.model.rule_group import GroupRule, Pairs


class Health(StrEnum):
    UNKNOWN = "unknown"
    OK = "ok"
    ERROR = "err"


@dataclass(frozen=True, slots=True)
class Last:
    """A rule's last evaluation. `error` is why it failed; its alerts stay as they were then."""

    health: Health = Health.UNKNOWN
    error: str = ""
    at_ms: int = 0
    duration_s: float = 0.0


@dataclass(frozen=True, slots=True)
class RuleStatus:
    """`labels` are the group's and its own, before templates; `alerts` those that are open. `rule_id` as in a group."""

    rule: GroupRule
    labels: Pairs
    rule_id: int | None
    last: Last
    alerts: tuple[Alert, ...]


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """`missed` counts moments at which the evaluation before had not ended, or tocsin was not awake."""

    name: str
    file: str
    interval_ms: int
    query_offset_ms: int
    limit: int
    evaluated_at_ms: int
    duration_s: float
    evaluations: int
    missed: int
    rules: tuple[RuleStatus, ...]
