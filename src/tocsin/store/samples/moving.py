"""Moving every part of the embedded engine to another disk: how plain data becomes encrypted, and the other way.

A part is moved whole: the engine copies it, takes the copy into use and removes the original. It does not sync the
copy, so hard links to the originals (`freeze`) are kept until that is done here. A second run goes on where a first was
stopped, and puts back from those links what a power cut has spoilt.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tocsin.model.errors import StoreError
from tocsin.runtime.disk import sync
from tocsin.runtime.log import get_log
from tocsin.store.lock import PathLock
from tocsin.store.samples.disks import PLAIN, Disks, folder_of
from tocsin.store.samples.embedded import EmbeddedConnection, EmbeddedEngine
from tocsin.store.samples.native import Shape
from tocsin.store.settings import StoreSettings

log = get_log("store")

LINKS = "moving"
MUTATION_WAITS = 1_200
"""Of half a second each."""
_WAIT = "select sleep(0.5)"
_PART = Shape({"table": "String", "partition": "String", "name": "String", "disk": "String", "bytes": "UInt64"})
_PATH = Shape({"path": "String"})
_COUNT = Shape({"n": "UInt64"})
_TABLE = Shape({"table": "String", "uuid": "String"})
_OURS = "database = currentDatabase()"

Moved = Callable[[int, int], None]
"""Hears (bytes moved, bytes in all)."""


def move_parts(path: Path, settings: StoreSettings, disks: Disks, lock: PathLock, moved: Moved) -> None:
    """Returns when all parts lie on `disks.target`, durable, and nothing of them is left on the others.

    Raises StoreError; then it can be run again.
    """
    engine = EmbeddedEngine(path, settings, disks, lock=lock)
    try:
        connection = engine.connect(reading=False)
        try:
            connection.run("system stop merges")
            _put_back(connection, path, disks, fsync=settings.fsync)
            connection.run("system start merges")
            _settle(connection)
            connection.run("system stop merges")
            _move(connection, path, disks, moved, fsync=settings.fsync)
        finally:
            connection.close()
    finally:
        engine.close()
    for source in disks.sources:
        _clear(path, source)


def _settle(connection: EmbeddedConnection) -> None:
    """A deletion of rows that is under way is in files of the old disk, and has to end first."""
    running = f"select count() as n from system.mutations where not is_done and {_OURS}"  # noqa: S608 - constants
    for _ in range(MUTATION_WAITS):
        if not int(connection.read(running, _COUNT)["n"][0]):
            return
        connection.run(_WAIT)
    raise StoreError("A deletion of series does not end. Start tocsin, wait until it has, and try again.")


@dataclass(frozen=True, slots=True)
class _Part:
    table: str
    partition: str
    name: str
    disk: str
    bytes: int


def _move(connection: EmbeddedConnection, path: Path, disks: Disks, moved: Moved, *, fsync: bool) -> None:
    parts = _parts(connection)
    total = sum(part.bytes for part in parts)
    waiting: dict[tuple[str, str], int] = {}
    for part in parts:
        if part.disk != disks.target:
            key = part.table, part.partition
            waiting[key] = waiting.get(key, 0) + part.bytes
    done = total - sum(waiting.values())
    moved(done, total)
    for (table, partition), size in sorted(waiting.items()):
        connection.run(f"alter table {table} freeze partition id '{partition}' with name '{LINKS}'")
        connection.run(f"alter table {table} move partition id '{partition}' to disk '{disks.target}'")
        if fsync:
            _sync(connection, path, table, partition)
        _drop_links(path, disks)
        done += size
        moved(done, total)
    left = [part for part in _parts(connection) if part.disk != disks.target]
    if left:
        raise StoreError(f"{len(left)} parts of the sample store were not moved. Run the command again.")


def _parts(connection: EmbeddedConnection) -> list[_Part]:
    rows = connection.read(
        "select table, partition_id as partition, name, disk_name as disk, bytes_on_disk as bytes "  # noqa: S608
        f"from system.parts where active and {_OURS}",
        _PART,
    )
    return [
        _Part(table, partition, name, disk, int(size))
        for table, partition, name, disk, size in zip(*(rows[field] for field in _PART.types), strict=True)
    ]


def _put_back(connection: EmbeddedConnection, path: Path, disks: Disks, *, fsync: bool) -> None:
    """Links that are still there tell of a move that was not synced: where its copies are bad, undo it."""
    rows = connection.read(
        f"select name as table, toString(uuid) as uuid from system.tables where {_OURS}",  # noqa: S608 - constants
        _TABLE,
    )
    names = dict(zip(rows["uuid"], rows["table"], strict=True))
    for source in disks.sources:
        folder = folder_of(path, source)
        for links in sorted((folder / "shadow" / LINKS / "store").glob("*/*")):
            if links.name in names:
                for partition in sorted({_partition(part) for part in links.iterdir()}):
                    _check(connection, names[links.name], partition, links, folder)
                    if fsync:
                        _sync(connection, path, names[links.name], partition)
    _drop_links(path, disks)


def _partition(part: Path) -> str:
    """Of a part, whose name is like 20260102_1_5_1."""
    return part.name.split("_")[0]


def _check(connection: EmbeddedConnection, table: str, partition: str, links: Path, folder: Path) -> None:
    wanted = sorted(part.name for part in links.iterdir() if _partition(part) == partition)
    have = {part.name for part in _parts(connection) if part.table == table}
    if have.issuperset(wanted) and _is_sound(connection, table, partition):
        return
    log.warning("a move that was cut off is undone", table=table, partition=partition, parts=len(wanted))
    connection.run(f"alter table {table} drop partition id '{partition}'")
    detached = folder / "store" / links.parent.name / links.name / "detached"
    for name in wanted:
        shutil.copytree(links / name, detached / name, copy_function=os.link)
    connection.run(f"alter table {table} attach partition id '{partition}'")


def _is_sound(connection: EmbeddedConnection, table: str, partition: str) -> bool:
    check = f"check table {table} partition id '{partition}' settings check_query_single_value_result = 0"
    try:
        bad = connection.read(f"select count() as n from ({check}) where not is_passed", _COUNT)  # noqa: S608 - ours
    except StoreError:
        return False
    return not int(bad["n"][0])


def _sync(connection: EmbeddedConnection, path: Path, table: str, partition: str) -> None:
    """The files of the partition's parts, and the names that lead to them."""
    where = f"active and {_OURS} and table = '{table}' and partition_id = '{partition}'"
    for part in map(Path, connection.read(f"select path from system.parts where {where}", _PATH)["path"]):  # noqa: S608
        for file in part.rglob("*"):
            sync(file)
        for folder in (part, *part.parents):
            if folder.is_relative_to(path.resolve()):
                sync(folder)


def _drop_links(path: Path, disks: Disks) -> None:
    for name in {PLAIN, *disks.sources, disks.target}:
        shutil.rmtree(folder_of(path, name) / "shadow", ignore_errors=True)


def _clear(path: Path, source: str) -> None:
    """What the engine leaves behind: parts that merges had replaced, and finished mutations."""
    if source != PLAIN:
        shutil.rmtree(folder_of(path, source), ignore_errors=True)
    else:
        for folder in (path / "store").glob("*/*"):
            if not any(folder.glob("*.sql")):  # those with SQL are databases: the definitions of tables, no data
                shutil.rmtree(folder)
    disks = path / "disks"
    if disks.is_dir() and not any(disks.iterdir()):
        disks.rmdir()
    sync(path)
