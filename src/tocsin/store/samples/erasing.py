"""Erasing series: every row of theirs, and the files in which the rows stood.

Rows are deleted by mutations, which write parts anew. The parts that they replace stay on the disk for a while; here
the engine is made to let go of them at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tocsin.model.errors import StoreError
from tocsin.model.series import IdArray
from tocsin.store.samples.enforcement import begin_delete, database_of, doom, doomed
from tocsin.store.samples.engine import OLD_PARTS, Connection
from tocsin.store.samples.native import Shape
from tocsin.store.samples.schema import OLD_PARTS_S

SAMPLES = ("samples", "rollup_5m", "rollup_1h")
LABELS = ("series_days", "series")
"""Last: as long as they are there, a deletion that was broken off can be repeated."""
TABLES = SAMPLES + LABELS

POLL_S = 0.3
TRIES = 400

_NAMES = Shape({"name": "String"})


def begin(connection: Connection, ids: IdArray, forgotten: IdArray) -> None:
    """Have the engine delete all rows of `ids`, and the labels of those that are `forgotten`. Returns at once."""
    database = database_of(connection)
    condition = doomed(database, doom(connection, ids))
    for table in SAMPLES:
        begin_delete(connection, table, condition)
    if len(forgotten):
        condition = doomed(database, doom(connection, forgotten))
        for table in LABELS:
            begin_delete(connection, table, condition)


async def remove_old_parts(
    *,
    write: Callable[[Callable[[Connection], Any]], Awaitable[Any]],
    read: Callable[[Callable[[Connection], Any]], Awaitable[Any]],
) -> None:
    """Returns when the parts that were replaced before are off the disk. Raises StoreError where they do not go.

    Dropping a partition that is not there makes the engine look through its old parts at once, of which those that
    are a second old go. By itself it does so every half a minute.
    """
    old: set[str] = await read(_old_parts)
    await write(lambda connection: _keep_old_parts(connection, 0))
    try:
        for _ in range(TRIES):
            if not old & await read(_old_parts):
                return
            await write(_look_through)
            await asyncio.sleep(POLL_S)
    finally:
        await write(lambda connection: _keep_old_parts(connection, OLD_PARTS_S))
    raise StoreError("The series are deleted, but old files are still in use; they go when nobody reads them.")


def _old_parts(connection: Connection) -> set[str]:
    tables = ", ".join(f"'{table}'" for table in TABLES)
    rows = connection.read(
        f"select concat(host, ' ', table, ' ', name) as name from {OLD_PARTS} where table in ({tables})",  # noqa: S608 - our own
        _NAMES,
    )
    return set(rows["name"])


def _keep_old_parts(connection: Connection, seconds: int) -> None:
    for table in TABLES:
        connection.run(f"alter table {table} modify setting old_parts_lifetime = {seconds}")


def _look_through(connection: Connection) -> None:
    for table in TABLES:
        connection.run(f"alter table {table} drop partition id 'none'")
