"""The rules as people see and change them; every change is checked, audited, saved, and then judged by."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tocsin.model.alert import Reason
from tocsin.model.audit import SYSTEM, Actor, AuditEntry
from tocsin.model.duration import SECOND_MS
from tocsin.model.errors import ConflictError, NotFoundError, TransientError, UserError
from tocsin.model.matcher import MatchOp, compiled
from tocsin.model.rule import Rule, check_rule
from tocsin.promql.ast import ValueType, type_of
from tocsin.promql.engine import parsed
from tocsin.promql.parse_error import ParseError
from tocsin.rules.arrival import Arrival
from tocsin.rules.defaults import default_rules
from tocsin.rules.ports import ExpressionJudge, RuleStore
from tocsin.runtime.clock import Clock
from tocsin.runtime.log import get_log

log = get_log("rules")


class RuleBook:
    """Holds all rules in memory. Changes wait for one another; reading never waits."""

    def __init__(
        self, store: RuleStore, arrival: Arrival, clock: Clock, expressions: ExpressionJudge | None = None
    ) -> None:
        """`expressions` None: those rules are kept here, and evaluated by another process."""
        self._store = store
        self._arrival = arrival
        self._expressions = expressions
        self._clock = clock
        self._rules: dict[int, Rule] = {}
        self._lock = asyncio.Lock()

    async def load(self) -> None:
        """At start, before the first sample."""
        async with self._lock:
            rules = await self._store.rules()
            await self._arrival.load(rule for rule in rules if not rule.expr)
            self._rules = {rule.id: rule for rule in rules}
            await self._judge_expressions()

    async def reload(self) -> None:
        """Take over what another process has changed in the store; costs one read where that is nothing."""
        async with self._lock:
            stored = {rule.id: rule for rule in await self._store.rules()}
            for rule_id in self._rules.keys() - stored.keys():
                await self._arrival.remove_rule(rule_id, Reason.RULE_DELETED)
                del self._rules[rule_id]
            for rule_id, rule in stored.items():
                if self._rules.get(rule_id) != rule:
                    self._rules[rule_id] = rule
                    await self._judge(rule)
            await self._judge_expressions()

    def rules(self) -> tuple[Rule, ...]:
        """By id."""
        return tuple(rule for _, rule in sorted(self._rules.items()))

    def rule(self, rule_id: int) -> Rule:
        """Raises NotFoundError."""
        try:
            return self._rules[rule_id]
        except KeyError:
            raise NotFoundError(f"There is no rule {rule_id}.") from None

    async def add(self, rule: Rule, actor: Actor) -> Rule:
        """Raises UserError that names the field."""
        async with self._lock:
            added = await self._add((rule,), actor)
        return added[0]

    async def change(self, rule: Rule, actor: Actor) -> Rule:
        """Save over the version that `rule` was made from. Raises UserError, NotFoundError, ConflictError."""
        async with self._lock:
            return await self._replace(rule, actor, "rule.change")

    async def set_enabled(self, rule_id: int, enabled: bool, actor: Actor) -> Rule:
        async with self._lock:
            rule = self.rule(rule_id)
            if rule.enabled == enabled:
                return rule
            return await self._replace(
                replace(rule, enabled=enabled), actor, "rule.enable" if enabled else "rule.disable"
            )

    async def delete(self, rule_id: int, actor: Actor) -> None:
        """Raises NotFoundError. The rule's alerts are closed first, while they still have a rule."""
        async with self._lock:
            rule = self.rule(rule_id)
            await self._arrival.remove_rule(rule_id, Reason.RULE_DELETED)
            entry = self._entry("rule.delete", rule, actor, before=rule)
            try:
                await self._store.delete_rule(rule_id, entry)
            except NotFoundError:
                del self._rules[rule_id]
                raise
            except BaseException:
                await self._judge(rule)
                raise
            del self._rules[rule_id]
            await self._judge_expressions()

    async def setup_default_alerts(self, actor: Actor = SYSTEM) -> tuple[Rule, ...]:
        """Add the default alerts for metrics that no rule watches; those that were added."""
        async with self._lock:
            watched = {rule.metric_name for rule in self._rules.values()}
            missing = tuple(rule for rule in default_rules() if rule.metric_name not in watched)
            return await self._add(missing, actor) if missing else ()

    async def _add(self, rules: tuple[Rule, ...], actor: Actor) -> tuple[Rule, ...]:
        at_ms = self._clock.now_ms()
        new = [replace(_checked(rule), id=0, version=1, created_at_ms=at_ms, updated_at_ms=at_ms) for rule in rules]
        entries = [self._entry("rule.add", rule, actor, after=rule) for rule in new]
        added = await self._store.add_rules(new, entries)
        for rule in added:
            self._rules[rule.id] = rule
            await self._judge(rule)
            log.info("rule added", rule_id=rule.id, rule=rule.name, by=actor.name)
        if any(rule.expr for rule in added):
            await self._judge_expressions()
        return added

    async def _replace(self, rule: Rule, actor: Actor, action: str) -> Rule:
        old = self.rule(rule.id)
        if rule.version != old.version:
            raise ConflictError(f"The rule {old.name!r} was changed meanwhile: read it again.", field="version")
        new = replace(_checked(rule), created_at_ms=old.created_at_ms, updated_at_ms=self._clock.now_ms())
        saved = await self._store.replace_rule(new, self._entry(action, old, actor, before=old, after=new))
        self._rules[saved.id] = saved
        await self._judge(saved)
        if saved.expr or old.expr:
            await self._judge_expressions()
        log.info("rule changed", rule_id=saved.id, rule=saved.name, action=action, by=actor.name)
        return saved

    async def _judge(self, rule: Rule) -> None:
        """By arrival, where it is a threshold. One that has become an expression closes the threshold's alerts."""
        if not rule.expr:
            await self._arrival.set_rule(rule)
            return
        try:
            await self._arrival.remove_rule(rule.id, Reason.RULE_EDITED)
        except TransientError as error:
            log.warning("alerts of a changed rule are closed at the next start", rule_id=rule.id, error=str(error))

    async def _judge_expressions(self) -> None:
        if self._expressions is not None:
            await self._expressions.judge(self.rules())

    def summary(self) -> Mapping[int, tuple[int, int]]:
        """Rule id → how many of its alerts are pending and how many firing; rules without any are left out."""
        expressions = self._expressions.summary() if self._expressions is not None else {}
        return {**self._arrival.summary(), **expressions}

    def _entry(
        self, action: str, rule: Rule, actor: Actor, *, before: Rule | None = None, after: Rule | None = None
    ) -> AuditEntry:
        return AuditEntry(
            at_ms=self._clock.now_ms(),
            actor=actor,
            action=action,
            target=f"rule {rule.name}",
            before=None if before is None else rule_json(before),
            after=None if after is None else rule_json(after),
        )


def rule_json(rule: Rule) -> dict[str, Any]:
    """What people may set of a rule, as the audit log keeps it; `duration` in seconds."""
    return {
        "id": rule.id,
        "name": rule.name,
        **({"expr": rule.expr} if rule.expr else {}),
        "metric_name": rule.metric_name,
        "matchers": [str(matcher) for matcher in rule.matchers],
        "condition": rule.condition.value,
        "threshold": rule.threshold,
        "duration": rule.duration_ms / SECOND_MS,
        "severity": rule.severity.value,
        "enabled": rule.enabled,
        "description": rule.description,
    }


def check_expression(text: str) -> None:
    """Raises ParseError, with line and column, or UserError for what gives neither a vector nor a number."""
    try:
        kind = type_of(parsed(text))
    except ParseError as error:
        error.field = "expr"
        raise
    if kind not in (ValueType.SCALAR, ValueType.VECTOR):
        raise UserError(f"A {kind} cannot be alerted on: the expression must give a vector.", field="expr")


def _checked(rule: Rule) -> Rule:
    """Raises UserError that names the field."""
    if rule.expr:
        check_expression(rule.expr)
    for matcher in rule.matchers:
        if matcher.op in (MatchOp.REGEX, MatchOp.NOT_REGEX):
            try:
                compiled(matcher.value)
            except UserError as error:
                raise UserError(str(error), field="tags") from error
    return check_rule(rule)
