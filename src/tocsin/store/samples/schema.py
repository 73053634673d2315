"""Tables, and how older ones become today's."""

from __future__ import annotations

from tocsin.model.duration import DAY_MS, HOUR_MS
from tocsin.model.errors import UserError
from tocsin.store.samples.engine import Connection
from tocsin.store.samples.native import Shape

SAMPLES = Shape({"id": "UInt64", "t": "Int64", "v": "Float64"})
SERIES = Shape({"id": "UInt64", "labels": "String"})
SERIES_DAYS = Shape({"id": "UInt64", "first": "Int64", "last": "Int64"})
METRICS = Shape({"name": "String", "unit": "String", "kind": "String", "help": "String"})
_VERSION = Shape({"version": "UInt64"})

FORGOTTEN = ""
"""Stands for the labels of a series that was forgotten, in a later row than the labels themselves."""

DAY = f"intDiv(t, {DAY_MS}) - (t < 0 and t % {DAY_MS} != 0)"
"""Days since 1970 that also work before it: integer division alone rounds towards zero."""

# ReplacingMergeTree without a version column keeps the row that was inserted last. The codecs are those
# that came out smallest for 5-second host readings; ALP keeps every bit of a NaN.
_FIRST = (
    f"""
    create table if not exists samples (
        id UInt64 codec(Delta, ZSTD),
        t Int64 codec(DoubleDelta, ZSTD),
        v Float64 codec(ALP, ZSTD)
    ) engine = ReplacingMergeTree partition by {DAY} order by (id, t)
    """,
    """
    create table if not exists series (id UInt64, labels String codec(ZSTD))
    engine = ReplacingMergeTree order by id
    """,
    """
    create table if not exists metrics (name String, unit String, kind String, help String)
    engine = ReplacingMergeTree order by name
    """,
)


def _rollup(table: str) -> str:
    """t is the start of the bucket; of a bucket computed again the later row counts. Partitions are 30 days."""
    return f"""
    create table if not exists {table} (
        id UInt64 codec(Delta, ZSTD),
        t Int64 codec(DoubleDelta, ZSTD),
        low Float64 codec(ALP, ZSTD),
        high Float64 codec(ALP, ZSTD),
        total Float64 codec(ALP, ZSTD),
        n UInt64 codec(T64, ZSTD),
        first_t Int64 codec(Delta, ZSTD),
        first_v Float64 codec(ALP, ZSTD),
        last_t Int64 codec(Delta, ZSTD),
        last_v Float64 codec(ALP, ZSTD)
    ) engine = ReplacingMergeTree
    partition by intDiv(t, {30 * DAY_MS}) - (t < 0 and t % {30 * DAY_MS} != 0) order by (id, t)
    """


_HOUR = f"intDiv(t, {HOUR_MS}) - (t < 0 and t % {HOUR_MS} != 0)"

# What is stored already is marked to be rolled up.
_SECOND = (
    _rollup("rollup_5m"),
    _rollup("rollup_1h"),
    "create table if not exists rollup_hours (hour Int64, state UInt64) engine = ReplacingMergeTree order by hour",
    f"insert into rollup_hours select distinct {_HOUR}, 1 from samples",  # noqa: S608 - integers
)


def _days_of(table: str) -> str:
    return f"insert into series_days select id, min({DAY}), max({DAY}) from {table} group by id"  # noqa: S608 - our own


# Between which UTC days a series has samples or had them; rows of one id are joined as the engine merges.
_THIRD = (
    """
    create table if not exists series_days (
        id UInt64,
        first SimpleAggregateFunction(min, Int64),
        last SimpleAggregateFunction(max, Int64)
    ) engine = AggregatingMergeTree order by id
    """,
    *(_days_of(table) for table in ("samples", "rollup_5m", "rollup_1h")),
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST, _SECOND, _THIRD)
"""Statements that lead from version n to n + 1. Each can be run again, as the engine has no transaction for them."""


def migrate(connection: Connection, *, fsync: bool, table_settings: str = "") -> None:
    """Bring the tables to today's version. Raises UserError where a newer tocsin wrote them."""
    connection.run("create table if not exists schema_version (version UInt64) engine = MergeTree order by version")
    have = int(connection.read("select max(version) as version from schema_version", _VERSION)["version"][0])
    if have > len(MIGRATIONS):
        raise UserError(
            f"The sample store was written by a newer tocsin (schema {have}, known up to {len(MIGRATIONS)}). "
            "Update tocsin."
        )
    for version, statements in enumerate(MIGRATIONS[have:], have + 1):
        for statement in statements:
            connection.run(statement)
        connection.insert("schema_version", _VERSION, {"version": [version]})
    wanted = ", ".join(each for each in (_durability(fsync=fsync), table_settings) if each)
    for table in ("samples", "series", "series_days", "metrics", "rollup_5m", "rollup_1h", "rollup_hours"):
        connection.run(f"alter table {table} modify setting {wanted}")


def _durability(*, fsync: bool) -> str:
    """Merged parts are not synced: the synced parts that they replace are kept for eight minutes longer."""
    return f"fsync_after_insert = {int(fsync)}, fsync_part_directory = {int(fsync)}"
