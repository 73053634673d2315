"""`tocsin adopt --in-place`: an older database becomes the state database, and its samples move to the sample store."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from tocsin.app.adopt import Report, copy_samples, each, rows_of, series_memory, zone_of
from tocsin.app.config import Settings, StateSettings, load_settings
from tocsin.app.offline import local_actor
from tocsin.app.state import make_data_dir
from tocsin.app.wiring import Engine, open_engine
from tocsin.app.world import World, real_world
from tocsin.ingest.rows import Refusal, Rows
from tocsin.model.duration import DAY_MS, Duration
from tocsin.model.errors import LimitError, StoreError, UserError
from tocsin.model.labels import METRIC_NAME, Labels
from tocsin.model.matcher import Matcher, MatchOp
from tocsin.model.series import SeriesBlock, TimeArray
from tocsin.runtime.offload import InlineOffload, Offload
from tocsin.store.adopt import in_place
from tocsin.store.adopt.source import OldDatabase, Problem
from tocsin.store.lock import PathLock
from tocsin.store.sealing import Cipher
from tocsin.store.state.engine import Database
from tocsin.store.vault import open_vault

Seen = Callable[[int], None]
Watch = Callable[[str, int], Seen]
"""Told what begins, and the last id of it; what it gives hears how far it is."""

WITHOUT_ROOM = (Refusal.SERIES_LIMIT, Refusal.METRIC_SERIES_LIMIT, Refusal.ID_TAKEN)
"""Why a series may be missing from the sample store."""


class OlderTables(StrEnum):
    """What becomes of the older tables when every sample has been found in the sample store."""

    KEEP = "keep"
    RENAME = "rename"
    DROP = "drop"


async def adopt_in_place(
    config: Path | None, data_dir: Path, where: str, zone: str, older: OlderTables, watch: Watch
) -> Report:
    """Raises UserError as `adopt` does, and where the data directory has a state of its own; StoreError."""
    settings, world = load_settings(config, os.environ), real_world()
    old = OldDatabase(where, zone_of(zone))
    try:
        _refuse_two_states(settings, data_dir, old)
        return await move(old, settings, world, data_dir, zone, older, watch)
    finally:
        old.close()


async def move(
    old: OldDatabase,
    settings: Settings,
    world: World,
    data_dir: Path,
    zone: str,
    older: OlderTables,
    watch: Watch,
) -> Report:
    """Each part goes on where it stopped. Raises StoreError where a sample that was stored is not found again."""
    report = Report(old.name, str(Duration(settings.retention.raw)))
    make_data_dir(data_dir)
    with PathLock(data_dir / "samples"):  # no server uses the directory
        await _take_over(old, world, report, _cipher_of(settings, data_dir))
    offload = world.offload("adopt", 1)
    try:
        async with open_engine(replace(settings, state=StateSettings(old.url)), data_dir, world) as engine:
            if await offload.run(old.has_metrics):
                last = await offload.run(old.last_metric_id)
                ledger = engine.state.ledger(old.name)
                await copy_samples(old, engine, ledger, zone, report, offload, watch("samples", last))
                report.verified = await verify(old, engine, report, offload, watch("checking", last))
    finally:
        offload.close()
    await _settle(old, older, report, _cipher_of(settings, data_dir))
    return report


def _cipher_of(settings: Settings, data_dir: Path) -> Cipher | None:
    """Of a directory that has one already; a new one seals the state when its stores are opened."""
    vault = open_vault(data_dir, settings.store.encryption_key)
    return None if vault is None else vault.cipher()


def _refuse_two_states(settings: Settings, data_dir: Path, old: OldDatabase) -> None:
    own = data_dir / "state.db"
    if settings.state.url not in ("", old.url):
        raise UserError("state.url names another database. Set it to the older one, or leave out --in-place.")
    if not settings.state.url and own.exists() and own.resolve() != Path(old.name):
        raise UserError(f"{own} is the state already. Choose another data directory, or leave out --in-place.")


async def _take_over(old: OldDatabase, world: World, report: Report, cipher: Cipher | None) -> None:
    def tell(problems: tuple[Problem, ...], part: str) -> None:
        report.tell(problems, report.rules_skipped if part == "rules" else report.history_skipped)

    def work(connection: sa.Connection) -> None:
        taken = in_place.take_over(connection, old, world.clock.now_ms(), local_actor(), tell)
        report.rules_read, report.rules_added = taken.rules_read, taken.rules
        report.history_read, report.history_added = taken.history_read, taken.history

    async with _database(old, cipher) as database:
        if not await database.read(in_place.is_taken):
            old.check()
            await database.prepare(work)


async def _settle(old: OldDatabase, older: OlderTables, report: Report, cipher: Cipher | None) -> None:
    """What was asked for the older tables. Nothing is dropped from which a row was left out."""

    def work(connection: sa.Connection) -> None:
        if older is OlderTables.RENAME:
            in_place.rename_metrics(connection)
        tables = in_place.older_tables(connection)
        whole = in_place.ASIDE + "metric_alert", in_place.ASIDE + "alert_history"
        kept = {
            *(["metric", in_place.ASIDE + "metric"] if report.samples_skipped else []),
            *([] if in_place.all_taken(connection) else whole),
        }
        drop = [name for name in tables if older is OlderTables.DROP and name not in kept]
        in_place.drop(connection, drop)
        report.older_tables = {name: "dropped" if name in drop else "kept" for name in tables}

    async with _database(old, cipher) as database:
        await database.write(work)


@asynccontextmanager
async def _database(old: OldDatabase, cipher: Cipher | None) -> AsyncIterator[Database]:
    database = Database(old.url, write=InlineOffload(), read=InlineOffload(), cipher=cipher)
    try:
        yield database
    finally:
        await database.close()


@dataclass(slots=True)
class Comparison:
    """Rows against the sample store. A value that differs waits for a later row of the same series and time."""

    found: int = 0
    missing: int = 0
    differing: dict[tuple[Labels, int], int] = field(default_factory=dict)

    def look(self, rows: Rows, block: SeriesBlock, oldest_ms: TimeArray) -> None:
        """`block` holds the samples of these series and times; of what is older, series by series, none is expected."""
        samples = {labels: (times, values) for labels, times, values in block}
        for series in np.unique(rows.which).tolist():
            labels = rows.series[series]
            mine = (rows.which == series) & (rows.times >= oldest_ms[series])
            times, values = _last_of_each(rows.times[mine], rows.values[mine])
            there, have = samples.get(labels, (np.zeros(0, np.int64), np.zeros(0)))
            at = np.searchsorted(there, times)
            at[at == len(there)] = 0
            known = there[at] == times if len(there) else np.zeros(len(times), np.bool_)
            self.missing += int(np.count_nonzero(~known))
            self.found += int(np.count_nonzero(known))
            same = known.copy()
            same[known] = have[at[known]].view(np.int64) == values[known].view(np.int64)
            for time in times[known & ~same].tolist():
                self.differing[labels, time] = 0
            if self.differing:
                for time in times[same].tolist():
                    self.differing.pop((labels, time), None)


async def verify(old: OldDatabase, engine: Engine, report: Report, offload: Offload, seen: Seen) -> int:
    """Read every row again and look for it in the sample store; how many were found.

    Raises StoreError where one is not there as it should be.
    """
    labels_of = series_memory(engine.settings.ingest)
    newest_ms = engine.world.clock.now_ms() + engine.settings.ingest.future_max
    compared = Comparison()
    async for page in each(old.metrics(None), offload):
        rows, _ = rows_of(page, labels_of)
        for name, part in _parts(_chosen(rows, rows.times <= newest_ms)):
            await _compare(engine, name, part, compared)
        seen(page.last_id)
    without_room = sum(report.samples_skipped[kind.value] for kind in WITHOUT_ROOM)
    if compared.missing > without_room or compared.differing:
        raise StoreError(
            f"{compared.missing} samples are not in the sample store, and {len(compared.differing)} have another value "
            "there. The older tables are as they were; run the command again."
        )
    return compared.found


async def _compare(engine: Engine, name: str, rows: Rows, compared: Comparison) -> None:
    """In halves where there is more in that time than one read may return."""
    matchers = (Matcher(METRIC_NAME, MatchOp.EQUAL, name),)
    first, last = int(rows.times.min()), int(rows.times.max())
    try:
        block = await engine.samples.select(matchers, first, last + 1)
    except LimitError:
        middle = (first + last) // 2
        early = rows.times <= middle
        if early.all():
            raise
        await _compare(engine, name, _chosen(rows, early), compared)
        await _compare(engine, name, _chosen(rows, ~early), compared)
        return
    now_ms = engine.world.clock.now_ms()  # after the read, which looked at it too
    compared.look(rows, block, now_ms - engine.samples.cuts.raw_ms(rows.series))


def _parts(rows: Rows) -> Iterator[tuple[str, Rows]]:
    """By metric and day."""
    names = [rows.series[at].get(METRIC_NAME) for at in range(len(rows.series))]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    number_of = np.array([numbers[name] for name in names], np.int64)
    keys = np.stack((number_of[rows.which], rows.times // DAY_MS)) if len(rows) else np.zeros((2, 0), np.int64)
    for number, day in np.unique(keys, axis=1).T.tolist():
        yield list(numbers)[number], _chosen(rows, (keys[0] == number) & (keys[1] == day))


def _chosen(rows: Rows, which: npt.NDArray[np.bool_]) -> Rows:
    return Rows(rows.series, rows.which[which], rows.times[which], rows.values[which], rows.index[which])


def _last_of_each(
    times: npt.NDArray[np.int64], values: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """By rising time; of equal times the last counts."""
    order = np.argsort(times, kind="stable")
    times, values = times[order], values[order]
    last = np.concatenate((times[1:] != times[:-1], np.ones(min(1, len(times)), np.bool_)))
    return times[last], values[last]
