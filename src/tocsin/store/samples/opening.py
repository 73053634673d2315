"""Opening a sample store: its engine, tables, index and journal, and what the journal holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tocsin.model.series import MetricInfo, SampleBatch
from tocsin.store.samples import (
    catalog,
    enforcement,
    pushdown,
    reader,
    rollup,
)
from tocsin.store.samples.cuts import Cuts
from tocsin.store.samples.engine import Connection, Engine
from tocsin.store.samples.engines import open_engine
from tocsin.store.samples.index import LabelIndex
from tocsin.store.samples.journal import Journal, NewSeries, Record
from tocsin.store.samples.schema import METRICS, migrate
from tocsin.store.settings import RetentionSettings, StoreSettings
from tocsin.store.vault import Vault


@dataclass(frozen=True, slots=True)
class Parts:
    """What an open store holds of its engine, and what it read from it at the start."""

    writing: Connection
    folding: reader.Pool
    pool: reader.Pool
    opened: rollup.OpenHours
    index: LabelIndex
    cuts: Cuts
    enforced: enforcement.Enforced
    metrics: dict[str, MetricInfo]
    journal: Journal | None
    """None where the engine is a server: other nodes read from it too."""
    computes_from: int | None
    """So many samples are better computed on in the engine; None: it cannot."""
    close: Callable[[], None]


def journal_of(path: Path) -> Path:
    """The journal's folder, beside the engine's."""
    return path.with_name(path.name + ".journal")


def open_parts(path: Path, settings: StoreSettings, vault: Vault | None = None) -> Parts:
    with ExitStack() as stack:
        engine = open_engine(path, settings, vault)
        stack.callback(engine.close)
        journal = None
        if not settings.url:
            cipher = None if vault is None else vault.cipher()
            journal = Journal(journal_of(path), fsync=settings.fsync, cipher=cipher)
            stack.callback(journal.close)
        writing = engine.connect(reading=False)
        stack.callback(writing.close)
        migrate(writing, fsync=settings.fsync, table_settings=engine.table_settings)
        index = LabelIndex(settings.series_max, settings.metric_series_max)
        catalog.load(writing, index)
        metrics = _stored_metrics(writing)
        cuts = Cuts(RetentionSettings().lengths, index.labels, index.find)
        enforced = enforcement.Enforced(cuts)
        enforced.load(writing)
        opened = rollup.OpenHours()
        opened.load(writing)
        folding = reader.Pool([engine.connect(reading=False)])
        stack.callback(folding.close)
        pool = reader.Pool(_connections(engine, settings.readers, stack))
        stack.callback(pool.close)
        computes_from = pushdown.SAMPLES_MIN if pushdown.supported(writing) else None
        close = stack.pop_all().close
        return Parts(writing, folding, pool, opened, index, cuts, enforced, metrics, journal, computes_from, close)


def _connections(engine: Engine, count: int, stack: ExitStack) -> list[Connection]:
    made: list[Connection] = []
    for _ in range(count):
        made.append(engine.connect(reading=True))
        stack.callback(made[-1].close)
    return made


def _stored_metrics(connection: Connection) -> dict[str, MetricInfo]:
    rows = connection.read("select name, unit, kind, help from metrics final", METRICS)
    infos = (MetricInfo(*row) for row in zip(*(rows[field] for field in METRICS.types), strict=True))
    return {info.name: info for info in infos}


def gathered(records: Iterable[Record], rows_max: int) -> Iterator[tuple[NewSeries, list[SampleBatch]]]:
    """Records joined in their order, about `rows_max` samples at a time."""
    series: list[tuple[int, str]] = []
    batches: list[SampleBatch] = []
    rows = 0
    for record in records:
        series += record.series
        if len(record.batch):
            batches.append(record.batch)
            rows += len(record.batch)
        if rows >= rows_max:
            yield series, batches
            series, batches, rows = [], [], 0
    if series or batches:
        yield series, batches
