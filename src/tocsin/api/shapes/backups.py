"""Backups, also while one runs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal

from pydantic import Field

from tocsin.api.shapes.base import Asked, Listed, Shape
from tocsin.api.times import rfc3339, rfc3339_or_none
from tocsin.model import backup
from tocsin.model.backup import BackupState


class NewBackup(Asked):
    to: str | None = Field(
        default=None,
        min_length=1,
        max_length=1_000,
        description="a folder of the server, or s3://bucket/prefix; the setting backup.to unless told",
    )


class BackupProgress(Shape):
    phase: Literal["starting", "state", "samples", "checking"]
    done: int = Field(description="rows; while it checks, chunks")
    total: int
    written: int = Field(description="bytes")


class Backup(Shape):
    """One attempt to make a backup."""

    id: int
    name: str = Field(description="its id in the place, for `tocsin restore`; empty until it is whole")
    place: str
    state: BackupState
    started_by: str
    started_at: str
    finished_at: str | None
    written: int = Field(description="bytes that were new in the place")
    stored: int = Field(description="bytes of all that it consists of, what it shares with earlier ones included")
    samples: int
    rows: int = Field(description="of the state: rules, alerts, history, people, audit and the like")
    checked: bool = Field(description="whether all that was written has been read back and compared")
    error: str
    progress: BackupProgress | None = Field(description="while it runs")

    @classmethod
    def of(cls, made: backup.Backup, progress: backup.BackupProgress | None) -> Backup:
        return cls(
            id=made.id,
            name=made.name,
            place=made.place,
            state=made.state,
            started_by=made.started_by,
            started_at=rfc3339(made.started_at_ms),
            finished_at=rfc3339_or_none(made.finished_at_ms),
            written=made.written,
            stored=made.stored,
            samples=made.samples,
            rows=made.rows,
            checked=made.state is BackupState.DONE,
            error=made.error,
            progress=None if progress is None else BackupProgress(**asdict(progress)),
        )


class BackupList(Listed[Backup]):
    default_place: str = Field(description="the setting backup.to; empty where there is none")
