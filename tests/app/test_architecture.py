"""The map says what the code does."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from tests.simulation.world import START_MS, Machine, MailServer, virtual_world
from tests.support.virtual_time import run_virtual

from tocsin.app.config import Settings
from tocsin.app.wiring import open_server
from tocsin.ingest.settings import GraphiteSettings, StatsdSettings
from tocsin.model.duration import DAY_MS, Duration
from tocsin.runtime.clock import LoopClock
from tocsin.store.backup.settings import BackupSettings
from tocsin.store.memory import MemorySampleStore

ROOT = Path(__file__).parents[2]
MAP = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def _table(title: str, column: int) -> set[str]:
    """The names in a column of the first table below a heading."""
    section = MAP.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.split("|") for line in section.splitlines() if line.startswith("|")]
    return {found[1] for row in rows if (found := re.fullmatch(r" `(\w+)` ", row[column]))}


def test_the_rooms_of_the_map_are_the_rooms_of_the_house() -> None:
    rooms = {path.parent.name for path in (ROOT / "src" / "tocsin").glob("*/__init__.py")}
    assert _table("Rooms", 2) == rooms


def test_every_room_says_its_job_in_its_first_line() -> None:
    for path in (ROOT / "src" / "tocsin").glob("*/__init__.py"):
        first = path.read_text(encoding="utf-8").splitlines()[0]
        assert first.startswith(f'"""{path.parent.name} '), path.parent.name


def test_the_loops_of_the_map_are_those_of_a_running_server(tmp_path: Path) -> None:
    assert _table("Loops", 1) - {"commit", "flush"} == run_virtual(lambda: _loops(tmp_path))


EVERYTHING = Settings(
    graphite=GraphiteSettings(listen="127.0.0.1:0"),
    statsd=StatsdSettings(listen="127.0.0.1:0"),
    backup=BackupSettings(to="/nonexistent/place", every=Duration(DAY_MS)),
)
"""What is off by default is on."""


async def _loops(folder: Path) -> set[str]:
    clock = LoopClock(asyncio.get_running_loop(), START_MS)
    world = virtual_world(Machine(clock, {}), MailServer(clock), MemorySampleStore(clock=clock), clock, seed=1)
    async with open_server(EVERYTHING, folder, world, url="http://sim") as server:
        return set(server.tasks.names)
