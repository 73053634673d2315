"""Alembic's entry: runs the scripts on the connection that `migrate` hands over, in its transaction."""

from __future__ import annotations

from alembic import context

from tocsin.store.state.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
