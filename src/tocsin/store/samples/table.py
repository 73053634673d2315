"""Every series by its ordinal, in columns: a hundred bytes or two each, and fast to look through by the thousand.

A *pair* is one label with one value. Pairs are numbered, and a series is the numbers of its pairs, in the order of
its labels.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec
import numpy as np

from tocsin.model.labels import Labels
from tocsin.model.series import IdArray
from tocsin.promql.frame import ABSENT, LabelColumn, LabelFrame
from tocsin.store.samples.slots import Column, Numbers, Slots

Ordinals: TypeAlias = Numbers
Pair: TypeAlias = tuple[str, str]

NEVER_FIRST, NEVER_LAST = np.iinfo(np.int64).max, np.iinfo(np.int64).min
NO_DAY_FIRST, NO_DAY_LAST = np.iinfo(np.int32).max, np.iinfo(np.int32).min


@dataclass(slots=True)
class Label:
    """A label's name, and the pairs it is part of by their values."""

    number: int
    name: str
    values: dict[str, int] = field(default_factory=dict)
    pairs: array[int] = field(default_factory=lambda: array("I"))

    def numbers(self) -> Ordinals:
        """The pairs, in the order in which they came."""
        return np.frombuffer(self.pairs.tobytes(), np.uint32).astype(np.int64)  # the bytes are copied in one step


class SeriesTable:
    """Changed by one thread at a time; any thread may look, as a row is whole before its id can be found.

    `size` rows are whole. A row that is not `alive` was forgotten: it is skipped, and comes back as it was.
    `saved` says that its labels are in the journal or the engine. `first` and `last` are the times in ms of
    a series' samples, `kept_first` and `kept_last` the UTC days that the engine was told of.
    """

    def __init__(self, room: int) -> None:
        self.ids = Column(np.uint64)
        self.ends = Column(np.int64)
        self.flat = Column(np.uint32)
        self.alive, self.saved = Column(np.bool_, True), Column(np.bool_, False)  # noqa: FBT003 - values
        self.first, self.last = Column(np.int64, NEVER_FIRST), Column(np.int64, NEVER_LAST)
        self.kept_first, self.kept_last = Column(np.int32, NO_DAY_FIRST), Column(np.int32, NO_DAY_LAST)
        self._states = (self.alive, self.saved, self.first, self.last, self.kept_first, self.kept_last)
        self.living = 0
        self.labels: dict[str, Label] = {}
        self.names: list[str] = []
        self.pairs: list[Pair] = []
        self.label_of = Column(np.uint32)
        self.counts = Column(np.int64)
        self._postings: list[int | array[int]] = []
        self._slots = Slots(self.ids, room)
        self.ordinal = self._slots.find
        self.ordinals = self._slots.find_all

    @property
    def size(self) -> int:
        return self.ids.size

    def labels_at(self, ordinal: int) -> Labels:
        start = self.ends.view[ordinal - 1] if ordinal else 0
        numbers = self.flat.view[start : self.ends.view[ordinal]].tolist()
        return Labels(tuple([self.pairs[number] for number in numbers]))

    def text_at(self, ordinal: int) -> str:
        """The labels as a JSON object."""
        return msgspec.json.encode(dict(self.labels_at(ordinal).pairs)).decode()

    def pair(self, name: str, value: str) -> int:
        """The number of a pair, which is given one where it is new."""
        label = self.labels.get(name)
        if label is None:
            label = Label(len(self.names), name)
            self.names.append(name)
            self.labels[name] = label
        number = label.values.get(value)
        if number is None:
            number = len(self.pairs)
            self.label_of.append(label.number)
            self.counts.append(0)
            self._postings.append(-1)
            self.pairs.append((label.name, value))
            label.values[value] = number
            label.pairs.append(number)
        return number

    def add(self, series_id: int, pairs: Sequence[Pair]) -> int:
        """The new series' ordinal. Its id must not be known yet."""
        ordinal = self.size
        labels = self.labels
        numbers = []
        for name, value in pairs:
            try:
                numbers.append(labels[name].values[value])
            except KeyError:
                numbers.append(self.pair(name, value))
        counts = self.counts.view
        for number in numbers:
            counts[number] += 1
            self._post(number, ordinal)
        self.flat.extend(numbers)
        self.ends.append(self.flat.size)
        if ordinal == len(self.alive.data):
            self._reserve(ordinal + 1)
        self.living += 1
        self.ids.append(series_id)  # readers look at no ordinal beyond it
        self._slots.place(ordinal)
        return ordinal

    def add_all(self, ids: IdArray, lengths: Ordinals, flat: Any) -> None:
        """Many new series at once, of so many pairs each; `flat` holds the numbers of their pairs."""
        start = self.size
        self._post_all(flat, np.repeat(np.arange(start, start + len(ids)), lengths))
        self.counts.array[:] += np.bincount(flat, minlength=self.counts.size)
        self.ends.extend(self.flat.size + np.cumsum(lengths))
        self.flat.extend(flat)
        self._reserve(start + len(ids))
        self.living += len(ids)
        self.ids.extend(ids)
        self._slots.place_all()

    def hide(self, ordinals: Ordinals) -> None:
        """Forget living series, each named once."""
        self.alive.data[ordinals] = False
        self.saved.data[ordinals] = False
        self._count(ordinals, -1)
        for column, value in (
            (self.first, NEVER_FIRST),
            (self.last, NEVER_LAST),
            (self.kept_first, NO_DAY_FIRST),
            (self.kept_last, NO_DAY_LAST),
        ):
            column.data[ordinals] = value

    def revive(self, ordinals: Ordinals) -> None:
        """Bring forgotten series back, each named once."""
        self.alive.data[ordinals] = True
        self._count(ordinals, 1)

    def posting(self, number: int) -> Ordinals:
        """The ordinals of the series with that pair, rising, forgotten ones among them."""
        found = self._postings[number]
        if isinstance(found, int):
            return np.array([found] if found >= 0 else [], np.int64)
        return np.frombuffer(found.tobytes(), np.uint32).astype(np.int64)  # the bytes are copied in one step

    def spans(self, ordinals: Ordinals) -> tuple[Ordinals, Ordinals]:
        """Where the pairs of these series begin and end in `flat`."""
        ends = self.ends.data
        starts = np.where(ordinals > 0, ends[ordinals - 1], 0)
        return starts, ends[ordinals]

    def pairs_of(self, label: int, ordinals: Ordinals) -> Ordinals:
        """int64[ordinals]: the pair that each series has of a label, -1 where it has none."""
        found = np.full(len(ordinals), -1, np.int64)
        at, end = self.spans(ordinals)
        left = np.flatnonzero(at < end)
        flat, label_of = self.flat.data, self.label_of.data
        while len(left):
            pairs = flat[at[left]]
            hit = label_of[pairs] == label
            found[left[hit]] = pairs[hit]
            left = left[~hit]
            at[left] += 1
            left = left[at[left] < end[left]]
        return found

    def pairs_in(self, ordinals: Ordinals) -> Any:
        """The numbers of all pairs of these series, as often as they occur."""
        starts, ends = self.spans(ordinals)
        lengths = ends - starts
        shift = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
        return self.flat.data[shift + np.arange(len(shift))]

    def frame(self, ordinals: Ordinals) -> LabelFrame:
        """The labels of these series, in columns."""
        starts, ends = self.spans(ordinals)
        owners = np.repeat(np.arange(len(ordinals)), ends - starts)
        flat = self.pairs_in(ordinals)
        of_labels = self.label_of.data[flat]
        columns = {}
        for number in np.unique(of_labels).tolist():
            mine = np.flatnonzero(of_labels == number)
            used, codes = np.unique(flat[mine], return_inverse=True)
            column = np.full(len(ordinals), ABSENT, np.int32)
            column[owners[mine]] = codes
            columns[self.names[number]] = LabelColumn(column, [self.pairs[pair][1] for pair in used.tolist()])
        return LabelFrame(len(ordinals), columns)

    def without(self, ordinals: Ordinals) -> tuple[SeriesTable, Ordinals]:
        """A table without these series and pairs that only they have, and the ordinals in this one of its rows."""
        keep = np.ones(self.size, np.bool_)
        keep[ordinals] = False
        kept = np.flatnonzero(keep)
        starts, ends = self.spans(kept)
        flat = self.pairs_in(kept)
        used = np.unique(flat)
        made = SeriesTable(len(kept))
        renumbered = np.zeros(self.counts.size, np.uint32)
        renumbered[used] = [made.pair(*self.pairs[number]) for number in used.tolist()]
        made.add_all(self.ids.data[kept], ends - starts, renumbered[flat])
        return made, kept

    def take(self, other: SeriesTable, ordinals: Ordinals) -> None:
        """Add these rows of another table."""
        start = self.size
        for ordinal in ordinals.tolist():
            self.add(other.ids.view[ordinal], other.labels_at(ordinal).pairs)
        self.follow(other, ordinals, start)

    def follow(self, other: SeriesTable, ordinals: Ordinals, start: int) -> None:
        """Make the rows from `start` on what those of another table are."""
        alive = other.alive.data[ordinals]
        mine = self.alive.data[start : start + len(ordinals)]
        dead, back = np.flatnonzero(mine & ~alive), np.flatnonzero(alive & ~mine)
        self.hide(start + dead)
        self.revive(start + back)
        for name in ("saved", "first", "last", "kept_first", "kept_last"):
            getattr(self, name).data[start : start + len(ordinals)] = getattr(other, name).data[ordinals]

    def _count(self, ordinals: Ordinals, sign: int) -> None:
        np.add.at(self.counts.data, self.pairs_in(ordinals), sign)
        self.living += sign * len(ordinals)

    def _post(self, number: int, ordinal: int) -> None:
        before = self._postings[number]
        if not isinstance(before, int):
            before.append(ordinal)
        elif before < 0:
            self._postings[number] = ordinal
        else:
            self._postings[number] = array("I", (before, ordinal))

    def _post_all(self, flat: Any, owners: Any) -> None:
        if not len(flat):
            return
        # sorting both in one number is several times as fast as sorting the places of one by the other
        keys = np.sort((flat.astype(np.uint64) << np.uint64(32)) | owners.astype(np.uint64))
        numbers, owners = (keys >> np.uint64(32)).astype(np.uint32), keys.astype(np.uint32)
        del keys
        starts = np.flatnonzero(np.concatenate(([True], numbers[1:] != numbers[:-1])))
        ends = np.append(starts[1:], len(numbers))
        groups = zip(numbers[starts].tolist(), starts.tolist(), ends.tolist(), owners[starts].tolist(), strict=True)
        for number, low, high, owner in groups:
            if high - low == 1:
                self._post(number, owner)
                continue
            before = self._postings[number]
            posting = array("I", [before] if before >= 0 else []) if isinstance(before, int) else before
            posting.frombytes(owners[low:high].tobytes())
            self._postings[number] = posting

    def _reserve(self, size: int) -> None:
        for column in reversed(self._states):  # `alive` is the last to grow, so that the others are never shorter
            column.reserve(max(size, len(self.alive.data)))
