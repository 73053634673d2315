"""What the sample store needs of a ClickHouse, embedded or served: connections that take SQL and columns."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager
from typing import Protocol

from tocsin.model.errors import LimitError, StoreError, TocsinError
from tocsin.model.series import IdArray
from tocsin.store.samples.native import Columns, Shape

IDS = "{ids}"
"""Stands in the SQL of a read for the set of ids that goes with it: `where id in {ids}`."""


PARTS = "{parts}"
"""Stands in the SQL of a read for what is stored, part by part: `table`, `shard`, `partition_id`, `name`, `rows`,
`bytes_on_disk`, `hash_of_all_files`, and `max_block_number`, which rises with every insert into a shard's partition."""

MUTATIONS = "{mutations}"
"""Stands for the rewrites of tables: `table`, `mutation_id`, `is_done`, `latest_fail_reason`."""

OLD_PARTS = "{old_parts}"
"""Stands for parts that others have replaced and that are still on a disk: `table`, `host`, `name`."""

PARTS_COLUMNS = "partition_id, name, rows, bytes_on_disk, hash_of_all_files, max_block_number"
MUTATIONS_COLUMNS = "mutation_id, is_done, latest_fail_reason"


def locally(sql: str) -> str:
    """What one server knows of itself, in the place of the words that stand for it."""
    parts = (
        f"(select table, toUInt32(0) as shard, {PARTS_COLUMNS} from system.parts "  # noqa: S608 - constants
        "where active and database = currentDatabase())"
    )
    mutations = f"(select table, {MUTATIONS_COLUMNS} from system.mutations where database = currentDatabase())"  # noqa: S608
    old = "(select table, '' as host, name from system.parts where not active and database = currentDatabase())"
    return sql.replace(PARTS, parts).replace(MUTATIONS, mutations).replace(OLD_PARTS, old)


class Connection(Protocol):
    """Runs one statement at a time; whoever holds it blocks the thread. Raises StoreError."""

    def run(self, sql: str) -> None: ...

    def insert(self, table: str, shape: Shape, columns: Columns) -> None:
        """Returns when every row is in the table; otherwise none of this call's rows is promised."""
        ...

    def read(self, sql: str, shape: Shape, ids: IdArray | None = None) -> Columns:
        """Raises LimitError where the engine's own limits on time and memory stopped the query."""
        ...

    def alone(self) -> AbstractContextManager[None]:
        """While it is held no other tocsin changes tables. Raises StoreError where another one does for long."""
        ...

    def close(self) -> None: ...


class Engine(Protocol):
    """Opens connections to one database, in which the tables of `schema` are or will be."""

    table_settings: str
    """What every table is set to, beside what `schema` says itself: `name = value, …`."""

    def connect(self, *, reading: bool) -> Connection:
        """A connection for reading is held to the settings' limits on time and memory."""
        ...

    def close(self) -> None: ...


_CODE = re.compile(r"Code: (\d+)\. DB::\w*Exception: (.*)", re.DOTALL)
_TRAILER = re.compile(r"\s*\(version .*", re.DOTALL)
_TOO_SLOW = {159, 160}
_TOO_MUCH_MEMORY, _DISK_FULL = 241, 243
_TOO_MUCH_FOR_THE_USER = {158, 201, 307, 396}
"""Limits that an operator gave the user: rows, quota, bytes, rows or bytes of the result."""
_BUSY = {202, 209, 210, 242, 252, 279, 285, 286, 289, 319, 999}
"""Too many queries or parts, a replica, shard or keeper away, an insert whose outcome the server does not know."""
BUSY_RETRY_AFTER_S = 2.0


def refusal(error: Exception, doing: str) -> TocsinError:
    """The engine's error as ours. Source of the codes: ClickHouse, src/Common/ErrorCodes.cpp."""
    found = _CODE.search(str(error))
    code, said = (int(found[1]), _TRAILER.sub("", found[2])) if found else (0, str(error))
    if code in _TOO_SLOW and doing == "read":
        return LimitError("The read took too long. Ask for a shorter time, a longer step or fewer series.")
    if code == _TOO_MUCH_MEMORY and doing == "read":
        return LimitError("The read needs too much memory. Ask for a shorter time, a longer step or fewer series.")
    if code in _TOO_MUCH_FOR_THE_USER and doing == "read":
        return LimitError(f"The read is more than ClickHouse allows our user: {_first_line(said)}")
    if code == _DISK_FULL or "No space left" in said:
        return StoreError("The disk of the sample store is full. Make room or shorten retention.raw.")
    wait_s = BUSY_RETRY_AFTER_S if code in _BUSY else None
    return StoreError(f"The sample store could not {doing}: {_first_line(said)}", retry_after_s=wait_s)


def _first_line(said: str) -> str:
    return said.splitlines()[0][:300] if said else "no reason given"
