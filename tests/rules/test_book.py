from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.fakes_alerting import FakeSeries, FakeSink, FakeState, Trouble

from tocsin.model.alert import AlertState, Reason
from tocsin.model.audit import SYSTEM, Actor, AuditEntry
from tocsin.model.errors import ConflictError, NotFoundError, StoreError, UserError
from tocsin.model.labels import Labels
from tocsin.model.matcher import Matcher, MatchOp
from tocsin.model.rule import Condition, Rule, Severity
from tocsin.rules.arrival import Arrival
from tocsin.rules.book import RuleBook
from tocsin.rules.defaults import SYSTEM_HEALTH_ALERTS
from tocsin.runtime.clock import FixedClock
from tocsin.runtime.telemetry import Telemetry

ANN = Actor("ann", "192.0.2.1")
NEW = Rule(id=0, name="High", metric_name="load", condition=Condition.ABOVE, threshold=80.0)
LOAD = Labels.metric("load")


class House:
    def __init__(self) -> None:
        self.clock, self.state = FixedClock(), FakeState()
        self.series, self.sink = FakeSeries(), FakeSink()
        self.trouble = self.state.failures = Trouble()
        self.arrival = Arrival(self.state, self.series, self.sink, clock=self.clock, telemetry=Telemetry())
        self.book = RuleBook(self.state, self.arrival, self.clock)

    async def push(self, value: float) -> list[tuple[AlertState, Reason]]:
        at_ms = self.clock.advance(1_000)
        await self.arrival.observe(self.series.batch((LOAD, at_ms, value)), at_ms)
        return self.told()

    def told(self) -> list[tuple[AlertState, Reason]]:
        return [(change.alert.state, change.alert.reason) for change in self.sink.take()]


@pytest.fixture
def house() -> House:
    return House()


async def test_a_new_rule_is_saved_audited_and_judged_by(house: House) -> None:
    added = await house.book.add(NEW, ANN)
    assert house.book.rules() == (added,) == await house.state.rules()
    assert added.created_at_ms == added.updated_at_ms == house.clock.now_ms()
    (entry,) = house.state.audit
    assert (entry.actor, entry.action, entry.target, entry.before) == (ANN, "rule.add", "rule High", None)
    assert entry.after is not None
    assert entry.after["threshold"] == 80.0
    assert await house.push(90.0) == [(AlertState.FIRING, Reason.CONDITION_MET)]


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        (replace(NEW, name=" "), "name"),
        (replace(NEW, threshold=float("nan")), "threshold"),
        (replace(NEW, matchers=(Matcher("host", MatchOp.REGEX, "("),)), "tags"),
    ],
)
async def test_a_rule_that_makes_no_sense_is_refused(house: House, rule: Rule, field: str) -> None:
    with pytest.raises(UserError) as refused:
        await house.book.add(rule, ANN)
    assert refused.value.field == field
    assert house.book.rules() == ()


async def test_a_change_says_before_and_after(house: House) -> None:
    added = await house.book.add(NEW, ANN)
    house.clock.advance(1_000)
    changed = await house.book.change(replace(added, threshold=95.0), ANN)
    assert (changed.version, changed.created_at_ms) == (2, added.created_at_ms)
    assert changed.updated_at_ms == house.clock.now_ms()
    entry = house.state.audit[-1]
    assert entry.before is not None
    assert entry.after is not None
    assert (entry.action, entry.before["threshold"], entry.after["threshold"]) == ("rule.change", 80.0, 95.0)
    assert await house.push(90.0) == []


async def test_a_change_of_an_old_version_is_a_conflict(house: House) -> None:
    added = await house.book.add(NEW, ANN)
    await house.book.change(replace(added, threshold=95.0), ANN)
    with pytest.raises(ConflictError):
        await house.book.change(replace(added, threshold=96.0), ANN)
    assert house.book.rule(added.id).threshold == 95.0


async def test_a_change_that_is_not_saved_is_not_judged_by(house: House) -> None:
    added = await house.book.add(NEW, ANN)
    house.trouble.times = 1
    with pytest.raises(StoreError):
        await house.book.change(replace(added, threshold=95.0), ANN)
    assert house.book.rule(added.id) == added
    assert len(await house.push(90.0)) == 1


async def test_disabling_and_enabling_are_audited_by_their_names(house: House) -> None:
    added = await house.book.add(NEW, ANN)
    await house.push(90.0)
    assert not (await house.book.set_enabled(added.id, False, ANN)).enabled
    assert house.told() == [(AlertState.RESOLVED, Reason.RULE_DISABLED)]
    await house.book.set_enabled(added.id, False, ANN)
    assert (await house.book.set_enabled(added.id, True, ANN)).enabled
    assert [entry.action for entry in house.state.audit] == ["rule.add", "rule.disable", "rule.enable"]
    assert len(await house.push(90.0)) == 1


async def test_deleting_closes_the_alerts_first(house: House) -> None:
    added = await house.book.add(NEW, ANN)
    await house.push(90.0)
    await house.book.delete(added.id, ANN)
    assert house.told() == [(AlertState.RESOLVED, Reason.RULE_DELETED)]
    assert house.book.rules() == ()
    assert house.state.stored_rules == {}
    with pytest.raises(NotFoundError):
        house.book.rule(added.id)
    with pytest.raises(NotFoundError):
        await house.book.delete(added.id, ANN)


@pytest.mark.parametrize("writes_before", [0, 1])
async def test_a_rule_that_could_not_be_deleted_goes_on(house: House, writes_before: int) -> None:
    added = await house.book.add(NEW, ANN)
    await house.push(90.0)
    left = [writes_before]

    def fail_after() -> None:
        left[0] -= 1
        if left[0] == -1:
            raise StoreError("away")

    house.state.failures = fail_after
    with pytest.raises(StoreError):
        await house.book.delete(added.id, ANN)
    assert house.book.rules() == (added,)
    await house.push(1.0)
    assert (await house.push(90.0))[-1][0] is AlertState.FIRING


async def test_default_alerts_are_added_once(house: House) -> None:
    created = await house.book.setup_default_alerts()
    assert [(rule.name, rule.metric_name, rule.condition.value, rule.threshold) for rule in created] == [
        ("High CPU Usage", "system.cpu.usage", ">", 80.0),
        ("High Memory Usage", "system.memory.usage", ">", 90.0),
        ("Low Disk Space", "system.disk.usage", ">", 85.0),
    ]
    assert [rule.duration_ms for rule in created] == [300_000, 300_000, 3_600_000]
    assert {rule.severity for rule in created} == {Severity.WARNING}
    assert [rule.template_key for rule in created] == list(SYSTEM_HEALTH_ALERTS)
    assert await house.book.setup_default_alerts() == ()
    assert {entry.actor for entry in house.state.audit} == {SYSTEM}


async def test_default_alerts_leave_what_people_made(house: House) -> None:
    mine = await house.book.add(replace(NEW, metric_name="system.cpu.usage", threshold=99.0, enabled=False), ANN)
    created = await house.book.setup_default_alerts(ANN)
    assert [rule.metric_name for rule in created] == ["system.memory.usage", "system.disk.usage"]
    assert house.book.rule(mine.id) == mine


async def test_loading_takes_the_rules_of_the_store(house: House) -> None:
    await house.state.add_rules([NEW], [AuditEntry(0, ANN, "rule.add", "")])
    await house.book.load()
    assert len(house.book.rules()) == 1
    assert len(await house.push(90.0)) == 1


async def test_reloading_takes_over_what_another_process_did(house: House) -> None:
    entry = AuditEntry(0, ANN, "", "")
    kept, changed, gone = [await house.book.add(replace(NEW, name=name), ANN) for name in ("kept", "changed", "gone")]
    await house.push(90.0)
    await house.state.replace_rule(replace(changed, threshold=95.0), entry)
    await house.state.delete_rule(gone.id, entry)
    (new,) = await house.state.add_rules([replace(NEW, name="new")], [entry])
    await house.book.reload()
    assert [rule.name for rule in house.book.rules()] == ["kept", "changed", "new"]
    assert set(house.told()) == {
        (AlertState.RESOLVED, Reason.RULE_DELETED),
        (AlertState.RESOLVED, Reason.RULE_EDITED),
    }
    assert await house.push(90.0) == [(AlertState.FIRING, Reason.CONDITION_MET)]
    assert house.arrival.summary() == {kept.id: (0, 1), new.id: (0, 1)}
