"""Tables, and how older ones become today's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from tocsin.model.duration import DAY_MS, HOUR_MS
from tocsin.model.errors import UserError
from tocsin.store.samples.decimal import BITS, pack_buckets, pack_samples
from tocsin.store.samples.engine import Connection
from tocsin.store.samples.native import Shape
from tocsin.store.samples.repack import Repack

SAMPLES = Shape({"id": "UInt64", "t": "Int64", "v": "Float64"})
"""As samples are read."""
ROWS = Shape({"id": "UInt64", "t": "Int64", "m": "Int64", "e": "Int8"})
"""As samples are written: see `decimal`."""
BUCKETS = Shape(
    {
        "id": "UInt64",
        "t": "Int64",
        "low": "Float64",
        "high": "Float64",
        "total": "Float64",
        "n": "UInt64",
        "first_t": "Int64",
        "first_v": "Float64",
        "last_t": "Int64",
        "last_v": "Float64",
    }
)
"""As buckets of the roll-ups are read."""
BUCKET_ROWS = Shape(
    {
        "id": "UInt64",
        "t": "Int64",
        "e": "Int8",
        "low_m": "Int64",
        "high_m": "Int64",
        "total_m": "Int64",
        "n": "UInt64",
        "first_t": "Int64",
        "first_m": "Int64",
        "last_t": "Int64",
        "last_m": "Int64",
    }
)
"""As they are written: one exponent for all values of a bucket."""
SERIES = Shape({"id": "UInt64", "labels": "String"})
SERIES_DAYS = Shape({"id": "UInt64", "first": "Int64", "last": "Int64"})
METRICS = Shape({"name": "String", "unit": "String", "kind": "String", "help": "String"})
_VERSION = Shape({"version": "UInt64"})
_COLUMNS = Shape({"all": "UInt64", "today": "UInt64"})
_MADE = Shape({"name": "String", "made": "String"})

Step: TypeAlias = str | Callable[[Connection], None]
"""A statement, or what takes more than one."""

DAY = f"intDiv(t, {DAY_MS}) - (t < 0 and t % {DAY_MS} != 0)"
"""Days since 1970 that also work before it: integer division alone rounds towards zero."""


def value(m: str) -> str:
    """What `decimal.values_of` does, in SQL."""
    return f"if(e = {BITS}, reinterpretAsFloat64({m}), {m} / intExp10(e))"


# ReplacingMergeTree without a version column keeps the row that was inserted last.
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

# Why these codecs: docs/adr/0006. T64('bit') turns 64 differences by 90 degrees, so that their upper bits,
# nearly all alike, lie side by side. `v` costs nothing and spares every read from knowing how a value is kept.
_DECIMALS = f"""
    create table if not exists samples (
        id UInt64 codec(Delta, ZSTD),
        t Int64 codec(DoubleDelta, ZSTD),
        m Int64 codec(Delta, T64('bit'), ZSTD),
        e Int8 codec(ZSTD),
        v Float64 alias {value("m")}
    ) engine = ReplacingMergeTree partition by {DAY} order by (id, t)
    settings fsync_after_insert = 1, fsync_part_directory = 1
    """
_SAMPLES_REPACK = Repack("samples", "v", SAMPLES, ROWS, pack_samples)
_FOURTH: tuple[Step, ...] = (_SAMPLES_REPACK.set_aside, _DECIMALS, _SAMPLES_REPACK.move)


def _decimal_rollup(table: str) -> tuple[Step, ...]:
    turned = "Int64 codec(Delta, T64('bit'), ZSTD)"
    statement = f"""
    create table if not exists {table} (
        id UInt64 codec(Delta, ZSTD),
        t Int64 codec(DoubleDelta, ZSTD),
        e Int8 codec(ZSTD),
        low_m {turned},
        high_m {turned},
        total_m {turned},
        n UInt64 codec(T64, ZSTD),
        first_t Int64 codec(Delta, ZSTD),
        first_m {turned},
        last_t Int64 codec(Delta, ZSTD),
        last_m {turned},
        low Float64 alias {value("low_m")},
        high Float64 alias {value("high_m")},
        total Float64 alias {value("total_m")},
        first_v Float64 alias {value("first_m")},
        last_v Float64 alias {value("last_m")}
    ) engine = ReplacingMergeTree
    partition by intDiv(t, {30 * DAY_MS}) - (t < 0 and t % {30 * DAY_MS} != 0) order by (id, t)
    settings fsync_after_insert = 1, fsync_part_directory = 1
    """
    repack = Repack(table, "low", BUCKETS, BUCKET_ROWS, pack_buckets)
    return repack.set_aside, statement, repack.move


_FIFTH = (*_decimal_rollup("rollup_5m"), *_decimal_rollup("rollup_1h"))

# What retention policies have removed, and the series of which they are removing it.
_SIXTH: tuple[Step, ...] = (
    """
    create table if not exists enforced (name String, part Int64, rules String, at Int64, state UInt64)
    engine = ReplacingMergeTree order by (name, part, rules)
    """,
    "create table if not exists doomed (job Int64, id UInt64) engine = MergeTree order by (job, id)",
)

FRESH: tuple[Step, ...] = (
    *_FIRST[1:],
    _SECOND[2],
    _THIRD[0],
    _DECIMALS,
    _decimal_rollup("rollup_5m")[1],
    _decimal_rollup("rollup_1h")[1],
    *_SIXTH,
)
"""What all migrations come to where there is nothing yet, in a quarter of the time; a test compares the two."""

MIGRATIONS: tuple[tuple[Step, ...], ...] = (_FIRST, _SECOND, _THIRD, _FOURTH, _FIFTH, _SIXTH)
"""What leads from version n to n + 1. Each can be done again, as the engine has no transaction for them."""


OLD_PARTS_S = 60
"""How long parts are kept that others have replaced."""

TABLES = (
    "samples",
    "series",
    "series_days",
    "metrics",
    "rollup_5m",
    "rollup_1h",
    "rollup_hours",
    "enforced",
    "doomed",
)
"""All but the version's."""


def migrate(connection: Connection, *, fsync: bool, table_settings: str = "") -> None:
    """Bring the tables to today's version. Raises UserError where a newer tocsin wrote them."""
    if _version(connection) < len(MIGRATIONS):
        with connection.alone():
            connection.run(
                "create table if not exists schema_version (version UInt64) engine = MergeTree order by version"
            )
            _upgrade(connection, _version(connection))
    wanted = ", ".join(each for each in (_durability(fsync=fsync), table_settings) if each)
    for table in _set_otherwise(connection, wanted):
        connection.run(f"alter table {table} modify setting {wanted}")


def _version(connection: Connection) -> int:
    there = "select toUInt64(count()) as version from system.tables where database = currentDatabase() and name = '{}'"
    if not connection.read(there.format("schema_version"), _VERSION)["version"][0]:
        return 0
    have = int(connection.read("select max(version) as version from schema_version", _VERSION)["version"][0])
    if have > len(MIGRATIONS):
        raise UserError(
            f"The sample store was written by a newer tocsin (schema {have}, known up to {len(MIGRATIONS)}). "
            "Update tocsin."
        )
    return have


def _upgrade(connection: Connection, have: int) -> None:
    if not have and _is_fresh(connection):
        for step in FRESH:
            _take(connection, step)
        connection.insert("schema_version", _VERSION, {"version": [len(MIGRATIONS)]})
        return
    for version, steps in enumerate(MIGRATIONS[have:], have + 1):
        for step in steps:
            _take(connection, step)
        connection.insert("schema_version", _VERSION, {"version": [version]})


def _take(connection: Connection, step: Step) -> None:
    if isinstance(step, str):
        connection.run(step)
    else:
        step(connection)


def _is_fresh(connection: Connection) -> bool:
    """There are no samples, or a start that had come as far as today's form of them was broken off."""
    columns = connection.read(
        "select toUInt64(count()) as all, toUInt64(countIf(name = 'm')) as today from system.columns "
        "where database = currentDatabase() and table = 'samples'",
        _COLUMNS,
    )
    return not columns["all"][0] or bool(columns["today"][0])


def _set_otherwise(connection: Connection, wanted: str) -> list[str]:
    """Tables that do not have these settings. (On a cluster the rows of `samples` are in `samples_local`.)"""
    rows = connection.read(
        "select name, engine_full as made from system.tables "
        "where database = currentDatabase() and endsWith(engine, 'MergeTree')",
        _MADE,
    )
    made = {name.removesuffix("_local"): text for name, text in zip(rows["name"], rows["made"], strict=True)}
    return [table for table in TABLES if not all(each in made.get(table, "") for each in wanted.split(", "))]


def _durability(*, fsync: bool) -> str:
    """Merged parts are synced as well, so that those that they replace can go after a minute.

    The engine keeps them for eight minutes otherwise. That is ten times the room of the samples while much comes in,
    as each sample is merged several times.
    """
    return (
        f"fsync_after_insert = {int(fsync)}, fsync_part_directory = {int(fsync)}, "
        f"min_rows_to_fsync_after_merge = {int(fsync)}, old_parts_lifetime = {OLD_PARTS_S}"
    )
