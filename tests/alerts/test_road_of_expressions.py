"""The road of an expression's alert over the real state store, and a kill at any write of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from tests.alerts.test_road import ALL_LETTERS, FaultyOffload
from tests.support.fakes_alerting import FakeBell, FakeLive, FixedRoute
from tests.support.ruling import INTERVAL_MS, RuleHouse, a_group, a_record, an_alert_rule

from tocsin.alerts.dispatcher import Dispatcher
from tocsin.model.alert import Reason
from tocsin.model.errors import StoreError
from tocsin.model.labels import Labels
from tocsin.model.outbox import LetterKind
from tocsin.model.page import PageRequest
from tocsin.rules.evaluation import Means
from tocsin.rules.expanding import Site
from tocsin.rules.runner import Runner
from tocsin.rules.settings import RulesSettings
from tocsin.runtime.offload import InlineOffload
from tocsin.runtime.telemetry import Telemetry
from tocsin.store.state.state import State, open_state

UP_A, UP_B = Labels.metric("up", {"host": "a"}), Labels.metric("up", {"host": "b"})
GROUP = a_group(
    a_record("host:down", "1 - up"),
    an_alert_rule("host:down == 1", "Down"),
    an_alert_rule("up == 0", "Slow", for_ms=2 * INTERVAL_MS),
)
Told = list[tuple[LetterKind, str, str, Reason]]


class Road(RuleHouse):
    """A state and samples that outlive the process, and all that does not."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self.store = state

    async def begin(self) -> None:
        telemetry = Telemetry()
        self.dispatcher = Dispatcher(
            self.store.book, FixedRoute(), FakeBell(), FakeLive(), clock=self.clock, telemetry=telemetry
        )
        means = Means(
            engine=self.engine,
            source=self.source,
            store=self.store.alerts,
            recorder=self.recorder,
            sink=self.dispatcher,
            clock=self.clock,
            offload=InlineOffload(),
            site=Site(),
            settings=RulesSettings(),
        )
        self.runner = Runner(means, telemetry)
        await self.runner.load()
        await self.runner.take([GROUP])

    async def letters(self) -> Told:
        page = await self.store.outbox.letters(ALL_LETTERS, PageRequest(1_000))
        told = [(one.kind, one.alert.rule_name, one.alert.labels.get("host"), one.alert.reason) for one in page.items]
        return sorted(told)


async def scenario(road: Road, done: Callable[[Callable[[], Awaitable[object]]], Awaitable[None]]) -> None:
    """Two series go down, one comes back, comes again, and at the end both are well."""
    await done(road.begin)
    for a, b in [(1, 1), (0, 1), (0, 0), (0, 0), (0, 0), (1, 0), (0, 0), (1, 1), (1, 1), (1, 1)]:
        await road.push((UP_A, float(a)), (UP_B, float(b)))
        road.clock.advance(INTERVAL_MS)
        await done(lambda: road.runner.look(road.now_ms))
        await done(lambda: road.dispatcher.announce_due(road.now_ms))
    for _ in range(12):  # the grace after a start that was forced is over
        await road.push((UP_A, 1.0), (UP_B, 1.0))
        road.clock.advance(INTERVAL_MS)
        await done(lambda: road.runner.look(road.now_ms))
        await done(lambda: road.dispatcher.announce_due(road.now_ms))


async def run(number: int | None, *, after: bool, restart: bool) -> tuple[Told, int]:
    faulty = FaultyOffload()
    state = await open_state("sqlite://", write=faulty, read=InlineOffload())
    road = Road(state)
    faulty.fails_at, faulty.after = number, after

    async def done(work: Callable[[], Awaitable[object]]) -> None:
        failed = faulty.fails_at is not None and faulty.writes < faulty.fails_at
        try:
            await work()
        except StoreError:
            await work()
        if failed and faulty.fails_at is not None and faulty.writes >= faulty.fails_at and restart:
            await road.begin()

    try:
        await scenario(road, done)
        assert await state.alerts.open_alerts() == ()
        return await road.letters(), faulty.writes
    finally:
        await state.close()


async def test_every_alert_is_told_once_and_its_end_once() -> None:
    letters, _ = await run(None, after=False, restart=False)
    assert [(kind.value, rule, host) for kind, rule, host, _ in letters] == [
        ("firing", "Down", "a"),
        ("firing", "Down", "a"),
        ("firing", "Down", "b"),
        ("firing", "Slow", "a"),
        ("firing", "Slow", "b"),
        ("resolved", "Down", "a"),
        ("resolved", "Down", "a"),
        ("resolved", "Down", "b"),
        ("resolved", "Slow", "a"),
        ("resolved", "Slow", "b"),
    ]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("restart", [False, True])
async def test_a_write_that_fails_loses_no_alert_and_doubles_none(*, after: bool, restart: bool) -> None:
    """What is told may be told an interval later; a relapse within the grace after a start is one alert."""
    expected, writes = await run(None, after=False, restart=False)
    assert writes > 10
    for number in range(3, writes + 1):
        letters, _ = await run(number, after=after, restart=restart)
        kinds = [kind for kind, *_ in letters]
        assert kinds.count(LetterKind.FIRING) == kinds.count(LetterKind.RESOLVED), number
        assert {one[1:3] for one in letters} == {one[1:3] for one in expected}, number
        assert len(letters) <= len(expected), number
