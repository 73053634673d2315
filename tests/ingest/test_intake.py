from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ingest.fakes import MemoryIndex, MemorySink, appender_into
from tests.ingest.test_appender import counted, rows
from tests.ingest.test_series_book import Shelf

from tocsin.ingest.intake import RECOUNT_S, Intake, Writer, relabelled
from tocsin.ingest.rows import Refusal
from tocsin.model.duration import DAY_MS
from tocsin.model.errors import QueueFullError, StoreError
from tocsin.model.labels import Labels
from tocsin.model.matcher import Matcher, matches_all
from tocsin.model.people import UNHELD, Allowance
from tocsin.runtime.clock import FixedClock
from tocsin.runtime.telemetry import Telemetry

NOW = FixedClock().at_ms
TEAM = Labels.of(team="web")


@dataclass
class Census(MemoryIndex):
    counts: int = 0

    def __init__(self, known: Sequence[Labels] = ()) -> None:
        super().__init__()
        self.counts = 0
        for labels in known:
            self.intern(labels)

    async def count(self, matchers: Sequence[Matcher]) -> int:
        self.counts += 1
        return sum(matches_all(matchers, labels) for labels in self.ids)


@dataclass
class World:
    index: Census = field(default_factory=Census)
    clock: FixedClock = field(default_factory=FixedClock)
    telemetry: Telemetry = field(default_factory=Telemetry)
    remembered_max: int = 100

    def __post_init__(self) -> None:
        self.sink = MemorySink(self.index)
        appender = appender_into(self.sink, clock=self.clock, telemetry=self.telemetry)
        self.intake = Intake(
            appender,
            self.index,
            clock=self.clock,
            telemetry=self.telemetry,
            remembered_max=self.remembered_max,
        )

    def writer(self, labels: Labels = TEAM, rate: int | None = None, series_max: int | None = None) -> Writer:
        return self.intake.writer(1, "ci (token)", Allowance(labels, rate, series_max))


def test_the_tokens_label_is_added() -> None:
    assert relabelled(Labels.metric("a", {"x": "1"}), TEAM) == Labels.metric("a", {"x": "1", "team": "web"})


def test_the_tokens_label_wins_and_the_senders_is_kept_under_another_name() -> None:
    sent = Labels.metric("a", {"team": "db"})
    assert relabelled(sent, TEAM) == Labels.metric("a", {"team": "web", "exported_team": "db"})


def test_a_label_that_the_sender_says_the_same_is_not_doubled() -> None:
    assert relabelled(Labels.metric("a", {"team": "web"}), TEAM) == Labels.metric("a", {"team": "web"})


def test_an_exported_name_that_is_taken_is_exported_once_more() -> None:
    sent = Labels.metric("a", {"team": "db", "exported_team": "x"})
    stored = relabelled(sent, TEAM)
    assert stored.tags == {"team": "web", "exported_team": "x", "exported_exported_team": "db"}


PAIRS = st.dictionaries(st.sampled_from(["a", "b", "exported_a", "exported_exported_a"]), st.text("xy", min_size=1))


@given(PAIRS, PAIRS)
def test_two_series_stay_two_unless_they_differed_in_the_tokens_labels_alone(
    one: dict[str, str], other: dict[str, str]
) -> None:
    fixed = Labels.of(a="mine")
    first, second = relabelled(Labels.metric("m", one), fixed), relabelled(Labels.metric("m", other), fixed)
    assert first.get("a") == second.get("a") == "mine"
    if set(one) == set(other) and "a" in one:
        assert (first == second) == (one == other)


async def test_a_caller_who_is_held_to_nothing_writes_as_is() -> None:
    world = World()
    for writer in (world.intake.writer(None, "ada", UNHELD), world.intake.writer(1, "ci (token)", UNHELD)):
        await writer.append(rows(("a", NOW, 1.0)), "push")
    assert world.sink.samples() == [("a", NOW, 1.0)] * 2


async def test_samples_are_stored_under_the_tokens_labels() -> None:
    world = World()
    done = await world.writer().append(rows(("a", NOW, 1.0), ("b", NOW, 2.0), ("a", NOW + 1, 3.0)), "push")
    assert world.sink.samples() == [
        ('a{team="web"}', NOW, 1.0),
        ('b{team="web"}', NOW, 2.0),
        ('a{team="web"}', NOW + 1, 3.0),
    ]
    assert (done.stored, done.rejected) == (3, ())


async def test_past_its_rate_a_token_is_told_when_to_come_again_and_nothing_is_stored() -> None:
    world = World()
    writer = world.writer(rate=1)
    await writer.append(rows(*((name, NOW, 1.0) for name in "abcdefghijkl")), "push")
    with pytest.raises(QueueFullError, match=r"ci \(token\) may send 1 samples a second; come again in 3 s\.") as told:
        await writer.append(rows(("m", NOW, 1.0)), "push")
    assert told.value.retry_after_s == pytest.approx(3.0)
    assert len(world.sink.samples()) == 12
    assert counted(world.telemetry, "token_pushes_delayed", token="ci (token)") == 1
    world.clock.advance(3_000)
    writer.check()
    await writer.append(rows(("m", NOW, 1.0)), "push")
    assert len(world.sink.samples()) == 13


async def test_what_the_store_did_not_take_does_not_count() -> None:
    world = World()
    writer = world.writer(rate=1)
    world.sink.error = StoreError("away")
    for _ in range(30):
        with pytest.raises(StoreError):
            await writer.append(rows(("a", NOW, 1.0)), "push")
    world.sink.error = None
    await writer.append(rows(("a", NOW, 1.0)), "push")


async def test_refused_samples_count_too_so_that_nonsense_is_not_free() -> None:
    world = World()
    writer = world.writer(rate=1)
    await writer.append(rows(*(("a", NOW - 30 * DAY_MS, 1.0) for _ in range(11))), "push")
    with pytest.raises(QueueFullError):
        writer.check()


async def test_new_series_beyond_the_budget_are_refused_and_the_known_ones_flow() -> None:
    world = World()
    writer = world.writer(series_max=2)
    await writer.append(rows(("a", NOW, 1.0), ("b", NOW, 2.0)), "push")
    done = await writer.append(
        rows(("c", NOW, 3.0), ("a", NOW + 1, 4.0), ("c", NOW + 1, 5.0), ("b", NOW + 1, 6.0)), "x"
    )
    assert [value for _, _, value in world.sink.samples()] == [1.0, 2.0, 4.0, 6.0]
    assert [(one.index, one.kind) for one in done.rejected] == [(0, Refusal.SERIES_BUDGET), (2, Refusal.SERIES_BUDGET)]
    assert "may write 2 series and has them" in done.rejected[0].reason
    assert counted(world.telemetry, "samples_rejected", source="x", reason=Refusal.SERIES_BUDGET.value) == 2
    assert world.telemetry.registry.get_sample_value("tocsin_token_series", {"token": "ci (token)"}) == 2


async def test_the_budget_is_counted_from_the_index_so_that_it_outlives_a_restart() -> None:
    known = [
        Labels.metric("a", {"team": "web"}),
        Labels.metric("b", {"team": "web"}),
        Labels.metric("c", {"team": "db"}),
    ]
    world = World(Census(known))
    done = await world.writer(series_max=3).append(rows(("a", NOW, 1.0), ("c", NOW, 2.0), ("d", NOW, 3.0)), "push")
    assert [name for name, _, _ in world.sink.samples()] == ['a{team="web"}', 'c{team="web"}']
    assert [one.index for one in done.rejected] == [2]


async def test_a_full_budget_is_counted_again_as_series_may_be_forgotten() -> None:
    world = World(Census([Labels.metric("a", {"team": "web"})]))
    writer = world.writer(series_max=1)
    assert (await writer.append(rows(("b", NOW, 1.0)), "push")).stored == 0
    world.index.ids.clear()
    world.index.by_id.clear()
    assert (await writer.append(rows(("b", NOW, 1.0)), "push")).stored == 0
    world.clock.advance(int(RECOUNT_S * 1_000))
    assert (await writer.append(rows(("b", NOW, 1.0)), "push")).stored == 1
    assert world.index.counts == 2


async def test_a_changed_allowance_holds_at_once_and_an_unchanged_one_keeps_its_count() -> None:
    world = World()
    assert world.writer(rate=1) is world.writer(rate=1)
    await world.writer(rate=1).append(rows(*((name, NOW, 1.0) for name in "abcdefghijkl")), "push")
    world.writer(rate=2).check()


async def test_labels_are_remembered_for_a_bounded_number_of_series() -> None:
    world = World(remembered_max=10)
    writers = [world.intake.writer(at, "ci (token)", Allowance(Labels.of(team=str(at)))) for at in range(3)]
    for at in range(9):
        await writers[at % 3].append(rows(*((f"m{at}_{number}", NOW, 1.0) for number in range(5))), "push")
    assert world.intake.remembered <= 10
    assert len(world.index.ids) == 45


async def test_series_that_are_recognised_by_a_parser_are_held_too() -> None:
    world = World()
    shelf = Shelf("a", "b", "c")
    writer = world.writer(series_max=2)
    for _ in range(2):
        done = await writer.append(shelf.rows(("c", NOW, 1.0), ("a", NOW, 2.0), ("b", NOW, 3.0), ("c", NOW, 4.0)), "x")
        assert [one.index for one in done.rejected] == [0, 3]
        assert {one.kind for one in done.rejected} == {Refusal.SERIES_BUDGET}
    assert [str(labels) for labels in world.index.ids] == ['a{team="web"}', 'b{team="web"}']
    asked = world.index.asked
    await writer.append(shelf.rows(("b", NOW + 1, 1.0)), "x")
    assert world.index.asked == asked


async def test_what_could_not_be_stored_takes_no_room_twice() -> None:
    world = World()
    shelf = Shelf("old", "a")
    writer = world.writer(series_max=2)
    for _ in range(5):
        await writer.append(shelf.rows(("old", NOW - 30 * DAY_MS, 1.0)), "x")
    assert (await writer.append(shelf.rows(("a", NOW, 1.0)), "x")).stored == 1


async def test_forgotten_series_make_room_at_once() -> None:
    world = World(Census([Labels.metric("a", {"team": "web"})]))
    writer = world.writer(series_max=1)
    assert (await writer.append(rows(("b", NOW, 1.0)), "push")).stored == 0
    world.index.ids.clear()
    world.index.by_id.clear()
    world.index.generation += 1
    assert (await writer.append(rows(("b", NOW, 1.0)), "push")).stored == 1
