from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.fakes_alerting import FIRING, FakeLive, FakeState

from tocsin.alerts.book import AlertBook, clean_comment
from tocsin.model.alert import AlertEventKind, AlertQuery, AlertState, HistoryQuery
from tocsin.model.audit import Actor
from tocsin.model.errors import ConflictError, NotFoundError, UserError
from tocsin.model.page import PageRequest
from tocsin.runtime.clock import FixedClock

ANN = Actor("ann", "192.0.2.1")


@pytest.fixture
def state() -> FakeState:
    return FakeState(rows={1: replace(FIRING, notify_at_ms=5)})


@pytest.fixture
def live() -> FakeLive:
    return FakeLive()


@pytest.fixture
def book(state: FakeState, live: FakeLive) -> AlertBook:
    return AlertBook(state, live, FixedClock())


async def test_acknowledging_says_who_when_and_why(book: AlertBook, state: FakeState, live: FakeLive) -> None:
    alert = await book.acknowledge(1, ANN, "on it")
    assert (alert.acknowledged, alert.acknowledged_by, alert.comment) == (True, "ann", "on it")
    assert alert.acknowledged_at_ms == FixedClock().now_ms()
    assert [(event.kind, event.alert) for event in live.events] == [(AlertEventKind.ACKNOWLEDGED, alert)]
    (entry,) = state.audit
    assert (entry.actor, entry.action, entry.target) == (ANN, "alert.acknowledge", "alert 1")
    assert entry.after == {"acknowledged": True, "acknowledged_by": "ann", "comment": "on it"}


async def test_acknowledging_twice_is_a_conflict_and_tells_nobody(book: AlertBook, live: FakeLive) -> None:
    await book.acknowledge(1, ANN)
    with pytest.raises(ConflictError):
        await book.acknowledge(1, ANN)
    assert len(live.events) == 1


async def test_acknowledging_what_does_not_exist_is_told(book: AlertBook) -> None:
    with pytest.raises(NotFoundError):
        await book.acknowledge(99, ANN)


async def test_alerts_and_history_are_read_from_the_store(book: AlertBook) -> None:
    assert (await book.alert(1)).id == 1
    assert len((await book.alerts(AlertQuery((AlertState.FIRING,)), PageRequest())).items) == 1
    assert (await book.history(HistoryQuery(), PageRequest())).items == ()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("  fine \n", "fine"),
        ("two\r\nlines\rthree", "two\nlines\nthree"),
        ("bell\x07 nul\x00 escape\x1b[31m tab\t", "bell nul escape[31m tab"),
        ("turned \u202egnp.exe", "turned gnp.exe"),
        ("half a pair \ud800", "half a pair"),
        ("émoji 👩‍🔧 stays", "émoji 👩‍🔧 stays"),
    ],
)
def test_a_comment_is_made_harmless(text: str, kept: str) -> None:
    assert clean_comment(text) == kept


def test_a_comment_has_a_limit() -> None:
    assert clean_comment("x" * 1_000)
    with pytest.raises(UserError, match="1000"):
        clean_comment("x" * 1_001)
