"""The audit log: who changed what."""

from __future__ import annotations

from tocsin.access.policy import Permission
from tocsin.api.deps import Wired, require
from tocsin.api.description import family
from tocsin.api.paging import AskedPage
from tocsin.api.shapes import audit as shapes

router = family("people")


@router.get("/api/audit", dependencies=[require(Permission.AUDIT_READ)])
async def list_audit(wired: Wired, asked: AskedPage) -> shapes.AuditList:
    """Entries, the newest first."""
    page = await wired.access.audit(asked)
    return shapes.AuditList(items=[shapes.AuditRow.of(row) for row in page.items], next=page.next)
