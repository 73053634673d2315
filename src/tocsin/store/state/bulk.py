"""Many rows at a time: ids ahead of the insert, lists in chunks, inserts that skip what is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

T = TypeVar("T")

CHUNK = 5_000
"""Ids in one `IN (…)`: well under what both databases allow."""


def take_ids(connection: sa.Connection, table: sa.Table, count: int) -> Iterator[int]:
    """`count` new ids of `table`, inside a write transaction. Nobody else will get them."""
    if not count:
        return iter(())
    if connection.dialect.name == "sqlite":
        # AUTOINCREMENT keeps the largest id ever given here, and there is one writer at a time.
        last = connection.execute(_SQLITE_LAST, {"name": table.name}).scalar() or 0
        return iter(range(last + 1, last + 1 + count))
    return iter(connection.execute(_POSTGRES_NEXT, {"name": table.name, "count": count}).scalars().all())


_SQLITE_LAST = sa.text("SELECT seq FROM sqlite_sequence WHERE name = :name")
_POSTGRES_NEXT = sa.text("SELECT nextval(pg_get_serial_sequence(:name, 'id')) FROM generate_series(1, :count)")


def chunks(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


def insert_new(connection: sa.Connection, table: sa.Table, key: str, rows: list[dict[str, Any]]) -> None:
    """Insert the rows whose unique `key` is not there yet."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    connection.execute(insert(table).on_conflict_do_nothing(index_elements=[key]), rows)


def give_ids_after(connection: sa.Connection, name: str, last: int) -> None:
    """From now on `table` gives larger ids than `last`, whatever is in it."""
    if connection.dialect.name == "sqlite":
        connection.execute(sa.text("DELETE FROM sqlite_sequence WHERE name = :name"), {"name": name})
        connection.execute(sa.text("INSERT INTO sqlite_sequence VALUES (:name, :last)"), {"name": name, "last": last})
    elif last:
        connection.execute(
            sa.text("SELECT setval(pg_get_serial_sequence(:name, 'id'), :last)"), {"name": name, "last": last}
        )
