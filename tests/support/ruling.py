"""Groups of rules over a store in memory, with everything that they stand on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from tests.support.fakes_alerting import FakeSink, FakeState, Trouble

from tocsin.model.errors import StoreError
from tocsin.model.labels import Labels
from tocsin.model.rule_group import AlertingRule, GroupRule, RecordingRule, RuleGroup
from tocsin.model.series import FloatArray, SampleBatch
from tocsin.promql.engine import Engine
from tocsin.promql.ports import Answers, Ask, Budget
from tocsin.promql.settings import QuerySettings
from tocsin.promql.values import Vector
from tocsin.rules.evaluation import Means
from tocsin.rules.expanding import Site
from tocsin.rules.ports import AlertStore
from tocsin.rules.runner import Runner
from tocsin.rules.settings import RulesSettings
from tocsin.rules.status import GroupStatus
from tocsin.runtime.clock import Clock, FixedClock
from tocsin.runtime.offload import InlineOffload
from tocsin.runtime.telemetry import Telemetry
from tocsin.store.memory import MemorySampleStore

INTERVAL_MS = 15_000


class Source:
    """The samples; `before` is called before each read, and may raise or wait."""

    def __init__(self, samples: MemorySampleStore) -> None:
        self.samples = samples
        self.away = False
        self.reads = 0

    async def gather(self, asks: Sequence[Ask], budget: Budget) -> Answers:
        self.reads += 1
        if self.away:
            raise StoreError("the sample store is away")
        return await self.samples.gather(asks, budget)


class MemoryRecorder:
    def __init__(self, samples: MemorySampleStore) -> None:
        self.samples = samples
        self.failures: Callable[[], None] = lambda: None

    async def record(self, series: Sequence[Labels], values: FloatArray, at_ms: int) -> tuple[str, ...]:
        self.failures()
        ids = np.array([self.samples.intern(labels) for labels in series], np.uint64)
        await self.samples.append(SampleBatch(ids, np.full(len(ids), at_ms, np.int64), np.asarray(values)))
        return ()


class RuleHouse:
    """A state and samples that outlive the process, and a runner that `start` makes anew."""

    def __init__(self, clock: FixedClock | None = None, state: FakeState | None = None) -> None:
        self.clock = clock or FixedClock()
        self.state = state or FakeState()
        self.trouble = self.state.failures = Trouble()
        self.samples = MemorySampleStore(clock=self.clock)
        self.source, self.recorder = Source(self.samples), MemoryRecorder(self.samples)
        self.sink = FakeSink()
        self.engine = engine(self.clock)
        self.runner = self.made()

    def made(self, settings: RulesSettings | None = None) -> Runner:
        return Runner(means(self, self.state, settings or RulesSettings()), Telemetry())

    async def start(self) -> None:
        """The process again, with nothing but what was saved."""
        self.runner = self.made()
        await self.runner.load()

    async def push(self, *samples: tuple[Labels, float]) -> None:
        await self.recorder.record([each for each, _ in samples], np.array([one for _, one in samples]), self.now_ms)

    @property
    def now_ms(self) -> int:
        return self.clock.now_ms()

    async def tick(self, *samples: tuple[Labels, float]) -> list[tuple[str, str]]:
        """An interval passes; the samples come just before the groups are evaluated. What the sink was told."""
        self.clock.advance(INTERVAL_MS)
        if samples:
            # dated a whole interval back, as a group is evaluated at its own moment of the one that has passed
            at_ms = self.now_ms - INTERVAL_MS
            await self.recorder.record([each for each, _ in samples], np.array([one for _, one in samples]), at_ms)
        await self.runner.look(self.now_ms)
        return self.told()

    def told(self) -> list[tuple[str, str]]:
        changes = self.sink.take()
        assert all(change.alert.id for change in changes), "an alert was told that is not saved"
        return [(change.before.value, change.alert.state.value) for change in changes]

    async def values(self, text: str) -> dict[str, float]:
        """By labels, as they are now."""
        answer = await self.engine.query(self.samples, text, self.now_ms)
        assert isinstance(answer.value, Vector)
        vector = answer.value
        return {str(vector.frame.labels(row)): float(vector.values[row, 0]) for row in range(len(vector))}

    def group(self, name: str = "group") -> GroupStatus:
        return next(each for each in self.runner.groups() if each.name == name)


def engine(clock: Clock) -> Engine:
    return Engine(QuerySettings(), monotonic_s=clock.monotonic_s, threads=InlineOffload())


def means(house: RuleHouse, store: AlertStore, settings: RulesSettings) -> Means:
    return Means(
        engine=house.engine,
        source=house.source,
        store=store,
        recorder=house.recorder,
        sink=house.sink,
        clock=house.clock,
        offload=InlineOffload(),
        site=Site(),
        settings=settings,
    )


def a_group(
    *rules: GroupRule, name: str = "group", file: str = "rules.yml", interval_ms: int = INTERVAL_MS
) -> RuleGroup:
    return RuleGroup(name, rules, interval_ms=interval_ms, file=file)


def an_alert_rule(expr: str = "up == 0", alert: str = "Down", for_ms: int = 0, keep_ms: int = 0) -> AlertingRule:
    return AlertingRule(alert, expr, for_ms, keep_ms, labels=(("severity", "critical"),))


def a_record(record: str, expr: str) -> RecordingRule:
    return RecordingRule(record, expr)
