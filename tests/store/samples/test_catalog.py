"""Series in the engine: what was inserted is loaded, whatever their labels are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.samples import UNSYNCED

from tocsin.model.labels import Labels
from tocsin.model.series import IdArray
from tocsin.store.samples import catalog
from tocsin.store.samples.embedded import EmbeddedEngine
from tocsin.store.samples.engine import Connection
from tocsin.store.samples.index import LabelIndex, Spans
from tocsin.store.samples.native import Columns, Shape
from tocsin.store.samples.schema import migrate

CPU = Labels.metric("cpu", {"host": "a"})
DISK = Labels.metric("disk", {"host": "a", "mount": "/"})
TEXT = st.text(max_size=12).filter(lambda text: text.encode(errors="ignore").decode() == text and "\0" not in text)
SERIES = st.dictionaries(TEXT, TEXT, max_size=6).map(Labels.of)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    engine = EmbeddedEngine(tmp_path / "samples", UNSYNCED)
    opened = engine.connect(reading=False)
    migrate(opened, fsync=False)
    yield opened
    opened.close()
    engine.close()


def insert(connection: Connection, *series: Labels) -> None:
    index = LabelIndex(1_000)
    catalog.insert(connection, index.unsaved(np.array([index.intern(labels) for labels in series], np.uint64)))


def loaded(connection: Connection) -> LabelIndex:
    index = LabelIndex(1_000)
    catalog.load(connection, index)
    return index


def test_an_empty_catalog_is_an_empty_index(connection: Connection) -> None:
    assert len(loaded(connection)) == 0


def test_of_several_rows_the_newest_counts(connection: Connection) -> None:
    insert(connection, CPU, DISK)
    ids = np.array([CPU.series_id(), DISK.series_id()], np.uint64)
    catalog.bury(connection, ids)
    insert(connection, DISK)
    assert loaded(connection).series(()) == (DISK,)
    catalog.purge(connection, 0)
    assert loaded(connection).series(()) == (DISK,)


def test_what_is_loaded_is_saved_and_has_its_days(connection: Connection) -> None:
    insert(connection, CPU)
    ids = np.array([CPU.series_id()], np.uint64)
    for first, last in ((5, 7), (3, 4)):
        catalog.insert_days(connection, Spans(ids, np.array([first]), np.array([last])))
    index = loaded(connection)
    assert index.unsaved(ids) == []
    assert index.intern(CPU) == CPU.series_id()
    assert len(index.unkept(ids[[0, 0]], np.array([3, 7]) * 86_400_000)) == 0
    assert len(index.unkept(ids, np.array([8]) * 86_400_000)) == 1


def test_days_before_the_purged_are_forgotten(connection: Connection) -> None:
    connection.run("set mutations_sync = 1")
    ids = np.array([1, 2], np.uint64)
    catalog.insert_days(connection, Spans(ids, np.array([1, 1]), np.array([4, 5])))
    catalog.purge(connection, 5)
    left = connection.read("select id from series_days", Shape({"id": "UInt64"}))
    assert left["id"].tolist() == [2]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(SERIES, min_size=1, max_size=20, unique=True))
def test_labels_of_any_text_are_loaded_as_they_were(connection: Connection, series: list[Labels]) -> None:
    connection.run("truncate table series")
    insert(connection, *series)
    assert set(loaded(connection).series(())) == set(series)


@dataclass(slots=True)
class Clashing:
    """A connection whose first hashes are no good."""

    real: Connection
    bad: int
    asked: list[str] = field(default_factory=list)

    def read(self, sql: str, shape: Shape, ids: IdArray | None = None) -> Columns:
        found = self.real.read(sql, shape, ids)
        if "clash" in found:
            self.asked.append(sql)
            found["clash"] = np.full(len(found["clash"]), len(self.asked) <= self.bad)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


def test_where_two_labels_have_one_hash_another_key_is_taken(connection: Connection) -> None:
    insert(connection, CPU, DISK)
    clashing = Clashing(connection, bad=2)
    assert set(loaded(clashing).series(())) == {CPU, DISK}
    assert len(set(clashing.asked)) == 3
