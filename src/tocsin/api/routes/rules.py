"""Rules: what is wrong, and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, TypeVar

from fastapi import Path

from tocsin.access.policy import Permission
from tocsin.api.deps import Caller, Wired, require
from tocsin.api.description import family
from tocsin.api.paging import AskedPage, page_of
from tocsin.api.shapes import rules as shapes
from tocsin.model.duration import Duration
from tocsin.model.errors import UserError
from tocsin.model.matcher import Matcher, MatchOp, equals, parse_matcher
from tocsin.model.rule import Condition, Rule

T = TypeVar("T")

router = family("rules")

ID_MAX = 2**63 - 1
Id = Annotated[int, Path(ge=1, le=ID_MAX)]
Reader = require(Permission.RULES_READ)
Editor = Annotated[Caller, require(Permission.RULES_WRITE)]


@router.get("/api/rules", dependencies=[Reader])
async def list_rules(wired: Wired, asked: AskedPage) -> shapes.RuleList:
    """All rules, oldest first."""
    page = page_of(wired.rules.rules(), lambda rule: rule.id, asked)
    summary = wired.rules.summary()
    return shapes.RuleList(items=[_shape(rule, summary) for rule in page.items], next=page.next)


@router.post("/api/rules", status_code=201)
async def create_rule(body: shapes.NewRule, wired: Wired, caller: Editor) -> shapes.Rule:
    """A new rule; it judges from the next sample on."""
    rule = Rule(
        id=0,
        name=body.name,
        expr=body.expr.strip(),
        metric_name=body.metric_name,
        condition=_given(body.condition, "condition", body, Condition.ABOVE),
        threshold=_given(body.threshold, "threshold", body, 0.0),
        duration_ms=_duration_ms(body.duration),
        severity=body.severity,
        matchers=_joined(equals(body.tags), _parsed(body.matchers)),
        enabled=body.enabled,
        description=body.description,
    )
    return _shape(await wired.rules.add(rule, caller.actor), wired.rules.summary())


@router.post("/api/rules/defaults")
async def create_default_rules(wired: Wired, caller: Editor) -> shapes.CreatedRules:
    """The three default rules, made where they are missing."""
    created = await wired.rules.setup_default_alerts(caller.actor)
    summary = wired.rules.summary()
    return shapes.CreatedRules(created=[_shape(rule, summary) for rule in created])


@router.get("/api/rules/{rule_id}", dependencies=[Reader])
async def read_rule(rule_id: Id, wired: Wired) -> shapes.Rule:
    """One rule."""
    return _shape(wired.rules.rule(rule_id), wired.rules.summary())


@router.patch("/api/rules/{rule_id}")
async def change_rule(rule_id: Id, body: shapes.RuleChange, wired: Wired, caller: Editor) -> shapes.Rule:
    """Change some fields. Send the `version` that you read, and a change of somebody else's is not overwritten."""
    after = await wired.rules.change(_changed(wired.rules.rule(rule_id), body), caller.actor)
    return _shape(after, wired.rules.summary())


@router.delete("/api/rules/{rule_id}", status_code=204)
async def delete_rule(rule_id: Id, wired: Wired, caller: Editor) -> None:
    """Delete a rule. Its open alerts resolve; its history stays."""
    await wired.rules.delete(rule_id, caller.actor)


def _shape(rule: Rule, summary: Mapping[int, tuple[int, int]]) -> shapes.Rule:
    return shapes.Rule.of(rule, *summary.get(rule.id, (0, 0)))


def _changed(rule: Rule, change: shapes.RuleChange) -> Rule:
    """null means the same as a field that was not sent. The book compares the version, where one was.

    A rule that becomes an expression forgets its threshold.
    """
    if change.expr and change.expr.strip() and not rule.expr:
        rule = replace(rule, metric_name="", condition=Condition.ABOVE, threshold=0.0, matchers=())
    given = change.model_dump(exclude_none=True, exclude={"tags", "matchers", "duration"})
    if change.expr is not None:
        given["expr"] = change.expr.strip()
        if not given["expr"] and rule.expr and (change.condition is None or change.threshold is None):
            missing = "condition" if change.condition is None else "threshold"
            raise UserError(f"{missing} is missing: the rule would be a metric with a threshold.", field=missing)
    if change.duration is not None:
        given["duration_ms"] = _duration_ms(change.duration)
    return replace(rule, matchers=_matchers(rule.matchers, change), **given)


def _matchers(before: tuple[Matcher, ...], change: shapes.RuleChange) -> tuple[Matcher, ...]:
    tags = None if change.tags is None else equals(change.tags)
    if change.matchers is not None:
        return _joined(tags or (), _parsed(change.matchers))
    if tags is not None:
        return _joined(tags, tuple(each for each in before if each.op is not MatchOp.EQUAL))
    return before


def _given(value: T | None, field: str, body: shapes.NewRule, unused: T) -> T:
    """A threshold must say all of itself; an expression nothing of it."""
    if body.expr.strip() and value is not None:
        raise UserError("Give either expr or metric_name with condition and threshold, not both.", field=field)
    if not body.expr.strip() and value is None:
        raise UserError(f"{field} is missing.", field=field)
    return unused if value is None else value


def _joined(tags: tuple[Matcher, ...], others: tuple[Matcher, ...]) -> tuple[Matcher, ...]:
    """Both, each matcher once."""
    return tuple(dict.fromkeys((*tags, *others)))


def _parsed(texts: list[str]) -> tuple[Matcher, ...]:
    try:
        return tuple(map(parse_matcher, texts))
    except UserError as error:
        raise UserError(str(error), field="matchers") from error


def _duration_ms(text: float | str) -> int:
    try:
        return int(Duration.parse(text))
    except UserError as error:
        raise UserError(str(error), field="duration") from error
