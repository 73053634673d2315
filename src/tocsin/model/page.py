"""Lists come in pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

PAGE_SIZE = 50
PAGE_SIZE_MAX = 1_000


@dataclass(frozen=True, slots=True)
class PageRequest:
    """`cursor` is what the last page gave as `next`; opaque to the caller."""

    limit: int = PAGE_SIZE
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    items: tuple[T, ...]
    next: str | None = None
