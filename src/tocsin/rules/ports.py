"""What rules needs of the rest of the house."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from tocsin.model.alert import Alert, Change
from tocsin.model.audit import AuditEntry
from tocsin.model.labels import Labels
from tocsin.model.rule import Rule
from tocsin.model.rule_group import RuleGroup, StoredRuleFile
from tocsin.model.series import FloatArray


class RuleStore(Protocol):
    """Rules, and with each change its audit entry in the same transaction. Raises StoreError."""

    async def rules(self) -> tuple[Rule, ...]:
        """All rules by id."""
        ...

    async def add_rules(self, rules: Sequence[Rule], entries: Sequence[AuditEntry]) -> tuple[Rule, ...]:
        """Save new rules and give them ids."""
        ...

    async def replace_rule(self, rule: Rule, entry: AuditEntry) -> Rule:
        """Save over the version `rule.version`, which rises by one. Raises NotFoundError, ConflictError."""
        ...

    async def delete_rule(self, rule_id: int, entry: AuditEntry) -> None:
        """Its history stays, without its rule. Raises NotFoundError."""
        ...


class AlertStore(Protocol):
    async def open_alerts(self) -> tuple[Alert, ...]:
        """Every pending or firing alert."""
        ...

    async def save_changes(self, changes: Sequence[Change]) -> tuple[Alert, ...]:
        """All or none, in one transaction; the saved alerts in the same order, with ids.

        An alert that becomes inactive is removed. One that becomes firing gets a row of history, which
        is completed when it resolves. `notify_at_ms` is saved as given: it is the dispatcher's deadline.
        Only where the state stays what it was (a new value, an edited rule), None leaves the deadline alone.
        What people did to an alert meanwhile (acknowledgement) and what was announced is not overwritten.
        """
        ...


class AlertSink(Protocol):
    def alerts_changed(self, changes: Sequence[Change]) -> None:
        """Told after the changes are saved; must return at once."""
        ...


class SeriesLookup(Protocol):
    def labels(self, series_id: int) -> Labels: ...


class Recorder(Protocol):
    """Where rules write series: the same door as everybody's."""

    async def record(self, series: Sequence[Labels], values: FloatArray, at_ms: int) -> tuple[str, ...]:
        """A sample of each series, durable when it returns; what was refused, a sentence each.

        Raises TransientError where nothing could be stored.
        """
        ...


class ExpressionJudge(Protocol):
    """Evaluates the saved rules that are expressions."""

    async def judge(self, rules: Sequence[Rule]) -> None:
        """By these and no others from now on. Alerts of one that is gone or disabled are closed, now or later."""
        ...

    def summary(self) -> Mapping[int, tuple[int, int]]:
        """Rule id → how many of its alerts are pending and how many firing."""
        ...


class GroupJudge(Protocol):
    """Evaluates the groups of rule files."""

    async def take(self, groups: Sequence[RuleGroup], keeping: Collection[str] = ()) -> None:
        """These and no others from now on, but for those of the files `keeping`, which stay as they are."""
        ...


class RuleFileStore(Protocol):
    """Uploaded rule files, and with each change its audit entry in the same transaction. Raises StoreError."""

    async def files(self) -> tuple[StoredRuleFile, ...]:
        """By name."""
        ...

    async def put_file(self, file: StoredRuleFile, entry: AuditEntry) -> None:
        """A new one, or in place of the one of its name."""
        ...

    async def delete_file(self, name: str, entry: AuditEntry) -> None:
        """Raises NotFoundError."""
        ...
