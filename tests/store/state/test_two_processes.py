"""Two stores on one database, as the server and the command line have it, or two servers on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.state import (
    AT_MS,
    a_letter,
    a_rule,
    an_alert,
    an_entry,
    announced,
    firing,
    of_host,
    open_two,
    pending,
    resolved,
)

from tocsin.model.errors import ConflictError
from tocsin.model.outbox import Letter, LetterState
from tocsin.model.page import PageRequest
from tocsin.model.people import Role, User
from tocsin.store.state.state import State

pytestmark = pytest.mark.parametrize("kind", ["sqlite file", "postgresql"])

LETTERS = 200


async def queue(state: State, count: int) -> None:
    alerts = await state.alerts.save_changes([firing(an_alert(labels=of_host(f"h{n}"))) for n in range(count)])
    await state.book.announce([announced(alert, a_letter(alert, f"k{alert.id}")) for alert in alerts])


async def work(state: State, taken: list[Letter]) -> None:
    """Claims and sends until nothing is left."""
    while letters := await state.outbox.claim(AT_MS, 60_000, 7, "worker"):
        taken += letters
        await asyncio.gather(*(state.outbox.mark_sent(letter, "ok", AT_MS) for letter in letters))


async def test_two_workers_never_get_the_same_letter(kind: str, tmp_path: Path) -> None:
    async with open_two(kind, tmp_path) as (one, other):
        await queue(one, LETTERS)
        taken: list[Letter] = []
        await asyncio.gather(work(one, taken), work(other, taken), work(one, taken), work(other, taken))
        assert Counter(letter.key for letter in taken) == Counter({f"k{n}": 1 for n in range(1, LETTERS + 1)})
        sent = await other.outbox.letters([LetterState.SENT], PageRequest(limit=1_000))
        assert len(sent.items) == LETTERS


async def test_two_workers_never_send_a_newer_letter_before_an_older_one(kind: str, tmp_path: Path) -> None:
    async with open_two(kind, tmp_path) as (one, other):
        await queue(one, 20)
        first = await one.outbox.claim(AT_MS, 1_000, 20, "one")
        over = await one.alerts.save_changes([resolved(await one.book.alert(letter.alert.id)) for letter in first])
        await one.book.announce([announced(alert, a_letter(alert, f"r{alert.id}"), at_ms=AT_MS + 1) for alert in over])
        assert await other.outbox.claim(AT_MS, 1_000, 20, "other") == ()
        await asyncio.gather(*(one.outbox.mark_sent(letter, "ok", AT_MS) for letter in first))
        assert len(await other.outbox.claim(AT_MS, 1_000, 20, "other")) == 20


async def test_of_two_dispatchers_one_announces(kind: str, tmp_path: Path) -> None:
    async with open_two(kind, tmp_path) as (one, other):
        alerts = await one.alerts.save_changes([firing(an_alert(labels=of_host(f"h{n}"))) for n in range(50)])

        async def announce(state: State, name: str) -> tuple[bool, ...]:
            return await state.book.announce(
                [announced(alert, a_letter(alert, f"{name} {alert.id}"), at_ms=AT_MS + 1) for alert in alerts]
            )

        mine, theirs = await asyncio.gather(announce(one, "one"), announce(other, "other"))
        assert [a != b for a, b in zip(mine, theirs, strict=True)] == [True] * 50
        queued = await one.outbox.letters([LetterState.QUEUED], PageRequest(limit=1_000))
        assert len(queued.items) == 50


async def test_of_two_people_one_acknowledges(kind: str, tmp_path: Path) -> None:
    async with open_two(kind, tmp_path) as (one, other):
        (alert,) = await one.alerts.save_changes([firing(an_alert())])
        both = await asyncio.gather(
            one.book.acknowledge(alert.id, "one", an_entry()),
            other.book.acknowledge(alert.id, "other", an_entry()),
            return_exceptions=True,
        )
        assert sorted(type(result).__name__ for result in both) == ["Alert", "ConflictError"]


async def test_an_alert_of_one_series_is_open_once_whoever_saves_it(kind: str, tmp_path: Path) -> None:
    async with open_two(kind, tmp_path) as (one, other):
        (rule,) = await one.rules.add_rules([a_rule()], [])
        changes = [pending(an_alert(rule_id=rule.id, labels=of_host(f"h{n}"))) for n in range(20)]
        mine, theirs = await asyncio.gather(one.alerts.save_changes(changes), other.alerts.save_changes(changes))
        assert mine == theirs == await one.alerts.open_alerts()


async def test_writers_on_both_sides_wait_for_each_other(kind: str, tmp_path: Path) -> None:
    async with open_two(kind, tmp_path) as (one, other):
        await asyncio.gather(
            *(state.access.record(an_entry(f"{n}")) for n in range(50) for state in (one, other)),
        )
        assert len((await one.access.audit(PageRequest(limit=1_000))).items) == 100


async def test_a_rule_can_be_deleted_while_its_alerts_are_saved(kind: str, tmp_path: Path) -> None:
    async with open_two(kind, tmp_path) as (one, other):
        for n in range(10):
            (rule,) = await one.rules.add_rules([a_rule()], [])
            changes = [firing(an_alert(rule_id=rule.id, labels=of_host(f"{n} {m}"))) for m in range(20)]
            saved, _ = await asyncio.gather(
                one.alerts.save_changes(changes), other.rules.delete_rule(rule.id, an_entry())
            )
            assert len(saved) == 20
        assert {alert.rule_id for alert in await one.alerts.open_alerts()} == {None}


async def test_two_admins_cannot_both_step_down(kind: str, tmp_path: Path) -> None:
    async with open_two(kind, tmp_path) as (one, other):
        admins = [await one.access.add_user(User(0, f"admin {n}", Role.ADMIN, "h"), an_entry()) for n in range(2)]
        both = await asyncio.gather(
            one.access.replace_user(replace(admins[0], role=Role.VIEWER), an_entry()),
            other.access.replace_user(replace(admins[1], role=Role.VIEWER), an_entry()),
            return_exceptions=True,
        )
        assert sum(isinstance(result, ConflictError) for result in both) == 1
        assert [user.role for user in await one.access.users()].count(Role.ADMIN) == 1
