"""Samples on their way in, before they have ids."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias, overload

import numpy as np
import numpy.typing as npt

from tocsin.model.labels import Labels
from tocsin.model.series import FloatArray, IdArray, TimeArray

IndexArray: TypeAlias = npt.NDArray[np.int64]

CHANGED_MAX = 64
"""Books of one book's series under other labels: each has an id of 8 bytes for every slot."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Sample i is values[i] of series[which[i]] at times[i] (ms UTC).

    which, times and index are int64[n], values float64[n]. index[i] is where the sender wrote the
    sample, counted from 0; a rejection is told by it. Later rows win over earlier ones of the same
    series and time. `series` may be a book that holds more than the series of these samples.
    """

    series: tuple[Labels, ...] | SeriesBook
    which: IndexArray
    times: TimeArray
    values: FloatArray
    index: IndexArray

    def __len__(self) -> int:
        return len(self.times)


class SeriesBook(Sequence[Labels]):
    """The series that a parser recognises, by slots: the labels of a slot never change, and slots are only added.

    `read` gives the labels of a slot, `size` the number of slots.
    """

    def __init__(self, read: Callable[[int], Labels], size: Callable[[], int]) -> None:
        self._read = read
        self._size = size
        self._ids: IdArray = np.zeros(0, np.uint64)
        self._generation = 0
        self._changed: dict[Hashable, SeriesBook] = {}

    def __len__(self) -> int:
        return self._size()

    @overload
    def __getitem__(self, at: int) -> Labels: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[Labels]: ...

    def __getitem__(self, at: int | slice) -> Labels | Sequence[Labels]:
        if isinstance(at, slice):
            return [self._read(each) for each in range(*at.indices(len(self)))]
        return self._read(at)

    def __iter__(self) -> Iterator[Labels]:
        return map(self._read, range(len(self)))

    def ids(self, generation: int) -> IdArray:
        """uint64[slots], for the appender to write into: 0 where a series has no id yet.

        All are 0 again when the index is of another generation, as some of them may be known no more.
        """
        if generation != self._generation:
            self._ids, self._generation = np.zeros(0, np.uint64), generation
        missing = len(self) - len(self._ids)
        if missing > 0:
            room = max(missing, len(self._ids) // 2)
            self._ids = np.concatenate((self._ids, np.zeros(room, np.uint64)))
        return self._ids

    def changed(self, key: Hashable, change: Callable[[Labels], Labels]) -> SeriesBook:
        """The same slots with other labels; the same book for the same key, of the last CHANGED_MAX keys."""
        known = self._changed.pop(key, None)
        if known is None:
            known = SeriesBook(lambda at: change(self._read(at)), self._size)
        self._changed[key] = known  # the newest stands last
        if len(self._changed) > CHANGED_MAX:
            del self._changed[next(iter(self._changed))]
        return known


class Refusal(StrEnum):
    """Why a sample was refused, as the label of a counter."""

    MALFORMED = "malformed"
    TOO_MANY_LABELS = "too many labels"
    TOO_LONG = "too long"
    PAST_RETENTION = "past retention"
    FUTURE = "future"
    SERIES_LIMIT = "series limit"
    METRIC_SERIES_LIMIT = "metric series limit"
    ID_TAKEN = "id taken"
    SERIES_BUDGET = "series budget of the token"
    HISTOGRAM = "native histogram"


@dataclass(frozen=True, slots=True)
class Rejection:
    """`index` counts from 0 in the sender's order; `reason` is a sentence for the sender."""

    index: int
    reason: str
    kind: Refusal = Refusal.MALFORMED


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of an append; rejected in the sender's order."""

    stored: int
    rejected: tuple[Rejection, ...] = ()
