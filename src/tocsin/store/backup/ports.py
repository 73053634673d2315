"""What a backup needs of the two stores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import sqlalchemy as sa

from tocsin.store.samples.dump import Piece, StoredPart
from tocsin.store.samples.native import Columns

T = TypeVar("T")


class SampleDump(Protocol):
    """Raises StoreError."""

    async def flush(self) -> None:
        """Returns when all that was acknowledged before can be dumped."""
        ...

    async def stored(self, table: str) -> list[StoredPart]:
        """The partitions of a table of `samples.dump.TABLES` that hold rows now."""
        ...

    async def dump(self, piece: Piece) -> tuple[Columns, Piece | None]:
        """The rows of a piece, and what is left of it."""
        ...


class StateSnapshot(Protocol):
    async def snapshot(self, work: Callable[[sa.Connection], T]) -> T:
        """What `work` reads, all of one moment. Raises StoreError."""
        ...
