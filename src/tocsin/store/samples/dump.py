"""All rows of the sample store, piece by piece, in a form that does not depend on how the engine keeps them.

A piece is a range of ids of one partition, so that a few late samples change few pieces. Pieces are read one after
another while writes go on. The tables are read in the order of TABLES, which makes them belong together:

- A sample that was stored before the first piece was read is in one of the pieces.
- The labels of a series are stored before its samples, so they are read after them.
- An hour is marked as open before its samples are stored and closed after its buckets are, so the marks are read
  between the two: a bucket that lacks a sample of the dump is open in it, and is computed again after a restore.
  (A bucket may hold a late sample that came after those of its day were read: it was in time for the bucket alone.)
- What retention policies have removed is read last, and as begun: rows that were removed while their day was read
  may be there in part. So no bucket is computed from them, and the policies look at them again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tocsin.model.series import SampleBatch
from tocsin.store.samples.catalog import FORGOTTEN
from tocsin.store.samples.decimal import Exponents, pack_buckets
from tocsin.store.samples.enforcement import BEGUN, ENFORCED, OVER
from tocsin.store.samples.engine import PARTS, Connection
from tocsin.store.samples.native import STRING, Columns, Shape, height
from tocsin.store.samples.rollup import HOURS
from tocsin.store.samples.schema import BUCKET_ROWS, BUCKETS, METRICS, ROWS, SAMPLES, SERIES, SERIES_DAYS

PIECE_BYTES = 8_000_000
"""About so many bytes of columns make a piece; one with four times as many is cut."""
TEXT_BYTES = 500
"""What a text is taken for: labels as JSON are seldom longer."""

ID_MAX = 2**64 - 1

_PARTS = Shape({"partition": "String", "n": "UInt64", "mark": "String"})


@dataclass(frozen=True, slots=True)
class Layout:
    """`key` orders the rows, and no two have the same; `columns` where those of the table need a cast."""

    shape: Shape
    key: tuple[str, ...]
    columns: str = ""
    where: str = ""


TABLES: dict[str, Layout] = {
    "samples": Layout(SAMPLES, ("id", "t")),
    "rollup_hours": Layout(HOURS, ("hour",)),
    "rollup_5m": Layout(BUCKETS, ("id", "t")),
    "rollup_1h": Layout(BUCKETS, ("id", "t")),
    "series": Layout(SERIES, ("id",), where=f"labels != '{FORGOTTEN}'"),
    "series_days": Layout(
        SERIES_DAYS, ("id",), "id, toInt64(series_days.first) as first, toInt64(series_days.last) as last"
    ),
    "metrics": Layout(METRICS, ("name",)),
    "enforced": Layout(
        ENFORCED,
        ("name", "part", "rules"),
        f"name, part, rules, at, toUInt64(if(enforced.state = {OVER}, {OVER}, {BEGUN})) as state",
    ),
}

TRANSIENT = frozenset({"doomed"})
"""What only a job that runs needs."""


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A partition of a table: `rows` counts duplicates too; the same `mark` later means the same rows, an empty one
    nothing."""

    table: str
    partition: str
    rows: int
    mark: str


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of one partition whose id is in [low, high], after the key `after`."""

    part: StoredPart
    low: int
    high: int
    after: tuple[Any, ...] | None = None


def parts(connection: Connection, table: str) -> list[StoredPart]:
    """The partitions of a table that hold rows now, by name."""
    found = connection.read(
        "select partition_id as partition, sum(rows) as n, "  # noqa: S608 - our own table
        "hex(sipHash128(arraySort(groupArray((name, hash_of_all_files))))) as mark "
        f"from {PARTS} where table = '{table}' group by partition_id",
        _PARTS,
    )
    rows = zip(found["partition"], found["n"].tolist(), found["mark"], strict=True)
    return sorted((StoredPart(table, name, n, mark) for name, n, mark in rows if n), key=lambda part: part.partition)


def pieces(part: StoredPart) -> Iterator[Piece]:
    """Equal ranges of ids, which are spread evenly, as many as the rows want; a power of two, so that they stay."""
    if "id" not in TABLES[part.table].key:
        yield Piece(part, 0, ID_MAX)
        return
    bits = max(0, (part.rows // rows_max(part.table)).bit_length())
    width = 2 ** (64 - bits)
    for low in range(0, 2**64, width):
        yield Piece(part, low, low + width - 1)


def read(connection: Connection, piece: Piece) -> tuple[Columns, Piece | None]:
    """Its rows by rising key, each once, and what is left of it where there were too many for one time."""
    layout = TABLES[piece.part.table]
    limit = 4 * rows_max(piece.part.table)
    keys = ", ".join(layout.key)
    where = [f"_partition_id = '{piece.part.partition}'"]
    if "id" in layout.key:
        where.append(f"id between {piece.low} and {piece.high}")
    if layout.where:
        where.append(layout.where)
    if piece.after is not None:
        where.append(f"({keys}) > ({', '.join(map(_literal, piece.after))})")
    columns = connection.read(
        f"select {layout.columns or layout.shape.names} from {piece.part.table} final where {' and '.join(where)} "  # noqa: S608
        f"order by {keys} limit {limit} settings do_not_merge_across_partitions_select_final = 1",
        layout.shape,
    )
    if height(layout.shape, columns) < limit:
        return columns, None
    last = tuple(columns[name][-1] for name in layout.key)
    return columns, Piece(piece.part, piece.low, piece.high, last)


def write(connection: Connection, table: str, columns: Columns, exponents: Exponents) -> None:
    """Rows that `read` gave, into a table of today's layout; `exponents` is of their partition."""
    if table == "samples":
        batch = SampleBatch(columns["id"], columns["t"], columns["v"])
        connection.insert(table, ROWS, exponents.encode(batch, 0))
    elif TABLES[table].shape is BUCKETS:
        connection.insert(table, BUCKET_ROWS, pack_buckets(columns))
    else:
        connection.insert(table, TABLES[table].shape, columns)


def rows_max(table: str) -> int:
    kinds = TABLES[table].shape.types.values()
    return PIECE_BYTES // sum(TEXT_BYTES if kind == STRING else 8 for kind in kinds)


def _literal(value: Any) -> str:
    if isinstance(value, np.integer):
        return str(int(value))
    return "'" + str(value).replace("\\", "\\\\").replace("'", "\\'") + "'"
