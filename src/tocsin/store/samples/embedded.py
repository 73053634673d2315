"""ClickHouse inside this process, through chdb.

What was measured of chdb-core 26.9, and why it is used as it is here:

- `send_insert(...).finish()` reports success although the table refused the rows, so it cannot be used
  where an acknowledgement is a promise. `insert … select` raises, and says how many rows were written.
- `Python(table)` imports pandas (65 MB). A Native block in an anonymous file that `file()` reads costs
  none of it, and is as fast: 3 ms for 2,000 rows, 90 ms for a million.
- All connections of a process must be to one path; each runs one query at a time.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from tocsin.model.errors import StoreError, UserError
from tocsin.model.series import IdArray
from tocsin.store.lock import PathLock
from tocsin.store.samples.disks import Disks, storage_config
from tocsin.store.samples.engine import IDS, locally, refusal
from tocsin.store.samples.native import Columns, Shape, decode, encode, height
from tocsin.store.settings import StoreSettings

DATABASE = "tocsin"
FEW_IDS = 256
"""Up to so many ids stand in the SQL itself, which saves 0.7 ms; parsing 40,000 costs 300 ms."""

_ID_SHAPE = Shape({"id": "UInt64"})
_ONE_STREAM = "settings max_threads = 1, max_insert_threads = 1, input_format_parallel_parsing = 0"
"""One thread reads and writes an insert, so that the later of two equal rows stays the later one."""


class Spool:
    """Bytes that the engine reads as if they were a file; in memory where the system has such files."""

    def __init__(self) -> None:
        if hasattr(os, "memfd_create"):
            self._file: Any = os.fdopen(os.memfd_create("tocsin"), "w+b")
            self.path = f"/proc/self/fd/{self._file.fileno()}"
        else:
            self._file = tempfile.NamedTemporaryFile(prefix="tocsin-")  # noqa: SIM115 - closed by close()
            self.path = self._file.name

    def fill(self, data: bytes) -> None:
        self._file.seek(0)
        self._file.truncate(0)
        self._file.write(data)
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class EmbeddedConnection:
    def __init__(self, chdb: Any, target: str, session: str) -> None:
        self._conn = chdb.connect(target)
        self._spool = Spool()
        self.run(f"create database if not exists {DATABASE}")
        self.run(f"use {DATABASE}")
        self.run(session)

    def run(self, sql: str) -> None:
        self._query(sql, "Null", "write")

    def insert(self, table: str, shape: Shape, columns: Columns) -> None:
        rows = height(shape, columns)
        self._spool.fill(encode(shape, columns))
        result = self._query(
            f"insert into {table} ({shape.names}) select {shape.names} "  # noqa: S608 - names from the schema
            f"from file('{self._spool.path}', 'Native', '{shape}') {_ONE_STREAM}",
            "Null",
            "write",
        )
        self._spool.fill(b"")
        if result.rows_written() != rows:
            raise StoreError(f"The sample store took {result.rows_written()} of {rows} rows.")

    def read(self, sql: str, shape: Shape, ids: IdArray | None = None) -> Columns:
        sql = locally(sql)
        if ids is not None:
            sql = sql.replace(IDS, self._set_of(ids))
        result = self._query(sql, "Native", "read")
        if not result.size():
            return decode(shape, b"")
        wrapper = result.get_memview()
        return decode(shape, wrapper.view())

    def alone(self) -> AbstractContextManager[None]:
        return nullcontext()  # the path is ours

    def close(self) -> None:
        self._conn.close()
        self._spool.close()

    def _set_of(self, ids: IdArray) -> str:
        if 0 < len(ids) <= FEW_IDS:
            return f"({','.join(map(str, ids.tolist()))})"
        self._spool.fill(encode(_ID_SHAPE, {"id": ids}))
        return f"(select id from file('{self._spool.path}', 'Native', '{_ID_SHAPE}'))"  # noqa: S608 - our own path

    def _query(self, sql: str, form: str, doing: str) -> Any:
        try:
            return self._conn.query(sql, form)
        except RuntimeError as error:
            raise refusal(error, doing) from error


class EmbeddedEngine:
    """The engine on `path`, a directory that is made where it is missing.

    Its tables lie on `disks`. `lock` is that of the path where the caller has it already, and stays the caller's.
    Raises UserError where another process has it, or where this process has another path open.
    """

    table_settings = ""

    def __init__(
        self, path: Path, settings: StoreSettings, disks: Disks | None = None, *, lock: PathLock | None = None
    ) -> None:
        self._path = path.resolve()
        if "?" in str(self._path):
            raise UserError(f"{self._path} holds a question mark, which the sample store cannot open. Rename it.")
        if disks is not None and disks.keys and not hasattr(os, "memfd_create"):
            raise UserError("Encryption needs Linux: elsewhere the engine's keys would have to be written to a file.")
        self._settings = settings
        self._spilling = "" if disks is None or not disks.keys else _NO_SPILLING
        self._lock = None if lock is not None else PathLock(self._path)
        self._config = Spool()  # its path needs no escaping in the connection string
        self._config.fill(_server_config(settings, storage_config(self._path, disks or Disks())).encode())

    def connect(self, *, reading: bool) -> EmbeddedConnection:
        import chdb  # noqa: PLC0415 - 200 MB and 0.2 s, paid only by a process that opens a store

        target = f"{self._path}?config-file={self._config.path}"
        try:
            return EmbeddedConnection(chdb, target, _session(self._settings, self._spilling, reading=reading))
        except RuntimeError as error:
            if "already initialized" in str(error):
                raise UserError(f"This process has another sample store open; close it before {self._path}.") from error
            raise refusal(error, "open") from error

    def close(self) -> None:
        self._config.close()
        if self._lock is not None:
            self._lock.release()


def _server_config(settings: StoreSettings, storage: str) -> str:
    """The engine's defaults would let its caches grow to gigabytes."""
    cache = settings.cache_mb * 1_000_000
    return (
        "<clickhouse>"
        f"<mark_cache_size>{cache}</mark_cache_size>"
        f"<primary_index_cache_size>{cache}</primary_index_cache_size>"
        "<query_condition_cache_size>0</query_condition_cache_size>"
        "<compiled_expression_cache_size>0</compiled_expression_cache_size>"
        f"{storage}"
        "</clickhouse>\n"
    )


_NO_SPILLING = "".join(
    f", max_bytes_before_external_{what} = 0, max_bytes_ratio_before_external_{what} = 0"
    for what in ("group_by", "sort", "distinct", "join")
)
"""chdb writes what does not fit into memory to a plain folder of its own, whatever `tmp_policy` says."""


def _session(settings: StoreSettings, spilling: str, *, reading: bool) -> str:
    common = f"set max_threads = 2, compile_expressions = 0, compile_aggregate_expressions = 0{spilling}"
    if not reading:
        # a third of an insert's CPU went into removing duplicates, which merges and reads do anyhow
        return f"{common}, enable_alp_codec = 1, max_partitions_per_insert_block = 0, optimize_on_insert = 0"
    return (
        f"{common}, do_not_merge_across_partitions_select_final = 1"
        f", max_execution_time = {settings.read_timeout.seconds}"
        f", max_memory_usage = {settings.read_memory_max_mb * 1_000_000}"
    )
