from __future__ import annotations

from dataclasses import replace

import pytest
from tests.notify.letters import FIRED_MS, MemoryOutbox, a_letter

from tocsin.model.audit import Actor
from tocsin.model.duration import HOUR_MS, Duration
from tocsin.model.errors import ConflictError, NotFoundError
from tocsin.model.outbox import Letter, LetterState
from tocsin.model.page import PageRequest
from tocsin.notify.desk import OutboxDesk
from tocsin.notify.settings import DeliverySettings
from tocsin.runtime.clock import FixedClock

ANNA = Actor("anna", "192.0.2.7")


class Counted:
    def __init__(self) -> None:
        self.rings = 0

    def ring(self) -> None:
        self.rings += 1


def a_desk(*letters: Letter) -> tuple[OutboxDesk, MemoryOutbox, Counted]:
    outbox, bell = MemoryOutbox(*letters), Counted()
    settings = DeliverySettings(resend_for=Duration(HOUR_MS))
    return OutboxDesk(outbox, FixedClock(FIRED_MS + HOUR_MS), bell, settings), outbox, bell


async def test_a_dead_letter_is_queued_again_with_a_new_deadline_and_an_audit_entry() -> None:
    desk, outbox, bell = a_desk(replace(a_letter(), state=LetterState.DEAD, attempts=9))
    letter = await desk.resend(1, ANNA)
    assert (letter.state, letter.attempts, letter.expires_at_ms) == (LetterState.QUEUED, 0, FIRED_MS + 2 * HOUR_MS)
    [entry] = outbox.entries
    assert (entry.actor, entry.action, entry.target) == (ANNA, "letter.resend", "letter 1")
    assert entry.after == {"state": "queued"}
    assert bell.rings == 1


async def test_only_a_dead_letter_is_sent_again() -> None:
    desk, _, bell = a_desk(a_letter())
    with pytest.raises(ConflictError):
        await desk.resend(1, ANNA)
    with pytest.raises(NotFoundError):
        await desk.resend(2, ANNA)
    assert bell.rings == 0


async def test_letters_are_shown_by_state_newest_first() -> None:
    desk, _, _ = a_desk(a_letter(id=1), replace(a_letter(id=2), state=LetterState.DEAD), a_letter(id=3))
    everything = await desk.letters((), PageRequest())
    dead = await desk.letters((LetterState.DEAD,), PageRequest())
    assert [letter.id for letter in everything.items] == [3, 2, 1]
    assert [letter.id for letter in dead.items] == [2]
