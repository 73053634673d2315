"""What the engine keeps of series: their labels, and between which days they have samples.

`series` holds the labels as JSON; of several rows of an id the newest counts, and one with no text says that the
series was forgotten. `series_days` holds UTC days since 1970; rows of one id are joined as the engine merges.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from tocsin.model.labels import Labels
from tocsin.model.series import IdArray
from tocsin.store.samples.engine import IDS, Connection
from tocsin.store.samples.index import LabelIndex, Spans
from tocsin.store.samples.journal import NewSeries
from tocsin.store.samples.native import Shape
from tocsin.store.samples.schema import SERIES, SERIES_DAYS
from tocsin.store.samples.slots import Column, Slots

FORGOTTEN = ""
"""Stands for the labels of a series that was forgotten, in a later row than the labels themselves."""
SLICE_BITS = 4
"""Series are read in 2 to the power of so many parts, by the first bits of their ids."""

_DECODER = msgspec.json.Decoder(dict[str, str])
_COUNT = Shape({"n": "UInt64"})
_PAIRS = Shape({"hash": "UInt64", "name": "String", "value": "String", "clash": "UInt64"})
_ROWS = Shape({"id": "UInt64", "pairs": "Array(UInt64)"})
_TAKEN_APART = "JSONExtractKeysAndValues(labels, 'String')"
_LIVING = f"series final where labels != '{FORGOTTEN}'"


def load(connection: Connection, index: LabelIndex) -> None:
    """Fill an empty index. A million series of ten labels take about two seconds.

    The engine takes the labels apart and gives each pair a hash, so that there is a Python object for each
    different pair and none for a series. Where two pairs have one hash, all is hashed with another key.
    """
    key = 0
    while not _loaded(connection, index, key):
        key += 1
    index.load_spans(days(connection))


def days(connection: Connection, ids: IdArray | None = None) -> Spans:
    """Between which days series have samples; of these ids only."""
    where = "" if ids is None else f"where id in {IDS} "
    rows = connection.read(
        "select id, toInt64(min(series_days.first)) as first, toInt64(max(series_days.last)) as last "  # noqa: S608 - our own
        f"from series_days {where}group by id",
        SERIES_DAYS,
        ids,
    )
    return Spans(rows["id"], rows["first"], rows["last"])


def _loaded(connection: Connection, index: LabelIndex, key: int) -> bool:
    """Whether each pair had a hash of its own; if not, nothing was loaded."""
    hashed = _keyed(key) if key else "xxh3(pair.1, pair.2)"  # which is cheaper by half a second in a million series
    other = _keyed(key + 1)
    found = connection.read(
        f"select {hashed} as hash, any(pair.1) as name, any(pair.2) as value, "  # noqa: S608 - our own
        f"toUInt64(min({other}) != max({other})) as clash "
        f"from (select arrayJoin({_TAKEN_APART}) as pair from {_LIVING}) group by hash",
        _PAIRS,
    )
    if found["clash"].any():
        return False
    numbers = index.load_pairs(found["name"], found["value"])
    hashes = Column(np.uint64)
    hashes.extend(found["hash"])
    slots = Slots(hashes)
    slots.place_all()
    loaded: list[tuple[IdArray, IdArray, npt.NDArray[np.uint32]]] = []
    for part in range(1 << SLICE_BITS):
        first = part << (64 - SLICE_BITS)
        last = first + (1 << (64 - SLICE_BITS)) - 1
        rows = connection.read(
            f"select id, arrayMap(pair -> {hashed}, {_TAKEN_APART}) as pairs "  # noqa: S608 - our own
            f"from {_LIVING} and id >= {first} and id <= {last} order by id",
            _ROWS,
        )
        lengths, flat = rows["pairs"]
        loaded.append((rows["id"], lengths, numbers[slots.find_all(flat)]))
    index.load_rows(*(np.concatenate(columns) for columns in zip(*loaded, strict=True)))
    return True


def _keyed(key: int) -> str:
    return f"sipHash64Keyed((toUInt64({key}), toUInt64(0)), pair.1, pair.2)"


def labels_of(text: str) -> Labels:
    """The labels in a row of `series`."""
    return Labels.of(_DECODER.decode(text))


def insert(connection: Connection, series: NewSeries) -> None:
    ids, texts = zip(*series, strict=True)
    connection.insert("series", SERIES, {"id": ids, "labels": texts})


def insert_days(connection: Connection, spans: Spans) -> None:
    connection.insert("series_days", SERIES_DAYS, {"id": spans.ids, "first": spans.first, "last": spans.last})


def bury(connection: Connection, ids: IdArray) -> None:
    connection.insert("series", SERIES, {"id": ids, "labels": [FORGOTTEN] * len(ids)})


def purge(connection: Connection, day: int) -> None:
    """Take off the disk what is left of forgotten series, and what is known of days before this one.

    Rows that come meanwhile are not touched by it.
    """
    past = f"last < {day}"
    if _count(connection, "series_days", past):
        connection.run(f"alter table series_days delete where {past}")
    buried = f"labels = '{FORGOTTEN}'"
    if _count(connection, "series", buried):
        connection.run("optimize table series final")
        connection.run(f"alter table series delete where {buried}")


def _count(connection: Connection, table: str, where: str) -> int:
    return int(connection.read(f"select count() as n from {table} where {where}", _COUNT)["n"][0])  # noqa: S608 - our own
