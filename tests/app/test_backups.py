"""Backups by the clock, and by the command while the server runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest
from tests.simulation.world import START_MS, Machine, MailServer, virtual_world
from tests.support.backup import circumstances
from tests.support.server import ServerProcess
from tests.support.state import AT_MS, an_entry, open_kind
from tests.support.virtual_time import run_virtual

from tocsin.app.backups import Backups, places_of
from tocsin.app.config import Settings, load_settings
from tocsin.app.wiring import Server, open_server
from tocsin.ingest.settings import HostSettings
from tocsin.model.audit import SYSTEM
from tocsin.model.backup import Backup, BackupState
from tocsin.model.duration import DAY_MS, HOUR_MS, Duration
from tocsin.model.errors import UserError
from tocsin.model.page import PageRequest
from tocsin.runtime.clock import FixedClock, LoopClock
from tocsin.runtime.offload import InlineOffload
from tocsin.runtime.telemetry import Telemetry
from tocsin.store.backup.manifest import ids
from tocsin.store.backup.place import Folder
from tocsin.store.backup.settings import BackupSettings
from tocsin.store.backup.write import Stores
from tocsin.store.memory import MemorySampleStore
from tocsin.store.state.backups import INTERRUPTED

P = ParamSpec("P")
T = TypeVar("T")


@asynccontextmanager
async def a_server(folder: Path, **backup: object) -> AsyncIterator[tuple[Server, LoopClock]]:
    clock = LoopClock(asyncio.get_running_loop(), START_MS)
    world = virtual_world(Machine(clock, {}), MailServer(clock), MemorySampleStore(clock=clock), clock, seed=1)
    settings = Settings(backup=BackupSettings(**backup), host=HostSettings(enabled=False))  # type: ignore[arg-type]
    async with open_server(settings, folder / "data", world, url="http://sim") as server:
        yield server, clock


async def tried(server: Server) -> list[Backup]:
    return list((await server.services.backups.page(PageRequest())).items)


def test_a_backup_is_made_every_day_and_the_newest_are_kept(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with a_server(tmp_path, to=str(tmp_path / "b"), every=Duration(DAY_MS), keep=3) as (server, _):
            await asyncio.sleep(5 * 86_400 + 3_600)
            made = await tried(server)
            assert [one.state for one in made] == [BackupState.DONE] * 6
            assert {(one.started_at_ms - START_MS) // HOUR_MS for one in made} == {0, 24, 48, 72, 96, 120}
            assert ids(Folder(tmp_path / "b")) == sorted(one.name for one in made)[-3:]

    run_virtual(scenario)


def test_a_restart_makes_none_before_it_is_due(tmp_path: Path) -> None:
    async def scenario() -> None:
        for _ in range(2):
            async with a_server(tmp_path, to=str(tmp_path / "b"), every=Duration(DAY_MS)) as (server, _):
                await asyncio.sleep(3_600)
                assert len(await tried(server)) == 1

    run_virtual(scenario)


def test_a_scheduled_backup_that_fails_is_tried_again_soon(tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / "b").mkdir()
        (tmp_path / "b" / "chunks").write_bytes(b"in the way")
        async with a_server(tmp_path, to=str(tmp_path / "b"), every=Duration(DAY_MS)) as (server, _):
            await asyncio.sleep(1_000)
            assert [one.state for one in await tried(server)] == [BackupState.FAILED] * 2
            (tmp_path / "b" / "chunks").unlink()
            await asyncio.sleep(1_000)
            assert next(one.state for one in await tried(server)) is BackupState.DONE

    run_virtual(scenario)


class Stuck(InlineOffload):
    """Does some things and then none any more."""

    def __init__(self, room: int) -> None:
        self._room = room
        self.stuck = asyncio.Event()

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        self._room -= 1
        if self._room < 0:
            self.stuck.set()
            await asyncio.Event().wait()
        return await super().run(work, *args, **kwargs)


async def test_a_backup_that_is_broken_off_says_so_and_leaves_none(tmp_path: Path) -> None:
    clock, offload = FixedClock(AT_MS), Stuck(4)
    settings, samples = BackupSettings(), MemorySampleStore(clock=clock)
    about = replace(circumstances(clock), offload=offload)
    async with open_kind("sqlite memory", tmp_path) as state:
        stores = Stores(samples, state)
        backups = Backups(stores, state.backups, settings, about, Telemetry(), places_of(settings))
        begun = await backups.start(str(tmp_path / "b"), SYSTEM)
        assert begun.state is BackupState.RUNNING
        await offload.stuck.wait()
        await backups.close()
        ended = await backups.get(begun.id)
        assert (ended.state, ended.error) == (BackupState.FAILED, INTERRUPTED)
    assert ids(Folder(tmp_path / "b")) == []


async def test_what_ran_when_the_server_was_killed_has_failed_at_the_next_start(tmp_path: Path) -> None:
    async with open_kind("sqlite memory", tmp_path) as state:
        begun = await state.backups.add(Backup(0, "/b", BackupState.RUNNING, "anna", AT_MS), an_entry())
        await state.backups.fail_running(AT_MS + 1)
        ended = await state.backups.get(begun.id)
        assert (ended.state, ended.error, ended.finished_at_ms) == (BackupState.FAILED, INTERRUPTED, AT_MS + 1)


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("EVERY", "1d", "every needs a place"),
        ("KEEP", "0", "keep must be at least 1"),
        ("SHARE", "1.5", "share must be between"),
    ],
)
def test_settings_that_cannot_work_are_refused(key: str, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        load_settings(None, {f"TOCSIN_BACKUP__{key}": text})


@pytest.mark.process
def test_the_commands_back_up_a_running_server_and_bring_it_back(tmp_path: Path) -> None:
    place = str(tmp_path / "place")
    with ServerProcess(tmp_path / "data", {"TOCSIN_HOST__ENABLED": "false"}) as server, server.client() as http:
        pushed = [{"name": "queue.length", "value": n, "tags": {"n": str(n)}} for n in range(20)]
        http.post("/api/metrics", json=pushed).raise_for_status()
        made = json.loads(server.run("backup", place, "--json"))
        assert (made["state"], made["samples"]) == ("done", 20)
        http.post("/api/metrics", json=[{"name": "later", "value": 1}]).raise_for_status()
        assert made["name"] in server.run("backup", place, "--verify")
        assert json.loads(server.run("backup", place, "--list", "--json"))["items"][0]["id"] == made["name"]
    server.run("restore", place, "--overwrite", "--backup", made["name"])
    with server, server.client() as http:
        names = [one["name"] for one in http.get("/api/metrics").json()["items"]]
        assert names == ["queue.length"]
