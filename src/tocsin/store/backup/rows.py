"""The rows of the state as they are in the database, in a form that SQLite and PostgreSQL share.

They do not go through the column types of `schema`: a backup holds the tables of its own revision, whatever they have
become since, and is restored into tables of that revision before those are brought up to date. Sealed columns are
opened, since the backup as a whole is sealed where they are, and sealed again with the key of where they are restored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa

from tocsin.model.errors import StoreError
from tocsin.store.state.columns import Sealed, SealedWords
from tocsin.store.state.schema import metadata

ROWS = 2_000
"""In one chunk. History and audit only grow, so that full chunks of theirs stay as they are."""

LEFT_OUT = frozenset({"sessions", "sign_in_links"})
"""They end by themselves; nobody should be signed in again because a backup was restored."""

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - the columns hold UTC without a zone
_US = timedelta(microseconds=1)

_KINDS: tuple[tuple[type[Any], str], ...] = (
    (sa.Boolean, "bool"),
    (sa.DateTime, "time"),
    (sa.LargeBinary, "bytes"),
    (sa.Integer, "int"),
    (sa.Float, "float"),
    (sa.String, "text"),
)
SEALED = "sealed"

_TYPES: dict[str, type[Any]] = {
    "bool": sa.Boolean,
    "time": sa.DateTime,
    "bytes": sa.LargeBinary,
    "int": sa.BigInteger,
    "float": sa.Double,
    "text": sa.Text,
}


def tables() -> list[sa.Table]:
    """Those that a backup holds, each after the ones that it refers to."""
    return [table for table in metadata.sorted_tables if table.name not in LEFT_OUT]


def kinds(table: sa.Table) -> dict[str, str]:
    return {str(column.name): _kind(column.type) for column in table.columns}


def count(connection: sa.Connection, table: sa.Table) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def chunks(connection: sa.Connection, table: sa.Table) -> Iterator[tuple[int, bytes]]:
    """(number of rows, their content) by rising primary key."""
    columns = kinds(table)
    query = sa.select(*raw(table.name, columns).columns).order_by(
        *(sa.column(column.name) for column in table.primary_key)
    )
    result = connection.execution_options(yield_per=ROWS).execute(query)
    for rows in result.partitions(ROWS):
        yield len(rows), encode(rows)


def last_id(connection: sa.Connection, table: sa.Table) -> int | None:
    """The largest id that was ever given, so that none is given again; None for a table that gives none."""
    if "id" not in table.columns or not isinstance(table.columns["id"].type, sa.Integer):
        return None
    if connection.dialect.name == "sqlite":
        query = sa.text("SELECT seq FROM sqlite_sequence WHERE name = :name")
        return int(connection.execute(query, {"name": table.name}).scalar() or 0)
    sequence = connection.execute(_SEQUENCE, {"name": table.name}).scalar_one()
    last, called = connection.execute(sa.text(f"SELECT last_value, is_called FROM {sequence}")).one()  # noqa: S608
    return int(last) if called else int(last) - 1


_SEQUENCE = sa.text("SELECT pg_get_serial_sequence(:name, 'id')")


def insert(connection: sa.Connection, name: str, columns: dict[str, str], content: bytes) -> int:
    """How many rows. Raises StoreError for content that is none of this table."""
    rows = decode(columns, content)
    if rows:
        connection.execute(sa.insert(raw(name, columns)), rows)
    return len(rows)


def raw(name: str, columns: dict[str, str]) -> sa.TableClause:
    """The table without its column types. Raises StoreError for a kind of column that a newer tocsin knows."""
    try:
        return sa.table(
            name,
            *(
                sa.column(column, SealedWords(f"{name}.{column}") if kind == SEALED else _TYPES[kind])
                for column, kind in columns.items()
            ),
        )
    except KeyError as error:
        raise StoreError(f"The backup has a kind of column that this tocsin does not know: {error}.") from error


def encode(rows: Sequence[sa.Row[Any]]) -> bytes:
    """MessagePack: a list of rows, each a list; a time is µs since 1970. JSON would lose infinities."""
    return msgspec.msgpack.encode([[_plain(value) for value in row] for row in rows])


def decode(columns: dict[str, str], content: bytes) -> list[dict[str, Any]]:
    try:
        rows = msgspec.msgpack.decode(content, type=list[list[Any]])
    except msgspec.DecodeError as error:
        raise StoreError(f"The rows of the backup cannot be read: {error}.") from error
    read = [_READ.get(kind, _as_it_is) for kind in columns.values()]
    if any(len(row) != len(columns) for row in rows):
        raise StoreError("The rows of the backup do not fit their columns.")
    return [
        {name: None if value is None else of(value) for name, of, value in zip(columns, read, row, strict=True)}
        for row in rows
    ]


def _plain(value: Any) -> Any:
    return (value - _EPOCH) // _US if isinstance(value, datetime) else value


def _as_it_is(value: Any) -> Any:
    return value


_READ: dict[str, Callable[[Any], Any]] = {"time": lambda us: _EPOCH + us * _US, "float": float}


def _kind(column: Any) -> str:
    if isinstance(column, Sealed | SealedWords):
        return SEALED
    plain = column.impl_instance if isinstance(column, sa.TypeDecorator) else column
    for base, kind in _KINDS:
        if isinstance(plain, base):
            return kind
    raise TypeError(f"a column of the type {plain} cannot be backed up")
