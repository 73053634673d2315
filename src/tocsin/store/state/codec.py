"""Values ↔ rows and JSON; the only place that knows both."""

from __future__ import annotations

import math
from typing import Any

import sqlalchemy as sa

from tocsin.model.alert import Alert, AlertState, HistoryItem, Reason
from tocsin.model.audit import Actor, AuditEntry
from tocsin.model.labels import Labels
from tocsin.model.matcher import parse_matcher
from tocsin.model.outbox import Letter, LetterKind, LetterState, Target
from tocsin.model.people import Allowance, AuditRow, Role, Session, SignInLink, Token, User
from tocsin.model.retention import Policy
from tocsin.model.rule import Condition, Rule, Severity
from tocsin.model.rule_group import Pairs
from tocsin.model.scrape import StoredJob

SECOND_MS = 1_000
_SIGN_BIT = 1 << 63


def signed(series_id: int) -> int:
    """A series id as the databases hold it: the same 64 bits, as a signed number."""
    return series_id - 2 * _SIGN_BIT if series_id >= _SIGN_BIT else series_id


def rule_values(rule: Rule) -> dict[str, Any]:
    """Every column of metric_alert but the id."""
    return {
        "name": rule.name,
        "metric_name": rule.metric_name,
        "condition": rule.condition.value,
        "threshold": rule.threshold,
        "duration": rule.duration_ms / SECOND_MS,
        "severity": rule.severity.value,
        "enabled": rule.enabled,
        "matchers": [str(matcher) for matcher in rule.matchers],
        "description": rule.description,
        "template_key": rule.template_key,
        "version": rule.version,
        "created_at_ms": rule.created_at_ms,
        "updated_at_ms": rule.updated_at_ms,
        "expr": rule.expr,
    }


def rule_of(row: sa.Row[Any]) -> Rule:
    return Rule(
        id=row.id,
        name=row.name,
        metric_name=row.metric_name,
        condition=Condition(row.condition),
        threshold=row.threshold,
        duration_ms=round(row.duration * SECOND_MS),
        severity=Severity(row.severity),
        matchers=tuple(parse_matcher(text) for text in row.matchers),
        enabled=row.enabled,
        description=row.description,
        template_key=row.template_key,
        version=row.version,
        created_at_ms=row.created_at_ms,
        updated_at_ms=row.updated_at_ms,
        expr=row.expr,
    )


def job_values(job: StoredJob) -> dict[str, Any]:
    """Every column of scrape_job but the id."""
    return {
        "name": job.name,
        "config": dict(job.config),
        "enabled": job.enabled,
        "version": job.version,
        "created_at_ms": job.created_at_ms,
        "updated_at_ms": job.updated_at_ms,
    }


def job_of(row: sa.Row[Any]) -> StoredJob:
    return StoredJob(
        id=row.id,
        name=row.name,
        config=row.config,
        enabled=row.enabled,
        version=row.version,
        created_at_ms=row.created_at_ms,
        updated_at_ms=row.updated_at_ms,
    )


def policy_values(policy: Policy) -> dict[str, Any]:
    """Every column of retention_policy but the id and the position."""
    return {
        "name": policy.name,
        "matchers": [str(matcher) for matcher in policy.matchers],
        "raw_ms": policy.raw_ms,
        "five_minutes_ms": policy.five_minutes_ms,
        "hours_ms": policy.hours_ms,
        "version": policy.version,
        "created_at_ms": policy.created_at_ms,
        "updated_at_ms": policy.updated_at_ms,
    }


def policy_of(row: sa.Row[Any]) -> Policy:
    return Policy(
        id=row.id,
        name=row.name,
        matchers=tuple(parse_matcher(text) for text in row.matchers),
        raw_ms=row.raw_ms,
        five_minutes_ms=row.five_minutes_ms,
        hours_ms=row.hours_ms,
        version=row.version,
        created_at_ms=row.created_at_ms,
        updated_at_ms=row.updated_at_ms,
    )


def step_values(alert: Alert) -> dict[str, Any]:
    """The columns of alert that an evaluation decides; the others belong to people and the dispatcher."""
    return {
        "rule_name": alert.rule_name,
        "metric_name": alert.metric_name,
        "condition": alert.condition.value,
        "threshold": alert.threshold,
        "severity": alert.severity.value,
        "state": alert.state.value,
        "value": alert.value,
        "peak": alert.peak,
        "since_ms": alert.since_ms,
        "changed_at_ms": alert.changed_at_ms,
        "reason": alert.reason.value,
        "fired_at_ms": alert.fired_at_ms,
        "resolved_at_ms": alert.resolved_at_ms,
        "notify_at_ms": alert.notify_at_ms,
        "history_id": alert.history_id,
        "expr": alert.expr,
        "annotations": list(map(list, alert.annotations)),
        "gone_at_ms": alert.gone_at_ms,
    }


def alert_values(alert: Alert) -> dict[str, Any]:
    """Every column of alert."""
    return step_values(alert) | {
        "id": alert.id,
        "rule_id": alert.rule_id,
        "labels": alert.labels.as_dict(),
        "series": signed(alert.labels.series_id()),
        "source": alert.source,
        "acknowledged": alert.acknowledged,
        "acknowledged_by": alert.acknowledged_by,
        "acknowledged_at_ms": alert.acknowledged_at_ms,
        "comment": alert.comment,
        "announced": alert.announced,
        "announced_at_ms": alert.announced_at_ms,
    }


def alert_of(row: sa.Row[Any]) -> Alert:
    return Alert(
        id=row.id,
        rule_id=row.rule_id,
        rule_name=row.rule_name,
        metric_name=row.metric_name,
        condition=Condition(row.condition),
        threshold=row.threshold,
        severity=Severity(row.severity),
        labels=Labels.of(row.labels),
        state=AlertState(row.state),
        value=row.value,
        peak=row.peak,
        since_ms=row.since_ms,
        changed_at_ms=row.changed_at_ms,
        reason=Reason(row.reason),
        fired_at_ms=row.fired_at_ms,
        resolved_at_ms=row.resolved_at_ms,
        acknowledged=row.acknowledged,
        acknowledged_by=row.acknowledged_by,
        acknowledged_at_ms=row.acknowledged_at_ms,
        comment=row.comment,
        announced=None if row.announced is None else AlertState(row.announced),
        announced_at_ms=row.announced_at_ms,
        notify_at_ms=row.notify_at_ms,
        history_id=row.history_id,
        expr=row.expr,
        source=row.source,
        annotations=_pairs(row.annotations),
        gone_at_ms=row.gone_at_ms,
    )


def _pairs(given: list[list[str]]) -> Pairs:
    return tuple((name, value) for name, value in given)


def history_values(alert: Alert) -> dict[str, Any]:
    """Every column of alert_history, for an alert as it fired."""
    return history_end(alert) | {
        "id": alert.history_id,
        "alert_id": alert.rule_id,
        "alert_row_id": alert.id,
        "rule_name": alert.rule_name,
        "severity": alert.severity.value,
        "labels": alert.labels.as_dict(),
        "triggered_at": alert.fired_at_ms,
        "value": alert.value,
        "acknowledged": alert.acknowledged,
        "acknowledged_by": alert.acknowledged_by or None,
        "acknowledged_at_ms": alert.acknowledged_at_ms,
        "comment": alert.comment,
    }


def history_end(alert: Alert) -> dict[str, Any]:
    """What changes in a row of alert_history while the alert goes on and when it resolves."""
    resolved = alert.state is AlertState.RESOLVED
    return {
        "peak": alert.peak,
        "resolved_at": alert.resolved_at_ms if resolved else None,
        "reason": alert.reason.value if resolved else "",
    }


def history_of(row: sa.Row[Any]) -> HistoryItem:
    return HistoryItem(
        id=row.id,
        alert_id=row.alert_row_id or 0,
        rule_id=row.alert_id,
        rule_name=row.rule_name,
        severity=Severity(row.severity),
        labels=Labels.of(row.labels),
        triggered_at_ms=row.triggered_at,
        value=row.value,
        peak=row.peak,
        resolved_at_ms=row.resolved_at or 0,
        reason=row.reason,
        acknowledged=row.acknowledged,
        acknowledged_by=row.acknowledged_by or "",
        acknowledged_at_ms=row.acknowledged_at_ms,
        comment=row.comment,
    )


def alert_document(alert: Alert) -> dict[str, Any]:
    """For strict JSON: a float that JSON cannot write (NaN, infinity) is a string."""
    return {
        "id": alert.id,
        "rule_id": alert.rule_id,
        "rule_name": alert.rule_name,
        "metric_name": alert.metric_name,
        "condition": alert.condition.value,
        "threshold": _plain(alert.threshold),
        "severity": alert.severity.value,
        "labels": alert.labels.as_dict(),
        "state": alert.state.value,
        "value": _plain(alert.value),
        "peak": _plain(alert.peak),
        "since_ms": alert.since_ms,
        "changed_at_ms": alert.changed_at_ms,
        "reason": alert.reason.value,
        "fired_at_ms": alert.fired_at_ms,
        "resolved_at_ms": alert.resolved_at_ms,
        "acknowledged": alert.acknowledged,
        "acknowledged_by": alert.acknowledged_by,
        "acknowledged_at_ms": alert.acknowledged_at_ms,
        "comment": alert.comment,
        "announced": alert.announced,
        "announced_at_ms": alert.announced_at_ms,
        "notify_at_ms": alert.notify_at_ms,
        "history_id": alert.history_id,
        "expr": alert.expr,
        "source": alert.source,
        "annotations": list(map(list, alert.annotations)),
        "gone_at_ms": alert.gone_at_ms,
    }


def alert_of_document(said: dict[str, Any]) -> Alert:
    """The inverse of alert_document."""
    return Alert(
        **said
        | {
            "condition": Condition(said["condition"]),
            "threshold": float(said["threshold"]),
            "severity": Severity(said["severity"]),
            "labels": Labels.of(said["labels"]),
            "state": AlertState(said["state"]),
            "value": float(said["value"]),
            "peak": float(said["peak"]),
            "reason": Reason(said["reason"]),
            "annotations": _pairs(said.get("annotations", [])),
            "announced": None if said["announced"] is None else AlertState(said["announced"]),
        }
    )


def _plain(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def letter_values(letter: Letter) -> dict[str, Any]:
    """Every column of outbox but the id, for a letter that is to be queued."""
    return {
        "key": letter.key,
        "kind": letter.kind.value,
        "receiver": letter.target.receiver,
        "recipient": letter.target.recipient,
        "alert_id": letter.alert.id,
        "alert": alert_document(letter.alert),
        "state": LetterState.QUEUED.value,
        "created_at_ms": letter.created_at_ms,
        "next_attempt_at_ms": letter.next_attempt_at_ms,
        "expires_at_ms": letter.expires_at_ms,
        "attempts": letter.attempts,
        "last_error": letter.last_error,
        "answer": letter.answer,
        "sent_at_ms": letter.sent_at_ms,
        "claimed_until_ms": 0,
        "due_at_ms": letter.next_attempt_at_ms,
    }


def letter_of(row: sa.Row[Any]) -> Letter:
    return Letter(
        id=row.id,
        key=row.key,
        kind=LetterKind(row.kind),
        target=Target(row.receiver, row.recipient),
        alert=alert_of_document(row.alert),
        state=LetterState(row.state),
        created_at_ms=row.created_at_ms,
        next_attempt_at_ms=row.next_attempt_at_ms,
        expires_at_ms=row.expires_at_ms,
        attempts=row.attempts,
        last_error=row.last_error,
        answer=row.answer,
        sent_at_ms=row.sent_at_ms,
        claimed_until_ms=row.claimed_until_ms,
    )


def user_values(user: User) -> dict[str, Any]:
    """Every column of users but the id."""
    return {
        "name": user.name,
        "folded": user.name.casefold(),
        "role": user.role.value,
        "password_hash": user.password_hash,
        "enabled": user.enabled,
        "created_at_ms": user.created_at_ms,
    }


def user_of(row: sa.Row[Any]) -> User:
    return User(row.id, row.name, Role(row.role), row.password_hash, row.enabled, row.created_at_ms)


def token_values(token: Token) -> dict[str, Any]:
    """Every column of tokens but the id."""
    return {
        "name": token.name,
        "role": token.role.value,
        "digest": token.digest,
        "created_by": token.created_by,
        "created_at_ms": token.created_at_ms,
        "expires_at_ms": token.expires_at_ms,
        "last_used_at_ms": token.last_used_at_ms,
        **allowance_values(token.allowance),
    }


def token_of(row: sa.Row[Any]) -> Token:
    return Token(
        id=row.id,
        name=row.name,
        role=Role(row.role),
        digest=row.digest,
        created_by=row.created_by,
        created_at_ms=row.created_at_ms,
        expires_at_ms=row.expires_at_ms,
        last_used_at_ms=row.last_used_at_ms,
        allowance=Allowance(Labels.of(row.labels), row.rate, row.series_max, tuple(map(parse_matcher, row.reads))),
    )


def allowance_values(allowance: Allowance) -> dict[str, Any]:
    return {
        "labels": allowance.labels.as_dict(),
        "rate": allowance.rate,
        "series_max": allowance.series_max,
        "reads": [str(matcher) for matcher in allowance.reads],
    }


def session_values(session: Session) -> dict[str, Any]:
    return {
        "digest": session.digest,
        "user_id": session.user_id,
        "created_at_ms": session.created_at_ms,
        "expires_at_ms": session.expires_at_ms,
        "address": session.address,
    }


def session_of(row: sa.Row[Any]) -> Session:
    return Session(row.digest, row.user_id, row.created_at_ms, row.expires_at_ms, row.address)


def link_of(row: sa.Row[Any]) -> SignInLink:
    return SignInLink(row.digest, row.user_id, row.expires_at_ms)


def audit_values(entry: AuditEntry) -> dict[str, Any]:
    """Every column of audit but the id."""
    return {
        "at_ms": entry.at_ms,
        "actor": entry.actor.name,
        "address": entry.actor.address,
        "action": entry.action,
        "target": entry.target,
        "before": None if entry.before is None else dict(entry.before),
        "after": None if entry.after is None else dict(entry.after),
    }


def audit_of(row: sa.Row[Any]) -> AuditRow:
    entry = AuditEntry(row.at_ms, Actor(row.actor, row.address), row.action, row.target, row.before, row.after)
    return AuditRow(row.id, entry)
