from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from structlog.testing import capture_logs
from tests.support.fakes_alerting import FIRING as FIRES
from tests.support.fakes_alerting import FakeBell, FakeLive, FakeState, FixedRoute, Trouble

from tocsin.alerts.dispatcher import EVENTS_WAITING_MAX, PAGE, Dispatcher, letter_key
from tocsin.alerts.routes import DefaultRoute
from tocsin.alerts.settings import AlertSettings
from tocsin.model.alert import Alert, AlertEventKind, AlertState, Change
from tocsin.model.audit import Actor, AuditEntry
from tocsin.model.duration import DAY_MS, HOUR_MS, MINUTE_MS, Duration
from tocsin.model.errors import StoreError, UserError
from tocsin.model.outbox import LetterKind, LetterState, Target
from tocsin.model.rule import Severity
from tocsin.runtime.clock import FixedClock
from tocsin.runtime.telemetry import Telemetry

INACTIVE, PENDING, FIRING, RESOLVED = AlertState
OPS, BOSS = Target("email", "ops@example.org"), Target("email", "boss@example.org")


class Desk:
    """A store that outlives the process, and a Dispatcher that does not."""

    def __init__(self) -> None:
        self.clock = FixedClock()
        self.state = FakeState()
        self.trouble = self.state.failures = Trouble()
        self.route = FixedRoute([OPS])
        self.restart()

    def restart(self) -> None:
        self.live, self.bell, self.telemetry = FakeLive(), FakeBell(), Telemetry()
        self.dispatcher = Dispatcher(
            self.state, self.route, self.bell, self.live, clock=self.clock, telemetry=self.telemetry
        )

    async def change(self, alert: Alert, before: AlertState) -> Alert:
        (saved,) = await self.state.save_changes([Change(alert, before)])
        self.dispatcher.alerts_changed([Change(saved, before)])
        return saved

    async def fire(self, **changes: object) -> Alert:
        now = self.clock.now_ms()
        alert = replace(FIRES, id=0, fired_at_ms=now, notify_at_ms=now, **changes)  # type: ignore[arg-type]  # a test's shorthand
        return await self.change(alert, INACTIVE)

    async def resolve(self, alert: Alert) -> Alert:
        now = self.clock.now_ms()
        return await self.change(replace(alert, state=RESOLVED, resolved_at_ms=now, notify_at_ms=now), FIRING)

    async def announce(self, after_ms: int = 0) -> list[LetterKind]:
        """The kinds of the letters that this round queued."""
        before = len(self.state.letters)
        await self.dispatcher.announce_due(self.clock.advance(after_ms))
        return [letter.kind for letter in self.state.letters[before:]]

    async def acknowledge(self, alert: Alert) -> None:
        entry = AuditEntry(self.clock.now_ms(), Actor("ann"), "alert.acknowledge", "")
        await self.state.acknowledge(alert.id, "", entry)


async def rounds(count: int) -> None:
    """Let other tasks run so many times."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_a_firing_alert_is_announced_once(desk: Desk) -> None:
    alert = await desk.fire()
    assert await desk.announce() == [LetterKind.FIRING]
    assert await desk.announce() == []
    row = desk.state.rows[alert.id]
    now = desk.clock.now_ms()
    assert (row.announced, row.announced_at_ms, row.notify_at_ms) == (FIRING, now, now + 30 * MINUTE_MS)
    (letter,) = desk.state.letters
    assert (letter.target, letter.state, letter.alert.id) == (OPS, LetterState.QUEUED, alert.id)
    assert (letter.created_at_ms, letter.next_attempt_at_ms, letter.expires_at_ms) == (now, now, now + DAY_MS)
    assert desk.bell.rings == 1


async def test_everybody_of_the_route_gets_a_letter(desk: Desk) -> None:
    desk.route.to = (OPS, BOSS)
    await desk.fire()
    await desk.announce()
    assert [letter.target for letter in desk.state.letters] == [OPS, BOSS]
    assert len({letter.key for letter in desk.state.letters}) == 2


async def test_it_is_repeated_at_the_pace_of_its_severity(desk: Desk) -> None:
    await desk.fire(severity=Severity.CRITICAL)
    assert await desk.announce() == [LetterKind.FIRING]
    assert await desk.announce(5 * MINUTE_MS - 1) == []
    assert await desk.announce(1) == [LetterKind.REPEAT]
    assert await desk.announce(5 * MINUTE_MS) == [LetterKind.REPEAT]


async def test_an_acknowledged_alert_is_not_repeated_but_resolved(desk: Desk) -> None:
    alert = await desk.fire()
    await desk.announce()
    await desk.acknowledge(alert)
    assert await desk.announce(5 * HOUR_MS) == []
    await desk.resolve(alert)
    assert await desk.announce() == [LetterKind.RESOLVED]


async def test_a_resolved_alert_is_announced_once(desk: Desk) -> None:
    alert = await desk.fire()
    await desk.announce()
    await desk.resolve(alert)
    assert await desk.announce() == [LetterKind.RESOLVED]
    assert await desk.announce(5 * HOUR_MS) == []
    assert desk.state.rows[alert.id].notify_at_ms is None


async def test_an_alert_that_nobody_was_told_of_resolves_silently(desk: Desk) -> None:
    await desk.resolve(await desk.fire())
    assert await desk.announce() == []
    assert await desk.state.next_deadline_ms() is None


async def test_a_restart_between_deciding_and_sending_announces_nothing_twice(desk: Desk) -> None:
    await desk.fire()
    desk.trouble.times = 1
    with pytest.raises(StoreError):
        await desk.announce()
    desk.restart()
    assert await desk.announce() == [LetterKind.FIRING]
    desk.restart()
    assert await desk.announce() == []


async def test_what_came_due_while_down_is_announced_at_the_start(desk: Desk) -> None:
    alert = await desk.fire()
    await desk.announce()
    await desk.resolve(alert)
    desk.restart()
    assert await desk.announce() == [LetterKind.RESOLVED]


async def test_an_alert_that_changed_meanwhile_is_decided_anew(desk: Desk) -> None:
    alert = await desk.fire()
    await desk.announce()
    stale = await desk.state.due_alerts(desk.clock.advance(HOUR_MS), 10)
    real = desk.state.due_alerts
    answers = [stale]

    class Late(FakeState):
        async def due_alerts(self, at_ms: int, limit: int) -> tuple[Alert, ...]:
            return answers.pop() if answers else await real(at_ms, limit)

        async def announce(self, announcements: Sequence[object]) -> tuple[bool, ...]:
            return await desk.state.announce(announcements)  # type: ignore[arg-type]  # handed on as it came

    dispatcher = Dispatcher(Late(), desk.route, desk.bell, desk.live, clock=desk.clock, telemetry=desk.telemetry)
    await desk.acknowledge(alert)
    assert await dispatcher.announce_due(desk.clock.now_ms()) is False
    assert await dispatcher.announce_due(desk.clock.now_ms()) is True
    assert [letter.kind for letter in desk.state.letters] == [LetterKind.FIRING]
    assert desk.telemetry.registry.get_sample_value("tocsin_alert_misses_total") == 1


async def test_without_a_receiver_alerts_still_go_on(desk: Desk) -> None:
    desk.route.to = ()
    with capture_logs() as logs:
        alert = await desk.fire()
        assert await desk.announce() == []
        assert await desk.announce(30 * MINUTE_MS) == []
    assert len([line for line in logs if "no receiver" in line["event"]]) == 1
    assert desk.state.rows[alert.id].announced is FIRING
    assert desk.bell.rings == 0
    await desk.resolve(alert)
    assert await desk.announce() == []
    assert desk.state.rows[alert.id].announced is RESOLVED


async def test_a_reload_brings_new_receivers_and_intervals(desk: Desk) -> None:
    await desk.fire()
    desk.dispatcher.reload(DefaultRoute([BOSS, BOSS]), AlertSettings(repeat_warning=Duration(MINUTE_MS)))
    await desk.announce()
    assert await desk.announce(MINUTE_MS) == [LetterKind.REPEAT]
    assert {letter.target for letter in desk.state.letters} == {BOSS}


async def test_a_storm_is_announced_in_pages(desk: Desk) -> None:
    for number in range(2 * PAGE + 1):
        await desk.fire(rule_id=number)
    assert len(await desk.announce()) == 2 * PAGE + 1
    assert desk.bell.rings == 3
    assert desk.telemetry.registry.get_sample_value("tocsin_alert_letters_total", {"kind": "firing"}) == 1_001


async def test_browsers_are_told_at_once(desk: Desk) -> None:
    alert = await desk.change(replace(FIRES, id=0, state=PENDING), INACTIVE)
    alert = await desk.change(replace(alert, state=FIRING), PENDING)
    await desk.change(replace(alert, severity=Severity.CRITICAL), FIRING)
    await desk.resolve(alert)
    pending = await desk.change(replace(FIRES, id=0, state=PENDING), INACTIVE)
    await desk.change(replace(pending, state=INACTIVE), PENDING)
    assert [event.kind for event in desk.live.events] == [
        AlertEventKind.CHANGED,
        AlertEventKind.FIRING,
        AlertEventKind.CHANGED,
        AlertEventKind.RESOLVED,
        AlertEventKind.CHANGED,
        AlertEventKind.CHANGED,
    ]


async def test_in_a_storm_events_wait_in_order_and_the_oldest_are_dropped(desk: Desk) -> None:
    storm = [Change(replace(FIRES, id=number), INACTIVE) for number in range(EVENTS_WAITING_MAX)]
    desk.dispatcher.alerts_changed(storm)
    desk.dispatcher.alerts_changed([Change(replace(FIRES, id=-1, state=RESOLVED), FIRING)])
    assert desk.live.events == []
    loop = asyncio.create_task(desk.dispatcher.run())
    await rounds(1_000)
    loop.cancel()
    assert [event.alert.id for event in desk.live.events] == [*range(1, EVENTS_WAITING_MAX), -1]
    assert desk.telemetry.registry.get_sample_value("tocsin_alert_events_dropped_total") == 1


async def test_the_loop_announces_what_it_is_woken_for(desk: Desk) -> None:
    loop = asyncio.create_task(desk.dispatcher.run())
    await asyncio.sleep(0)
    await desk.fire()
    await rounds(20)
    loop.cancel()
    assert len(desk.state.letters) == 1


def test_a_key_names_one_sending_and_no_address() -> None:
    key = letter_key(7, LetterKind.REPEAT, 123, OPS)
    assert key == letter_key(7, LetterKind.REPEAT, 123, OPS)
    assert "example" not in key
    others = [
        letter_key(8, LetterKind.REPEAT, 123, OPS),
        letter_key(7, LetterKind.FIRING, 123, OPS),
        letter_key(7, LetterKind.REPEAT, 124, OPS),
        letter_key(7, LetterKind.REPEAT, 123, BOSS),
    ]
    assert len({key, *others}) == 5


@pytest.mark.parametrize("name", ["repeat_critical", "repeat_warning", "repeat_info", "letter_expiry"])
def test_an_interval_of_seconds_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=name):
        AlertSettings(**{name: Duration(1_000)})
