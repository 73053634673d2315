"""Stores of the first layout are moved to today's, whenever the move is interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from tests.support.samples import UNSYNCED, floats

from tocsin.model.duration import DAY_MS
from tocsin.model.labels import Labels
from tocsin.model.series import FloatArray, IdArray, SampleBatch
from tocsin.store.samples import schema
from tocsin.store.samples.decimal import Exponents, pack_samples
from tocsin.store.samples.embedded import EmbeddedEngine
from tocsin.store.samples.engine import Connection
from tocsin.store.samples.native import Columns, Shape
from tocsin.store.samples.repack import ROWS_AT_ONCE, Repack

NOW = 1_800_000_000_000
DAYS = (-3, 0, 20_000)
SERIES = 50
STALE = float(floats(0x7FF0000000000002)[0])


class Killed(Exception):
    """What a kill would have been."""


class Breaking:
    """A connection that passes on so many statements that write, and then no more."""

    def __init__(self, inner: Connection, left: int) -> None:
        self._inner = inner
        self._left = left

    def run(self, sql: str) -> None:
        self._one_less()
        self._inner.run(sql)

    def insert(self, table: str, shape: Shape, columns: Columns) -> None:
        self._one_less()
        self._inner.insert(table, shape, columns)

    def read(self, sql: str, shape: Shape, ids: IdArray | None = None) -> Columns:
        return self._inner.read(sql, shape, ids)

    def alone(self) -> AbstractContextManager[None]:
        return self._inner.alone()

    def close(self) -> None:
        self._inner.close()

    def _one_less(self) -> None:
        if not self._left:
            raise Killed
        self._left -= 1


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Connection]:
    opened = EmbeddedEngine(tmp_path / "samples", UNSYNCED)
    connection = opened.connect(reading=False)
    try:
        yield connection
    finally:
        connection.close()
        opened.close()


def second_version(connection: Connection) -> None:
    """The samples as the second version of the schema kept them."""
    for table in ("samples", "samples_of_floats"):
        connection.run(f"drop table if exists {table} sync")
    connection.run(str(schema.MIGRATIONS[0][0]))


def move(connection: Connection, rows_at_once: int = ROWS_AT_ONCE) -> None:
    repack = Repack("samples", "v", schema.SAMPLES, schema.ROWS, pack_samples)
    repack.set_aside(connection)
    connection.run(str(schema.MIGRATIONS[3][1]))
    repack.move(connection, rows_at_once)


def sample_batches() -> list[SampleBatch]:
    """The second rewrites half of the first."""
    ids = np.array([Labels.metric("m", {"n": str(n)}).series_id() for n in range(SERIES)], np.uint64)
    first = np.resize(np.array([1.25, -0.0, 1 / 7, STALE, 2.0**60, 1e300, 5e-324, 0.1]), SERIES)
    batches = []
    for day in DAYS:
        batches.append(SampleBatch(ids, np.full(SERIES, day * DAY_MS + 5), first))
        batches.append(SampleBatch(ids[::2], np.full(SERIES // 2, day * DAY_MS + 5), np.arange(SERIES // 2) / 100))
    return batches


def stored(connection: Connection) -> tuple[list[tuple[int, int]], list[int]]:
    found = connection.read("select id, t, v from samples final order by id, t", schema.SAMPLES)
    return list(zip(found["id"].tolist(), found["t"].tolist(), strict=True)), bits(found["v"])


def bits(values: FloatArray) -> list[int]:
    return [int(one) for one in values.view(np.uint64)]


def filled(connection: Connection) -> Connection:
    second_version(connection)
    for one in sample_batches():
        connection.insert("samples", schema.SAMPLES, {"id": one.ids, "t": one.times, "v": one.values})
    return connection


def test_every_value_is_moved_bit_for_bit(engine: Connection) -> None:
    before = stored(filled(engine))
    move(engine)
    assert stored(engine) == before
    assert len(before[0]) == SERIES * len(DAYS)


def test_a_day_is_moved_in_slices(engine: Connection) -> None:
    before = stored(filled(engine))
    move(engine, rows_at_once=7)
    assert stored(engine) == before


def test_a_move_that_is_killed_at_any_statement_is_finished_by_the_next_start(engine: Connection) -> None:
    before = stored(filled(engine))
    for left in count():
        try:
            move(Breaking(filled(engine), left))
        except Killed:
            move(engine)
            assert stored(engine) == before
        else:
            break
    assert left >= len(DAYS) * 2 + 4


def test_a_later_write_wins_over_what_was_moved(engine: Connection) -> None:
    keys, _ = stored(filled(engine))
    move(engine)
    ids, times = np.array([one for one, _ in keys], np.uint64), np.array([at_ms for _, at_ms in keys])
    later = SampleBatch(ids, times, np.full(len(keys), 7.5))
    engine.insert("samples", schema.ROWS, Exponents().encode(later, NOW))
    assert stored(engine) == (keys, bits(later.values))


def test_an_empty_store_has_nothing_to_move(engine: Connection) -> None:
    second_version(engine)
    move(engine)
    assert stored(engine) == ([], [])


def test_roll_ups_are_moved_with_all_their_values(engine: Connection) -> None:
    for table in ("rollup_5m", "rollup_5m_of_floats"):
        engine.run(f"drop table if exists {table} sync")
    engine.run(str(schema.MIGRATIONS[1][0]))
    ids = np.repeat(np.arange(4, dtype=np.uint64), 5)
    times = np.tile(np.arange(5) * 300_000, 4)
    values = np.concatenate([np.arange(5) / 4, np.arange(5) / 7, [1.5, np.inf, 2.0, -0.0, 3.0], np.zeros(5)])
    old = dict.fromkeys(("low", "high", "total", "first_v", "last_v"), values)
    rows = old | {"id": ids, "t": times, "n": np.full(20, 3), "first_t": times + 1, "last_t": times + 2}
    engine.insert("rollup_5m", schema.BUCKETS, rows)
    for step in schema.MIGRATIONS[4][:3]:
        if isinstance(step, str):
            engine.run(step)
        else:
            step(engine)
    moved = engine.read(f"select {schema.BUCKETS.names} from rollup_5m final order by id, t", schema.BUCKETS)
    for name, kind in schema.BUCKETS.types.items():
        before = rows[name]
        assert (bits(moved[name]) == bits(before)) if kind == "Float64" else np.array_equal(moved[name], before), name
