"""What the sample store needs of a ClickHouse, embedded or served: connections that take SQL and columns."""

from __future__ import annotations

import re
from typing import Protocol

from tocsin.model.errors import LimitError, StoreError, TocsinError
from tocsin.model.series import IdArray
from tocsin.store.samples.native import Columns, Shape

IDS = "{ids}"
"""Stands in the SQL of a read for the set of ids that goes with it: `where id in {ids}`."""


class Connection(Protocol):
    """Runs one statement at a time; whoever holds it blocks the thread. Raises StoreError."""

    def run(self, sql: str) -> None: ...

    def insert(self, table: str, shape: Shape, columns: Columns) -> None:
        """Returns when every row is in the table; otherwise none of this call's rows is promised."""
        ...

    def read(self, sql: str, shape: Shape, ids: IdArray | None = None) -> Columns:
        """Raises LimitError where the engine's own limits on time and memory stopped the query."""
        ...

    def close(self) -> None: ...


class Engine(Protocol):
    """Opens connections to one database, in which the tables of `schema` are or will be."""

    def connect(self, *, reading: bool) -> Connection:
        """A connection for reading is held to the settings' limits on time and memory."""
        ...

    def close(self) -> None: ...


_CODE = re.compile(r"Code: (\d+)\. DB::Exception: (.*)", re.DOTALL)
_TOO_SLOW, _TOO_MUCH_MEMORY, _DISK_FULL = 159, 241, 243


def refusal(error: Exception, doing: str) -> TocsinError:
    """The engine's error as ours. Source of the codes: ClickHouse, src/Common/ErrorCodes.cpp."""
    found = _CODE.search(str(error))
    code, said = (int(found[1]), found[2]) if found else (0, str(error))
    if code == _TOO_SLOW and doing == "read":
        return LimitError("The read took too long. Ask for a shorter time, a longer step or fewer series.")
    if code == _TOO_MUCH_MEMORY and doing == "read":
        return LimitError("The read needs too much memory. Ask for a shorter time, a longer step or fewer series.")
    if code == _DISK_FULL or "No space left" in said:
        return StoreError("The disk of the sample store is full. Make room or shorten retention.raw.")
    return StoreError(
        f"The sample store could not {doing}: {said.splitlines()[0][:300] if said else 'no reason given'}"
    )
