"""`tocsin adopt`: an older database's rules, history and samples, copied into the stores of a data directory."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from tocsin.app.config import load_settings
from tocsin.app.offline import local_actor
from tocsin.app.wiring import Engine, open_engine
from tocsin.app.world import real_world
from tocsin.ingest.appender import Appender
from tocsin.ingest.rows import Refusal, Rows
from tocsin.ingest.settings import IngestSettings
from tocsin.ingest.wire.json_push import parse
from tocsin.model.duration import Duration
from tocsin.model.errors import UserError
from tocsin.model.labels import Labels
from tocsin.runtime.offload import Offload
from tocsin.store.adopt.ledger import Ledger, SampleNote
from tocsin.store.adopt.source import MetricPage, OldDatabase, Problem

T = TypeVar("T")

SERIES_REMEMBERED = 65_536
EXAMPLES = 3

_json = msgspec.json.Decoder(dict[str, object] | None)


@dataclass(frozen=True, slots=True)
class Example:
    """One of the rows that `kind` is said of."""

    table: str
    kind: str
    row: int
    reason: str


@dataclass(slots=True)
class Report:
    """What became of an older database; `…_skipped` counts by kind, `noted` what was kept with a change.

    In place there are also: how many rows were looked for in the sample store and found, and what became of the older
    tables.
    """

    source: str
    retention: str
    rules_read: int = 0
    rules_added: int = 0
    rules_skipped: Counter[str] = field(default_factory=Counter)
    history_read: int = 0
    history_added: int = 0
    history_skipped: Counter[str] = field(default_factory=Counter)
    samples_read: int = 0
    samples_stored: int = 0
    samples_skipped: Counter[str] = field(default_factory=Counter)
    noted: Counter[str] = field(default_factory=Counter)
    verified: int | None = None
    older_tables: dict[str, str] = field(default_factory=dict)
    examples: list[Example] = field(default_factory=list)

    def tell(self, problems: Iterable[Problem], skipped: Counter[str]) -> None:
        for one in problems:
            counter = self.noted if one.kept else skipped
            counter[one.kind] += 1
            if counter[one.kind] <= EXAMPLES:
                self.examples.append(Example(one.table, one.kind, one.row, one.reason))


async def adopt(config: Path | None, data_dir: Path, where: str, zone: str) -> Report:
    """Raises UserError where the source is none or a server uses the data directory; StoreError."""
    settings, world = load_settings(config, os.environ), real_world()
    offload = world.offload("adopt", 1)
    old = OldDatabase(where, zone_of(zone))
    console = Console(stderr=True)
    bar = (TextColumn("samples"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    try:
        await offload.run(old.check)
        async with open_engine(settings, data_dir, world) as engine:
            with Progress(*bar, console=console, disable=not console.is_terminal) as progress:
                task = progress.add_task("samples", total=max(1, await offload.run(old.last_metric_id)))
                return await copy(old, engine, zone, offload, lambda row: progress.update(task, completed=row))
    finally:
        old.close()
        offload.close()


async def copy(old: OldDatabase, engine: Engine, zone: str, offload: Offload, seen: Callable[[int], None]) -> Report:
    """Each part goes on where it stopped. `old` is checked; `seen` hears the id of the last metric row done."""
    ledger = engine.state.ledger(old.name)
    clock = engine.world.clock
    report = Report(old.name, str(Duration(engine.samples.cuts.raw_longest_ms)))
    async for rules in each(old.rules(), offload):
        report.rules_read += rules.read
        report.rules_added += await ledger.take_rules(rules.rules, clock.now_ms(), local_actor())
        report.tell(rules.problems, report.rules_skipped)
    async for firings in each(old.history((await ledger.read()).history_after), offload):
        await ledger.take_history(firings.firings, firings.last_id, clock.now_ms())
        report.history_read += firings.read
        report.history_added += len(firings.firings)
        report.tell(firings.problems, report.history_skipped)
    await copy_samples(old, engine, ledger, zone, report, offload, seen)
    return report


async def copy_samples(
    old: OldDatabase,
    engine: Engine,
    ledger: Ledger,
    zone: str,
    report: Report,
    offload: Offload,
    seen: Callable[[int], None],
) -> None:
    retention_ms = engine.samples.cuts.raw_longest_ms  # another one, and older rows may be wanted now
    clock, limits = engine.world.clock, engine.settings.ingest
    appender = Appender(
        engine.samples,
        engine.samples,
        engine.samples,
        (),
        clock=clock,
        telemetry=engine.telemetry,
        settings=limits,
        kept=engine.samples.cuts,
    )
    labels_of = series_memory(limits)
    begun = (await ledger.read()).samples
    if begun is not None and (begun.retention_ms, begun.zone) == (retention_ms, zone):
        report.samples_read, report.samples_stored = begun.read, begun.stored
        report.samples_skipped.update(begun.skipped)
    else:
        begun = None
    async for page in each(old.metrics(None if begun is None else begun.after), offload):
        rows, problems = rows_of(page, labels_of)
        appended = await appender.append(rows, "adopt")
        refused = (_refused(int(one.index), one.kind, one.reason) for one in appended.rejected)
        report.samples_read += page.read
        report.samples_stored += appended.stored
        report.tell((*page.problems, *problems, *refused), report.samples_skipped)
        note = SampleNote(
            page.last_id,
            retention_ms,
            zone,
            report.samples_read,
            report.samples_stored,
            dict(report.samples_skipped),
        )
        await ledger.note_samples(note, clock.now_ms())
        seen(page.last_id)
    await ledger.note_samples(None, clock.now_ms())


def _refused(row: int, kind: Refusal, reason: str) -> Problem:
    return Problem("metric", row, kind.value, reason)


def rows_of(page: MetricPage, labels_of: Callable[[str, str], Labels | str]) -> tuple[Rows, list[Problem]]:
    """Rows whose index is the old id, and those whose name or tags are wrong."""
    known: dict[Labels, int] = {}
    problems: list[Problem] = []
    which = np.full(len(page.ids), -1, np.int64)
    for at, (name, tags) in enumerate(zip(page.names, page.tags, strict=True)):
        labels = labels_of(name, tags)
        if isinstance(labels, str):
            problems.append(Problem("metric", int(page.ids[at]), "bad name or tags", labels))
        else:
            which[at] = known.setdefault(labels, len(known))
    good = which >= 0
    return Rows(tuple(known), which[good], page.times[good], page.values[good], page.ids[good]), problems


def series_memory(limits: IngestSettings) -> Callable[[str, str], Labels | str]:
    """(name, tags as JSON) → labels, or why they cannot be: by the rules that a push is held to."""

    @lru_cache(maxsize=SERIES_REMEMBERED)
    def labels_of(name: str, text: str) -> Labels | str:
        try:
            tags = (_json.decode(text) if text.strip() else None) or {}
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return "The tags are no JSON object."
        plain = {key: value if isinstance(value, str) else _text(value) for key, value in tags.items()}
        body = msgspec.json.encode({"name": name, "value": 0, "tags": plain})
        rows, refused = parse(body, 0, limits)
        return refused[0].reason if refused else rows.series[0]

    return labels_of


def _text(value: object) -> str:
    """A nested value stays the JSON that it was; null is no tag."""
    return "" if value is None else msgspec.json.encode(value).decode()


async def each(pages: Iterator[T], offload: Offload) -> AsyncIterator[T]:
    while (page := await offload.run(next, pages, None)) is not None:
        yield page


def zone_of(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        raise UserError(f"There is no time zone {name!r}; write one like UTC or Europe/Berlin.") from None
