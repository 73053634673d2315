"""Pages by key: a cursor holds the sort columns of the last row, so that page 1,000 is as fast as page 1."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from tocsin.model.errors import UserError
from tocsin.model.page import PAGE_SIZE_MAX, Page, PageRequest

T = TypeVar("T")

_INT64_MAX = 2**63 - 1


def read_page(
    connection: sa.Connection,
    query: sa.Select[Any],
    keys: Sequence[sa.Column[Any]],
    page: PageRequest,
    decode: Callable[[sa.Row[Any]], T],
) -> Page[T]:
    """The rows of `query` from the largest `keys` down; `keys` are int columns, the last one unique.

    Raises UserError for a limit or cursor that is none.
    """
    if not 1 <= page.limit <= PAGE_SIZE_MAX:
        raise UserError(f"limit must be between 1 and {PAGE_SIZE_MAX}.", field="limit")
    if page.cursor is not None:
        last = _parse(page.cursor, len(keys))
        bound = [sa.literal(value, key.type) for value, key in zip(last, keys, strict=True)]
        query = query.where(sa.tuple_(*keys) < sa.tuple_(*bound))
    newest_first = [key.desc() for key in keys]
    # One row more than asked for tells whether there is another page.
    rows = connection.execute(query.order_by(*newest_first).limit(page.limit + 1)).all()
    shown = rows[: page.limit]
    more = len(rows) > page.limit
    return Page(tuple(map(decode, shown)), _cursor(shown[-1], keys) if more else None)


def _cursor(row: sa.Row[Any], keys: Sequence[sa.Column[Any]]) -> str:
    text = json.dumps([row._mapping[key] for key in keys])  # noqa: SLF001 - the public name of a row's columns
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _parse(cursor: str, width: int) -> list[int]:
    wrong = UserError("This cursor is not one that a list has given; start again without it.", field="cursor")
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        raise wrong from None
    if not isinstance(values, list) or len(values) != width:
        raise wrong
    if not all(type(value) is int and abs(value) <= _INT64_MAX for value in values):
        raise wrong
    return values
