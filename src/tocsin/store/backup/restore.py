"""Putting a backup back: into fresh stores beside the old ones, which then take their place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from tocsin.model.audit import AuditEntry
from tocsin.model.errors import StoreError, UserError
from tocsin.model.outbox import LetterState
from tocsin.store.backup import rows, swap
from tocsin.store.backup.chunk import Packing, fetch
from tocsin.store.backup.manifest import Manifest, Part
from tocsin.store.backup.place import Place
from tocsin.store.samples import dump
from tocsin.store.samples.decimal import Exponents
from tocsin.store.samples.dump import TABLES
from tocsin.store.samples.engines import place_of
from tocsin.store.samples.native import Shape, decode, height
from tocsin.store.samples.opening import open_parts
from tocsin.store.settings import StoreSettings
from tocsin.store.state.audit import write_audit
from tocsin.store.state.bulk import give_ids_after
from tocsin.store.state.migrate import migrate
from tocsin.store.state.schema import backup, metadata, outbox
from tocsin.store.state.schema import settings as stored_settings
from tocsin.store.vault import Vault

NOT_SENT = "Not sent: it was still waiting when the backup {} was made. Send it again if it still matters."
BROKEN_OFF = "It was being made when this backup of it was taken."

Seen = Callable[[int], None]


def put_samples(
    path: Path,
    settings: StoreSettings,
    vault: Vault | None,
    place: Place,
    made: Manifest,
    packing: Packing,
    seen: Seen,
) -> None:
    """Into a sample store that is made at `path`, under these keys, or at `settings.url`.

    `seen` hears the number of rows of each chunk. Raises UserError where it holds rows already; StoreError where a
    chunk is missing or damaged, or the store has other rows in the end.
    """
    for part in made.samples:
        _check_columns(part)
    opened = open_parts(path, settings, vault)
    try:
        if any(dump.parts(opened.writing, table) for table in TABLES):
            where = place_of(path, settings)
            raise UserError(
                f"{where} holds samples already. Restore into an empty database: name another in store.url."
            )
        for part in made.samples:
            shape, exponents = Shape(part.columns), Exponents()
            for chunk in part.chunks:
                columns = decode(shape, fetch(place, packing, chunk))
                dump.write(opened.writing, part.table, columns, exponents)
                seen(height(shape, columns))
        for table in TABLES:
            have = sum(part.rows for part in dump.parts(opened.writing, table))
            if have != made.rows_of(table):
                raise StoreError(f"{have} rows of {table} were restored, and the backup has {made.rows_of(table)}.")
    finally:
        opened.close()


def _check_columns(part: Part) -> None:
    layout = TABLES.get(part.table)
    if layout is None or dict(layout.shape.types) != part.columns:
        raise UserError(f"This tocsin does not know the rows of {part.table} in the backup. Update tocsin.")


def put_state(
    connection: sa.Connection, place: Place, made: Manifest, packing: Packing, entry: AuditEntry, seen: Seen
) -> None:
    """In one transaction, in place of all that tocsin has in this database."""
    drop_tables(connection)
    migrate(connection, made.revision)
    for table in made.state:
        count = 0
        for chunk in table.chunks:
            found = rows.insert(connection, table.name, table.columns, fetch(place, packing, chunk))
            seen(found)
            count += found
        if count != table.rows:
            raise StoreError(f"The backup has {count} rows of {table.name} where its manifest says {table.rows}.")
        if table.last_id is not None:
            give_ids_after(connection, table.name, table.last_id)
    migrate(connection)
    settle(connection, made, entry)


def drop_tables(connection: sa.Connection) -> None:
    metadata.drop_all(connection)
    connection.execute(sa.text("DROP TABLE IF EXISTS alembic_version"))


def has_tables(connection: sa.Connection) -> bool:
    found = set(sa.inspect(connection).get_table_names())
    return "alembic_version" in found or bool(found & {table.name for table in metadata.tables.values()})


def settle(connection: sa.Connection, made: Manifest, entry: AuditEntry) -> None:
    """What was under way when the backup was made is so no longer.

    A letter that waited becomes a dead one, which a person sees and may send: its news may be days old. An alert that
    still fires is announced again by itself when its repeat is due.
    """
    waiting = sa.update(outbox).where(outbox.c.due_at_ms.is_not(None))
    connection.execute(
        waiting.values(
            state=LetterState.DEAD.value,
            due_at_ms=None,
            claimed_until_ms=0,
            done_at_ms=entry.at_ms,
            last_error=NOT_SENT.format(made.id),
        )
    )
    running = sa.update(backup).where(backup.c.state == "running")
    connection.execute(running.values(state="failed", error=BROKEN_OFF, finished_at_ms=entry.at_ms))
    write_audit(connection, [entry])


def note_done(connection: sa.Connection, restore_id: str, at_ms: int) -> None:
    """The state says that it is the one of this restore."""
    connection.execute(sa.delete(stored_settings).where(stored_settings.c.name == swap.DONE))
    connection.execute(sa.insert(stored_settings).values(name=swap.DONE, value=restore_id, updated_at_ms=at_ms))
