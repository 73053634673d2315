"""Backups, as the server remembers the ones that it has made."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class BackupState(StrEnum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Backup:
    """One attempt. Times are ms UTC, `finished_at_ms` 0 while it runs; `id` 0 means not yet saved.

    `name` is the backup's id in its place, once it is whole: all that was written has then been read back and compared.
    `written` counts the bytes that were new, `stored` all that it consists of; `samples` and `rows` what is in it.
    """

    id: int
    place: str
    state: BackupState
    started_by: str
    started_at_ms: int
    finished_at_ms: int = 0
    name: str = ""
    written: int = 0
    stored: int = 0
    samples: int = 0
    rows: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class BackupProgress:
    """Of one that runs: `done` of `total` rows or, while it checks, chunks."""

    phase: str
    done: int
    total: int
    written: int
