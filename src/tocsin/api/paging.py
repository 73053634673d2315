"""Pages of lists that are already in memory, by the same kind of cursor that the stores give."""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

import msgspec
from fastapi import Depends, Query

from tocsin.model.errors import UserError
from tocsin.model.page import PAGE_SIZE, PAGE_SIZE_MAX, Page, PageRequest

T = TypeVar("T")
CURSOR_CHARS_MAX = 4_096


async def _asked(
    limit: Annotated[int, Query(ge=1, le=PAGE_SIZE_MAX, description="items on a page")] = PAGE_SIZE,
    cursor: Annotated[str | None, Query(max_length=CURSOR_CHARS_MAX, description="`next` of the page before")] = None,
) -> PageRequest:
    return PageRequest(limit, cursor or None)


AskedPage = Annotated[PageRequest, Depends(_asked)]


def page_of(items: Sequence[T], key: Callable[[T], int | str], asked: PageRequest) -> Page[T]:
    """The page after the cursor of items that are sorted by `key`, whose values differ.

    The cursor holds the last key that was given, so that what comes or goes meanwhile moves nothing.
    Raises UserError for a cursor that no page gave.
    """
    start = 0
    if asked.cursor is not None:
        last = _decoded(asked.cursor)
        try:
            start = bisect_right(items, last, key=key)
        except TypeError as error:
            raise _wrong_cursor() from error
    part = tuple(items[start : start + asked.limit])
    more = start + asked.limit < len(items)
    return Page(part, _encoded(key(part[-1])) if part and more else None)


def cursor_of(key: int) -> str:
    """For a list that its store cuts: the last key that was given."""
    return _encoded(key)


def cursor_after(cursor: str | None) -> int | None:
    """The key in a cursor of `cursor_of`. Raises UserError."""
    key = None if cursor is None else _decoded(cursor)
    if isinstance(key, str) or (key is not None and not 0 <= key < 1 << 64):
        raise _wrong_cursor()
    return key


def _encoded(key: int | str) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def _decoded(cursor: str) -> int | str:
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        return msgspec.json.decode(raw, type=int | str)
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise _wrong_cursor() from error


def _wrong_cursor() -> UserError:
    return UserError("This cursor was not given by a page of this list; start again without it.", field="cursor")
