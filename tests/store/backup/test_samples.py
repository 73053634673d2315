"""Samples through a backup, and what goes wrong on the way."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests.support.backup import Forgetful, Full, backed_up, circumstances, folder, newest
from tests.support.clickhouse import Front
from tests.support.s3 import bucket
from tests.support.samples import UNSYNCED, AnyStore, batch, floats, open_store, rows
from tests.support.state import AT_MS, open_kind
from tests.support.virtual_time import run_virtual

from tocsin.model.duration import DAY_MS, HOUR_MS, MINUTE_MS
from tocsin.model.errors import NotFoundError, StoreError, UserError
from tocsin.model.labels import Labels
from tocsin.model.matcher import Matcher, MatchOp
from tocsin.model.retention import Policy
from tocsin.model.series import MetricInfo, SampleBatch
from tocsin.runtime.clock import Clock, FixedClock, LoopClock, SystemClock
from tocsin.runtime.offload import ThreadOffload
from tocsin.store.backup import manifest as manifests
from tocsin.store.backup.chunk import fetch, packing_of
from tocsin.store.backup.manifest import Manifest
from tocsin.store.backup.place import Folder, open_place
from tocsin.store.backup.restore import put_samples
from tocsin.store.backup.write import Progress, Stores, back_up, listed, prune, read, rest, verify
from tocsin.store.memory import MemorySampleStore
from tocsin.store.samples import dump, schema
from tocsin.store.samples.dump import ID_MAX, Piece, StoredPart, pieces, rows_max
from tocsin.store.samples.native import Columns
from tocsin.store.samples.store import SampleStore
from tocsin.store.sealing import Cipher, KeyRing
from tocsin.store.settings import RetentionSettings
from tocsin.store.state.state import State

ALL = (Matcher("__name__", MatchOp.REGEX, ".*"),)
SERIES = tuple(Labels.metric("m", {"n": str(n), "text": 'ü"\\'}) for n in range(50))


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(AT_MS)


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[State]:
    async with open_kind("sqlite memory", tmp_path) as opened:
        yield opened


@pytest.fixture
def place(tmp_path: Path) -> Folder:
    return folder(tmp_path / "place")


def walk(store: AnyStore, days: int = 3, every_ms: int = 10 * MINUTE_MS, seed: int = 1) -> SampleBatch:
    times = np.arange(AT_MS - days * DAY_MS, AT_MS, every_ms)
    ids = np.repeat(np.array([store.intern(labels) for labels in SERIES], np.uint64), len(times))
    values = np.random.default_rng(seed).normal(0, 10, len(ids))
    values[:2] = floats(0x7FF0000000000002)[0], np.inf
    return SampleBatch(ids, np.tile(times, len(SERIES)), values)


async def everything(store: AnyStore) -> tuple[object, ...]:
    """Every sample's bits, the metrics, and a long chart."""
    block = await store.select(ALL, 0, AT_MS + DAY_MS)
    chart = await store.steps(ALL, AT_MS - 2 * DAY_MS, AT_MS, HOUR_MS)
    return (
        [str(labels) for labels in block.series],
        block.times.tolist(),
        block.values.view(np.uint64).tolist(),
        await store.metrics(),
        [[f"{value:.9g}" for value in steps] for steps in chart.avg.tolist()],
    )


@asynccontextmanager
async def restored(place: Folder, clock: Clock, path: Path, cipher: Cipher | None = None) -> AsyncIterator[SampleStore]:
    made, packing = read(place, newest(place), cipher)
    put_samples(path, UNSYNCED, None, place, made, packing, lambda _: None)
    async with open_store(path, clock) as store:
        yield store


@pytest.mark.parametrize("kind", ["clickhouse", "memory"])
@pytest.mark.parametrize("cipher", [None, Cipher(KeyRing.fresh())], ids=["plain", "sealed"])
async def test_every_sample_series_metric_and_chart_comes_back(
    kind: str, cipher: Cipher | None, tmp_path: Path, place: Folder, state: State, clock: FixedClock
) -> None:
    async def copy(store: AnyStore) -> tuple[tuple[object, ...], Manifest]:
        await store.append(walk(store))
        await store.append(walk(store, days=1, seed=2))
        await store.describe([MetricInfo("m", unit="By", kind="gauge", help="it's \\ a 'text'")])
        while await store.roll_up():
            pass
        await store.append(batch(store, [(SERIES[0], AT_MS - DAY_MS + 1, 5.0)]))  # its hour is open again
        return await everything(store), await backed_up(store, state, place, clock, sealer=cipher)

    if kind == "memory":
        before, made = await copy(MemorySampleStore(clock=clock))
    else:
        async with open_store(tmp_path / "samples", clock) as real:
            before, made = await copy(real)
    assert made.rows_of("samples") == len(before[1])  # type: ignore[arg-type]
    assert made.rows_of("series") == made.rows_of("series_days") == len(SERIES)
    assert verify(place, *read(place, made.id, cipher)) == ()
    async with restored(place, clock, tmp_path / "restored", cipher) as store:
        assert await everything(store) == before
        while await store.roll_up():
            pass
        assert await everything(store) == before


async def test_samples_move_between_a_server_and_the_engine_inside(
    tmp_path: Path, place: Folder, state: State, clock: FixedClock, clickhouse_server: Front
) -> None:
    one, other = (replace(UNSYNCED, url=clickhouse_server.url()) for _ in range(2))
    async with open_store(tmp_path / "samples", clock, one) as store:
        await store.append(walk(store, days=1))
        before = await everything(store)
        made = await backed_up(store, state, place, clock)
    async with restored(place, clock, tmp_path / "restored") as store:
        assert await everything(store) == before
    found, packing = read(place, made.id, None)
    put_samples(tmp_path / "unused", other, None, place, found, packing, lambda _: None)
    async with open_store(tmp_path / "unused", clock, other) as store:
        assert await everything(store) == before
    with pytest.raises(UserError, match=r"holds samples already\. Restore into an empty database"):
        put_samples(tmp_path / "unused", other, None, place, found, packing, lambda _: None)


async def test_what_was_acknowledged_before_is_in_it_while_a_writer_goes_on(
    tmp_path: Path, place: Folder, state: State
) -> None:
    clock = SystemClock()
    acknowledged: set[tuple[str, int, float]] = set()
    enough = asyncio.Event()
    offload, saving = ThreadOffload("samples", 4), ThreadOffload("backup", 1)
    async with open_store(tmp_path / "samples", clock, offload=offload) as store:

        async def push() -> None:
            at = 0
            while True:
                at += 1
                sent = [(SERIES[n], clock.now_ms() - at * MINUTE_MS, float(at)) for n in range(0, 50, 5)]
                await store.append(batch(store, sent))
                acknowledged.update((str(labels), at_ms, value) for labels, at_ms, value in sent)
                if len(acknowledged) >= 1_000:
                    enough.set()

        writer = asyncio.create_task(push())
        await enough.wait()
        before = set(acknowledged)
        progress = Progress()
        about = circumstances(clock, offload=saving, share=0.5)
        made = await back_up(Stores(store, state), place, about, progress)
        during = len(acknowledged)
        writer.cancel()
        await asyncio.wait([writer])
    offload.close()
    saving.close()
    assert during > len(before)  # it did not wait for the backup
    assert (progress.phase, progress.done) == ("checking", progress.total)
    assert made.rows_of("samples") >= len(before)
    async with restored(place, clock, tmp_path / "restored") as again:
        found = {(str(labels), at_ms, value) for labels, at_ms, value in rows(await again.select(ALL, 0, 2**62))}
    assert before <= found


async def test_days_that_have_not_changed_are_not_written_again(
    tmp_path: Path, place: Folder, state: State, clock: FixedClock
) -> None:
    async with open_store(tmp_path / "samples", clock) as store:
        await store.append(walk(store, days=5))
        await store.merge()
        first, second = Progress(), Progress()
        one = await backed_up(store, state, place, clock, progress=first)
        await store.append(batch(store, [(SERIES[0], AT_MS - 5, 1.0)]))
        clock.advance(1)
        two = await backed_up(store, state, place, clock, progress=second)
    assert second.written < first.written / 3
    old = {part.partition: part for part in one.samples if part.table == "samples"}
    changed = [part.partition for part in two.samples if part.table == "samples" and part != old.get(part.partition)]
    assert changed == [str((AT_MS - 5) // DAY_MS)]
    async with restored(place, clock, tmp_path / "restored") as again:
        assert len(rows(await again.select((Matcher("n", MatchOp.EQUAL, "0"),), AT_MS - 5, AT_MS))) == 1


@pytest.mark.parametrize("seed", range(3))
async def test_no_bucket_of_a_backup_lacks_a_sample_that_came_late_while_it_was_made(
    seed: int, tmp_path: Path, place: Folder, state: State, clock: FixedClock
) -> None:
    chance = random.Random(seed)

    class Busy:
        """Something late comes, or is rolled up, before each thing that the backup reads."""

        def __init__(self, store: AnyStore) -> None:
            self.store = store

        async def flush(self) -> None:
            await self.store.flush()

        async def stored(self, table: str) -> list[StoredPart]:
            await self.happen()
            return await self.store.stored(table)

        async def dump(self, piece: Piece) -> tuple[Columns, Piece | None]:
            await self.happen()
            return await self.store.dump(piece)

        async def happen(self) -> None:
            if chance.random() < 0.5:
                await self.store.roll_up()
                return
            late = [
                (chance.choice(SERIES), AT_MS - chance.randrange(DAY_MS), chance.gauss(0, 1_000)) for _ in range(20)
            ]
            await self.store.append(batch(self.store, late))
            await self.store.flush()

    async with open_store(tmp_path / "samples", clock) as store:
        await store.append(walk(store, days=1))
        while await store.roll_up():
            pass
        await backed_up(Busy(store), state, place, clock)
    async with restored(place, clock, tmp_path / "restored") as again:
        while await again.roll_up():
            pass
        chart = await again.steps(ALL, AT_MS - DAY_MS, AT_MS - HOUR_MS, HOUR_MS)
        assert chart.resolution == "1h"
        for at, (_, times, values) in enumerate(await again.select(ALL, AT_MS - DAY_MS, AT_MS - HOUR_MS)):
            for step, first in enumerate(chart.times.tolist()):
                inside = values[(times >= first) & (times < first + HOUR_MS) & ~np.isnan(values)]
                assert len(inside) == 0 or chart.min[at, step] <= inside.min()
                assert len(inside) == 0 or chart.max[at, step] >= inside.max()


async def test_a_day_that_the_retention_drops_meanwhile_does_no_harm(
    tmp_path: Path, place: Folder, state: State, clock: FixedClock
) -> None:
    class Dropping:
        """Forgets its oldest day while that is read."""

        def __init__(self, store: AnyStore) -> None:
            self.store = store

        async def flush(self) -> None:
            await self.store.flush()

        async def stored(self, table: str) -> list[StoredPart]:
            return await self.store.stored(table)

        async def dump(self, piece: Piece) -> object:
            found = await self.store.dump(piece)
            self.store.cuts.defaults = replace(self.store.cuts.defaults, raw_ms=2 * DAY_MS)
            await self.store.clean_up(AT_MS)
            return found

    async with open_store(tmp_path / "samples", clock, kept=RetentionSettings()) as store:
        await store.append(walk(store, days=4))
        made = await backed_up(Dropping(store), state, place, clock)
        kept = {part.partition for part in await store.stored("samples")}
    assert {part.partition for part in made.samples if part.table == "samples"} == kept
    async with restored(place, clock, tmp_path / "restored") as again:
        assert len(await again.select(ALL, 0, AT_MS)) == len(SERIES)


@pytest.mark.parametrize("room", [0, 1, 4])
async def test_a_place_without_room_gives_no_backup_and_the_next_one_is_whole(
    room: int, tmp_path: Path, place: Folder, state: State, clock: FixedClock
) -> None:
    store = MemorySampleStore(clock=clock)
    await store.append(walk(store))
    whole = Full(place, 1_000)
    with pytest.raises(StoreError, match="no space left"):
        await backed_up(store, state, Full(place, room), clock)
    with pytest.raises(NotFoundError, match="no whole backup"):
        manifests.find(place, None)
    made = await backed_up(store, state, whole, clock)
    assert verify(place, *read(place, made.id, None)) == ()


async def test_a_place_that_does_not_keep_what_it_took_is_found_out_at_once(
    place: Folder, state: State, clock: FixedClock
) -> None:
    store = MemorySampleStore(clock=clock)
    await store.append(walk(store))
    with pytest.raises(StoreError, match="is damaged"):
        await backed_up(store, state, Forgetful(place, 3), clock)
    assert manifests.ids(place) == []


async def test_damage_is_named_when_it_is_looked_for_and_stops_a_restore(
    tmp_path: Path, place: Folder, state: State, clock: FixedClock
) -> None:
    store = MemorySampleStore(clock=clock)
    await store.append(walk(store))
    made = await backed_up(store, state, place, clock)
    path = files(tmp_path)
    one, other, third = (path[chunk.name] for part in made.samples[:3] for chunk in part.chunks)
    one.write_bytes(one.read_bytes()[:-1] + b"?")
    other.unlink()
    third.write_bytes(b"")
    wrong = verify(place, *read(place, made.id, None))
    assert [one.name in wrong[0], "damaged" in wrong[0], "missing" in wrong[1], "damaged" in wrong[2]] == [True] * 4
    with pytest.raises(StoreError, match=f"chunk {one.name} is damaged"):
        put_samples(tmp_path / "restored", UNSYNCED, None, place, *read(place, made.id, None), lambda _: None)


async def test_a_manifest_that_is_damaged_or_cut_short_is_no_backup(
    tmp_path: Path, place: Folder, state: State, clock: FixedClock
) -> None:
    store = MemorySampleStore(clock=clock)
    await store.append(walk(store))
    made = await backed_up(store, state, place, clock)
    (path,) = (tmp_path / "place" / "backups").iterdir()
    text = path.read_bytes()
    for damaged in (text[:-20], text.replace(b'"rows": 7', b'"rows": 6'), b""):
        assert damaged != text
        path.write_bytes(damaged)
        with pytest.raises(StoreError, match=r"manifest of the backup .* is damaged"):
            read(place, made.id, None)
    again = await backed_up(store, state, place, clock)
    assert verify(place, *read(place, again.id, None)) == ()


async def test_a_manifest_that_says_impossible_things_is_not_believed(
    place: Folder, state: State, clock: FixedClock
) -> None:
    store, key = MemorySampleStore(clock=clock), Cipher(KeyRing.fresh())
    await store.append(walk(store))
    made = await backed_up(store, state, place, clock, sealer=key)
    with pytest.raises(UserError, match="encrypted with another key"):
        packing_of(msgspec.structs.replace(made, salt="no hex"), key)
    chunk = msgspec.structs.replace(next(made.chunks()), size=2**62)
    with pytest.raises(StoreError, match="is damaged"):
        fetch(place, packing_of(made, key), chunk)


async def test_a_sealed_backup_needs_its_key(tmp_path: Path, place: Folder, state: State, clock: FixedClock) -> None:
    store, key = MemorySampleStore(clock=clock), Cipher(KeyRing.fresh())
    await store.append(walk(store))
    await store.describe([MetricInfo("m", kind="gauge", help="plain words")])
    made = await backed_up(store, state, place, clock, sealer=key)
    with pytest.raises(UserError, match=r"is encrypted\. Set store.encryption_key"):
        read(place, made.id, None)
    with pytest.raises(UserError, match="was encrypted with another key"):
        read(place, made.id, Cipher(KeyRing.fresh()))
    again = await backed_up(store, state, place, clock, sealer=key)
    assert again.samples == made.samples  # under the same names, so that nothing was written again
    for path in files(tmp_path).values():
        assert b"plain words" not in path.read_bytes()


async def test_old_backups_are_removed_with_the_chunks_that_only_they_used(
    tmp_path: Path, place: Folder, state: State, clock: FixedClock
) -> None:
    store = MemorySampleStore(clock=clock)
    kept: list[Manifest] = []
    for day in range(3):
        await store.append(walk(store, seed=day))
        kept.append(await backed_up(store, state, place, clock))
        clock.advance(1)
    assert prune(place, 3, 2**62) == ()
    assert prune(place, 1, 0) == (kept[0].id, kept[1].id)  # but no chunk, for all are young
    assert set(files(tmp_path)) > kept[2].distinct().keys()
    kept.append(await backed_up(store, state, place, clock))
    assert prune(place, 1, 2**62) == (kept[2].id,)
    assert set(files(tmp_path)) == kept[3].distinct().keys()
    assert verify(place, *read(place, kept[3].id, None)) == ()


async def test_a_bucket_holds_backups_as_a_folder_does(tmp_path: Path, state: State, clock: FixedClock) -> None:
    place = open_place(*bucket())
    store = MemorySampleStore(clock=clock)
    made: list[Manifest] = []
    for seed in range(2):
        await store.append(walk(store, days=1, seed=seed))
        made.append(await backed_up(store, state, place, clock))
        clock.advance(1)
    assert [one.id for one in listed(place, 10)] == [made[1].id, made[0].id]
    assert prune(place, 1, 2**62) == (made[0].id,)
    found, packing = read(place, manifests.find(place, None), None)
    assert verify(place, found, packing) == ()
    put_samples(tmp_path / "restored", UNSYNCED, None, place, found, packing, lambda _: None)
    async with open_store(tmp_path / "restored", clock) as again:
        assert (await everything(again))[:3] == (await everything(store))[:3]


def test_it_works_for_its_share_of_the_time_alone() -> None:
    async def scenario() -> float:
        clock = LoopClock(asyncio.get_running_loop(), AT_MS)
        began_s = clock.monotonic_s()
        await asyncio.sleep(3.0)
        await rest(circumstances(clock, share=0.25), began_s)
        return clock.monotonic_s() - began_s

    assert run_virtual(scenario) == pytest.approx(12.0)


def test_every_table_of_the_sample_store_is_in_a_backup() -> None:
    assert dump.TABLES.keys() | dump.TRANSIENT == set(schema.TABLES)


async def test_what_policies_have_removed_comes_back_neither_as_samples_nor_in_roll_ups(
    tmp_path: Path, place: Folder, state: State, clock: FixedClock
) -> None:
    zero = (Matcher("n", MatchOp.EQUAL, "0"),)

    async def removed(store: SampleStore) -> None:
        await store.keep((Policy(1, "short", zero, raw_ms=DAY_MS),))
        while (await store.enforce(AT_MS)).more:
            pass

    async def chart(store: SampleStore) -> list[list[str]]:
        block = await store.steps(zero, AT_MS - 4 * DAY_MS, AT_MS, HOUR_MS)
        return [[f"{value:.9g}" for value in steps] for steps in block.avg.tolist()]

    async with open_store(tmp_path / "samples", clock) as store:
        await store.append(walk(store))
        while await store.roll_up():
            pass
        await removed(store)
        before, kept = await chart(store), await store.select(zero, 0, AT_MS)
        made = await backed_up(store, state, place, clock)
    assert made.rows_of("enforced") > 0
    assert AT_MS - int(kept.times.min()) <= 2 * DAY_MS
    async with restored(place, clock, tmp_path / "restored") as again:
        await again.append(batch(again, [(SERIES[1], AT_MS - 5 * DAY_MS // 2, 5.0)]))  # its hour is open again
        while await again.roll_up():
            pass
        await removed(again)
        assert await chart(again) == before
        assert (await again.select(zero, 0, AT_MS)).times.tolist() == kept.times.tolist()


def test_a_partition_is_cut_into_pieces_that_cover_every_id_once() -> None:
    for count in (1, 100, 10**6, 10**8):
        cut = list(pieces(StoredPart("samples", "1", count, "")))
        assert count / len(cut) <= rows_max("samples")
        assert (cut[0].low, cut[-1].high) == (0, ID_MAX)
        assert all(one.high + 1 == other.low for one, other in pairwise(cut))


async def test_a_piece_that_is_larger_than_thought_is_read_in_parts(tmp_path: Path, clock: FixedClock) -> None:
    many = 4 * rows_max("samples") + 10
    async with open_store(tmp_path / "samples", clock) as store:
        ids = np.full(many, store.intern(SERIES[0]), np.uint64)
        await store.append(SampleBatch(ids, AT_MS - np.arange(many), np.zeros(many)))
        await store.flush()
        found: list[int] = []
        for part in await store.stored("samples"):
            left: Piece | None = Piece(part, 0, ID_MAX)
            while left is not None:
                columns, left = await store.dump(left)
                found += columns["t"].tolist()
    assert sorted(found) == sorted((AT_MS - np.arange(many)).tolist())


def files(folder: Path) -> dict[str, Path]:
    return {path.name: path for path in (folder / "place" / "chunks").glob("*/*")}
