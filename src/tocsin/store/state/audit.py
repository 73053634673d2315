"""The audit log: rows are added in the transaction of the change they tell of, and never touched again."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from tocsin.model.audit import AuditEntry
from tocsin.store.state.codec import audit_values
from tocsin.store.state.schema import audit


def write_audit(connection: sa.Connection, entries: Sequence[AuditEntry]) -> None:
    if entries:
        connection.execute(sa.insert(audit), [audit_values(entry) for entry in entries])
