from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest
from tests.support.fakes_alerting import FakeSeries, FakeSink, FakeState, Trouble

from tocsin.model.alert import AlertState, Change, Reason
from tocsin.model.audit import SYSTEM, AuditEntry
from tocsin.model.duration import HOUR_MS, SECOND_MS
from tocsin.model.errors import StoreError
from tocsin.model.labels import Labels
from tocsin.model.matcher import Matcher, MatchOp, equals
from tocsin.model.rule import Condition, Rule, Severity
from tocsin.model.series import SampleBatch
from tocsin.rules.arrival import Arrival
from tocsin.runtime.clock import FixedClock
from tocsin.runtime.telemetry import Telemetry

S = SECOND_MS
A, B, C = (Labels.metric("load", {"host": host}) for host in "abc")
INACTIVE, PENDING, FIRING, RESOLVED = AlertState
AT_ONCE = Rule(id=0, name="High", metric_name="load", condition=Condition.ABOVE, threshold=80.0)
SLOW = replace(AT_ONCE, name="Slow", duration_ms=60 * S)


class World:
    """A store that outlives the process, and an Arrival that does not."""

    def __init__(self) -> None:
        self.clock = FixedClock()
        self.state = FakeState()
        self.series = FakeSeries()
        self.sink = FakeSink()
        self.trouble = self.state.failures = Trouble()
        self.telemetry = Telemetry()
        self.arrival = self._new_arrival()

    def _new_arrival(self) -> Arrival:
        return Arrival(self.state, self.series, self.sink, clock=self.clock, telemetry=self.telemetry)

    async def rule(self, rule: Rule) -> Rule:
        entry = AuditEntry(self.clock.now_ms(), SYSTEM, "rule.add", rule.name)
        (added,) = await self.state.add_rules([rule], [entry])
        await self.arrival.set_rule(added)
        return added

    async def restart(self) -> None:
        self.telemetry = Telemetry()
        self.arrival = self._new_arrival()
        await self.arrival.load(await self.state.rules())

    async def push(self, *samples: tuple[Labels, float], age_s: int = 0) -> list[Change]:
        at_ms = self.clock.now_ms()
        return await self.push_at(*((labels, at_ms - age_s * S, value) for labels, value in samples))

    async def push_at(self, *samples: tuple[Labels, int, float]) -> list[Change]:
        await self.arrival.observe(self.series.batch(*samples), self.clock.now_ms())
        return self.sink.take()

    async def wait(self, seconds: float) -> list[Change]:
        await self.arrival.look(self.clock.advance(round(seconds * S)))
        return self.sink.take()

    def open(self) -> dict[tuple[str, str], AlertState]:
        rows = self.state.rows.values()
        return {(row.rule_name, row.labels.get("host")): row.state for row in rows if row.open}

    def metric(self, name: str) -> float:
        return self.telemetry.registry.get_sample_value(name) or 0.0


@pytest.fixture
def world() -> World:
    return World()


def told(changes: Sequence[Change]) -> list[tuple[AlertState, AlertState, Reason]]:
    return [(change.before, change.alert.state, change.alert.reason) for change in changes]


async def test_a_sample_over_the_threshold_fires_and_one_under_it_resolves(world: World) -> None:
    await world.rule(AT_ONCE)
    assert told(await world.push((A, 90.0), (B, 10.0))) == [(INACTIVE, FIRING, Reason.CONDITION_MET)]
    world.clock.advance(5 * S)
    assert await world.push((A, 95.0)) == []
    world.clock.advance(5 * S)
    (change,) = await world.push((A, 20.0))
    assert (change.alert.state, change.alert.value, change.alert.peak) == (RESOLVED, 20.0, 95.0)
    assert world.open() == {}


async def test_changes_are_saved_before_they_are_told(world: World) -> None:
    await world.rule(AT_ONCE)
    (change,) = await world.push((A, 90.0))
    assert change.alert == world.state.rows[change.alert.id]
    assert world.state.past[change.alert.history_id or 0].value == 90.0


async def test_each_series_has_a_state_of_its_own(world: World) -> None:
    await world.rule(AT_ONCE)
    await world.rule(replace(SLOW, matchers=equals({"host": "a"})))
    await world.push((A, 90.0), (B, 91.0), (C, 3.0))
    assert world.open() == {("High", "a"): FIRING, ("High", "b"): FIRING, ("Slow", "a"): PENDING}


async def test_matchers_choose_the_series(world: World) -> None:
    await world.rule(replace(AT_ONCE, name="only", matchers=equals({"host": "a"})))
    await world.rule(replace(AT_ONCE, name="not", matchers=(Matcher("host", MatchOp.NOT_EQUAL, "a"),)))
    await world.rule(replace(AT_ONCE, name="like", matchers=(Matcher("host", MatchOp.REGEX, "[ab]"),)))
    await world.rule(replace(AT_ONCE, name="other", metric_name="memory"))
    await world.push((A, 90.0), (B, 90.0))
    assert set(world.open()) == {("only", "a"), ("not", "b"), ("like", "a"), ("like", "b")}


async def test_samples_of_a_batch_may_come_in_any_order(world: World) -> None:
    await world.rule(SLOW)
    now = world.clock.now_ms()
    changes = await world.push_at((A, now, 90.0), (A, now - 60 * S, 85.0), (A, now - 30 * S, 99.0))
    assert told(changes) == [(INACTIVE, FIRING, Reason.HELD)]
    assert (changes[0].alert.since_ms, changes[0].alert.peak) == (now - 60 * S, 99.0)


async def test_of_two_samples_with_one_time_the_later_row_counts(world: World) -> None:
    await world.rule(AT_ONCE)
    now = world.clock.now_ms()
    assert await world.push_at((A, now, 90.0), (A, now, 10.0)) == []
    assert len(await world.push_at((B, now, 10.0), (B, now, 90.0))) == 1


async def test_late_samples_never_flip_a_state(world: World) -> None:
    await world.rule(AT_ONCE)
    await world.push((A, 90.0))
    assert await world.push((A, 10.0), age_s=10) == []
    assert await world.push((A, 10.0)) == []
    assert world.open() == {("High", "a"): FIRING}
    assert world.metric("tocsin_rule_late_samples_total") == 2


async def test_an_agent_that_catches_up_neither_fires_nor_resolves(world: World) -> None:
    await world.rule(AT_ONCE)
    await world.push((A, 90.0))
    world.clock.advance(20 * 60 * S)
    await world.push_at(*((B, world.clock.now_ms() - age * S, 99.0) for age in range(1200, 400, -10)))
    await world.push_at(*((A, world.clock.now_ms() - age * S, 1.0) for age in range(1190, 400, -10)))
    assert world.open() == {("High", "a"): FIRING, ("High", "b"): PENDING}
    await world.push((A, 1.0), (B, 1.0))
    assert world.open() == {}


async def test_no_number_is_no_reading(world: World) -> None:
    await world.rule(AT_ONCE)
    await world.rule(replace(AT_ONCE, name="not", condition=Condition.NOT_EQUAL, threshold=1.0))
    assert await world.push((A, math.nan)) == []
    await world.push((A, 90.0), age_s=0)
    world.clock.advance(S)
    stale_marker = float(np.array([0x7FF0000000000002], np.uint64).view(np.float64)[0])
    assert await world.push((A, stale_marker)) == []
    assert set(world.open().values()) == {FIRING}


async def test_the_timer_fires_when_no_further_sample_comes(world: World) -> None:
    await world.rule(SLOW)
    await world.push((A, 90.0))
    assert await world.wait(59.9) == []
    assert told(await world.wait(0.1)) == [(PENDING, FIRING, Reason.HELD)]


async def test_a_pending_alert_of_a_silent_series_is_dropped(world: World) -> None:
    await world.rule(replace(AT_ONCE, duration_ms=HOUR_MS))
    await world.push((A, 90.0))
    world.clock.advance(200 * S)
    await world.push((A, 91.0))
    assert await world.wait(299) == []
    assert told(await world.wait(1)) == [(PENDING, INACTIVE, Reason.NO_DATA)]
    assert world.state.rows == {}


async def test_a_dead_host_keeps_firing_for_a_day(world: World) -> None:
    await world.rule(AT_ONCE)
    await world.push((A, 90.0))
    assert await world.wait(24 * 3600 - 1) == []
    assert told(await world.wait(1)) == [(FIRING, RESOLVED, Reason.NO_DATA)]


async def test_a_restart_keeps_the_start_of_a_pending_alert(world: World) -> None:
    await world.rule(SLOW)
    await world.push((A, 90.0))
    world.clock.advance(20 * 60 * S)
    await world.restart()
    assert await world.wait(0) == []
    assert told(await world.push((A, 90.0))) == [(PENDING, FIRING, Reason.HELD)]


async def test_down_time_is_not_silence(world: World) -> None:
    await world.rule(AT_ONCE)
    await world.rule(replace(SLOW, duration_ms=HOUR_MS))
    await world.push((A, 90.0))
    world.clock.advance(48 * HOUR_MS)
    await world.restart()
    assert await world.wait(299) == []
    assert told(await world.wait(1)) == [(PENDING, INACTIVE, Reason.NO_DATA)]
    assert told(await world.wait(24 * 3600 - 300)) == [(FIRING, RESOLVED, Reason.NO_DATA)]


async def test_a_firing_alert_is_not_told_again_after_a_restart(world: World) -> None:
    await world.rule(AT_ONCE)
    await world.push((A, 90.0))
    world.clock.advance(S)
    await world.restart()
    assert await world.push((A, 91.0)) == []
    world.clock.advance(S)
    assert told(await world.push((A, 1.0))) == [(FIRING, RESOLVED, Reason.CLEARED)]


async def test_the_same_batch_again_after_a_restart_changes_nothing(world: World) -> None:
    await world.rule(SLOW)
    now = world.clock.now_ms()
    batch = world.series.batch((A, now - 10 * S, 1.0), (A, now, 90.0))
    await world.arrival.observe(batch, now)
    before = dict(world.state.rows)
    await world.restart()
    await world.arrival.observe(batch, now)
    assert world.state.rows == before


async def test_when_saving_fails_the_same_batch_is_judged_again(world: World) -> None:
    await world.rule(AT_ONCE)
    world.trouble.times = 1
    batch = world.series.batch((A, world.clock.now_ms(), 90.0))
    with pytest.raises(StoreError):
        await world.arrival.observe(batch, world.clock.now_ms())
    assert world.open() == {}
    await world.arrival.observe(batch, world.clock.now_ms())
    assert world.open() == {("High", "a"): FIRING}
    assert len(world.sink.take()) == 1


async def test_an_answer_lost_after_the_commit_opens_no_second_alert(world: World) -> None:
    await world.rule(AT_ONCE)
    lost = Trouble()
    lost.times = 1
    world.state.after_commit = lost
    batch = world.series.batch((A, world.clock.now_ms(), 90.0))
    with pytest.raises(StoreError):
        await world.arrival.observe(batch, world.clock.now_ms())
    calls = world.sink.calls
    await world.arrival.observe(batch, world.clock.now_ms())
    assert world.open() == {("High", "a"): FIRING}
    assert len(world.state.rows) == 1
    assert world.sink.calls > calls  # the dispatcher is woken for what it has missed


async def test_a_cancelled_round_is_made_good_by_the_next(world: World) -> None:
    await world.rule(AT_ONCE)

    def cancel() -> None:
        raise asyncio.CancelledError

    world.state.after_commit = cancel
    batch = world.series.batch((A, world.clock.now_ms(), 90.0))
    with pytest.raises(asyncio.CancelledError):
        await world.arrival.observe(batch, world.clock.now_ms())
    world.state.after_commit = lambda: None
    await world.arrival.observe(batch, world.clock.now_ms())
    assert len(world.state.rows) == 1


async def test_a_timer_that_cannot_save_tries_again(world: World) -> None:
    await world.rule(SLOW)
    await world.push((A, 90.0))
    world.trouble.times = 1
    world.clock.advance(60 * S)
    with pytest.raises(StoreError):
        await world.arrival.look(world.clock.now_ms())
    assert told(await world.wait(1)) == [(PENDING, FIRING, Reason.HELD)]


async def test_a_rule_that_the_store_refuses_does_not_stop_the_others(world: World) -> None:
    bad = await world.rule(replace(AT_ONCE, name="bad"))
    await world.rule(AT_ONCE)

    def refuse(changes: Sequence[Change]) -> None:
        if any(change.alert.rule_id == bad.id for change in changes):
            raise ValueError("no")

    world.state.refuse = refuse
    await world.push((A, 90.0))
    assert world.open() == {("High", "a"): FIRING}
    assert world.metric("tocsin_rule_errors_total") == 1


async def test_a_rule_that_cannot_be_matched_does_not_stop_the_others(world: World) -> None:
    await world.rule(replace(AT_ONCE, name="bad", matchers=(Matcher("host", MatchOp.REGEX, "("),)))
    await world.rule(AT_ONCE)
    await world.push((A, 90.0))
    assert world.open() == {("High", "a"): FIRING}


async def test_a_sample_of_unknown_labels_does_not_stop_the_others(world: World) -> None:
    await world.rule(AT_ONCE)
    batch = world.series.batch((A, world.clock.now_ms(), 90.0), (B, world.clock.now_ms(), 90.0))
    lost = world.series.known.pop(B.series_id())
    await world.arrival.observe(batch, world.clock.now_ms())
    assert world.open() == {("High", "a"): FIRING}
    world.series.add(lost)
    await world.arrival.observe(batch, world.clock.now_ms())
    assert set(world.open()) == {("High", "a"), ("High", "b")}


async def test_labels_are_looked_up_once(world: World) -> None:
    await world.rule(replace(AT_ONCE, metric_name="other"))
    for _ in range(3):
        world.clock.advance(S)
        await world.push((A, 1.0), (B, 1.0))
    assert world.series.asked == 2


async def test_an_edited_threshold_resolves_what_it_no_longer_covers(world: World) -> None:
    rule = await world.rule(AT_ONCE)
    await world.push((A, 85.0), (B, 95.0))
    world.sink.take()
    await world.arrival.set_rule(replace(rule, threshold=90.0, severity=Severity.CRITICAL))
    changes = {change.alert.labels.get("host"): change.alert for change in world.sink.take()}
    assert (changes["a"].state, changes["a"].reason) == (RESOLVED, Reason.RULE_EDITED)
    assert (changes["b"].state, changes["b"].severity) == (FIRING, Severity.CRITICAL)
    world.clock.advance(S)
    assert await world.push((A, 85.0), (B, 95.0)) == []
    assert len(await world.push((C, 85.0), age_s=-1)) == 0


async def test_an_edit_judges_by_values_that_were_never_saved(world: World) -> None:
    rule = await world.rule(AT_ONCE)
    await world.push((A, 85.0))
    world.clock.advance(S)
    await world.push((A, 95.0))
    await world.arrival.set_rule(replace(rule, threshold=90.0))
    assert world.open() == {("High", "a"): FIRING}


async def test_an_edited_metric_closes_the_old_and_watches_the_new(world: World) -> None:
    rule = await world.rule(AT_ONCE)
    await world.push((A, 90.0), (Labels.metric("memory"), 90.0))
    world.sink.take()
    await world.arrival.set_rule(replace(rule, metric_name="memory"))
    assert told(world.sink.take()) == [(FIRING, RESOLVED, Reason.RULE_EDITED)]
    world.clock.advance(S)
    (change,) = await world.push((A, 90.0), (Labels.metric("memory"), 90.0))
    assert change.alert.labels.name == "memory"


async def test_a_shorter_duration_is_kept_by_the_timer(world: World) -> None:
    rule = await world.rule(replace(SLOW, duration_ms=250 * S))
    await world.push((A, 90.0))
    await world.arrival.set_rule(replace(rule, duration_ms=100 * S))
    assert await world.wait(99) == []
    assert told(await world.wait(1)) == [(PENDING, FIRING, Reason.HELD)]


async def test_the_timer_fires_when_a_fresh_sample_follows_an_old_one(world: World) -> None:
    await world.rule(replace(SLOW, duration_ms=600 * S))
    await world.push((A, 90.0), age_s=290)
    world.clock.advance(299 * S)
    await world.restart()
    await world.push((A, 90.0))
    assert told(await world.wait(30)) == [(PENDING, FIRING, Reason.HELD)]


async def test_disabling_resolves_and_enabling_watches_again(world: World) -> None:
    rule = await world.rule(AT_ONCE)
    slow = await world.rule(SLOW)
    await world.push((A, 90.0))
    world.sink.take()
    await world.arrival.set_rule(replace(rule, enabled=False))
    await world.arrival.set_rule(replace(slow, enabled=False))
    assert told(world.sink.take()) == [
        (FIRING, RESOLVED, Reason.RULE_DISABLED),
        (PENDING, INACTIVE, Reason.RULE_DISABLED),
    ]
    world.clock.advance(S)
    assert await world.push((A, 90.0)) == []
    await world.arrival.set_rule(rule)
    world.clock.advance(S)
    assert len(await world.push((A, 90.0))) == 1


async def test_removing_a_rule_closes_its_alerts(world: World) -> None:
    rule = await world.rule(AT_ONCE)
    await world.push((A, 90.0))
    world.sink.take()
    await world.arrival.remove_rule(rule.id)
    assert told(world.sink.take()) == [(FIRING, RESOLVED, Reason.RULE_DELETED)]
    world.clock.advance(S)
    assert await world.push((A, 90.0)) == []


async def test_a_rule_that_cannot_be_removed_stays_as_it_was(world: World) -> None:
    rule = await world.rule(AT_ONCE)
    await world.push((A, 90.0))
    world.trouble.times = 1
    with pytest.raises(StoreError):
        await world.arrival.remove_rule(rule.id)
    assert world.open() == {("High", "a"): FIRING}
    world.clock.advance(S)
    assert len(await world.push((A, 1.0))) == 1


async def test_alerts_of_an_edit_that_cannot_be_saved_are_settled_later(world: World) -> None:
    rule = await world.rule(AT_ONCE)
    await world.push((A, 85.0))
    world.sink.take()
    world.trouble.times = 1
    await world.arrival.set_rule(replace(rule, threshold=90.0))
    assert world.open() == {("High", "a"): FIRING}
    assert told(await world.wait(1)) == [(FIRING, RESOLVED, Reason.RULE_EDITED)]


async def test_what_happened_to_rules_while_down_is_settled_at_the_start(world: World) -> None:
    gone = await world.rule(replace(AT_ONCE, name="gone"))
    also = await world.rule(replace(AT_ONCE, name="also gone"))
    off = await world.rule(replace(AT_ONCE, name="off"))
    tighter = await world.rule(replace(AT_ONCE, name="tighter"))
    await world.rule(replace(AT_ONCE, name="same"))
    await world.push((A, 85.0))
    world.sink.take()
    entry = AuditEntry(0, SYSTEM, "", "")
    await world.state.delete_rule(gone.id, entry)
    await world.state.delete_rule(also.id, entry)
    await world.state.replace_rule(replace(off, enabled=False), entry)
    await world.state.replace_rule(replace(tighter, threshold=90.0), entry)
    await world.restart()
    assert {change.alert.rule_name: change.alert.reason for change in world.sink.take()} == {
        "gone": Reason.RULE_DELETED,
        "also gone": Reason.RULE_DELETED,
        "off": Reason.RULE_DISABLED,
        "tighter": Reason.RULE_EDITED,
    }
    assert world.open() == {("same", "a"): FIRING}


async def test_moving_values_are_saved_once_a_minute(world: World) -> None:
    await world.rule(AT_ONCE)
    (change,) = await world.push((A, 90.0))
    saves = len(world.state.saves)
    for value in (91.0, 99.0, 93.0):
        world.clock.advance(5 * S)
        await world.push((A, value))
    assert await world.wait(44) == []
    assert len(world.state.saves) == saves
    assert await world.wait(10) == []
    row = world.state.rows[change.alert.id]
    assert (row.value, row.peak) == (93.0, 99.0)
    assert row.notify_at_ms == change.alert.notify_at_ms
    assert len(world.state.saves) == saves + 1
    await world.wait(120)
    assert len(world.state.saves) == saves + 1


async def test_values_that_could_not_be_saved_are_saved_later(world: World) -> None:
    await world.rule(AT_ONCE)
    (change,) = await world.push((A, 90.0))
    world.clock.advance(5 * S)
    await world.push((A, 91.0))
    world.trouble.times = 1
    with pytest.raises(StoreError):
        await world.wait(60)
    world.clock.advance(5 * S)
    await world.push((A, 92.0))
    await world.wait(60)
    await world.wait(60)
    assert world.state.rows[change.alert.id].value == 92.0


async def test_the_summary_counts_pending_and_firing(world: World) -> None:
    at_once, slow = await world.rule(AT_ONCE), await world.rule(SLOW)
    await world.push((A, 90.0), (B, 90.0), (C, 1.0))
    assert world.arrival.summary() == {at_once.id: (0, 2), slow.id: (2, 0)}
    assert world.telemetry.registry.get_sample_value("tocsin_alerts_open", {"state": "firing"}) == 2
    world.clock.advance(S)
    await world.push((A, 1.0), (B, 1.0))
    assert world.arrival.summary() == {}


async def test_ten_thousand_series_break_and_recover_at_once(world: World) -> None:
    await world.rule(AT_ONCE)
    ids = np.array([world.series.add(Labels.metric("load", {"host": str(n)})) for n in range(10_000)], np.uint64)
    for value, state in ((90.0, FIRING), (91.0, FIRING), (1.0, RESOLVED)):
        at_ms = world.clock.advance(5 * S)
        times, values = np.full(len(ids), at_ms), np.full(len(ids), value)
        await world.arrival.observe(SampleBatch(ids, times, values), at_ms)
        assert {row.state for row in world.state.rows.values()} == {state}
        assert len(world.state.rows) == 10_000
    assert [change.alert.state for change in world.sink.take()] == [FIRING] * 10_000 + [RESOLVED] * 10_000


@asynccontextmanager
async def running(arrival: Arrival) -> AsyncIterator[None]:
    loop = asyncio.create_task(arrival.run())
    try:
        yield
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)


async def test_the_loop_is_woken_by_a_nearer_deadline(world: World) -> None:
    await world.rule(SLOW)
    async with running(world.arrival):
        await asyncio.sleep(0)
        await world.push((A, 90.0), age_s=60)
        await world.push((B, 90.0))
        world.clock.advance(60 * S)
        await world.push((C, 90.0), age_s=59)
        for _ in range(20):
            await asyncio.sleep(0)
    assert world.open()[("Slow", "b")] is FIRING
