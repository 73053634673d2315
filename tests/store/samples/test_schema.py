"""A fresh store gets today's tables at once; they are those that every migration, one after another, leads to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.samples import UNSYNCED

from tocsin.store.samples import schema
from tocsin.store.samples.embedded import EmbeddedEngine
from tocsin.store.samples.engine import Connection
from tocsin.store.samples.native import Shape

MADE = Shape({"name": "String", "made": "String"})
VERSIONS = Shape({"version": "UInt64"})


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    engine = EmbeddedEngine(tmp_path / "samples", UNSYNCED)
    opened = engine.connect(reading=False)
    try:
        yield opened
    finally:
        opened.close()
        engine.close()


def tables(connection: Connection) -> dict[str, str]:
    rows = connection.read(
        "select name, create_table_query as made from system.tables where database = currentDatabase()", MADE
    )
    return dict(zip(rows["name"], rows["made"], strict=True))


def newest(connection: Connection) -> int:
    return int(connection.read("select max(version) as version from schema_version", VERSIONS)["version"][0])


def test_a_fresh_store_is_what_all_migrations_lead_to(connection: Connection) -> None:
    schema.migrate(connection, fsync=False)
    fresh, version = tables(connection), newest(connection)
    for name in fresh:
        connection.run(f"drop table {name} sync")
    connection.run(str(schema.MIGRATIONS[0][0]))  # samples of the first version: not fresh any more
    schema.migrate(connection, fsync=False)
    assert tables(connection) == fresh
    assert newest(connection) == version == len(schema.MIGRATIONS)


def test_a_first_start_that_was_broken_off_is_taken_up(connection: Connection) -> None:
    for step in schema.FRESH[:4]:
        assert isinstance(step, str)
        connection.run(step)
    schema.migrate(connection, fsync=False)
    assert set(schema.TABLES) <= set(tables(connection))
    assert newest(connection) == len(schema.MIGRATIONS)
