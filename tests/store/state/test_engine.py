from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.support.postgres import Cluster
from tests.support.state import a_rule, an_entry, database_url, open_at

from tocsin.model.errors import ConflictError, StoreError, UserError
from tocsin.runtime.offload import InlineOffload
from tocsin.store.state.engine import Database, parse_url
from tocsin.store.state.state import open_state


def inline(url: str) -> Database:
    return Database(url, write=InlineOffload(), read=InlineOffload())


@pytest.mark.parametrize(
    ("url", "driver", "database"),
    [
        ("sqlite://", "sqlite+pysqlite", ":memory:"),
        ("sqlite:///:memory:", "sqlite+pysqlite", ":memory:"),
        ("sqlite:///state.db", "sqlite+pysqlite", "state.db"),
        ("sqlite:////var/lib/tocsin/state.db", "sqlite+pysqlite", "/var/lib/tocsin/state.db"),
        ("postgresql://a:b@h/tocsin", "postgresql+psycopg", "tocsin"),
        ("postgres://a:b@h/tocsin", "postgresql+psycopg", "tocsin"),
        ("postgresql+psycopg://h/tocsin", "postgresql+psycopg", "tocsin"),
    ],
)
def test_a_url_names_a_driver_and_a_database(url: str, driver: str, database: str) -> None:
    parsed = parse_url(url)
    assert (parsed.drivername, parsed.database) == (driver, database)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "mysql://a:secret@h/tocsin",
        "postgresql://a:secret@h",
        "sqlite://state.db",
        "postgresql://a:secret@h:port/x",
        "postgresql+asyncpg://a:secret@h/x",
    ],
)
def test_a_url_that_cannot_work_is_refused_without_showing_its_password(url: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_url(url)
    assert "secret" not in str(caught.value)
    assert caught.value.field == "state.url"


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no folder"):
        inline(f"sqlite:///{tmp_path}/missing/state.db")


def test_a_path_that_is_a_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be written"):
        inline(f"sqlite:///{tmp_path}")


async def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are my notes, " * 100)
    with pytest.raises(UserError, match="no SQLite database"):
        async with open_at(f"sqlite:///{path}"):
            pass
    assert path.read_text().startswith("these are my notes")


def modes_in(folder: Path) -> dict[str, int]:
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


async def test_the_file_is_for_its_owner_alone_in_wal_mode_and_synced(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with open_at(f"sqlite:///{path}") as state:
        await state.rules.add_rules([a_rule()], [an_entry()])
        modes = modes_in(tmp_path)
    assert modes == {"state.db": 0o600, "state.db-wal": 0o600, "state.db-shm": 0o600}
    assert sqlite3.connect(path).execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_every_commit_is_synced_and_foreign_keys_hold(tmp_path: Path) -> None:
    database = inline(f"sqlite:///{tmp_path}/state.db")

    def pragmas(connection: sa.Connection) -> list[object]:
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("synchronous", "foreign_keys")]

    assert await database.write(pragmas) == [2, 1]
    await database.close()


async def test_a_server_that_does_not_answer_is_a_store_error_without_the_password(tmp_path: Path) -> None:
    url = f"postgresql://tocsin:secret@/tocsin?host={tmp_path}"
    with pytest.raises(StoreError) as caught:
        await open_state(url, write=InlineOffload(), read=InlineOffload())
    assert "secret" not in str(caught.value)
    assert "tocsin:***@" in str(caught.value)


async def test_a_closed_transaction_leaves_nothing_when_the_work_fails(tmp_path: Path) -> None:
    database = inline(f"sqlite:///{tmp_path}/state.db")
    await database.write(lambda connection: connection.exec_driver_sql("CREATE TABLE t (x INTEGER PRIMARY KEY)"))

    def work(connection: sa.Connection) -> None:
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        raise LookupError

    with pytest.raises(LookupError):
        await database.write(work)
    count = await database.read(lambda connection: connection.exec_driver_sql("SELECT count(*) FROM t").scalar())
    assert count == 0
    await database.close()


async def test_a_broken_constraint_is_a_conflict_that_shows_no_values(tmp_path: Path) -> None:
    database = inline(f"sqlite:///{tmp_path}/state.db")
    insert = sa.text("INSERT INTO t VALUES ('secret')")
    await database.write(lambda connection: connection.exec_driver_sql("CREATE TABLE t (x TEXT PRIMARY KEY)"))
    await database.write(lambda connection: connection.execute(insert))
    with pytest.raises(ConflictError) as caught:
        await database.write(lambda connection: connection.execute(insert))
    assert "secret" not in str(caught.value)
    await database.close()


async def test_a_full_disk_is_a_store_error_and_reading_goes_on(tmp_path: Path) -> None:
    async with open_at(f"sqlite:///{tmp_path}/state.db") as state:
        await state.check()
        database = state._database

        def fill(connection: sa.Connection) -> None:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
            connection.exec_driver_sql("CREATE TABLE big AS SELECT zeroblob(10000000) AS x")

        with pytest.raises(StoreError, match="full"):
            await database.write(fill)
        assert await state.rules.rules() == ()


async def test_a_restart_of_postgresql_is_a_store_error_and_then_over() -> None:
    cluster = Cluster()
    try:
        with cluster.database() as url:
            async with open_at(url) as state:
                (rule,) = await state.rules.add_rules([a_rule()], [an_entry()])
                cluster.stop()
                with pytest.raises(StoreError):
                    await state.check()
                with pytest.raises(StoreError):
                    await state.rules.add_rules([a_rule()], [an_entry()])
                cluster.start()
                await state.check()
                assert await state.rules.rules() == (rule,)
    finally:
        cluster.close()


async def test_what_was_saved_survives_a_kill(tmp_path: Path) -> None:
    """The log is read back though nobody closed the database."""
    with database_url("sqlite file", tmp_path) as url:
        async with open_at(url) as state:
            await state.rules.add_rules([a_rule()], [an_entry()])
            copy = copy_of(tmp_path)
        async with open_at(f"sqlite:///{copy / 'state.db'}") as after:
            assert len(await after.rules.rules()) == 1


def copy_of(folder: Path) -> Path:
    """The files as they are on the disk this moment."""
    copy = folder / "copy"
    copy.mkdir()
    for file in folder.glob("state.db*"):
        (copy / file.name).write_bytes(file.read_bytes())
    return copy
