"""The database behind the state store: engines, transactions, and what their errors mean."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import exc, pool

from tocsin.model.errors import ConflictError, StoreError, UserError
from tocsin.runtime.offload import Offload
from tocsin.store.sealing import Cipher
from tocsin.store.state.columns import give_cipher

T = TypeVar("T")

BUSY_TIMEOUT_MS = 10_000
"""How long to wait while another process (the command line) writes to the same SQLite file."""

CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_MS = 60_000

_SCHEMES = {
    "sqlite": "sqlite+pysqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}


class Database:
    """Runs synchronous functions in transactions, on the threads of two offloads.

    SQLite has one writer: `write` should have one thread, or its callers wait for each other inside
    SQLite. `read` may have several. A `:memory:` database is one connection, used by one at a time.
    With a `cipher` the sealed columns of the schema are sealed.
    """

    def __init__(self, url: str, *, write: Offload, read: Offload, cipher: Cipher | None = None) -> None:
        self._url = parse_url(url)
        self._write, self._read = write, read
        self.sqlite = self._url.get_backend_name() == "sqlite"
        self._in_memory = in_memory = self.sqlite and self._url.database == ":memory:"
        self._one_at_a_time: AbstractContextManager[Any] = threading.Lock() if in_memory else nullcontext()
        if in_memory:
            self._writer = self._reader = _sqlite_engine(self._url, "BEGIN IMMEDIATE", pool.StaticPool)
        elif self.sqlite:
            _make_private_file(self._url.database or "")
            self._writer = _sqlite_engine(self._url, "BEGIN IMMEDIATE", pool.QueuePool)
            self._reader = _sqlite_engine(self._url, "BEGIN", pool.QueuePool)
        else:
            self._writer = self._reader = _postgres_engine(self._url)
        for engine in (self._writer, self._reader):
            give_cipher(engine, cipher)

    def __str__(self) -> str:
        return self._url.render_as_string(hide_password=True)

    async def write(self, work: Callable[[sa.Connection], T]) -> T:
        """What `work` returns, after its transaction is committed and durable; rolled back when it raises.

        Raises StoreError, and ConflictError where a constraint forbids the change.
        """
        return await self._write.run(self._transact, self._writer, work)

    async def read(self, work: Callable[[sa.Connection], T]) -> T:
        """What `work` returns, from one snapshot on SQLite. Raises StoreError."""
        return await self._read.run(self._transact, self._reader, work)

    async def prepare(self, work: Callable[[sa.Connection], None]) -> None:
        """What a database needs once before it is used, then `work` in a write transaction."""
        if self.sqlite and not self._in_memory:
            await self._write.run(self._use_wal)
        await self.write(work)

    async def compact(self, tables: Sequence[str]) -> None:
        """Write these tables anew, so that no file of the database holds what their rows were before."""
        await self._write.run(self._vacuum, tables)

    async def close(self) -> None:
        """Give back every connection; the offloads belong to the caller."""
        await self._write.run(self._writer.dispose)
        if self._reader is not self._writer:
            await self._read.run(self._reader.dispose)

    def _use_wal(self) -> None:
        """Readers and the writer do not wait for each other in WAL. It is kept in the file, once set."""
        try:
            with closing(self._writer.raw_connection()) as connection:
                connection.cursor().execute("PRAGMA journal_mode = WAL")
        except sqlite3.Error as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
                raise UserError(f"{self} is no SQLite database; give another path.", field="state.url") from error
            raise StoreError(f"The state database does not open: {_said(error)}.", retry_after_s=1.0) from error

    def _vacuum(self, tables: Sequence[str]) -> None:
        with self._one_at_a_time, meaningful_errors(), closing(self._writer.raw_connection()) as connection:
            if not self.sqlite:
                connection.rollback()
                connection.driver_connection.autocommit = True  # type: ignore[union-attr] # psycopg's
                try:
                    connection.cursor().execute(f"VACUUM (FULL) {', '.join(tables)}")
                finally:
                    connection.driver_connection.autocommit = False  # type: ignore[union-attr]
                return
            for statement in ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
                connection.cursor().execute(statement)

    def _transact(self, engine: sa.Engine, work: Callable[[sa.Connection], T]) -> T:
        with self._one_at_a_time, meaningful_errors(), engine.begin() as connection:
            return work(connection)


def parse_url(text: str) -> sa.URL:
    """`sqlite:///file`, `sqlite://` (in memory) or `postgresql://…`. Raises UserError; no password is shown."""
    try:
        url = sa.make_url(text)
    except (exc.ArgumentError, ValueError):
        raise UserError(_URL_HELP, field="state.url") from None
    driver = _SCHEMES.get(url.drivername)
    if driver is None:
        raise UserError(f"{url.drivername!r} is not a database for state. {_URL_HELP}", field="state.url")
    if driver.startswith("sqlite"):
        if url.host or url.username:
            raise UserError("A SQLite file needs three slashes (sqlite:///state.db) or four.", field="state.url")
        return url.set(drivername=driver, database=url.database or ":memory:")
    if not url.database:
        raise UserError(f"Name the database in the state URL. {_URL_HELP}", field="state.url")
    return url.set(drivername=driver)


_URL_HELP = "Write the URL like sqlite:////var/lib/tocsin/state.db or postgresql://user:password@host/database."


@contextmanager
def meaningful_errors() -> Iterator[None]:
    """Turns what SQLAlchemy raises into what the caller can do about it."""
    try:
        yield
    except exc.IntegrityError as error:
        raise ConflictError(f"The database refused the change: {_said(error)}.") from error
    except (exc.DataError, UnicodeEncodeError, OverflowError) as error:
        raise UserError(f"The database cannot hold a value: {_said(error)}.") from error
    except (exc.ProgrammingError, exc.NotSupportedError):
        raise  # our own statement is wrong
    except (exc.DBAPIError, exc.TimeoutError) as error:
        raise StoreError(f"The state database does not answer: {_said(error)}.", retry_after_s=1.0) from error
    except exc.StatementError as error:  # a column type could not convert a value
        raise UserError(f"The database cannot hold a value: {_said(error)}.") from error


def _said(error: Exception) -> str:
    """The driver's own first line: SQLAlchemy's text holds the statement and its parameters."""
    origin = error.orig if isinstance(error, exc.StatementError) and error.orig is not None else error
    lines = str(origin).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(origin).__name__


def _make_private_file(path: str) -> None:
    """An empty file that only its owner can read, where there is none: it will hold password hashes."""
    if path.startswith("file:"):
        raise UserError("Give the path of the SQLite file itself, not a file: URI.", field="state.url")
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder} for the state database; make it first.", field="state.url")
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise UserError(f"The state database {path} cannot be written: {error.strerror}.", field="state.url") from error


def _sqlite_engine(url: sa.URL, begin: str, pool_class: type[pool.Pool]) -> sa.Engine:
    engine = sa.create_engine(url, poolclass=pool_class, connect_args={"check_same_thread": False})

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        # The driver would begin transactions by itself, late and deferred; `begin` below does it instead.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA foreign_keys = ON")
        # FULL syncs the log on every commit. NORMAL, the usual companion of WAL, may forget the last
        # commits when the power fails, and with them an acknowledgement that somebody was shown.
        connection.execute("PRAGMA synchronous = FULL")

    @sa.event.listens_for(engine, "begin")
    def take_lock(connection: sa.Connection) -> None:
        # IMMEDIATE waits for its turn at the start. A deferred transaction that reads and then writes
        # fails at once when somebody else has written in between, without waiting.
        connection.exec_driver_sql(begin)

    return engine


def _postgres_engine(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(
        url,
        pool_pre_ping=True,  # a restart of the server costs one ping, not one failed request a connection
        connect_args={"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "tocsin"},
    )

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET statement_timeout = {STATEMENT_TIMEOUT_MS}")
        connection.commit()

    return engine
