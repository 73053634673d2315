"""Samples of the first layout, whose values were floats, become decimals: day by day, and again after a kill.

A day's old rows are dropped when its new ones are on the disk. A day that was moved in part is moved again as a
whole, which changes nothing, since equal rows become one.
"""

from __future__ import annotations

from tocsin.model.series import SampleBatch
from tocsin.runtime.log import get_log
from tocsin.store.samples.decimal import Exponents
from tocsin.store.samples.engine import PARTS, Connection
from tocsin.store.samples.native import Shape

log = get_log("store")

ROWS_AT_ONCE = 500_000

_OLD = Shape({"id": "UInt64", "t": "Int64", "v": "Float64"})
_COUNT = Shape({"n": "UInt64"})
_DAYS = Shape({"day": "String", "n": "UInt64"})


def set_aside(connection: Connection) -> None:
    """Rename the old table, unless that has been done."""
    if _found(connection, "system.columns", "table = 'samples' and name = 'v' and default_kind = ''"):
        connection.run("rename table samples to samples_of_floats")


def move(connection: Connection, shape: Shape, rows_at_once: int = ROWS_AT_ONCE) -> None:
    """Copy what is left of the old table into the new one, whose rows have this shape, and drop it."""
    if not _found(connection, "system.tables", "name = 'samples_of_floats'"):
        return
    # else the engine would keep dropped days for eight minutes, beside the new ones
    connection.run("alter table samples_of_floats modify setting old_parts_lifetime = 1")
    days = connection.read(
        f"select partition_id as day, sum(rows) as n from {PARTS} where table = 'samples_of_floats' "  # noqa: S608
        "group by day order by day",
        _DAYS,
    )
    left = int(days["n"].sum())
    for day, rows in zip(days["day"], days["n"].tolist(), strict=True):
        log.info("samples are packed anew, once", day=day, samples_left=left)
        _move_day(connection, shape, day, -(-rows // rows_at_once))
        connection.run(f"alter table samples_of_floats drop partition id '{day}'")
        left -= rows
    connection.run("drop table samples_of_floats sync")


def _move_day(connection: Connection, shape: Shape, day: str, slices: int) -> None:
    """In slices of the ids, which are hashes and so of about equal size."""
    exponents = Exponents()
    for number in range(slices):
        low, high = (2**64 * at // slices for at in (number, number + 1))
        old = connection.read(
            "select id, t, v from samples_of_floats final "  # noqa: S608 - our own numbers
            f"where _partition_id = '{day}' and id >= {low} and id <= {high - 1} order by id, t",
            _OLD,
        )
        if len(old["id"]):
            connection.insert("samples", shape, exponents.encode(SampleBatch(old["id"], old["t"], old["v"]), 0))


def _found(connection: Connection, table: str, what: str) -> bool:
    rows = connection.read(
        f"select count() as n from {table} where database = currentDatabase() and {what}",  # noqa: S608 - our own words
        _COUNT,
    )
    return bool(rows["n"][0])
