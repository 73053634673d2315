"""Hashes to their numbers by open addressing: 8 bytes each, and thousands looked up at once.

A dictionary of Python takes 120 bytes for each. The hashes are good already, so their low bits choose the slot.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tocsin.model.series import IdArray

SLOTS_MIN = 64

Numbers = npt.NDArray[np.int64]


class Column:
    """An array with room at its end, which is filled with `fill`. `view` gives and takes single values as plain Python,
    three times as fast.

    Readers on other threads ask for the data last: whatever it is by then, it holds all rows that they know of.
    """

    __slots__ = ("_fill", "data", "size", "view")

    def __init__(self, kind: npt.DTypeLike, fill: float = 0) -> None:
        self._fill = fill
        self.data: Any = np.full(SLOTS_MIN, fill, kind)
        self.view: Any = _view(self.data)
        self.size = 0

    def append(self, value: float) -> None:
        if self.size == len(self.data):
            self.reserve(self.size + 1)
        self.view[self.size] = value
        self.size += 1

    def extend(self, values: Any) -> None:
        size = self.size + len(values)
        self.reserve(size)
        self.data[self.size : size] = values
        self.size = size

    def reserve(self, size: int) -> None:
        if size > len(self.data):
            before = len(self.data)
            grown = np.empty(max(size, before * 3 // 2), self.data.dtype)
            grown[:before] = self.data
            grown[before:] = self._fill
            self.data, self.view = grown, _view(grown)

    @property
    def array(self) -> Any:
        size = self.size  # before the data, see above
        return self.data[:size]


class Slots:
    """The number of each hash, numbers being the places in `hashes`. Changed by one thread at a time.

    A hash must be in `hashes` before it is placed; readers then see both or neither.
    """

    def __init__(self, hashes: Column, room: int = 0) -> None:
        self._hashes = hashes
        self._slots: Any = np.zeros(_slots_for(room), np.uint32)
        self._view: Any = _view(self._slots)

    def find(self, one: int) -> int:
        """-1 where it is not known."""
        slots = self._view
        mask = len(slots) - 1
        at = one & mask
        while found := slots[at]:
            if self._hashes.view[found - 1] == one:
                return int(found) - 1
            at = (at + 1) & mask
        return -1

    def find_all(self, many: IdArray) -> Numbers:
        """int64[many], -1 where one is not known."""
        slots = self._slots
        mask = len(slots) - 1
        at = (many & np.uint64(mask)).astype(np.int64)
        found: Numbers = slots[at].astype(np.int64) - 1
        left = np.flatnonzero((found >= 0) & (self._hashes.data[found] != many))
        while len(left):
            at[left] = (at[left] + 1) & mask
            found[left] = slots[at[left]].astype(np.int64) - 1
            left = left[(found[left] >= 0) & (self._hashes.data[found[left]] != many[left])]
        return found

    def place(self, number: int) -> None:
        """The newest hash, which has this number."""
        if 2 * (number + 1) > len(self._slots):
            self.place_all()
            return
        slots = self._view
        mask = len(slots) - 1
        at = self._hashes.view[number] & mask
        while slots[at]:
            at = (at + 1) & mask
        slots[at] = number + 1

    def place_all(self) -> None:
        """Every hash anew: 50 ms for a million."""
        size = self._hashes.size
        slots: Any = np.zeros(max(len(self._slots), _slots_for(size)), np.uint32)
        mask = len(slots) - 1
        at = (self._hashes.array & np.uint64(mask)).astype(np.int64)
        left = np.arange(size)
        while len(left):
            free = left[slots[at[left]] == 0]
            slots[at[free]] = free + 1  # of several for one slot the last gets it
            left = left[slots[at[left]] != left + 1]
            at[left] = (at[left] + 1) & mask
        self._slots, self._view = slots, _view(slots)


def _slots_for(room: int) -> int:
    size = SLOTS_MIN
    while size < 2 * room:
        size *= 2
    return size


def _view(data: Any) -> Any:
    return memoryview(data)
