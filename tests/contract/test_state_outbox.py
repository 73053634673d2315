"""Outbox on every database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.state import (
    AT_MS,
    KINDS,
    MINUTE_MS,
    a_letter,
    an_alert,
    an_entry,
    announced,
    firing,
    of_host,
    open_kind,
    resolved,
)

from tocsin.model.errors import ConflictError, NotFoundError
from tocsin.model.outbox import Letter, LetterState, Target
from tocsin.model.page import PageRequest
from tocsin.notify.ports import Outbox
from tocsin.store.state.state import State

LEASE_MS = 1_000
WORKER = "here"


@pytest.fixture(params=KINDS)
async def state(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[State]:
    async with open_kind(request.param, tmp_path) as opened:
        yield opened


async def queue(state: State, *keys: str, next_attempt_at_ms: int = AT_MS) -> None:
    """A letter of its own alert for each key."""
    for alert in await state.alerts.save_changes([firing(an_alert(labels=of_host(key))) for key in keys]):
        letter = a_letter(alert, alert.labels.get("host"), next_attempt_at_ms=next_attempt_at_ms)
        await state.book.announce([announced(alert, letter)])


async def queue_next(state: State, alert_id: int, key: str) -> None:
    """A further letter of the same alert, to the same ears."""
    (over,) = await state.alerts.save_changes([resolved(await state.book.alert(alert_id))])
    assert await state.book.announce([announced(over, a_letter(over, key), at_ms=AT_MS + 1)]) == (True,)


async def claim(state: State, at_ms: int = AT_MS, limit: int = 10) -> tuple[Letter, ...]:
    return await state.outbox.claim(at_ms, LEASE_MS, limit, WORKER)


async def only(state: State) -> Letter:
    (letter,) = (await state.outbox.letters([], PageRequest())).items
    return letter


def keys(letters: tuple[Letter, ...]) -> list[str]:
    return [letter.key for letter in letters]


def test_the_store_fits_the_port(state: State) -> None:
    port: Outbox = state.outbox
    assert port is state.outbox


async def test_an_empty_outbox_has_nothing_to_do(state: State) -> None:
    assert await claim(state) == ()
    assert await state.outbox.next_attempt_ms() is None


async def test_claiming_takes_a_letter_once_and_counts_the_attempt(state: State) -> None:
    await queue(state, "a")
    (letter,) = await claim(state)
    assert (letter.state, letter.attempts, letter.claimed_until_ms) == (LetterState.SENDING, 1, AT_MS + LEASE_MS)
    assert await claim(state) == ()
    assert letter == await only(state)


async def test_letters_are_claimed_when_their_time_has_come_oldest_first(state: State) -> None:
    await queue(state, "late", next_attempt_at_ms=AT_MS + 2)
    await queue(state, "early", next_attempt_at_ms=AT_MS + 1)
    assert await state.outbox.next_attempt_ms() == AT_MS + 1
    assert keys(await claim(state, AT_MS)) == []
    assert keys(await claim(state, AT_MS + 2)) == ["early", "late"]


async def test_no_more_is_claimed_than_asked_for(state: State) -> None:
    await queue(state, "a", "b", "c")
    assert keys(await claim(state, limit=2)) == ["a", "b"]
    assert keys(await claim(state, limit=2)) == ["c"]


async def test_a_lease_that_ran_out_is_claimed_again(state: State) -> None:
    await queue(state, "a")
    await claim(state)
    assert await state.outbox.next_attempt_ms() == AT_MS + LEASE_MS
    assert await claim(state, AT_MS + LEASE_MS - 1) == ()
    (again,) = await claim(state, AT_MS + LEASE_MS)
    assert (again.key, again.attempts) == ("a", 2)


async def test_what_a_worker_held_when_it_died_is_given_back_at_once(state: State) -> None:
    await queue(state, "mine", "theirs")
    await state.outbox.claim(AT_MS, LEASE_MS, 1, WORKER)
    await state.outbox.claim(AT_MS, LEASE_MS, 1, "elsewhere")
    assert await state.outbox.release(WORKER, AT_MS + 5) == 1
    assert await state.outbox.release(WORKER, AT_MS + 5) == 0
    assert await state.outbox.next_attempt_ms() == AT_MS + 5
    (again,) = await claim(state, AT_MS + 5)
    assert (again.key, again.attempts) == ("mine", 2)


async def test_what_was_sent_is_done(state: State) -> None:
    await queue(state, "a")
    (letter,) = await claim(state)
    await state.outbox.mark_sent(letter, "250 ok", AT_MS + 5)
    sent = await only(state)
    assert (sent.state, sent.answer, sent.sent_at_ms, sent.claimed_until_ms) == (
        LetterState.SENT,
        "250 ok",
        AT_MS + 5,
        0,
    )
    assert await claim(state, AT_MS + 10 * LEASE_MS) == ()
    assert await state.outbox.next_attempt_ms() is None


async def test_a_retry_waits_for_its_time_and_keeps_the_error(state: State) -> None:
    await queue(state, "a")
    (letter,) = await claim(state)
    await state.outbox.mark_retry(letter, "450 busy", AT_MS + 60)
    waiting = await only(state)
    assert (waiting.state, waiting.last_error, waiting.attempts) == (LetterState.QUEUED, "450 busy", 1)
    assert waiting.next_attempt_at_ms == await state.outbox.next_attempt_ms() == AT_MS + 60
    assert await claim(state, AT_MS + 59) == ()
    assert keys(await claim(state, AT_MS + 60)) == ["a"]


async def test_a_dead_letter_stays_dead_until_a_person_sends_it_again(state: State) -> None:
    await queue(state, "a")
    (letter,) = await claim(state)
    await state.outbox.mark_dead(letter, "550 no such user", AT_MS + 1)
    assert (await only(state)).state is LetterState.DEAD
    assert await claim(state, AT_MS + 10 * LEASE_MS) == ()
    entry = an_entry("outbox.resend", AT_MS + 2)
    again = await state.outbox.resend(letter.id, AT_MS + 9 * MINUTE_MS, entry)
    assert (again.state, again.attempts, again.next_attempt_at_ms) == (LetterState.QUEUED, 0, AT_MS + 2)
    assert again.expires_at_ms == AT_MS + 9 * MINUTE_MS
    assert [row.entry for row in (await state.access.audit(PageRequest())).items] == [entry]
    assert keys(await claim(state, AT_MS + 2)) == ["a"]


async def test_only_a_dead_letter_is_sent_again(state: State) -> None:
    await queue(state, "a")
    with pytest.raises(NotFoundError):
        await state.outbox.resend(999, AT_MS, an_entry())
    with pytest.raises(ConflictError, match="queued"):
        await state.outbox.resend((await only(state)).id, AT_MS, an_entry())
    assert (await state.access.audit(PageRequest())).items == ()


async def test_a_letter_waits_for_the_older_one_to_the_same_ears(state: State) -> None:
    await queue(state, "firing")
    (first,) = await claim(state)
    await queue_next(state, first.alert.id, "resolved")
    assert await claim(state) == ()
    await state.outbox.mark_sent(first, "ok", AT_MS)
    assert keys(await claim(state)) == ["resolved"]


async def test_a_letter_that_waits_for_another_does_not_wake_the_sender(state: State) -> None:
    await queue(state, "firing")
    (first,) = await claim(state)
    await queue_next(state, first.alert.id, "resolved")
    assert await state.outbox.next_attempt_ms() == AT_MS + LEASE_MS


async def test_letters_to_other_ears_do_not_wait(state: State) -> None:
    (alert,) = await state.alerts.save_changes([firing(an_alert())])
    targets = [Target("email", "a@x"), Target("email", "b@x"), Target("sms", "a@x")]
    letters = [a_letter(alert, str(number), target=target) for number, target in enumerate(targets)]
    await state.book.announce([announced(alert, *letters)])
    assert keys(await claim(state)) == ["0", "1", "2"]


async def test_letters_for_a_busy_receiver_are_left_for_later(state: State) -> None:
    (alert,) = await state.alerts.save_changes([firing(an_alert())])
    letters = [a_letter(alert, name, target=Target(name, "a@x")) for name in ("email", "chat", "sms")]
    await state.book.announce([announced(alert, *letters)])
    assert keys(await state.outbox.claim(AT_MS, LEASE_MS, 10, WORKER, busy=("email", "sms"))) == ["chat"]
    assert keys(await state.outbox.claim(AT_MS, LEASE_MS, 10, WORKER, busy={"sms"})) == ["email"]
    assert keys(await claim(state)) == ["sms"]


async def test_a_failed_letter_gives_way_to_a_newer_one(state: State) -> None:
    await queue(state, "firing")
    (first,) = await claim(state)
    await queue_next(state, first.alert.id, "resolved")
    await state.outbox.mark_retry(first, "timeout", AT_MS + 60)
    states = {letter.key: letter.state for letter in (await state.outbox.letters([], PageRequest())).items}
    assert states == {"firing": LetterState.REPLACED, "resolved": LetterState.QUEUED}
    assert keys(await claim(state)) == ["resolved"]


async def test_a_claim_that_ran_out_can_no_longer_fail_the_letter(state: State) -> None:
    await queue(state, "a")
    (stale,) = await claim(state)
    (newer,) = await claim(state, AT_MS + LEASE_MS)
    await state.outbox.mark_retry(stale, "timeout", AT_MS + 60)
    await state.outbox.mark_dead(stale, "550", AT_MS + 60)
    assert await only(state) == newer


async def test_what_was_sent_under_a_lease_that_ran_out_is_still_sent(state: State) -> None:
    await queue(state, "a")
    (stale,) = await claim(state)
    await claim(state, AT_MS + LEASE_MS)
    await state.outbox.mark_sent(stale, "250 ok", AT_MS)
    assert (await only(state)).state is LetterState.SENT


async def test_a_strange_answer_does_not_keep_a_letter_from_being_sent(state: State) -> None:
    await queue(state, "a")
    (letter,) = await claim(state)
    await state.outbox.mark_sent(letter, "250 \0 \udcff ok", AT_MS)
    assert (await only(state)).answer == "250 \ufffd ? ok"


async def test_letters_are_listed_newest_first_by_state_in_pages(state: State) -> None:
    await queue(state, *"abcde")
    await claim(state, limit=2)
    queued = await state.outbox.letters([LetterState.QUEUED], PageRequest(limit=2))
    rest = await state.outbox.letters([LetterState.QUEUED], PageRequest(limit=2, cursor=queued.next))
    assert keys(queued.items + rest.items) == ["e", "d", "c"]
    assert rest.next is None
    everything = await state.outbox.letters([], PageRequest())
    assert keys(everything.items) == ["e", "d", "c", "b", "a"]
    both = await state.outbox.letters([LetterState.QUEUED, LetterState.SENDING], PageRequest())
    assert both == everything


async def test_the_letter_tells_the_alert_as_it_was(state: State) -> None:
    await queue(state, "a")
    before = await only(state)
    (over,) = await state.alerts.save_changes([resolved(await state.book.alert(before.alert.id))])
    assert over.state != before.alert.state
    assert (await only(state)).alert == before.alert
    assert replace(before.alert, id=0).labels == of_host("a")
