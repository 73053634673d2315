"""Who did what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tocsin.api.shapes.base import Listed, Shape
from tocsin.api.times import rfc3339
from tocsin.model import people


class AuditRow(Shape):
    id: int
    at: str
    actor: str
    address: str
    action: str
    target: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None

    @classmethod
    def of(cls, row: people.AuditRow) -> AuditRow:
        entry = row.entry
        return cls(
            id=row.id,
            at=rfc3339(entry.at_ms),
            actor=entry.actor.name,
            address=entry.actor.address,
            action=entry.action,
            target=entry.target,
            before=_plain(entry.before),
            after=_plain(entry.after),
        )


def _plain(side: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if side is None else dict(side)


class AuditList(Listed[AuditRow]):
    pass
