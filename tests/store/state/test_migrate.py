"""The schema that the scripts make, on both databases."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from tests.support.state import database_url, open_at

from tocsin.model.errors import UserError
from tocsin.store.state import migrate, migrations
from tocsin.store.state.engine import parse_url
from tocsin.store.state.schema import metadata

KINDS = ("sqlite file", "postgresql")

pytestmark = pytest.mark.parametrize("kind", KINDS)


@contextmanager
def connected(url: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(parse_url(url))
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


async def test_the_migrated_schema_is_the_one_in_the_code(kind: str, tmp_path: Path) -> None:
    with database_url(kind, tmp_path) as url:
        async with open_at(url):
            pass
        with connected(url) as connection:
            context = MigrationContext.configure(
                connection, opts={"compare_type": True, "compare_server_default": _defaults_differ}
            )
            assert compare_metadata(context, metadata) == []


def _defaults_differ(
    context: Any, _there: Any, _ours: Any, there: str | None, _text: Any, ours: str | None
) -> bool | None:
    """Alembic's own comparison takes an empty text on SQLite for something else."""
    if context.dialect.name == "sqlite":
        return (there and there.strip("()'")) != (ours and ours.strip("()'"))
    return None


async def test_the_columns_that_older_databases_have_keep_their_defaults(kind: str, tmp_path: Path) -> None:
    with database_url(kind, tmp_path) as url:
        async with open_at(url):
            pass
        with connected(url) as connection:
            connection.execute(
                sa.text(
                    "INSERT INTO metric_alert (name, metric_name, condition, threshold, duration)"
                    " VALUES ('High CPU Usage', 'system.cpu.usage', '>', 80.0, 300)"
                )
            )
            connection.execute(
                sa.text(
                    "INSERT INTO alert_history (alert_id, triggered_at, value) VALUES (1, '2026-11-23 10:00:00', 81)"
                )
            )
            rule = connection.execute(sa.text("SELECT severity, enabled, duration FROM metric_alert")).one()
            seen = connection.execute(sa.text("SELECT acknowledged, acknowledged_by FROM alert_history")).one()
        assert tuple(rule) == ("warning", True, 300)
        assert tuple(seen) == (False, None)
        async with open_at(url) as state:
            (read,) = await state.rules.rules()
            assert (read.duration_ms, read.matchers, read.version) == (300_000, (), 1)


async def test_a_database_of_a_newer_tocsin_is_refused_and_left_alone(kind: str, tmp_path: Path) -> None:
    with database_url(kind, tmp_path) as url:
        async with open_at(url):
            pass
        with connected(url) as connection:
            connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(UserError, match=r"9999.*newer"):
            async with open_at(url):
                pass
        with connected(url) as connection:
            assert migrate.revision(connection) == "9999"


def test_processes_that_start_together_make_one_schema(kind: str, tmp_path: Path) -> None:
    with database_url(kind, tmp_path) as url:
        started = [subprocess.Popen([sys.executable, "-c", _OPEN, url]) for _ in range(4)]
        assert [process.wait() for process in started] == [0] * 4
        with connected(url) as connection:
            assert migrate.revision(connection) == migrate.HEAD


_OPEN = """
import asyncio, sys
from tocsin.runtime.offload import InlineOffload
from tocsin.store.state.state import open_state

async def main():
    state = await open_state(sys.argv[1], write=InlineOffload(), read=InlineOffload())
    await state.check()
    await state.close()

asyncio.run(main())
"""


def test_the_head_in_the_code_is_the_last_script(kind: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_heads() == [migrate.HEAD]


def test_a_schema_at_its_head_starts_without_alembic(kind: str, tmp_path: Path) -> None:
    with database_url(kind, tmp_path) as url:
        subprocess.run([sys.executable, "-c", _OPEN, url], check=True)
        subprocess.run([sys.executable, "-c", _OPEN + "assert 'alembic' not in sys.modules", url], check=True)
