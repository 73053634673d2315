"""Backups while the server runs: one at a time, asked for by a person or by the clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from tocsin.model.audit import SYSTEM, Actor, AuditEntry
from tocsin.model.backup import Backup, BackupProgress, BackupState
from tocsin.model.duration import DAY_MS, MINUTE_MS
from tocsin.model.errors import ConflictError, StoreError, TocsinError, UserError
from tocsin.model.page import Page, PageRequest
from tocsin.runtime.clock import wait_until
from tocsin.runtime.log import get_log
from tocsin.runtime.telemetry import Telemetry
from tocsin.store.backup.manifest import Manifest
from tocsin.store.backup.place import Place, open_place
from tocsin.store.backup.settings import BackupSettings
from tocsin.store.backup.write import Circumstances, Progress, Stores, back_up, prune
from tocsin.store.state.backups import INTERRUPTED
from tocsin.store.state.backups import Backups as BackupLog

log = get_log("app")

UNUSED_MS = DAY_MS
"""A chunk that no backup uses is removed when it is so old: a younger one may belong to one that is being made."""
TRY_AGAIN_MS = 15 * MINUTE_MS

OpenPlace = Callable[[str], Place]


class Backups:
    """Starts backups, remembers them, and makes those that are due. Fits api's BackupDesk."""

    def __init__(
        self,
        stores: Stores,
        kept: BackupLog,
        settings: BackupSettings,
        about: Circumstances,
        telemetry: Telemetry,
        places: OpenPlace,
    ) -> None:
        self._stores = stores
        self._kept = kept
        self._settings = settings
        self._about = about
        self._places = places
        self._progress: dict[int, Progress] = {}
        self._task: asyncio.Task[Backup] | None = None
        self._starting = asyncio.Lock()
        self._made = telemetry.counter("backups", "Backups that were tried.", ["result"])
        self._last = telemetry.gauge("backup_last_success_seconds", "When the last whole backup began, epoch seconds.")

    @property
    def default_place(self) -> str:
        return self._settings.to

    async def start(self, to: str | None, actor: Actor) -> Backup:
        """Begin one; it goes on by itself. Raises ConflictError while one runs, UserError for what is no place."""
        made, _ = await self._start(to or self._settings.to, actor)
        return made

    async def get(self, backup_id: int) -> Backup:
        return await self._kept.get(backup_id)

    async def page(self, page: PageRequest) -> Page[Backup]:
        return await self._kept.page(page)

    def progress(self, backup_id: int) -> BackupProgress | None:
        """None for one that does not run."""
        seen = self._progress.get(backup_id)
        return None if seen is None else BackupProgress(seen.phase, seen.done, seen.total, seen.written)

    async def run(self) -> None:
        """Make what is due, for ever. A backup that was missed while the server was down is made at once."""
        every_ms: int = self._settings.every
        never = asyncio.Event()
        while True:
            last_ms = await self._kept.last_started_ms(self._settings.to)
            if last_ms is not None:
                self._last.set(last_ms / 1_000)
                await wait_until(self._about.clock, last_ms + every_ms, never)
            if not await self._scheduled():
                await wait_until(self._about.clock, self._about.clock.now_ms() + min(every_ms, TRY_AGAIN_MS), never)

    async def _scheduled(self) -> bool:
        try:
            _, task = await self._start(self._settings.to, SYSTEM)
        except ConflictError:
            return False
        except TocsinError as error:
            log.warning("the scheduled backup cannot begin", reason=str(error))
            return False
        made = await asyncio.shield(task)
        if made.state is not BackupState.DONE:
            return False
        await self._prune()
        return True

    async def _prune(self) -> None:
        at_ms = self._about.clock.now_ms()
        try:
            place = await self._about.offload.run(self._places, self._settings.to)
            gone = await self._about.offload.run(prune, place, self._settings.keep, at_ms - UNUSED_MS)
        except TocsinError as error:
            log.warning("old backups were not removed", reason=str(error))
        else:
            if gone:
                log.info("old backups removed", backups=", ".join(gone))

    async def close(self) -> None:
        """Break off what runs; there is then no backup of it."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _start(self, to: str, actor: Actor) -> tuple[Backup, asyncio.Task[Backup]]:
        if not to:
            raise UserError("Say where the backup goes, or set backup.to.", field="to")
        async with self._starting:
            if self._task is not None and not self._task.done():
                raise ConflictError("A backup is being made already; wait until it is done.")
            place = await self._about.offload.run(self._places, to)
            at_ms = self._about.clock.now_ms()
            begun = Backup(0, to, BackupState.RUNNING, actor.name, at_ms)
            entry = AuditEntry(at_ms, actor, "backup.start", "backup", None, {"place": to})
            begun = await self._kept.add(begun, entry)
            progress = self._progress[begun.id] = Progress()
            self._task = asyncio.create_task(self._make(begun, place, progress), name=f"backup {begun.id}")
            return begun, self._task

    async def _make(self, begun: Backup, place: Place, progress: Progress) -> Backup:
        log.info("backup begins", place=begun.place)
        ended = replace(begun, state=BackupState.FAILED, error=INTERRUPTED)
        try:
            made = await back_up(self._stores, place, self._about, progress)
            ended = _done(begun, made, progress)
        except TocsinError as error:
            ended = replace(ended, error=str(error))
        except Exception as error:  # whatever it is, the row must not say for ever that it runs
            log.exception("a backup failed in a way of its own", backup=begun.id)
            ended = replace(ended, error=f"tocsin failed to make it: {type(error).__name__}; its log says more.")
        finally:
            ended = replace(ended, finished_at_ms=self._about.clock.now_ms(), written=progress.written)
            del self._progress[begun.id]
            self._made.labels(ended.state.value).inc()
            await self._write_down(ended)
        return ended

    async def _write_down(self, ended: Backup) -> None:
        if ended.state is BackupState.DONE:
            self._last.set(ended.started_at_ms / 1_000)
            log.info("backup is whole", backup=ended.name, place=ended.place, written=ended.written)
        else:
            log.error("there is no backup", place=ended.place, reason=ended.error)
        try:
            await self._kept.replace(ended)
        except StoreError as error:
            log.warning("what became of a backup was not recorded", backup=ended.id, reason=str(error))


def _done(begun: Backup, made: Manifest, progress: Progress) -> Backup:
    return replace(
        begun,
        state=BackupState.DONE,
        name=made.id,
        written=progress.written,
        stored=made.stored,
        samples=made.rows_of("samples"),
        rows=sum(table.rows for table in made.state),
    )


def places_of(settings: BackupSettings) -> OpenPlace:
    return lambda where: open_place(where, settings, make=True)
