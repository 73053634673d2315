"""Arrival against an oracle that is written as plainly as possible: no arrays, no heap, one sample after the other."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field, replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.support.fakes_alerting import FakeSeries, FakeSink, FakeState, Trouble

from tocsin.model.alert import AlertState, Change, Reason
from tocsin.model.audit import SYSTEM, AuditEntry
from tocsin.model.duration import DAY_MS, MINUTE_MS, SECOND_MS
from tocsin.model.errors import StoreError
from tocsin.model.labels import Labels
from tocsin.model.matcher import equals
from tocsin.model.rule import Condition, Rule
from tocsin.rules.arrival import Arrival
from tocsin.runtime.clock import FixedClock
from tocsin.runtime.telemetry import Telemetry

S = SECOND_MS
STALE_MS, GONE_MS = 5 * MINUTE_MS, DAY_MS
INACTIVE, PENDING, FIRING, RESOLVED = AlertState
HOSTS = {host: Labels.metric("load", {"host": host}) for host in "abc"}

Event = tuple[int, str, AlertState, AlertState, Reason]


@dataclass
class Life:
    """An open alert."""

    state: AlertState
    since_ms: int
    value: float
    threshold: float
    condition: Condition


@dataclass
class Oracle:
    rules: dict[int, Rule] = field(default_factory=dict)
    newest: dict[str, int] = field(default_factory=dict)
    heard: dict[str, int] = field(default_factory=dict)
    lives: dict[tuple[int, str], Life] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    def tell(self, key: tuple[int, str], before: AlertState, after: AlertState, reason: Reason) -> None:
        self.events.append((*key, before, after, reason))

    def end(self, key: tuple[int, str], reason: Reason) -> None:
        life = self.lives.pop(key)
        self.tell(key, life.state, RESOLVED if life.state is FIRING else INACTIVE, reason)

    def fire(self, key: tuple[int, str], before: AlertState) -> None:
        self.lives[key].state = FIRING
        self.tell(key, before, FIRING, Reason.HELD if self.rules[key[0]].duration_ms else Reason.CONDITION_MET)

    def push(self, samples: list[tuple[str, int, float]], now: int) -> None:
        fresh_ones: dict[str, dict[int, float]] = {}
        for host, time_ms, value in samples:
            if not math.isnan(value) and time_ms > self.newest.get(host, -(10**18)):
                fresh_ones.setdefault(host, {})[time_ms] = value
        for host, readings in fresh_ones.items():
            for one in self.rules.values():
                if one.enabled and one.selects(HOSTS[host]):
                    self.judge(one, host, sorted(readings.items()), now)
            if any(one.enabled and one.selects(HOSTS[host]) for one in self.rules.values()):
                self.newest[host], self.heard[host] = max(readings), now

    def judge(self, one: Rule, host: str, readings: list[tuple[int, float]], now: int) -> None:
        key = one.id, host
        life = self.lives.get(key)
        start = life.since_ms if life else None
        begun = life is None
        for time_ms, value in readings:
            if not one.condition.holds(value, one.threshold):
                start, begun = None, True
            elif start is None:
                start = time_ms
        last_ms, last = readings[-1]
        fresh = now - last_ms <= STALE_MS
        if life is not None:
            life.value = last
        if start is None:
            if life is not None and (fresh or life.state is PENDING):
                self.end(key, Reason.CLEARED)
            return
        if life is not None and life.state is FIRING:
            return
        before = life.state if life else INACTIVE
        self.lives[key] = Life(PENDING, start, last, one.threshold, one.condition)
        if fresh and max(now, last_ms) - start >= one.duration_ms:
            self.fire(key, before)
        elif begun:
            self.tell(key, before, PENDING, Reason.CONDITION_MET)

    def tick(self, now: int) -> None:
        for key, life in list(self.lives.items()):
            newest, silent = self.newest[key[1]], now - self.heard[key[1]]
            if life.state is FIRING:
                if silent >= GONE_MS:
                    self.end(key, Reason.NO_DATA)
            elif self.held(key, now):
                self.fire(key, PENDING)
            elif silent >= STALE_MS:
                self.end(key, Reason.NO_DATA)
            assert newest is not None

    def held(self, key: tuple[int, str], now: int) -> bool:
        newest = self.newest[key[1]]
        long_enough = max(now, newest) - self.lives[key].since_ms >= self.rules[key[0]].duration_ms
        return now - newest <= STALE_MS and long_enough

    def edit(self, new: Rule, now: int) -> None:
        self.rules[new.id] = new
        for key, life in [each for each in self.lives.items() if each[0][0] == new.id]:
            judged_anew = (new.condition, new.threshold) != (life.condition, life.threshold)
            if not new.enabled:
                self.end(key, Reason.RULE_DISABLED)
                continue
            if not new.selects(HOSTS[key[1]]) or (judged_anew and not new.condition.holds(life.value, new.threshold)):
                self.end(key, Reason.RULE_EDITED)
                continue
            if life.state is PENDING and new.threshold > life.threshold:  # all rules here ask for more than
                life.since_ms = self.newest[key[1]]
            life.threshold = new.threshold
            if life.state is PENDING and self.held(key, now):
                self.fire(key, PENDING)
            elif judged_anew:
                self.tell(key, life.state, life.state, Reason.CONDITION_MET)

    def remove(self, rule_id: int) -> None:
        for key in [key for key in self.lives if key[0] == rule_id]:
            self.end(key, Reason.RULE_DELETED)
        del self.rules[rule_id]

    def restart(self, now: int) -> None:
        hosts = {host for _, host in self.lives}
        self.heard = dict.fromkeys(hosts, now)
        self.newest = {host: max(life.since_ms for (_, of), life in self.lives.items() if of == host) for host in hosts}
        for rule_id in list(self.rules):
            self.edit(self.rules[rule_id], now)


samples = st.tuples(
    st.sampled_from("abc"),
    st.sampled_from([-5, 0, 0, 0, 1, 5, 10, 59, 60, 61, 120, 290, 300, 301, 700]),
    st.sampled_from([10.0, 60.0, 80.0, 85.0, 95.0, 95.0, math.nan]),
)
spans = st.sampled_from([0, 1, 5, 5, 10, 30, 59, 60, 120, 299, 300, 301, 600, 3600, 86_399, 86_400])
shapes = st.builds(
    lambda threshold, duration, host, enabled: Rule(
        id=0,
        name="rule",
        metric_name="load",
        condition=Condition.ABOVE,
        threshold=threshold,
        duration_ms=duration * S,
        matchers=equals({"host": host}) if host else (),
        enabled=enabled,
    ),
    st.sampled_from([50.0, 80.0, 90.0]),
    st.sampled_from([0, 0, 60, 250, 600]),
    st.sampled_from(["", "", "a", "b"]),
    st.sampled_from([True, True, True, False]),
)


class ArrivalMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = FixedClock()
        self.state, self.series, self.sink = FakeState(), FakeSeries(), FakeSink()
        self.trouble = self.state.failures = Trouble()
        self.oracle = Oracle()
        self.arrival = self.new_arrival()

    def new_arrival(self) -> Arrival:
        return Arrival(self.state, self.series, self.sink, clock=self.clock, telemetry=Telemetry())

    def teardown(self) -> None:
        self.runner.close()

    @initialize(shape=shapes)
    def begin(self, shape: Rule) -> None:
        self.add_rule(replace(shape, enabled=True))

    @precondition(lambda self: len(self.oracle.rules) < 4)
    @rule(shape=shapes)
    def add_rule(self, shape: Rule) -> None:
        added = self.runner.run(self.state.add_rules([shape], [AuditEntry(0, SYSTEM, "", "")]))[0]
        self.runner.run(self.arrival.set_rule(added))
        self.oracle.rules[added.id] = added

    @precondition(lambda self: self.oracle.rules)
    @rule(shape=shapes, data=st.data())
    def edit_rule(self, shape: Rule, data: st.DataObject) -> None:
        rule_id = data.draw(st.sampled_from(sorted(self.oracle.rules)))
        new = self.state.stored_rules[rule_id] = replace(shape, id=rule_id)
        self.runner.run(self.arrival.set_rule(new))
        self.oracle.edit(new, self.clock.now_ms())

    @precondition(lambda self: len(self.oracle.rules) > 1)
    @rule(data=st.data())
    def remove_rule(self, data: st.DataObject) -> None:
        rule_id = data.draw(st.sampled_from(sorted(self.oracle.rules)))
        self.runner.run(self.arrival.remove_rule(rule_id))
        self.runner.run(self.state.delete_rule(rule_id, AuditEntry(0, SYSTEM, "", "")))
        self.oracle.remove(rule_id)

    @rule(drawn=st.lists(samples, min_size=1, max_size=12), later=spans, fails=st.sampled_from([0, 0, 0, 1, 2]))
    def push(self, drawn: list[tuple[str, int, float]], later: int, fails: int) -> None:
        """Time passes without a timer, then a batch arrives, which the sender sends until it is taken."""
        now = self.clock.advance(later * S)
        rows = [(host, now - age * S, value) for host, age, value in drawn]
        batch = self.series.batch(*((HOSTS[host], time_ms, value) for host, time_ms, value in rows))
        self.trouble.times = fails
        while True:
            try:
                self.runner.run(self.arrival.observe(batch, now))
                break
            except StoreError:
                self.forget_values()
        self.trouble.times = 0
        self.oracle.push(rows, now)

    @rule(host=st.sampled_from("abc"), value=st.sampled_from([10.0, 85.0, 95.0]), times=st.integers(1, 8))
    def push_regularly(self, host: str, value: float, times: int) -> None:
        for _ in range(times):
            self.push([(host, 0, value)], 30, 0)

    @rule(later=spans)
    def look(self, later: int) -> None:
        now = self.clock.advance(later * S)
        self.runner.run(self.arrival.look(now))
        self.oracle.tick(now)

    @rule(down=spans)
    def restart(self, down: int) -> None:
        self.clock.advance(down * S)
        self.forget_values()
        self.arrival = self.new_arrival()
        self.runner.run(self.arrival.load(self.runner.run(self.state.rules())))
        self.oracle.restart(self.clock.now_ms())

    def forget_values(self) -> None:
        """What is only in memory is lost: the values since they were last saved."""
        for row in self.state.rows.values():
            if row.open and row.rule_id is not None:
                self.oracle.lives[row.rule_id, row.labels.get("host")].value = row.value

    @invariant()
    def what_is_open_is_what_should_be(self) -> None:
        stored = {
            (row.rule_id, row.labels.get("host")): (row.state, row.since_ms)
            for row in self.state.rows.values()
            if row.open
        }
        assert stored == {key: (life.state, life.since_ms) for key, life in self.oracle.lives.items()}
        counts = {key: sum(each) for key, each in self.arrival.summary().items()}
        assert sum(counts.values()) == len(stored)

    @invariant()
    def what_was_told_is_what_should_have_been(self) -> None:
        assert sorted(map(told, self.sink.take())) == sorted(map(without_reason_of_edits, self.oracle.events))
        self.oracle.events = []

    @invariant()
    def values_are_the_newest(self) -> None:
        for (rule_id, host), life in self.oracle.lives.items():
            alert = self.arrival._open_alert((rule_id, HOSTS[host].series_id()))
            assert alert is not None
            assert alert.value == life.value


def told(change: Change) -> Event:
    alert = change.alert
    return without_reason_of_edits(
        (alert.rule_id or 0, alert.labels.get("host"), change.before, alert.state, alert.reason)
    )


def without_reason_of_edits(event: Event) -> Event:
    """An alert that goes on keeps the reason of its last step."""
    return (*event[:4], Reason.CONDITION_MET) if event[2] is event[3] else event


ArrivalMachine.TestCase.settings = settings(
    max_examples=3000,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
test_arrival_does_what_the_oracle_does = ArrivalMachine.TestCase
