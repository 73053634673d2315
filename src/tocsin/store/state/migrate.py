"""Brings the schema to its newest revision when the store opens."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from tocsin.model.errors import UserError

HEAD = "0007"
"""The newest revision; a test compares it with the scripts."""

LOCK_KEY = 8_627_001
"""An arbitrary number that every tocsin takes as PostgreSQL's advisory lock while it migrates."""

_SCRIPTS = Path(__file__).parent / "migrations"
_MIGRATION_TIMEOUT_MS = 0


def migrate(connection: sa.Connection, to: str = HEAD) -> None:
    """Run in a write transaction: of two processes that start together, the second waits and finds all done.

    `to` an older revision makes the tables of that one, to put an older backup into.

    A schema that is at its head already costs one query; Alembic (0.1 s) is imported only for work.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text(f"SET LOCAL statement_timeout = {_MIGRATION_TIMEOUT_MS}"))
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK_KEY)))
    if revision(connection) != to:
        _upgrade(connection, to)


def revision(connection: sa.Connection) -> str | None:
    """The schema's revision, None for a database without one."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def _upgrade(connection: sa.Connection, to: str) -> None:
    from alembic import command  # noqa: PLC0415 - see migrate: a start without work does not pay for it
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, to)
    except CommandError as error:
        raise UserError(
            f"The state database is at revision {revision(connection) or to}, which this tocsin does not know: "
            "it was written by a newer one. Start that one, or restore a backup."
        ) from error
