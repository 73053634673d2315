"""What only the real store can show: its files, its engine's refusals, and that it is there again tomorrow."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.samples import UNSYNCED, Row, batch, floats, open_store, rows

from tocsin.model.duration import DAY_MS, HOUR_MS, Duration
from tocsin.model.errors import LimitError, StoreError, UserError
from tocsin.model.labels import Labels
from tocsin.model.retention import Lengths
from tocsin.model.series import EMPTY_BLOCK, MetricInfo, SampleBatch
from tocsin.runtime.clock import FixedClock
from tocsin.runtime.offload import ThreadOffload
from tocsin.runtime.telemetry import Telemetry
from tocsin.store.samples import catalog
from tocsin.store.samples.index import Spans
from tocsin.store.samples.journal import Journal
from tocsin.store.samples.native import Shape
from tocsin.store.samples.reader import FEW_SERIES
from tocsin.store.samples.store import SampleStore
from tocsin.store.settings import RetentionSettings, StoreSettings

NOW = 1_800_000_000_000
CPU = Labels.metric("system.cpu.usage", {"host": "a"})
DISK = Labels.metric("system.disk.usage", {"mount": "/"})
DEFAULT = StoreSettings()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "samples"


async def put(store: SampleStore, *given: Row) -> None:
    await store.append(batch(store, given))


async def everything(store: SampleStore) -> list[Row]:
    return rows(await store.select([], -(2**62), 2**62))


async def test_everything_is_there_after_a_restart(path: Path) -> None:
    async with open_store(path, FixedClock(NOW), DEFAULT) as store:
        await put(store, (CPU, NOW - 1, 1.0), (DISK, NOW, 2.0))
        await put(store, (CPU, NOW - 1, 1.5))
        await store.describe([MetricInfo("system.cpu.usage", "%", "gauge", "Used")])
        before = await everything(store)
    async with open_store(path, FixedClock(NOW), DEFAULT) as store:
        assert await everything(store) == before
        assert store.labels(CPU.series_id()) == CPU
        assert (await store.metrics())[0] == MetricInfo("system.cpu.usage", "%", "gauge", "Used")
        await put(store, (CPU, NOW - 1, 2.5))
    async with open_store(path, FixedClock(NOW), DEFAULT) as store:
        assert (CPU, NOW - 1, 2.5) in await everything(store)
        await store.merge()
        assert len(await everything(store)) == 2


async def test_a_forgotten_series_stays_forgotten_and_one_that_came_back_stays(path: Path) -> None:
    other = Labels.metric("other")
    async with open_store(path, FixedClock(NOW)) as store:
        await put(store, (CPU, NOW, 1.0), (DISK, NOW, 2.0), (other, NOW, 3.0))
        under_way = batch(store, [(other, NOW + 1, 4.0)])
        assert await store.forget(np.array([CPU.series_id(), DISK.series_id(), other.series_id()], np.uint64)) == 3
        await put(store, (DISK, NOW + 1, 5.0))
        await store.append(under_way)
    async with open_store(path, FixedClock(NOW)) as store:
        assert set(await store.series([])) == {DISK, other}
        with pytest.raises(KeyError):
            store.labels(CPU.series_id())
        assert store.intern(CPU) == CPU.series_id()


async def test_a_series_that_another_process_writes_is_not_forgotten(path: Path) -> None:
    clock = FixedClock(NOW)
    async with open_store(path, clock) as store:
        await put(store, (CPU, NOW, 1.0), (DISK, NOW, 1.0))
        await store.flush()
        clock.advance(1_000 * DAY_MS)
        ids, day = np.array([CPU.series_id()], np.uint64), np.array([clock.now_ms() // DAY_MS])
        catalog.insert_days(store._parts.writing, Spans(ids, day, day))
        await store.clean_up(clock.now_ms())
        assert await store.series([]) == (CPU,)


async def test_rows_of_forgotten_series_leave_the_disk(path: Path) -> None:
    def left(store: SampleStore) -> list[int]:
        count = Shape({"n": "UInt64"})
        return [
            int(store._parts.writing.read(f"select count() as n from {table}", count)["n"][0])
            for table in ("series", "series_days")
        ]

    clock = FixedClock(NOW)
    async with open_store(path, clock) as store:
        await put(store, (CPU, NOW, 1.0), (DISK, NOW, 2.0))
        store.cuts.defaults = Lengths(7 * DAY_MS, 7 * DAY_MS, 7 * DAY_MS)
        clock.advance(30 * DAY_MS)
        await put(store, (DISK, clock.now_ms(), 2.0))
        store._parts.writing.run("set mutations_sync = 1")
        store._parts.folding.use(lambda connection: connection.run("set mutations_sync = 1"))
        await store.clean_up(clock.now_ms())
        assert left(store) == [1, 1]
    async with open_store(path, clock) as store:
        assert await store.series([]) == (DISK,)


async def test_when_series_had_samples_is_known_to_the_day_after_a_restart(path: Path) -> None:
    noon = NOW // DAY_MS * DAY_MS + DAY_MS // 2
    async with open_store(path, FixedClock(NOW)) as store:
        await put(store, (CPU, noon - 3 * DAY_MS, 1.0), (CPU, noon - DAY_MS, 1.0), (DISK, noon, 1.0))
    async with open_store(path, FixedClock(NOW)) as store:
        assert await store.series([], noon - DAY_MS, noon - DAY_MS // 2 - 1) == (CPU,)
        assert await store.series([], noon - 9 * DAY_MS, noon - 3 * DAY_MS - DAY_MS // 2 - 1) == ()
        assert await store.series([], noon, noon) == (DISK,)


async def test_days_before_1970_are_there_after_a_restart_and_can_be_dropped(path: Path) -> None:
    kept = RetentionSettings(raw=Duration(100 * 365 * DAY_MS))
    async with open_store(path, FixedClock(NOW), UNSYNCED, kept) as store:
        await put(store, *((CPU, day * DAY_MS, 1.0) for day in range(-130, 20)))
    async with open_store(path, FixedClock(NOW), UNSYNCED, kept) as store:
        assert len(await everything(store)) == 150
        store.cuts.defaults = replace(store.cuts.defaults, raw_ms=NOW)
        assert await store.clean_up(NOW) == 130
        assert (await store.stats()).days == 20


async def test_threads_serve_many_callers_at_once(path: Path) -> None:
    write, read = ThreadOffload("write", 1), ThreadOffload("read", 4)  # more threads than connections
    journaling = ThreadOffload("journal", 1)
    store = await SampleStore.open(
        path,
        UNSYNCED,
        RetentionSettings(),
        clock=FixedClock(NOW),
        telemetry=Telemetry(),
        write=write,
        read=read,
        journaling=journaling,
    )
    async with store:

        async def write_and_read(number: int) -> int:
            await put(store, (Labels.metric("m", {"n": str(number)}), NOW, float(number)))
            return len(await everything(store))

        seen = await asyncio.gather(*(write_and_read(number) for number in range(40)))
        assert min(seen) >= 1
        assert len(await everything(store)) == 40
    write.close()
    read.close()
    journaling.close()


async def test_reads_after_the_close_say_so(path: Path) -> None:
    async with open_store(path, FixedClock(NOW)) as store:
        await put(store, (CPU, NOW, 1.0))
    with pytest.raises(StoreError, match="is closed"):
        await everything(store)
    with pytest.raises(StoreError, match="closing"):
        await put(store, (CPU, NOW, 1.0))
    await store.close()


async def test_samples_are_never_kept_without_their_labels(path: Path) -> None:
    async with open_store(path, FixedClock(NOW)) as store:
        store._parts.writing.run("rename table series to hidden")
        await put(store, (CPU, NOW, 1.0))
        with pytest.raises(StoreError, match="could not write"):
            await store.flush()
        assert (await store.stats()).samples == 0
        store._parts.writing.run("rename table hidden to series")
        await put(store, (DISK, NOW, 2.0))
    async with open_store(path, FixedClock(NOW)) as store:
        assert await everything(store) == [(CPU, NOW, 1.0), (DISK, NOW, 2.0)]


async def test_what_the_engine_does_not_take_is_acknowledged_and_there_when_it_does(path: Path) -> None:
    telemetry = Telemetry()
    async with open_store(path, FixedClock(NOW), telemetry=telemetry) as store:
        store._parts.writing.run("alter table samples add constraint small check m < 10")
        await put(store, (CPU, NOW, 11.0))
        with pytest.raises(StoreError):
            await store.flush()
        await put(store, (CPU, NOW, 12.0))
        assert await everything(store) == []
        store._parts.writing.run("alter table samples drop constraint small")
        await store.flush()
        assert await everything(store) == [(CPU, NOW, 12.0)]
    assert b'tocsin_store_flushes_total{result="failed"} 1.0' in telemetry.render()


async def test_a_description_that_was_not_kept_is_not_believed(path: Path) -> None:
    async with open_store(path, FixedClock(NOW)) as store:
        await put(store, (CPU, NOW, 1.0))
        store._parts.writing.run("rename table metrics to hidden")
        with pytest.raises(StoreError):
            await store.describe([MetricInfo("system.cpu.usage", "%")])
        store._parts.writing.run("rename table hidden to metrics")
        assert (await store.metrics())[0].unit == ""
        await store.describe([MetricInfo("system.cpu.usage", "%")])
    async with open_store(path, FixedClock(NOW)) as store:
        assert (await store.metrics())[0].unit == "%"


async def test_the_same_description_is_written_once(path: Path) -> None:
    async with open_store(path, FixedClock(NOW)) as store:
        await store.describe([MetricInfo("m", "%")])
        store._parts.writing.run("rename table metrics to hidden")
        await store.describe([MetricInfo("m", "%"), MetricInfo("m", "")])


async def test_a_read_that_takes_too_long_is_stopped_and_the_next_one_works(path: Path) -> None:
    hasty = StoreSettings(fsync=False, readers=1, read_timeout=Duration(1))
    async with open_store(path, FixedClock(NOW), UNSYNCED) as store:
        ids = np.array([store.intern(Labels.metric("m", {"n": str(n)})) for n in range(1_000)], np.uint64)
        for chunk in range(5):
            times = NOW - 86_400_000 + (chunk * 200 + np.arange(200)).repeat(1_000)
            await store.append(SampleBatch(np.tile(ids, 200), times, np.zeros(200_000)))
    async with open_store(path, FixedClock(NOW), hasty) as store:
        with pytest.raises(LimitError, match="took too long"):
            await everything(store)
        store._parts.pool.use(lambda connection: connection.run("set max_execution_time = 0"))
        assert len(await everything(store)) == 1_000_000


async def test_a_read_that_needs_too_much_memory_is_stopped(path: Path) -> None:
    small = StoreSettings(fsync=False, read_memory_max_mb=4)
    async with open_store(path, FixedClock(NOW), small) as store:
        series_id = store.intern(CPU)
        count = 1_000_000
        ids, times = np.full(count, series_id, np.uint64), NOW - np.arange(count)
        await store.append(SampleBatch(ids, times, np.random.default_rng(1).normal(size=count)))
        with pytest.raises(LimitError, match="too much memory"):
            await everything(store)
        assert (await store.latest([], NOW)).times.tolist() == [NOW]


async def test_samples_of_many_series_are_counted_before_they_are_fetched(path: Path) -> None:
    small = StoreSettings(fsync=False, read_points_max=FEW_SERIES)
    async with open_store(path, FixedClock(NOW), small) as store:
        await put(store, *((Labels.metric("m", {"n": str(n)}), NOW, float(n)) for n in range(FEW_SERIES + 1)))
        with pytest.raises(LimitError, match="more than 32 samples"):
            await everything(store)
        assert await store.select([], NOW + 1, NOW + 2) is EMPTY_BLOCK


async def test_more_ids_than_stand_in_the_statement(path: Path) -> None:
    async with open_store(path, FixedClock(NOW)) as store:
        await put(store, *((Labels.metric("m", {"n": str(n)}), NOW, float(n)) for n in range(700)))
        assert sorted(value for _, _, value in await everything(store)) == [float(n) for n in range(700)]
        assert len(await store.latest([], NOW)) == 700
        assert (await store.steps([], NOW, NOW + 1, 1)).avg.shape == (700, 1)


@pytest.mark.parametrize("name", ["with space", "größe-🏔", "a+b&c=d%20#e", 'it\'s; "quoted"'])
async def test_the_path_may_have_any_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name / "samples"
    for value in (1.0, 2.0):
        async with open_store(path, FixedClock(NOW)) as store:
            await put(store, (CPU, NOW, value))
    async with open_store(path, FixedClock(NOW)) as store:
        assert await everything(store) == [(CPU, NOW, 2.0)]
    assert (path / "store").is_dir()


async def test_a_path_with_a_question_mark_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="question mark"):
        async with open_store(tmp_path / "why?", FixedClock(NOW)):
            pass


async def test_a_second_open_of_the_path_is_refused_in_one_sentence(path: Path) -> None:
    async with open_store(path, FixedClock(NOW)):
        with pytest.raises(UserError, match=r"is in use by another tocsin \(process \d+\)"):
            async with open_store(path, FixedClock(NOW)):
                pass
    async with open_store(path, FixedClock(NOW)):
        pass


async def test_a_second_path_in_one_process_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    async with open_store(tmp_path / "one", FixedClock(NOW)) as store:
        with pytest.raises(UserError, match="another sample store open"):
            async with open_store(tmp_path / "two", FixedClock(NOW)):
                pass
        await put(store, (CPU, NOW, 1.0))
    async with open_store(tmp_path / "two", FixedClock(NOW)):
        pass


async def test_a_newer_schema_is_refused_and_left_alone(path: Path) -> None:
    async with open_store(path, FixedClock(NOW)) as store:
        await put(store, (CPU, NOW, 1.0))
        store._parts.writing.run("insert into schema_version values (99)")
    with pytest.raises(UserError, match="written by a newer tocsin"):
        async with open_store(path, FixedClock(NOW)):
            pass


SERIES_COUNT = 4
PIECE = st.lists(
    st.tuples(st.integers(0, SERIES_COUNT - 1), st.integers(0, 12), st.integers(0, 2**64 - 1)), min_size=1, max_size=40
)
DO = st.one_of(PIECE, PIECE, PIECE, st.just("merge"), st.just("reopen"))


@settings(max_examples=15, deadline=None)
@given(story=st.lists(DO, max_size=8))
def test_the_last_written_wins_through_merges_and_restarts(
    tmp_path_factory: pytest.TempPathFactory, story: list[str | list[tuple[int, int, int]]]
) -> None:
    series = [Labels.metric("m", {"n": str(n)}) for n in range(SERIES_COUNT)]
    path = tmp_path_factory.mktemp("story") / "samples"

    async def play(steps: list[str | list[tuple[int, int, int]]], oracle: dict[tuple[Labels, int], int]) -> None:
        """Up to and including the next reopening."""
        async with open_store(path, FixedClock(NOW)) as store:
            while steps and (step := steps.pop(0)) != "reopen":
                if isinstance(step, str):
                    await store.merge()
                else:
                    ids = np.array([store.intern(series[number]) for number, _, _ in step], np.uint64)
                    times = np.array([NOW + at * DAY_MS // 5 for _, at, _ in step])
                    await store.append(SampleBatch(ids, times, floats(*(value for _, _, value in step))))
                    oracle |= {(series[number], NOW + at * DAY_MS // 5): value for number, at, value in step}
                block = await store.select([], 0, 2**60)
                got = {
                    (labels, at): value
                    for labels, ts, vs in block
                    for at, value in zip(ts.tolist(), vs.view(np.uint64).tolist(), strict=True)
                }
                assert got == oracle
                assert len(block.times) == len(oracle)

    async def run() -> None:
        steps, oracle = list(story), dict[tuple[Labels, int], int]()
        while steps:
            await play(steps, oracle)

    asyncio.run(run())


async def test_what_the_journal_holds_is_taken_at_the_start(path: Path) -> None:
    async with open_store(path, FixedClock(NOW)) as store:
        await put(store, (CPU, NOW - 1, 1.0), (CPU, NOW, 1.0))
    journal = Journal(path.with_name("samples.journal"), fsync=False)
    cpu, disk = (np.array([labels.series_id()], np.uint64) for labels in (CPU, DISK))
    journal.append(
        [(int(disk[0]), '{"__name__":"system.disk.usage","mount":"/"}')],
        SampleBatch(disk, np.array([NOW]), np.array([2.0])),
    )
    journal.append((), SampleBatch(cpu, np.array([NOW]), np.array([3.0])))
    journal.append((), SampleBatch(cpu, np.array([NOW]), np.array([4.0])))
    journal.close()
    for _ in range(2):
        async with open_store(path, FixedClock(NOW)) as store:
            wanted = [(CPU, NOW - 1, 1.0), (CPU, NOW, 4.0), (DISK, NOW, 2.0)]
            assert sorted(await everything(store), key=lambda row: (row[0].name, row[1])) == wanted
            assert store._staging.rows == 0
    assert list(path.with_name("samples.journal").iterdir()) == []


async def test_a_clock_that_jumps_to_and_fro_loses_and_doubles_nothing(path: Path) -> None:
    clock = FixedClock(NOW)
    wanted: dict[int, float] = {}
    async with open_store(path, clock) as store:
        for number, jump_ms in enumerate((0, 2 * HOUR_MS, -2 * HOUR_MS, -1_000, 26 * HOUR_MS, -26 * HOUR_MS, 1_000)):
            at_ms = clock.jump(jump_ms)
            await put(store, (CPU, at_ms, float(number)))
            wanted[at_ms] = float(number)
            while await store.roll_up():
                pass
            await store.clean_up(clock.now_ms())
            assert {time: value for _, time, value in await everything(store)} == wanted
    async with open_store(path, clock) as store:
        assert {time: value for _, time, value in await everything(store)} == wanted
        block = await store.steps([], NOW - DAY_MS, NOW + 2 * DAY_MS, HOUR_MS)
        assert np.nanmax(block.max) == max(wanted.values())
