"""State stores to test against, and values to put into them."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from tests.support.postgres import cluster

from tocsin.model.alert import Alert, AlertState, Change, Reason
from tocsin.model.audit import Actor, AuditEntry
from tocsin.model.labels import Labels
from tocsin.model.matcher import Matcher, MatchOp
from tocsin.model.outbox import Announcement, Letter, LetterKind, LetterState, Target
from tocsin.model.rule import Condition, Rule, Severity
from tocsin.runtime.offload import InlineOffload, ThreadOffload
from tocsin.store.sealing import Cipher, KeyRing
from tocsin.store.state.engine import parse_url
from tocsin.store.state.migrate import migrate
from tocsin.store.state.state import State, open_state

KINDS = ("sqlite file", "sqlite memory", "postgresql", "sealed sqlite file", "sealed postgresql")
"""Two of them with a cipher, so that what can be sealed is."""

AT_MS = 1_800_000_000_000
MINUTE_MS = 60_000
ANNA = Actor("anna", "192.0.2.7")


@asynccontextmanager
async def open_at(url: str, cipher: Cipher | None = None) -> AsyncIterator[State]:
    """On threads, as the server does it."""
    write, read = ThreadOffload("state-write", 1), ThreadOffload("state-read", 2)
    state = await open_state(url, write=write, read=read, cipher=cipher)
    try:
        yield state
    finally:
        await state.close()
        write.close()
        read.close()


@asynccontextmanager
async def open_kind(kind: str, folder: Path) -> AsyncIterator[State]:
    """An empty store of one of KINDS; the one in memory runs inline, as the simulation does it."""
    if kind == "sqlite memory":
        state = await open_state("sqlite://", write=InlineOffload(), read=InlineOffload())
        yield state
        await state.close()
        return
    cipher = Cipher(KeyRing.fresh()) if kind.startswith("sealed ") else None
    with migrated_url(kind.removeprefix("sealed "), folder) as url:
        async with open_at(url, cipher) as state:
            yield state


@asynccontextmanager
async def open_two(kind: str, folder: Path) -> AsyncIterator[tuple[State, State]]:
    """Two processes' view of one empty database."""
    with migrated_url(kind, folder) as url:
        async with open_at(url) as one, open_at(url) as other:
            yield one, other


@contextmanager
def database_url(kind: str, folder: Path) -> Iterator[str]:
    """Where an empty database of this kind is, without tables, until the end."""
    if kind == "sqlite file":
        yield f"sqlite:///{folder / 'state.db'}"
    else:
        with cluster().database() as url:
            yield url


@contextmanager
def migrated_url(kind: str, folder: Path) -> Iterator[str]:
    """The same with its tables, copied from one that was migrated once: a tenth of the time."""
    if kind == "sqlite file":
        (folder / "state.db").write_bytes(_migrated_file())
        yield f"sqlite:///{folder / 'state.db'}"
    else:
        with cluster().database(_migrated_template()) as url:
            yield url


@cache
def _migrated_file() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.db"
        _migrate(f"sqlite:///{path}")
        return path.read_bytes()


@cache
def _migrated_template() -> str:
    name = "migrated"
    cluster().execute(f"CREATE DATABASE {name}")
    _migrate(cluster().url(name))
    return name


def _migrate(url: str) -> None:
    engine = sa.create_engine(parse_url(url))
    with engine.begin() as connection:
        migrate(connection)
    engine.dispose()


def a_rule(**changes: Any) -> Rule:
    rule = Rule(
        id=0,
        name="High CPU Usage",
        metric_name="system.cpu.usage",
        condition=Condition.ABOVE,
        threshold=80.0,
        duration_ms=5 * MINUTE_MS,
        matchers=(Matcher("host", MatchOp.EQUAL, "web"), Matcher("core", MatchOp.NOT_REGEX, "0|1")),
        description="The runbook says what to do.",
        template_key="cpu_usage",
        created_at_ms=AT_MS,
        updated_at_ms=AT_MS,
    )
    return replace(rule, **changes)


def an_alert(**changes: Any) -> Alert:
    """Pending since AT_MS, for the series of `host` web."""
    alert = Alert(
        id=0,
        rule_id=None,
        rule_name="High CPU Usage",
        metric_name="system.cpu.usage",
        condition=Condition.ABOVE,
        threshold=80.0,
        severity=Severity.WARNING,
        labels=Labels.metric("system.cpu.usage", {"host": "web"}),
        state=AlertState.PENDING,
        value=91.25,
        peak=91.25,
        since_ms=AT_MS,
        changed_at_ms=AT_MS,
        reason=Reason.CONDITION_MET,
    )
    return replace(alert, **changes)


def of_host(host: str) -> Labels:
    return Labels.metric("system.cpu.usage", {"host": host})


def pending(alert: Alert) -> Change:
    return Change(replace(alert, state=AlertState.PENDING, reason=Reason.CONDITION_MET), AlertState.INACTIVE)


def firing(alert: Alert, at_ms: int = AT_MS + 5 * MINUTE_MS) -> Change:
    fired = replace(alert, state=AlertState.FIRING, reason=Reason.HELD, fired_at_ms=at_ms, changed_at_ms=at_ms)
    return Change(replace(fired, notify_at_ms=at_ms), AlertState.PENDING if alert.id else AlertState.INACTIVE)


def resolved(alert: Alert, at_ms: int = AT_MS + 10 * MINUTE_MS) -> Change:
    over = replace(alert, state=AlertState.RESOLVED, reason=Reason.CLEARED, resolved_at_ms=at_ms, changed_at_ms=at_ms)
    return Change(replace(over, notify_at_ms=at_ms), AlertState.FIRING)


def inactive(alert: Alert) -> Change:
    return Change(replace(alert, state=AlertState.INACTIVE, reason=Reason.CLEARED), AlertState.PENDING)


def an_entry(action: str = "test", at_ms: int = AT_MS) -> AuditEntry:
    return AuditEntry(at_ms, ANNA, action, "target", {"name": "before"}, {"name": "after"})


def a_letter(alert: Alert, key: str, **changes: Any) -> Letter:
    letter = Letter(
        id=0,
        key=key,
        kind=LetterKind.FIRING,
        target=Target("email", "ops@example.net"),
        alert=alert,
        state=LetterState.QUEUED,
        created_at_ms=AT_MS,
        next_attempt_at_ms=AT_MS,
        expires_at_ms=AT_MS + 60 * MINUTE_MS,
    )
    return replace(letter, **changes)


def announced(alert: Alert, *letters: Letter, at_ms: int = AT_MS, notify_at_ms: int | None = None) -> Announcement:
    return Announcement(alert, letters, alert.state, at_ms, notify_at_ms)
