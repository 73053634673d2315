"""Tables of the first layout, whose values were floats, become decimals: partition by partition, again after a kill.

The old rows of a partition are dropped when its new ones are on the disk. A partition that was moved in part is moved
again as a whole, which changes nothing, since equal rows become one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tocsin.runtime.log import get_log
from tocsin.store.samples.engine import PARTS, Connection
from tocsin.store.samples.native import Columns, Shape

log = get_log("store")

ROWS_AT_ONCE = 500_000

_COUNT = Shape({"n": "UInt64"})
_PARTITIONS = Shape({"partition": "String", "n": "UInt64"})


@dataclass(frozen=True, slots=True)
class Repack:
    """How the rows of a table change. `floats` is a column of the old layout that the new one computes."""

    table: str
    floats: str
    was: Shape
    now: Shape
    pack: Callable[[Columns], Columns]
    """Rows of some series, all that one partition has of each, by id and time."""

    @property
    def old(self) -> str:
        return f"{self.table}_of_floats"

    def set_aside(self, connection: Connection) -> None:
        """Rename the old table, unless that has been done."""
        if _found(
            connection, "system.columns", f"table = '{self.table}' and name = '{self.floats}'", "default_kind = ''"
        ):
            connection.run(f"rename table {self.table} to {self.old}")

    def move(self, connection: Connection, rows_at_once: int = ROWS_AT_ONCE) -> None:
        """Copy what is left of the old table into the new one, and drop it."""
        if not _found(connection, "system.tables", f"name = '{self.old}'"):
            return
        # else the engine would keep dropped rows for eight minutes, beside the new ones
        connection.run(f"alter table {self.old} modify setting old_parts_lifetime = 1")
        found = connection.read(
            f"select partition_id as partition, sum(rows) as n from {PARTS} where table = '{self.old}' "  # noqa: S608 - our own
            "group by partition order by partition",
            _PARTITIONS,
        )
        left = int(found["n"].sum())
        for partition, rows in zip(found["partition"], found["n"].tolist(), strict=True):
            log.info("rows are packed anew, once", table=self.table, partition=partition, rows_left=left)
            self._move_partition(connection, partition, -(-rows // rows_at_once))
            connection.run(f"alter table {self.old} drop partition id '{partition}'")
            left -= rows
        connection.run(f"drop table {self.old} sync")

    def _move_partition(self, connection: Connection, partition: str, slices: int) -> None:
        """In slices of the ids, which are hashes and so of about equal size."""
        for number in range(slices):
            low, high = (2**64 * at // slices for at in (number, number + 1))
            rows = connection.read(
                f"select {self.was.names} from {self.old} final "  # noqa: S608 - our own
                f"where _partition_id = '{partition}' and id >= {low} and id <= {high - 1} order by id, t",
                self.was,
            )
            if len(rows["id"]):
                connection.insert(self.table, self.now, self.pack(rows))


def _found(connection: Connection, table: str, *what: str) -> bool:
    conditions = " and ".join(("database = currentDatabase()", *what))
    return bool(connection.read(f"select count() as n from {table} where {conditions}", _COUNT)["n"][0])  # noqa: S608 - our own
