"""AlertBookStore on every database."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.state import (
    AT_MS,
    KINDS,
    MINUTE_MS,
    a_letter,
    a_rule,
    an_alert,
    an_entry,
    announced,
    firing,
    of_host,
    open_kind,
    pending,
    resolved,
)

from tocsin.alerts.ports import AlertBookStore
from tocsin.model.alert import Alert, AlertQuery, AlertState, Change, HistoryQuery
from tocsin.model.audit import Actor
from tocsin.model.errors import ConflictError, NotFoundError, UserError
from tocsin.model.outbox import Announcement, LetterState, Target
from tocsin.model.page import PAGE_SIZE_MAX, PageRequest
from tocsin.model.rule import Severity
from tocsin.store.state.state import State


@pytest.fixture(params=KINDS)
async def state(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[State]:
    async with open_kind(request.param, tmp_path) as opened:
        yield opened


@pytest.fixture
async def rule_id(state: State) -> int:
    (rule,) = await state.rules.add_rules([a_rule()], [])
    return rule.id


async def fire(state: State, rule_id: int, *hosts: str, at_ms: int = AT_MS) -> tuple[Alert, ...]:
    return await state.alerts.save_changes([firing(an_alert(rule_id=rule_id, labels=of_host(h)), at_ms) for h in hosts])


async def queued(state: State) -> list[str]:
    page = await state.outbox.letters([LetterState.QUEUED], PageRequest())
    return sorted(letter.key for letter in page.items)


def test_the_store_fits_the_port(state: State) -> None:
    port: AlertBookStore = state.book
    assert port is state.book


async def test_an_alert_that_is_not_there_is_not_found(state: State) -> None:
    with pytest.raises(NotFoundError, match="no alert 7"):
        await state.book.alert(7)


async def test_open_alerts_are_listed_newest_change_first(state: State, rule_id: int) -> None:
    first, second = await fire(state, rule_id, "a", "b")
    await state.alerts.save_changes([Change(replace(first, changed_at_ms=AT_MS + 5), AlertState.FIRING)])
    page = await state.book.alerts(AlertQuery(), PageRequest())
    assert [alert.id for alert in page.items] == [first.id, second.id]
    assert page.next is None


async def test_alerts_are_filtered(state: State, rule_id: int) -> None:
    (other,) = await state.rules.add_rules([a_rule()], [])
    one, two, three = await fire(state, rule_id, "a", "b", "c")
    await state.alerts.save_changes([resolved(one), pending(an_alert(rule_id=other.id, severity=Severity.CRITICAL))])
    await state.book.acknowledge(two.id, "", an_entry())

    async def found(query: AlertQuery) -> set[tuple[str, str]]:
        page = await state.book.alerts(query, PageRequest())
        return {(alert.labels.get("host"), alert.state.value) for alert in page.items}

    both = {("b", "firing"), ("c", "firing")}
    assert await found(AlertQuery()) == both | {("web", "pending")}
    assert await found(AlertQuery(states=(AlertState.FIRING,))) == both
    assert await found(AlertQuery(states=(AlertState.RESOLVED,))) == {("a", "resolved")}
    assert await found(AlertQuery(states=())) == both | {("a", "resolved"), ("web", "pending")}
    assert await found(AlertQuery(severity=Severity.CRITICAL)) == {("web", "pending")}
    assert await found(AlertQuery(rule_id=other.id)) == {("web", "pending")}
    assert await found(AlertQuery(acknowledged=True)) == {("b", "firing")}
    assert await found(AlertQuery(acknowledged=False, rule_id=rule_id)) == {("c", "firing")}
    assert three.id


async def test_pages_hold_every_alert_once_also_where_times_are_equal(state: State, rule_id: int) -> None:
    saved = await fire(state, rule_id, *(f"h{number}" for number in range(25)))
    seen: list[int] = []
    cursor = None
    while True:
        page = await state.book.alerts(AlertQuery(), PageRequest(limit=10, cursor=cursor))
        seen += [alert.id for alert in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert seen == sorted((alert.id for alert in saved), reverse=True)


async def test_what_comes_in_while_somebody_pages_does_not_shift_the_pages(state: State, rule_id: int) -> None:
    saved = await fire(state, rule_id, "a", "b", "c", "d")
    page = await state.book.alerts(AlertQuery(), PageRequest(limit=2))
    await fire(state, rule_id, "new", at_ms=AT_MS + 1)
    rest = await state.book.alerts(AlertQuery(), PageRequest(limit=2, cursor=page.next))
    assert [alert.id for alert in page.items + rest.items] == [alert.id for alert in reversed(saved)]
    assert rest.next is None


@pytest.mark.parametrize("limit", [0, -1, PAGE_SIZE_MAX + 1])
async def test_a_page_has_a_sensible_size(state: State, limit: int) -> None:
    with pytest.raises(UserError, match="limit"):
        await state.book.alerts(AlertQuery(), PageRequest(limit=limit))


@pytest.mark.parametrize("cursor", ["", "x", "💥", "W" * 10_000])
async def test_a_cursor_that_no_list_gave_is_refused(state: State, cursor: str) -> None:
    with pytest.raises(UserError):
        await state.book.history(HistoryQuery(), PageRequest(cursor=cursor))


@pytest.mark.parametrize(
    "text", ["null", "[]", "[1]", '[1, "2"]', "[1, true]", "[1.5, 2]", "[9223372036854775807, 1]", "[" * 9_000]
)
async def test_a_cursor_that_somebody_made_up_is_refused(state: State, text: str) -> None:
    cursor = base64.urlsafe_b64encode(text.encode()).decode()
    with pytest.raises(UserError):
        await state.book.history(HistoryQuery(), PageRequest(cursor=cursor))


async def test_history_is_newest_first_and_filtered(state: State, rule_id: int) -> None:
    (other,) = await state.rules.add_rules([a_rule()], [])
    for minute, host in enumerate("abcd"):
        await fire(state, rule_id, host, at_ms=AT_MS + minute * MINUTE_MS)
    critical = an_alert(rule_id=other.id, severity=Severity.CRITICAL, labels=of_host("x"))
    await state.alerts.save_changes([firing(critical, AT_MS - 1)])

    async def found(query: HistoryQuery) -> str:
        page = await state.book.history(query, PageRequest())
        return "".join(item.labels.get("host") for item in page.items)

    assert await found(HistoryQuery()) == "dcbax"
    assert await found(HistoryQuery(since_ms=AT_MS + MINUTE_MS, until_ms=AT_MS + 3 * MINUTE_MS)) == "cb"
    assert await found(HistoryQuery(until_ms=AT_MS)) == "x"
    assert await found(HistoryQuery(severity=Severity.CRITICAL)) == "x"
    assert await found(HistoryQuery(rule_id=rule_id)) == "dcba"


async def test_history_pages(state: State, rule_id: int) -> None:
    await fire(state, rule_id, *"abcde")
    first = await state.book.history(HistoryQuery(), PageRequest(limit=3))
    second = await state.book.history(HistoryQuery(), PageRequest(limit=3, cursor=first.next))
    assert "".join(item.labels.get("host") for item in first.items + second.items) == "edcba"
    assert second.next is None


async def test_acknowledging_is_written_on_the_alert_and_its_history_and_audited(state: State, rule_id: int) -> None:
    (fired,) = await fire(state, rule_id, "a")
    entry = an_entry("alert.acknowledge", AT_MS + 3)
    after = await state.book.acknowledge(fired.id, "on it", entry)
    assert after == replace(
        fired,
        acknowledged=True,
        acknowledged_by="anna",
        acknowledged_at_ms=AT_MS + 3,
        comment="on it",
        notify_at_ms=None,
    )
    assert await state.book.alert(fired.id) == after
    (item,) = (await state.book.history(HistoryQuery(), PageRequest())).items
    said = (item.acknowledged, item.acknowledged_by, item.acknowledged_at_ms, item.comment)
    assert said == (True, "anna", AT_MS + 3, "on it")
    assert [row.entry for row in (await state.access.audit(PageRequest())).items] == [entry]


async def test_only_a_firing_alert_can_be_acknowledged_and_only_once(state: State, rule_id: int) -> None:
    (waiting,) = await state.alerts.save_changes([pending(an_alert(rule_id=rule_id))])
    (fired,) = await fire(state, rule_id, "a")
    with pytest.raises(NotFoundError):
        await state.book.acknowledge(999, "", an_entry())
    with pytest.raises(ConflictError, match="pending"):
        await state.book.acknowledge(waiting.id, "", an_entry())
    await state.book.acknowledge(fired.id, "first", an_entry())
    with pytest.raises(ConflictError, match="anna"):
        await state.book.acknowledge(fired.id, "second", an_entry())
    assert (await state.book.alert(fired.id)).comment == "first"
    assert len((await state.access.audit(PageRequest())).items) == 1


async def test_a_long_name_and_strange_bytes_in_a_comment_do_not_keep_anybody_from_acknowledging(
    state: State, rule_id: int
) -> None:
    (fired,) = await fire(state, rule_id, "a")
    entry = replace(an_entry(), actor=Actor("n" * 100))
    after = await state.book.acknowledge(fired.id, "nul \0 and half a pair \ud800", entry)
    assert after.comment == "nul \ufffd and half a pair ?"
    (item,) = (await state.book.history(HistoryQuery(), PageRequest())).items
    assert item.acknowledged_by == "n" * 64


async def test_due_alerts_are_those_whose_deadline_has_come_oldest_first(state: State, rule_id: int) -> None:
    (late,) = await fire(state, rule_id, "late", at_ms=AT_MS + 2)
    (early,) = await fire(state, rule_id, "early", at_ms=AT_MS + 1)
    await fire(state, rule_id, "later", at_ms=AT_MS + 3)
    assert await state.book.next_deadline_ms() == AT_MS + 1
    assert await state.book.due_alerts(AT_MS, 10) == ()
    assert await state.book.due_alerts(AT_MS + 2, 10) == (early, late)
    assert await state.book.due_alerts(AT_MS + 9, 1) == (early,)


async def test_without_alerts_there_is_no_deadline(state: State) -> None:
    assert await state.book.next_deadline_ms() is None


async def test_announcing_queues_the_letters_and_remembers_what_was_said(state: State, rule_id: int) -> None:
    (fired,) = await fire(state, rule_id, "a")
    letter = a_letter(fired, "k1")
    assert await state.book.announce([announced(fired, letter, at_ms=AT_MS + 4, notify_at_ms=AT_MS + 99)]) == (True,)
    after = await state.book.alert(fired.id)
    assert (after.announced, after.announced_at_ms) == (AlertState.FIRING, AT_MS + 4)
    assert await state.book.next_deadline_ms() == AT_MS + 99
    (saved,) = (await state.outbox.letters([], PageRequest())).items
    assert saved == replace(letter, id=saved.id)


async def test_an_announcement_of_an_alert_that_changed_meanwhile_is_refused_and_queues_nothing(
    state: State, rule_id: int
) -> None:
    told, seen, over, free = await fire(state, rule_id, "told", "acknowledged", "resolved", "free")
    await state.book.announce([announced(told, at_ms=AT_MS + 1)])
    await state.book.acknowledge(seen.id, "", an_entry())
    await state.alerts.save_changes([resolved(over)])
    missing = replace(free, id=999)
    alerts = [told, seen, over, missing, free]
    taken = await state.book.announce([announced(one, a_letter(one, f"k{one.id}")) for one in alerts])
    assert taken == (False, False, False, False, True)
    assert await queued(state) == [f"k{free.id}"]


async def test_of_two_announcements_of_one_alert_the_first_wins(state: State, rule_id: int) -> None:
    (fired,) = await fire(state, rule_id, "a")
    both = [Announcement(fired, (a_letter(fired, key),), AlertState.FIRING, AT_MS, None) for key in ("one", "two")]
    assert await state.book.announce(both) == (True, False)
    assert await queued(state) == ["one"]


async def test_a_newer_letter_replaces_a_queued_one_to_the_same_ears(state: State, rule_id: int) -> None:
    (fired,) = await fire(state, rule_id, "a")
    (bystander,) = await fire(state, rule_id, "b")
    other = Target("email", "boss@example.net")
    letters = (a_letter(fired, "old"), a_letter(fired, "boss", target=other))
    await state.book.announce([announced(fired, *letters), announced(bystander, a_letter(bystander, "bystander"))])
    (over,) = await state.alerts.save_changes([resolved(await state.book.alert(fired.id))])
    assert await state.book.announce([announced(over, a_letter(over, "new"))]) == (True,)
    assert await queued(state) == ["boss", "bystander", "new"]
    (replaced,) = (await state.outbox.letters([LetterState.REPLACED], PageRequest())).items
    assert replaced.key == "old"


async def test_a_letter_that_is_being_sent_is_not_replaced(state: State, rule_id: int) -> None:
    (fired,) = await fire(state, rule_id, "a")
    await state.book.announce([announced(fired, a_letter(fired, "old"))])
    await state.outbox.claim(AT_MS, 1_000, 10, "here")
    (over,) = await state.alerts.save_changes([resolved(await state.book.alert(fired.id))])
    await state.book.announce([announced(over, a_letter(over, "new"))])
    states = {letter.key: letter.state for letter in (await state.outbox.letters([], PageRequest())).items}
    assert states == {"old": LetterState.SENDING, "new": LetterState.QUEUED}


async def test_a_key_is_queued_once(state: State, rule_id: int) -> None:
    one, two = await fire(state, rule_id, "a", "b")
    assert await state.book.announce([announced(one, a_letter(one, "same"))]) == (True,)
    assert await state.book.announce([announced(two, a_letter(two, "same"))]) == (True,)
    assert await queued(state) == ["same"]


async def test_a_storm_is_announced_at_once(state: State, rule_id: int) -> None:
    fired = await fire(state, rule_id, *(f"h{number}" for number in range(2_000)))
    taken = await state.book.announce([announced(one, a_letter(one, f"k{one.id}")) for one in fired])
    assert all(taken)
    assert len(taken) == 2_000
    assert len(await state.outbox.claim(AT_MS, 1, 5_000, "here")) == 2_000
