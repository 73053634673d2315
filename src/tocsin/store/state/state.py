"""The state store as a whole: one database, one object a port."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa

from tocsin.model.errors import StoreError
from tocsin.runtime.log import get_log
from tocsin.runtime.offload import Offload
from tocsin.store.adopt.ledger import Ledger
from tocsin.store.sealing import Cipher
from tocsin.store.state.access import Access
from tocsin.store.state.alerts import Alerts
from tocsin.store.state.backups import Backups
from tocsin.store.state.book import AlertBook
from tocsin.store.state.engine import Database
from tocsin.store.state.migrate import migrate
from tocsin.store.state.outbox import Outbox
from tocsin.store.state.reseal import Seen, seal_again
from tocsin.store.state.retention import Policies
from tocsin.store.state.rule_files import RuleFiles
from tocsin.store.state.rules import Rules
from tocsin.store.state.scrape import ScrapeJobs
from tocsin.store.state.settings import StoredSettings

log = get_log("store")

T = TypeVar("T")


class State:
    """What `open_state` gives: the stores, all over the same database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.rules = Rules(database)
        self.rule_files = RuleFiles(database)
        self.alerts = Alerts(database)
        self.book = AlertBook(database)
        self.outbox = Outbox(database)
        self.access = Access(database)
        self.scrape_jobs = ScrapeJobs(database)
        self.settings = StoredSettings(database)
        self.backups = Backups(database)
        self.policies = Policies(database)

    def ledger(self, source: str) -> Ledger:
        """What of that older database is here already."""
        return Ledger(self._database, source)

    async def snapshot(self, work: Callable[[sa.Connection], T]) -> T:
        """What `work` reads, all of one moment, however long it takes. Raises StoreError."""

        def whole(connection: sa.Connection) -> T:
            if connection.dialect.name == "postgresql":  # SQLite's transactions are so by themselves
                connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
                connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
            return work(connection)

        return await self._database.read(whole)

    async def check(self) -> None:
        """Raises StoreError when the database does not answer."""
        await self._database.read(lambda connection: connection.execute(sa.select(1)).scalar_one())

    async def seal_again(self, opener: Cipher | None, sealer: Cipher | None, seen: Seen | None = None) -> int:
        """As `reseal` says."""
        return await seal_again(self._database, opener, sealer, seen or (lambda _column, _done: None))

    async def close(self) -> None:
        """Give back the connections; the offloads belong to the caller."""
        await self._database.close()


async def open_state(url: str, *, write: Offload, read: Offload, cipher: Cipher | None = None) -> State:
    """Connect and bring the schema to its newest revision.

    url: `sqlite:///path` (four slashes for an absolute path), `sqlite://` in memory, or
    `postgresql://user:password@host/database`. One thread is right for `write`, a few for `read`.
    With a `cipher` its sealed columns are sealed.
    Raises UserError for a URL or file that cannot work, StoreError when the server does not answer.
    """
    database = Database(url, write=write, read=read, cipher=cipher)
    try:
        await database.prepare(migrate)
    except StoreError as error:
        await database.close()
        raise StoreError(f"{error} The address is {database}.", retry_after_s=error.retry_after_s) from error
    except BaseException:
        await database.close()
        raise
    log.info("state store is open", database=str(database))
    return State(database)
