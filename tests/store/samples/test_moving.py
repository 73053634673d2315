"""Parts on their way to another disk, and what a power cut may leave of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.support.samples import UNSYNCED, batch, open_store, rows

from tocsin.model.duration import DAY_MS
from tocsin.model.errors import LimitError
from tocsin.model.labels import Labels
from tocsin.runtime.clock import FixedClock
from tocsin.store.lock import PathLock
from tocsin.store.samples.disks import PLAIN, disks_of, folder_of, storage_config
from tocsin.store.samples.embedded import EmbeddedEngine
from tocsin.store.samples.moving import LINKS, move_parts
from tocsin.store.samples.native import Shape
from tocsin.store.sealing import KeyRing
from tocsin.store.settings import StoreSettings
from tocsin.store.vault import Vault, Work

NOW = 1_800_000_000_000
RING = KeyRing.fresh()
SEALED = Vault(RING)
ENCRYPTING = Vault(RING, Work.ENCRYPT)
SERIES = [Labels.metric("quagga.count", {"n": str(number)}) for number in range(500)]
ROWS = [(labels, NOW - day * DAY_MS, float(day)) for labels in SERIES for day in (0, 1)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "samples"


async def fill(path: Path, vault: Vault | None = None) -> None:
    async with open_store(path, FixedClock(NOW), vault=vault) as store:
        for part in (ROWS[::2], ROWS[1::2]):
            await store.append(batch(store, part))
            await store.flush()


async def count(path: Path, vault: Vault | None) -> int:
    async with open_store(path, FixedClock(NOW), vault=vault) as store:
        return len(set(rows(await store.select([], 0, 2 * NOW))))


def move(path: Path, vault: Vault, settings: StoreSettings = UNSYNCED) -> list[tuple[int, int]]:
    seen: list[tuple[int, int]] = []
    with PathLock(path) as lock:
        move_parts(path, settings, disks_of(vault), lock, lambda done, total: seen.append((done, total)))
    return seen


def interrupted(path: Path, vault: Vault) -> list[Path]:
    """A move whose links are still there; the files of the copies."""
    engine = EmbeddedEngine(path, UNSYNCED, disks_of(vault))
    connection = engine.connect(reading=False)
    connection.run("system stop merges")
    (found,) = connection.read(
        "select partition_id as p from system.parts where active and table = 'samples' order by p limit 1",
        Shape({"p": "String"}),
    )["p"]
    connection.run(f"alter table samples freeze partition id '{found}' with name '{LINKS}'")
    connection.run(f"alter table samples move partition id '{found}' to disk '{disks_of(vault).target}'")
    connection.close()
    engine.close()
    return sorted((path / "disks" / "1").rglob(f"{found}_*/*.bin"))


def files_with(path: Path, text: bytes) -> list[Path]:
    return [file for file in path.rglob("*") if file.is_file() and text in file.read_bytes()]


def links(path: Path) -> list[Path]:
    return list(path.rglob("shadow"))


async def test_every_part_is_moved_and_progress_is_told_in_bytes(path: Path) -> None:
    await fill(path)
    seen = move(path, ENCRYPTING, StoreSettings(fsync=True))
    assert seen[0][0] == 0
    assert seen[-1][0] == seen[-1][1] > 0
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert await count(path, SEALED) == len(ROWS)
    assert not files_with(path, b"quagga")
    assert move(path, ENCRYPTING)[-1] == seen[-1]


async def test_what_a_power_cut_spoilt_is_put_back(path: Path) -> None:
    await fill(path)
    copies = interrupted(path, ENCRYPTING)
    assert copies
    for file in copies:
        file.write_bytes(file.read_bytes()[:-20])
    move(path, ENCRYPTING)
    assert await count(path, SEALED) == len(ROWS)
    assert not links(path)


async def test_what_a_power_cut_lost_is_put_back(path: Path) -> None:
    await fill(path)
    for file in interrupted(path, ENCRYPTING):
        for each in file.parent.iterdir():
            each.write_bytes(b"")
    move(path, ENCRYPTING)
    assert await count(path, SEALED) == len(ROWS)


async def test_what_a_kill_interrupted_goes_on(path: Path) -> None:
    await fill(path)
    assert interrupted(path, ENCRYPTING)
    move(path, ENCRYPTING)
    assert await count(path, SEALED) == len(ROWS)
    assert not links(path)


async def test_rows_that_were_deleted_stay_so_and_new_ones_come(path: Path) -> None:
    delete = f"alter table samples delete where t < {NOW} settings mutations_sync = 2"
    await fill(path)
    async with open_store(path, FixedClock(NOW)) as store:
        store._parts.writing.run(delete)
    move(path, ENCRYPTING)
    assert await count(path, SEALED) == len(SERIES)
    async with open_store(path, FixedClock(NOW), vault=SEALED) as store:
        await store.append(batch(store, ROWS))
        await store.flush()
        assert len(rows(await store.select([], 0, 2 * NOW))) == len(ROWS)
        store._parts.writing.run(delete)
        assert len(rows(await store.select([], 0, 2 * NOW))) == len(SERIES)
    assert await count(path, SEALED) == len(SERIES)


async def test_a_deletion_that_is_under_way_ends_before_anything_is_moved(path: Path) -> None:
    await fill(path)
    async with open_store(path, FixedClock(NOW)) as store:
        store._parts.writing.run("system stop merges")
        store._parts.writing.run(f"alter table samples delete where t < {NOW} settings mutations_sync = 0")
    move(path, ENCRYPTING)
    assert await count(path, SEALED) == len(SERIES)


async def test_a_path_with_any_name_can_be_encrypted(tmp_path: Path) -> None:
    path = tmp_path / 'größe & <it\'s> "q" a+b=c%20#e' / "samples"
    await fill(path, SEALED)
    assert await count(path, SEALED) == len(ROWS)
    assert folder_of(path, "sealed_1").is_dir()


async def test_an_encrypted_store_refuses_what_it_would_have_to_spill_to_a_plain_file(path: Path) -> None:
    """Without encryption the same query writes what does not fit into memory to a file of its own."""
    await fill(path, SEALED)
    small = StoreSettings(read_memory_max_mb=60)
    grouped = "select count() as n from (select toString(number) as s, count() from numbers(3000000) group by s)"
    engine = EmbeddedEngine(path, small, disks_of(SEALED))
    connection = engine.connect(reading=True)
    try:
        with pytest.raises(LimitError, match="needs too much memory"):
            connection.read(grouped, Shape({"n": "UInt64"}))
        spilled = connection.read(
            "select sum(value) as n from system.events where event like 'External%WritePart'", Shape({"n": "UInt64"})
        )
        assert np.sum(spilled["n"]) == 0
    finally:
        connection.close()
        engine.close()


def test_without_keys_the_engine_is_configured_as_ever(path: Path) -> None:
    assert disks_of(None).target == PLAIN
    assert storage_config(path, disks_of(None)) == ""


def test_the_disks_of_each_state() -> None:
    two = RING.with_new()
    assert disks_of(SEALED).sources == ()
    assert (disks_of(ENCRYPTING).target, disks_of(ENCRYPTING).sources) == ("sealed_1", (PLAIN,))
    assert (disks_of(Vault(two, Work.REWRITE)).target, disks_of(Vault(two, Work.REWRITE)).sources) == (
        "sealed_2",
        ("sealed_1",),
    )
    assert disks_of(Vault(two, Work.DECRYPT)).sources == ("sealed_1", "sealed_2")


def test_the_configuration_holds_a_key_that_is_derived_from_the_data_key(path: Path) -> None:
    text = storage_config(path, disks_of(SEALED))
    assert RING.current.derive("samples disk").hex() in text
    assert RING.current.secret.hex() not in text
