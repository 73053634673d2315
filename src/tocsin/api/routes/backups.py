"""Backups: made while the server runs. Restoring is the command line's, with the server down."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path

from tocsin.access.policy import Permission
from tocsin.api.deps import Caller, Wired, require
from tocsin.api.description import family
from tocsin.api.paging import AskedPage
from tocsin.api.shapes import backups as shapes

router = family("backups")

Admin = Annotated[Caller, require(Permission.BACKUPS_MANAGE)]


@router.post("/api/backups", status_code=202)
async def start_backup(body: shapes.NewBackup, wired: Wired, caller: Admin) -> shapes.Backup:
    """Begin a backup. It goes on by itself; read it again to see how far it is."""
    made = await wired.backups.start(body.to, caller.actor)
    return shapes.Backup.of(made, wired.backups.progress(made.id))


@router.get("/api/backups", dependencies=[require(Permission.BACKUPS_MANAGE)])
async def list_backups(wired: Wired, asked: AskedPage) -> shapes.BackupList:
    """The backups that were tried, the newest first."""
    page = await wired.backups.page(asked)
    items = [shapes.Backup.of(made, wired.backups.progress(made.id)) for made in page.items]
    return shapes.BackupList(items=items, next=page.next, default_place=wired.backups.default_place)


@router.get("/api/backups/{backup_id}", dependencies=[require(Permission.BACKUPS_MANAGE)])
async def read_backup(backup_id: Annotated[int, Path(ge=1, le=2**63 - 1)], wired: Wired) -> shapes.Backup:
    """One of them, and how far it is while it runs."""
    made = await wired.backups.get(backup_id)
    return shapes.Backup.of(made, wired.backups.progress(backup_id))
