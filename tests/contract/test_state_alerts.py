"""AlertStore on every database."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.state import (
    AT_MS,
    KINDS,
    MINUTE_MS,
    a_rule,
    an_alert,
    an_entry,
    announced,
    firing,
    inactive,
    of_host,
    open_kind,
    pending,
    resolved,
)

from tocsin.model.alert import Alert, AlertState, Change, HistoryItem, HistoryQuery, Reason
from tocsin.model.errors import NotFoundError
from tocsin.model.labels import Labels
from tocsin.model.page import PAGE_SIZE_MAX, PageRequest
from tocsin.model.rule import Severity
from tocsin.rules.ports import AlertStore
from tocsin.store.state.state import State


@pytest.fixture(params=KINDS)
async def state(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[State]:
    async with open_kind(request.param, tmp_path) as opened:
        yield opened


@pytest.fixture
async def rule_id(state: State) -> int:
    (rule,) = await state.rules.add_rules([a_rule()], [])
    return rule.id


async def history(state: State) -> tuple[HistoryItem, ...]:
    return (await state.book.history(HistoryQuery(), PageRequest(limit=PAGE_SIZE_MAX))).items


def test_the_store_fits_the_port(state: State) -> None:
    port: AlertStore = state.alerts
    assert port is state.alerts


async def test_nothing_to_save_is_nothing(state: State) -> None:
    assert await state.alerts.save_changes([]) == ()


async def test_a_pending_alert_comes_back_as_it_was_saved_and_has_no_history(state: State, rule_id: int) -> None:
    change = pending(an_alert(rule_id=rule_id))
    (saved,) = await state.alerts.save_changes([change])
    assert saved == replace(change.alert, id=saved.id)
    assert saved.id > 0
    assert await state.alerts.open_alerts() == (saved,)
    assert await history(state) == ()


async def test_saved_alerts_keep_the_order_of_the_changes(state: State, rule_id: int) -> None:
    alerts = [an_alert(rule_id=rule_id, labels=of_host(f"h{number}")) for number in (3, 1, 2)]
    saved = await state.alerts.save_changes([pending(alert) for alert in alerts])
    assert [alert.labels for alert in saved] == [alert.labels for alert in alerts]
    again = await state.alerts.save_changes([firing(alert) for alert in reversed(saved)])
    assert [alert.id for alert in again] == [alert.id for alert in reversed(saved)]


async def test_firing_writes_a_row_of_history_and_resolving_completes_it(state: State, rule_id: int) -> None:
    (alert,) = await state.alerts.save_changes([pending(an_alert(rule_id=rule_id))])
    (fired,) = await state.alerts.save_changes([firing(replace(alert, value=95.5, peak=95.5))])
    begun = HistoryItem(
        id=fired.history_id or 0,
        alert_id=alert.id,
        rule_id=rule_id,
        rule_name="High CPU Usage",
        severity=Severity.WARNING,
        labels=alert.labels,
        triggered_at_ms=AT_MS + 5 * MINUTE_MS,
        value=95.5,
        peak=95.5,
        resolved_at_ms=0,
        reason="",
        acknowledged=False,
        acknowledged_by="",
        acknowledged_at_ms=0,
        comment="",
    )
    assert await history(state) == (begun,)
    (over,) = await state.alerts.save_changes([resolved(replace(fired, value=12.0, peak=99.0))])
    ended = replace(begun, peak=99.0, resolved_at_ms=AT_MS + 10 * MINUTE_MS, reason="condition cleared")
    assert await history(state) == (ended,)
    assert await state.alerts.open_alerts() == ()
    assert await state.book.alert(alert.id) == over


async def test_an_alert_may_fire_at_once(state: State, rule_id: int) -> None:
    (fired,) = await state.alerts.save_changes([firing(an_alert(rule_id=rule_id))])
    assert [item.id for item in await history(state)] == [fired.history_id]


async def test_a_time_is_kept_to_the_millisecond(state: State, rule_id: int) -> None:
    (fired,) = await state.alerts.save_changes([firing(an_alert(rule_id=rule_id), at_ms=AT_MS + 1)])
    await state.alerts.save_changes([resolved(fired, at_ms=AT_MS + 999)])
    (item,) = await history(state)
    assert (item.triggered_at_ms, item.resolved_at_ms) == (AT_MS + 1, AT_MS + 999)


async def test_a_sample_dated_1970_can_fire(state: State, rule_id: int) -> None:
    await state.alerts.save_changes([firing(an_alert(rule_id=rule_id, since_ms=0), at_ms=1)])
    assert [item.triggered_at_ms for item in await history(state)] == [1]


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 1e-320, 0.1 + 0.2])
async def test_every_float_survives(state: State, rule_id: int, value: float) -> None:
    (saved,) = await state.alerts.save_changes([firing(an_alert(rule_id=rule_id, value=value, peak=value))])
    read = await state.book.alert(saved.id)
    assert repr((read.value, read.peak)) == repr((value, value))
    assert repr((await history(state))[0].value) == repr(value)


async def test_an_alert_that_becomes_inactive_is_removed(state: State, rule_id: int) -> None:
    (alert,) = await state.alerts.save_changes([pending(an_alert(rule_id=rule_id))])
    await state.alerts.save_changes([inactive(alert)])
    assert await state.alerts.open_alerts() == ()
    with pytest.raises(NotFoundError):
        await state.book.alert(alert.id)


async def test_a_series_may_have_a_second_life(state: State, rule_id: int) -> None:
    (first,) = await state.alerts.save_changes([firing(an_alert(rule_id=rule_id))])
    await state.alerts.save_changes([resolved(first)])
    (second,) = await state.alerts.save_changes([firing(an_alert(rule_id=rule_id), at_ms=AT_MS + 20 * MINUTE_MS)])
    assert second.id != first.id
    assert [item.alert_id for item in await history(state)] == [second.id, first.id]


async def test_a_life_may_end_and_the_next_begin_in_one_batch(state: State, rule_id: int) -> None:
    (first,) = await state.alerts.save_changes([firing(an_alert(rule_id=rule_id))])
    over, second = await state.alerts.save_changes([resolved(first), pending(an_alert(rule_id=rule_id))])
    assert (over.id, over.state) == (first.id, AlertState.RESOLVED)
    assert await state.alerts.open_alerts() == (second,)


async def test_several_steps_of_one_new_alert_may_come_in_one_batch(state: State, rule_id: int) -> None:
    new = an_alert(rule_id=rule_id)
    fire = replace(firing(new), before=AlertState.PENDING)
    steps = [pending(new), fire, resolved(fire.alert), pending(replace(new, since_ms=AT_MS + MINUTE_MS))]
    saved = await state.alerts.save_changes(steps)
    assert [alert.state for alert in saved] == [step.alert.state for step in steps]
    assert saved[0].id == saved[1].id == saved[2].id != saved[3].id
    (item,) = await history(state)
    assert (item.triggered_at_ms, item.resolved_at_ms) == (AT_MS + 5 * MINUTE_MS, AT_MS + 10 * MINUTE_MS)
    assert await state.alerts.open_alerts() == (saved[3],)


async def test_a_new_alert_that_clears_in_the_same_batch_leaves_nothing(state: State, rule_id: int) -> None:
    new = an_alert(rule_id=rule_id)
    await state.alerts.save_changes([pending(new), inactive(new)])
    assert await state.alerts.open_alerts() == ()


async def test_saving_does_not_undo_an_acknowledgement(state: State, rule_id: int) -> None:
    (fired,) = await state.alerts.save_changes([firing(an_alert(rule_id=rule_id))])
    await state.book.acknowledge(fired.id, "on it", an_entry())
    (after,) = await state.alerts.save_changes([resolved(fired)])
    assert (after.acknowledged, after.acknowledged_by, after.comment) == (True, "anna", "on it")
    assert await state.book.alert(fired.id) == after
    (item,) = await history(state)
    assert (item.acknowledged, item.acknowledged_by, item.comment) == (True, "anna", "on it")


async def test_saving_does_not_undo_what_was_announced(state: State, rule_id: int) -> None:
    (fired,) = await state.alerts.save_changes([firing(an_alert(rule_id=rule_id))])
    await state.book.announce([announced(fired, at_ms=AT_MS + 7)])
    (after,) = await state.alerts.save_changes([resolved(fired)])
    assert (after.announced, after.announced_at_ms) == (AlertState.FIRING, AT_MS + 7)
    assert await state.book.alert(fired.id) == after


async def test_a_change_of_state_sets_the_deadline_as_given(state: State, rule_id: int) -> None:
    (fired,) = await state.alerts.save_changes([firing(an_alert(rule_id=rule_id))])
    assert await state.book.next_deadline_ms() == fired.notify_at_ms
    silent = resolved(fired)
    (after,) = await state.alerts.save_changes([replace(silent, alert=replace(silent.alert, notify_at_ms=None))])
    assert after.notify_at_ms is None
    assert await state.book.next_deadline_ms() is None


async def test_a_change_that_keeps_the_state_may_leave_the_deadline_alone(state: State, rule_id: int) -> None:
    (fired,) = await state.alerts.save_changes([firing(an_alert(rule_id=rule_id))])
    await state.book.announce([announced(fired, notify_at_ms=AT_MS + 77)])
    same = Change(replace(fired, value=99.0, peak=99.0, notify_at_ms=None), AlertState.FIRING)
    (after,) = await state.alerts.save_changes([same])
    assert (after.value, after.notify_at_ms) == (99.0, AT_MS + 77)
    assert await state.book.alert(fired.id) == after
    (moved,) = await state.alerts.save_changes([Change(replace(after, notify_at_ms=AT_MS + 1), AlertState.FIRING)])
    assert moved.notify_at_ms == await state.book.next_deadline_ms() == AT_MS + 1


async def test_a_firing_alert_that_goes_on_moves_the_peak_of_its_history(state: State, rule_id: int) -> None:
    (fired,) = await state.alerts.save_changes([firing(an_alert(rule_id=rule_id))])
    await state.alerts.save_changes([Change(fired.with_value(99.0), AlertState.FIRING)])
    (item,) = await history(state)
    assert (item.value, item.peak, item.resolved_at_ms, item.reason) == (91.25, 99.0, 0, "")


async def test_saving_the_same_changes_twice_is_harmless(state: State, rule_id: int) -> None:
    changes = [firing(an_alert(rule_id=rule_id, labels=of_host(f"h{number}"))) for number in range(3)]
    first = await state.alerts.save_changes(changes)
    again = await state.alerts.save_changes(changes)
    assert again == first
    assert len(await history(state)) == 3


async def test_an_alert_whose_rule_was_just_deleted_is_still_saved_with_the_others(state: State, rule_id: int) -> None:
    (gone,) = await state.rules.add_rules([a_rule()], [])
    await state.rules.delete_rule(gone.id, an_entry())
    changes = [firing(an_alert(rule_id=gone.id)), firing(an_alert(rule_id=rule_id))]
    saved = await state.alerts.save_changes(changes)
    assert [(await state.book.alert(alert.id)).rule_id for alert in saved] == [None, rule_id]


async def test_a_rule_can_have_many_series_and_a_series_many_rules(state: State, rule_id: int) -> None:
    (other,) = await state.rules.add_rules([a_rule()], [])
    alerts = [an_alert(rule_id=which, labels=of_host(host)) for which in (rule_id, other.id) for host in "abc"]
    saved = await state.alerts.save_changes([pending(alert) for alert in alerts])
    assert len(await state.alerts.open_alerts()) == len({alert.id for alert in saved}) == 6


async def test_hostile_labels_survive(state: State, rule_id: int) -> None:
    labels = Labels.metric("m", {"a": "\r\nBcc: x@y", "b": "\0", "c": "x" * 64_000, "d": "'; drop table alert; --"})
    (saved,) = await state.alerts.save_changes([firing(an_alert(rule_id=rule_id, labels=labels))])
    assert (await state.book.alert(saved.id)).labels == labels
    assert (await history(state))[0].labels == labels


async def test_ten_thousand_changes_are_one_save(state: State, rule_id: int) -> None:
    def alert(number: int) -> Alert:
        return an_alert(rule_id=rule_id, labels=of_host(f"h{number}"))

    saved = await state.alerts.save_changes([pending(alert(number)) for number in range(10_000)])
    fired = await state.alerts.save_changes([firing(one) for one in saved])
    assert len({one.history_id for one in fired}) == 10_000
    assert len(await state.alerts.open_alerts()) == 10_000


async def test_all_or_none_is_saved(state: State, rule_id: int) -> None:
    bad = replace(an_alert(rule_id=rule_id, labels=of_host("b")), since_ms=2**70)
    with pytest.raises(Exception, match="cannot hold"):
        await state.alerts.save_changes([pending(an_alert(rule_id=rule_id)), pending(bad)])
    assert await state.alerts.open_alerts() == ()


async def test_the_reason_of_a_change_is_kept(state: State, rule_id: int) -> None:
    (fired,) = await state.alerts.save_changes([firing(an_alert(rule_id=rule_id))])
    over = resolved(fired)
    deleted = replace(over, alert=replace(over.alert, reason=Reason.RULE_DELETED))
    (after,) = await state.alerts.save_changes([deleted])
    assert after.reason is Reason.RULE_DELETED
    assert (await history(state))[0].reason == "rule deleted"


FILED = replace(
    an_alert(rule_id=None),
    metric_name="",
    expr="up == 0",
    source="rules.yml\ngroup\nDown\n1",
    annotations=(("summary", "it is down"), ("a", "b")),
)


async def test_an_alert_of_a_rule_in_a_file_comes_back_as_it_was_saved(state: State) -> None:
    (saved,) = await state.alerts.save_changes([pending(FILED)])
    gone = replace(saved, gone_at_ms=AT_MS + 5, annotations=(("summary", "still"),))
    await state.alerts.save_changes([Change(gone, saved.state)])
    (found,) = await state.alerts.open_alerts()
    assert found == gone
    assert (found.rule_id, found.source, found.expr) == (None, FILED.source, "up == 0")


async def test_two_rules_in_files_may_have_alerts_with_the_same_labels(state: State) -> None:
    other = replace(FILED, source="rules.yml\ngroup\nDown\n2")
    saved = await state.alerts.save_changes([pending(FILED), pending(other)])
    assert [alert.source for alert in saved] == [FILED.source, other.source]
    assert len(await state.alerts.open_alerts()) == 2


async def test_an_alert_of_a_rule_in_a_file_that_is_saved_twice_is_one_alert(state: State) -> None:
    """The first answer was lost with the connection."""
    (first,) = await state.alerts.save_changes([firing(FILED)])
    (again,) = await state.alerts.save_changes([firing(FILED)])
    assert again.id == first.id
    assert len(await state.alerts.open_alerts()) == 1
    assert len(await history(state)) == 1
