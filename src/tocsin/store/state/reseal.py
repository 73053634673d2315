"""Sealing what is stored again: under another key, for the first time, or not at all any more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import sqlalchemy as sa

from tocsin.store.sealing import Cipher
from tocsin.store.state.columns import Sealed, SealedWords, is_sealed_by, open_text, seal_text
from tocsin.store.state.engine import Database
from tocsin.store.state.schema import metadata

ROWS_AT_ONCE = 1_000
"""In one transaction. A kill between two of them leaves rows of both kinds, which are all readable."""

Seen = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class _Page:
    rows: int
    last: Any
    changed: int


def sealed_columns() -> Iterator[sa.Column[Any]]:
    for table in metadata.sorted_tables:
        for column in table.columns:
            if isinstance(column.type, Sealed | SealedWords):
                yield column


async def seal_again(database: Database, opener: Cipher | None, sealer: Cipher | None, seen: Seen) -> int:
    """Open what is sealed with `opener` and seal it with `sealer`, plain where that is None; how many values changed.

    What is as it should be stays untouched, so that a second run goes on where the first was stopped. `seen` hears
    of which column how many values are done. At the end no older copy of a row is left in the database's files.
    Raises StoreError, SealError.
    """
    changed = 0
    for column in sealed_columns():
        after, done = None, 0
        while True:
            page = await database.write(partial(_reseal, column, after, opener, sealer))
            after, done, changed = page.last, done + page.rows, changed + page.changed
            if not page.rows:
                break
            seen(str(column), done)
    await database.compact(sorted({column.table.name for column in sealed_columns()}))
    return changed


def _reseal(
    column: sa.Column[Any], after: Any, opener: Cipher | None, sealer: Cipher | None, connection: sa.Connection
) -> _Page:
    assert isinstance(column.type, Sealed | SealedWords)
    context = column.type.context
    key = next(iter(column.table.primary_key))
    stored = sa.type_coerce(column, sa.Text())
    select = sa.select(key, stored).order_by(key).limit(ROWS_AT_ONCE)
    rows = connection.execute(select if after is None else select.where(key > after)).all()
    changed = 0
    for row_key, was in rows:
        if was is not None and not is_sealed_by(was, sealer):
            text = open_text(was, opener, context)
            again = text if sealer is None else seal_text(text, sealer, context)
            update = sa.update(column.table).where(key == row_key, stored == was)
            connection.execute(update.values({column: sa.literal(again, sa.Text())}))
            changed += 1
    return _Page(len(rows), rows[-1][0] if rows else None, changed)
