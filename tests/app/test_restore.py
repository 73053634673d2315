"""A backup put back into a data directory: beside what is there, then in its place."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.support.backup import backed_up, circumstances, fill, folder
from tests.support.postgres import cluster
from tests.support.state import AT_MS, a_rule, an_entry, open_kind

from tocsin.app.config import Settings, StateSettings
from tocsin.app.restore import Facts, restore_into
from tocsin.app.wiring import Engine, open_engine
from tocsin.app.world import World, real_world
from tocsin.model.errors import StoreError, UserError
from tocsin.model.labels import Labels
from tocsin.model.page import PageRequest
from tocsin.model.series import SampleBatch
from tocsin.runtime.clock import FixedClock
from tocsin.store.backup import swap
from tocsin.store.backup.manifest import Manifest
from tocsin.store.backup.swap import Move, Note
from tocsin.store.backup.write import Progress, Stores, back_up
from tocsin.store.lock import PathLock
from tocsin.store.memory import MemorySampleStore
from tocsin.store.sealing import key_text
from tocsin.store.settings import StoreSettings
from tocsin.store.vault import backup_cipher

NOBODY = Settings()


@pytest.fixture
def world() -> World:
    return replace(real_world(), clock=FixedClock(AT_MS))


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Manifest]:
    """A backup in `place` with 2,000 samples, and the rule that `fill` leaves."""
    clock = FixedClock(AT_MS)
    samples = MemorySampleStore(clock=clock)
    ids = np.repeat(np.array([samples.intern(Labels.metric("m", {"n": str(n)})) for n in range(2)], np.uint64), 1_000)
    times = AT_MS - 1 - np.tile(np.arange(1_000) * 60_000, 2)
    await samples.append(SampleBatch(ids, times, np.arange(2_000) / 7))
    async with open_kind("sqlite memory", tmp_path) as state:
        await fill(state)
        yield await backed_up(samples, state, folder(tmp_path / "place"), clock)


def silent(_what: str, _total: int) -> Callable[[int], None]:
    return lambda _: None


async def restored(tmp_path: Path, world: World, settings: Settings = NOBODY, *, overwrite: bool = False) -> Facts:
    return await restore_into(
        settings, world, tmp_path / "data", str(tmp_path / "place"), None, overwrite=overwrite, watch=silent
    )


async def held(tmp_path: Path, world: World, settings: Settings = NOBODY) -> tuple[int, list[str]]:
    """(samples, names of rules) that a server would find."""
    async with open_engine(settings, tmp_path / "data", world) as engine:
        block = await engine.samples.select((), 0, AT_MS + 1)
        return len(block.times), [rule.name for rule in await engine.state.rules.rules()]


@asynccontextmanager
async def lived_in(tmp_path: Path, world: World, settings: Settings = NOBODY) -> AsyncIterator[Engine]:
    """A data directory with one sample, which is in the journal, and one rule."""
    async with open_engine(settings, tmp_path / "data", world) as engine:
        labels = Labels.metric("before")
        ids = np.array([engine.samples.intern(labels)], np.uint64)
        await engine.samples.append(SampleBatch(ids, np.array([AT_MS - 1]), np.array([1.0])))
        await engine.state.rules.add_rules([a_rule(name="Before")], [an_entry()])
        yield engine


def beside(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "data").iterdir()} - {"node"}


CLEAN = {"samples", "samples.journal", "samples.lock", "state.db"}
OLD, NEW = (1, ["Before"]), (2_000, ["High CPU Usage"])


async def test_an_empty_directory_becomes_what_was_backed_up(tmp_path: Path, world: World, made: Manifest) -> None:
    facts = await restored(tmp_path, world)
    assert (facts.id, facts.samples, facts.series) == (made.id, 2_000, 2)
    assert beside(tmp_path) == CLEAN
    assert await held(tmp_path, world) == NEW
    async with open_engine(NOBODY, tmp_path / "data", world) as engine:
        newest = (await engine.state.access.audit(PageRequest(limit=1))).items[0].entry
        assert (newest.action, newest.after) == (
            "backup.restore",
            {"backup": made.id, "place": str(tmp_path / "place")},
        )


async def test_what_is_there_is_not_lost_unless_told(tmp_path: Path, world: World, made: Manifest) -> None:
    async with lived_in(tmp_path, world):
        pass
    with pytest.raises(UserError, match=r"would be lost\. Restore into an empty place, or add --overwrite\."):
        await restored(tmp_path, world)
    assert await held(tmp_path, world) == OLD
    await restored(tmp_path, world, overwrite=True)
    assert await held(tmp_path, world) == NEW
    assert beside(tmp_path) == CLEAN


async def test_a_server_that_runs_is_not_pulled_away(tmp_path: Path, world: World, made: Manifest) -> None:
    (tmp_path / "data").mkdir()
    with PathLock(tmp_path / "data" / "samples"), pytest.raises(UserError, match="is in use by another tocsin"):
        await restored(tmp_path, world, overwrite=True)


async def test_a_damaged_backup_leaves_everything_as_it_was(tmp_path: Path, world: World, made: Manifest) -> None:
    async with lived_in(tmp_path, world):
        pass
    (users,) = (table for table in made.state if table.name == "users")
    name = users.chunks[0].name
    (tmp_path / "place" / "chunks" / name[:2] / name).write_bytes(b"?")
    with pytest.raises(StoreError, match="is damaged"):
        await restored(tmp_path, world, overwrite=True)
    assert await held(tmp_path, world) == OLD
    assert beside(tmp_path) == CLEAN


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from tocsin.app.config import Settings
from tocsin.app.restore import restore_into
from tocsin.app.world import real_world

at, left, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])

def watch(what, total):
    def seen(count):
        global left
        left -= what == at
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    return seen

asyncio.run(
    restore_into(Settings(), real_world(), folder / "data", str(folder / "place"), None, overwrite=True, watch=watch)
)
"""


def killed_restore(at: str, left: int, folder: Path) -> int:
    arguments = [sys.executable, "-c", KILLED, at, str(left), str(folder)]
    return subprocess.run(arguments, check=False, timeout=60).returncode


@pytest.mark.process
@pytest.mark.parametrize(("at", "left"), [("samples", 3), ("state", 6)])
async def test_a_restore_that_is_killed_leaves_the_old_and_can_be_made_again(
    at: str, left: int, tmp_path: Path, world: World, made: Manifest
) -> None:
    async with lived_in(tmp_path, world):
        pass
    assert killed_restore(at, left, tmp_path) == -9
    assert await held(tmp_path, world) == OLD
    await restored(tmp_path, world, overwrite=True)
    assert await held(tmp_path, world) == NEW
    assert beside(tmp_path) == CLEAN


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
async def test_a_decided_restore_is_finished_by_whoever_opens_the_directory_next(
    steps: int, tmp_path: Path, world: World, made: Manifest
) -> None:
    async with lived_in(tmp_path, world):
        pass
    there = tmp_path / "there"
    there.mkdir()
    await restore_into(NOBODY, world, there / "data", str(tmp_path / "place"), None, overwrite=False, watch=silent)
    data = tmp_path / "data"
    moves = tuple(
        Move(str(data / f"{name}.fresh"), str(data / name)) for name in ("samples", "samples.journal", "state.db")
    )
    for move in moves:
        (there / "data" / Path(move.target).name).rename(move.fresh)
    swap.write_note(data, Note("x", moves, decided_by_state=False))
    begin(moves, steps)
    assert await held(tmp_path, world) == NEW
    assert beside(tmp_path) == CLEAN


def begin(moves: tuple[Move, ...], steps: int) -> None:
    """As far as the process came that decided the restore."""
    renames = [step for move in moves for step in ((move.target, move.target + swap.OLD), (move.fresh, move.target))]
    for source, target in renames[:steps]:
        Path(source).rename(target)


async def test_the_state_may_be_in_postgresql(tmp_path: Path, world: World, made: Manifest) -> None:
    with cluster().database() as url:
        settings = Settings(state=StateSettings(url=url))
        async with lived_in(tmp_path, world, settings):
            pass
        with pytest.raises(UserError, match="the state database would be lost"):
            await restored(tmp_path, world, settings)
        await restored(tmp_path, world, settings, overwrite=True)
        assert await held(tmp_path, world, settings) == NEW
        assert beside(tmp_path) == CLEAN - {"state.db"}


@pytest.mark.parametrize("committed", [True, False])
async def test_there_its_commit_decides(committed: bool, tmp_path: Path, world: World, made: Manifest) -> None:
    with cluster().database() as url:
        settings = Settings(state=StateSettings(url=url))
        async with lived_in(tmp_path, world, settings) as engine:
            if committed:
                await engine.state.settings.put(swap.DONE, "this one", an_entry())
        data, fresh = tmp_path / "data", tmp_path / "data" / "samples.restoring"
        there = tmp_path / "there"
        there.mkdir()
        await restore_into(NOBODY, world, there, str(tmp_path / "place"), None, overwrite=True, watch=silent)
        (there / "samples").rename(fresh)
        (there / "samples.journal").rename(data / "samples.restoring.journal")
        moves = tuple(Move(f"{fresh}{part}", f"{data / 'samples'}{part}") for part in ("", ".journal"))
        swap.write_note(data, Note("this one", moves, decided_by_state=True))
        samples, _ = await held(tmp_path, world, settings)
        assert samples == (2_000 if committed else 1)
        assert beside(tmp_path) == CLEAN - {"state.db"}


async def test_a_sealed_backup_goes_into_a_directory_of_the_same_key_with_keys_of_its_own(
    tmp_path: Path, world: World
) -> None:
    key = key_text(bytes(range(32)))
    settings = Settings(store=StoreSettings(encryption_key=key, fsync=False))
    async with lived_in(tmp_path, world, settings) as engine:
        stores, place = Stores(engine.samples, engine.state), folder(tmp_path / "place")
        await back_up(stores, place, circumstances(world.clock, sealer=backup_cipher(key)), Progress())
    first = (tmp_path / "data" / "keyring.json").read_bytes()
    (tmp_path / "data").rename(tmp_path / "old")
    with pytest.raises(UserError, match=r"is encrypted\. Set store\.encryption_key"):
        await restored(tmp_path, world)
    other = Settings(store=StoreSettings(encryption_key=key_text(bytes(32))))
    with pytest.raises(UserError, match="was encrypted with another key"):
        await restored(tmp_path, world, other)
    assert not (tmp_path / "data").exists()
    await restored(tmp_path, world, settings)
    assert await held(tmp_path, world, settings) == OLD
    assert (tmp_path / "data" / "keyring.json").read_bytes() != first
