"""The road of an alert over the real state store: judged, saved, announced, acknowledged, resolved."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import ParamSpec, TypeVar

import numpy as np
import pytest
from tests.support.fakes_alerting import FakeBell, FakeLive, FakeSeries, FixedRoute

from tocsin.alerts.book import AlertBook
from tocsin.alerts.dispatcher import Dispatcher
from tocsin.model.alert import AlertEventKind, HistoryQuery, Reason
from tocsin.model.audit import Actor
from tocsin.model.duration import MINUTE_MS, SECOND_MS
from tocsin.model.errors import StoreError
from tocsin.model.labels import Labels
from tocsin.model.outbox import LetterKind, LetterState
from tocsin.model.page import PageRequest
from tocsin.model.rule import Condition, Rule, Severity
from tocsin.model.series import SampleBatch
from tocsin.rules.arrival import Arrival
from tocsin.rules.book import RuleBook
from tocsin.runtime.clock import FixedClock
from tocsin.runtime.offload import InlineOffload
from tocsin.runtime.telemetry import Telemetry
from tocsin.store.state.state import State, open_state

P = ParamSpec("P")
T = TypeVar("T")

S = SECOND_MS
ANN = Actor("ann")
A, B = Labels.metric("load", {"host": "a"}), Labels.metric("load", {"host": "b"})
AT_ONCE = Rule(0, "High", "load", Condition.ABOVE, 80.0, severity=Severity.CRITICAL)
SLOW = replace(AT_ONCE, name="Slow", duration_ms=60 * S)

ALL_LETTERS = tuple(LetterState)


class FaultyOffload(InlineOffload):
    """Fails the write of this number, before it is done or after."""

    def __init__(self) -> None:
        self.writes = 0
        self.fails_at: int | None = None
        self.after = False

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        self.writes += 1
        fails = self.writes == self.fails_at
        if fails and not self.after:
            raise StoreError("away before the commit")
        done = await super().run(work, *args, **kwargs)
        if fails:
            raise StoreError("away after the commit")
        return done


class Road:
    """A store that outlives the process, and all that does not."""

    def __init__(self, state: State, writes: FaultyOffload) -> None:
        self.state, self.writes = state, writes
        self.clock, self.series = FixedClock(), FakeSeries()

    async def start(self) -> None:
        self.live, self.bell, telemetry = FakeLive(), FakeBell(), Telemetry()
        self.dispatcher = Dispatcher(
            self.state.book, FixedRoute(), self.bell, self.live, clock=self.clock, telemetry=telemetry
        )
        self.arrival = Arrival(self.state.alerts, self.series, self.dispatcher, clock=self.clock, telemetry=telemetry)
        self.rules = RuleBook(self.state.rules, self.arrival, self.clock)
        self.book = AlertBook(self.state.book, self.live, self.clock)
        await self.rules.load()

    async def push(self, *samples: tuple[Labels, float]) -> None:
        at_ms = self.clock.now_ms()
        await self.arrival.observe(self.series.batch(*((labels, at_ms, value) for labels, value in samples)), at_ms)

    async def turn(self) -> None:
        """What the loops would do now."""
        await self.arrival.look(self.clock.now_ms())
        await self.dispatcher.announce_due(self.clock.now_ms())

    async def letters(self) -> list[tuple[LetterKind, str, Reason]]:
        """All that were ever queued, oldest first."""
        page = await self.state.outbox.letters(ALL_LETTERS, PageRequest(1_000))
        return [(letter.kind, letter.alert.labels.get("host"), letter.alert.reason) for letter in reversed(page.items)]


@pytest.fixture
async def road() -> AsyncIterator[Road]:
    writes = FaultyOffload()
    state = await open_state("sqlite://", write=writes, read=InlineOffload())
    road = Road(state, writes)
    await road.start()
    yield road
    await state.close()


async def test_an_alert_from_its_first_sample_to_the_last_letter(road: Road) -> None:
    rule = await road.rules.add(AT_ONCE, ANN)
    await road.push((A, 90.0))
    await road.turn()
    assert await road.letters() == [(LetterKind.FIRING, "a", Reason.CONDITION_MET)]
    road.clock.advance(5 * MINUTE_MS)
    await road.push((A, 95.0))
    await road.turn()
    (item,) = (await road.book.history(HistoryQuery(), PageRequest())).items
    assert (item.rule_id, item.value, item.resolved_at_ms) == (rule.id, 90.0, 0)
    await road.book.acknowledge(item.alert_id, ANN, "looking")
    road.clock.advance(20 * MINUTE_MS)
    await road.push((A, 1.0))
    await road.turn()
    assert [kind for kind, _, _ in await road.letters()] == [LetterKind.FIRING, LetterKind.REPEAT, LetterKind.RESOLVED]
    (item,) = (await road.book.history(HistoryQuery(), PageRequest())).items
    assert (item.acknowledged_by, item.comment, item.peak) == ("ann", "looking", 95.0)
    assert (item.resolved_at_ms, item.reason) == (road.clock.now_ms(), "condition cleared")
    assert [event.kind for event in road.live.events] == [
        AlertEventKind.FIRING,
        AlertEventKind.ACKNOWLEDGED,
        AlertEventKind.RESOLVED,
    ]
    assert road.live.events[-1].alert.acknowledged


async def test_a_restart_keeps_what_is_pending_and_what_is_firing(road: Road) -> None:
    await road.rules.add(AT_ONCE, ANN)
    await road.rules.add(SLOW, ANN)
    await road.push((A, 90.0))
    await road.turn()
    road.clock.advance(10 * MINUTE_MS)
    await road.start()
    await road.push((A, 90.0))
    await road.turn()
    assert [(kind, reason) for kind, _, reason in await road.letters()] == [
        (LetterKind.FIRING, Reason.CONDITION_MET),
        (LetterKind.REPEAT, Reason.CONDITION_MET),
        (LetterKind.FIRING, Reason.HELD),
    ]


async def test_values_that_move_leave_the_repeat_alone(road: Road) -> None:
    await road.rules.add(AT_ONCE, ANN)
    await road.push((A, 90.0))
    await road.turn()
    for _ in range(4):
        road.clock.advance(MINUTE_MS)
        await road.push((A, 90.0 + road.clock.now_ms() % 7))
        await road.turn()
    assert len(await road.letters()) == 1
    road.clock.advance(MINUTE_MS)
    await road.turn()
    assert len(await road.letters()) == 2


async def test_deleting_a_rule_tells_everybody_that_its_alert_is_over(road: Road) -> None:
    rule = await road.rules.add(AT_ONCE, ANN)
    await road.push((A, 90.0))
    await road.turn()
    await road.rules.delete(rule.id, ANN)
    await road.turn()
    assert (await road.letters())[-1] == (LetterKind.RESOLVED, "a", Reason.RULE_DELETED)
    assert (await road.state.alerts.open_alerts()) == ()


async def test_a_new_severity_is_announced_at_its_own_pace(road: Road) -> None:
    rule = await road.rules.add(replace(AT_ONCE, severity=Severity.INFO), ANN)
    await road.push((A, 90.0))
    await road.turn()
    road.clock.advance(4 * MINUTE_MS)
    await road.rules.change(replace(rule, severity=Severity.CRITICAL), ANN)
    await road.turn()
    assert len(await road.letters()) == 1
    road.clock.advance(MINUTE_MS)
    await road.turn()
    assert [kind for kind, _, _ in await road.letters()] == [LetterKind.FIRING, LetterKind.REPEAT]


async def test_a_storm_of_series_is_stored_and_announced(road: Road) -> None:
    await road.rules.add(AT_ONCE, ANN)
    ids = np.array([road.series.add(Labels.metric("load", {"host": str(n)})) for n in range(2_000)], np.uint64)
    for value, expected in ((90.0, 2_000), (1.0, 0)):
        at_ms = road.clock.advance(5 * S)
        batch = SampleBatch(ids, np.full(len(ids), at_ms), np.full(len(ids), value))
        await road.arrival.observe(batch, at_ms)
        await road.turn()
        assert len(await road.state.alerts.open_alerts()) == expected
    assert await road.state.book.next_deadline_ms() is None


async def scenario(road: Road, until_done: Callable[[Callable[[], Awaitable[object]]], Awaitable[None]]) -> None:
    """Two rules, two series, a hold, a repeat, a recovery, a relapse and an edit."""
    await road.rules.add(AT_ONCE, ANN)
    slow = await road.rules.add(SLOW, ANN)
    values = [(90.0, 1.0), (90.0, 85.0), (90.0, 85.0), (1.0, 85.0), (1.0, 1.0), (99.0, 85.0), (99.0, 85.0)]
    for one, other in values:
        samples = (A, one), (B, other)
        await until_done(lambda samples=samples: road.push(*samples))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        await until_done(road.turn)
        road.clock.advance(60 * S)
    await until_done(lambda: road.rules.set_enabled(slow.id, False, ANN))
    await until_done(road.turn)
    road.clock.advance(5 * MINUTE_MS)
    await until_done(road.turn)


async def once(work: Callable[[], Awaitable[object]]) -> None:
    await work()


@pytest.fixture
async def undisturbed(road: Road) -> tuple[list[tuple[LetterKind, str, Reason]], int]:
    """The letters of the scenario, and after how many writes it ended."""
    await scenario(road, once)
    return sorted(await road.letters()), road.writes.writes


@pytest.mark.parametrize("after", [False, True])
async def test_a_kill_at_any_write_changes_no_letter(
    undisturbed: tuple[list[tuple[LetterKind, str, Reason]], int], *, after: bool
) -> None:
    expected, writes = undisturbed
    assert len(expected) >= 10
    for number in range(4, writes + 1):
        faulty = FaultyOffload()
        state = await open_state("sqlite://", write=faulty, read=InlineOffload())
        road = Road(state, faulty)

        async def until_done(work: Callable[[], Awaitable[object]], road: Road = road) -> None:
            try:
                await work()
            except StoreError:
                await road.start()
                await work()

        await road.start()
        faulty.fails_at, faulty.after = number, after
        await scenario(road, until_done)
        assert sorted(await road.letters()) == expected, number
        await state.close()
