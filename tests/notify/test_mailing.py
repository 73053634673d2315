"""The whole road at once: a real outbox on SQLite, the delivery loop, and a real mail server."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.smtp import DROP, LOSE, SmtpSink
from tests.support.state import AT_MS, a_letter, an_alert, announced, firing, of_host, open_kind

from tocsin.model.duration import Duration
from tocsin.model.outbox import Letter, LetterState, Target
from tocsin.model.page import PageRequest
from tocsin.notify.deliver import Delivery
from tocsin.notify.ports import Outbox
from tocsin.notify.registry import open_registry
from tocsin.notify.settings import DeliverySettings, SmtpSettings
from tocsin.runtime.clock import FixedClock
from tocsin.runtime.telemetry import Telemetry
from tocsin.store.state.state import State

SETTINGS = DeliverySettings(retry_first=Duration(10), retry_max=Duration(10))


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[State]:
    async with open_kind("sqlite file", tmp_path) as opened:
        yield opened


class Posting:
    """A running delivery whose clock moves to the next attempt as soon as nothing is left to do."""

    def __init__(self, outbox: Outbox, clock: FixedClock, delivery: Delivery) -> None:
        self._outbox = outbox
        self._clock = clock
        self._delivery = delivery

    async def until_done(self) -> dict[str, Letter]:
        """Every letter by its recipient, when each is sent or dead."""
        async with asyncio.timeout(10):
            while (next_ms := await self._outbox.next_attempt_ms()) is not None:
                under_way = await self._outbox.letters((LetterState.SENDING,), PageRequest())
                if not under_way.items and next_ms > self._clock.now_ms():
                    self._clock.at_ms = next_ms
                    self._delivery.ring()
        page = await self._outbox.letters((), PageRequest())
        return {letter.target.recipient: letter for letter in page.items}


@asynccontextmanager
async def posting(state: State, sink: SmtpSink) -> AsyncIterator[Posting]:
    clock, telemetry = FixedClock(AT_MS), Telemetry()
    smtp = SmtpSettings(host=sink.host, port=sink.port, security="none", from_="alerts@example.org")
    registry = open_registry(smtp, clock, telemetry)
    delivery = Delivery(
        state.outbox, registry, clock, chance=random.Random(7), telemetry=telemetry, settings=SETTINGS, worker="node-1"
    )
    task = asyncio.create_task(delivery.run())
    try:
        yield Posting(state.outbox, clock, delivery)
    finally:
        task.cancel()
        await asyncio.wait([task])
        await registry.close()


async def queue(state: State, *recipients: str) -> None:
    [alert] = await state.alerts.save_changes([firing(an_alert(labels=of_host("web-1")))])
    letters = [replace(a_letter(alert, name), target=Target("email", name)) for name in recipients]
    assert await state.book.announce([announced(alert, *letters)]) == (True,)


async def test_one_bad_recipient_harms_nobody_else(state: State) -> None:
    await queue(state, "a@example.org", "gone@example.org", "b@example.org")
    with SmtpSink() as sink:
        sink.refused["gone@example.org"] = "550 5.1.1 no such user"
        async with posting(state, sink) as post:
            letters = await post.until_done()
    assert {name: letter.state for name, letter in letters.items()} == {
        "a@example.org": LetterState.SENT,
        "gone@example.org": LetterState.DEAD,
        "b@example.org": LetterState.SENT,
    }
    assert "550 5.1.1 no such user" in letters["gone@example.org"].last_error
    assert letters["gone@example.org"].attempts == 1
    assert sorted(mail.recipients for mail in sink.messages) == [("a@example.org",), ("b@example.org",)]


async def test_a_letter_outlives_a_busy_server_and_a_broken_connection(state: State) -> None:
    await queue(state, "a@example.org")
    with SmtpSink() as sink:
        sink.script("rcpt", "450 4.2.0 try later", "451 4.3.0 and later", DROP)
        async with posting(state, sink) as post:
            letters = await post.until_done()
    assert letters["a@example.org"].state is LetterState.SENT
    assert letters["a@example.org"].attempts == 4
    assert letters["a@example.org"].answer == "250 2.0.0 taken as 1"
    assert len(sink.messages) == 1


async def test_a_mail_whose_acceptance_was_not_heard_comes_twice_with_one_message_id(state: State) -> None:
    await queue(state, "a@example.org")
    with SmtpSink() as sink:
        sink.script("data", LOSE)
        async with posting(state, sink) as post:
            letters = await post.until_done()
    assert letters["a@example.org"].state is LetterState.SENT
    assert len(sink.messages) == 2
    assert len({mail.message["Message-ID"] for mail in sink.messages}) == 1
