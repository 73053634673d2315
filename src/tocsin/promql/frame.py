"""The labels of many series as columns, so that grouping and matching are arithmetic on numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from tocsin.model.labels import METRIC_NAME, Labels

CodeArray: TypeAlias = npt.NDArray[np.int32]
RowArray: TypeAlias = npt.NDArray[np.int64]

ABSENT = -1


@dataclass(frozen=True, slots=True, eq=False)
class LabelColumn:
    """One label of n series: codes int32[n] into `values`, ABSENT where a series lacks it.

    Values differ from one another and none is empty; some may be nobody's.
    """

    codes: CodeArray
    values: Sequence[str]

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: RowArray) -> LabelColumn:
        return LabelColumn(self.codes[rows], self.values)

    @classmethod
    def of(cls, texts: Iterable[str]) -> LabelColumn:
        """An empty text is an absent label."""
        known: dict[str, int] = {"": ABSENT}
        codes = [known.setdefault(text, len(known) - 1) for text in texts]
        return cls(np.array(codes, np.int32), [text for text in known if text])

    @classmethod
    def constant(cls, text: str, size: int) -> LabelColumn:
        return cls(np.full(size, 0 if text else ABSENT, np.int32), [text] if text else [])

    def texts(self) -> list[str]:
        """One for each series, empty where absent."""
        values = [*self.values, ""]  # the last is that of ABSENT, -1
        return [values[code] for code in self.codes.tolist()]

    def mapped(self, change: Mapping[str, str]) -> LabelColumn:
        """With other values; `change` has each of them and "" for an absent one."""
        target: dict[str, int] = {"": ABSENT}
        table = [target.setdefault(change[value], len(target) - 1) for value in (*self.values, "")]
        return LabelColumn(np.array(table, np.int32)[self.codes], [text for text in target if text])


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Which group each series is in: of int64[n] < count, and the labels of the groups, in order of first members."""

    of: RowArray
    frame: LabelFrame

    @property
    def count(self) -> int:
        return len(self.frame)


class LabelFrame:
    """Label sets of `len` series. A value: never changed, so what is computed once is kept."""

    __slots__ = ("_groups", "_json", "_keys", "_size", "columns")

    def __init__(self, size: int, columns: Mapping[str, LabelColumn]) -> None:
        """`columns` by label, each of `size` series; the metric's name is the label `__name__`."""
        self._size = size
        self.columns: Mapping[str, LabelColumn] = columns
        self._groups: dict[tuple[bool, tuple[str, ...]], Groups] = {}
        self._json: list[bytes] | None = None
        self._keys: RowArray | None = None

    @classmethod
    def of(cls, labels: Sequence[Labels]) -> LabelFrame:
        dicts = [dict(each.pairs) for each in labels]
        names = sorted({name for each in dicts for name in each})
        return cls(len(dicts), {name: LabelColumn.of(each.get(name, "") for each in dicts) for name in names})

    def __len__(self) -> int:
        return self._size

    def column(self, name: str) -> LabelColumn:
        """Also where no series has that label."""
        return self.columns.get(name) or LabelColumn(np.full(self._size, ABSENT, np.int32), ())

    def take(self, rows: RowArray) -> LabelFrame:
        """These series, in this order."""
        return LabelFrame(len(rows), {name: column.take(rows) for name, column in self.columns.items()})

    def only(self, names: Iterable[str]) -> LabelFrame:
        return LabelFrame(
            self._size, {name: self.columns[name] for name in dict.fromkeys(names) if name in self.columns}
        )

    def without(self, *names: str) -> LabelFrame:
        if not any(name in self.columns for name in names):
            return self
        return LabelFrame(self._size, {name: each for name, each in self.columns.items() if name not in names})

    def with_column(self, name: str, column: LabelColumn) -> LabelFrame:
        """In place of what that label was."""
        return LabelFrame(self._size, {**self.columns, name: column})

    def group(self, labels: Sequence[str], *, without: bool) -> Groups:
        """By the labels, or by all others; `__name__` goes with `without`, as everywhere in PromQL."""
        asked = (without, tuple(labels))
        found = self._groups.get(asked)
        if found is None:
            kept = self.without(*labels, METRIC_NAME) if without else self.only(labels)
            of, first = ranked(kept.keys())
            found = self._groups[asked] = Groups(of, kept.take(first))
        return found

    def keys(self) -> RowArray:
        """int64[n]: equal where and only where the label sets are equal."""
        if self._keys is None:
            self._keys = combined([column.codes for column in self.columns.values()], self._size)
        return self._keys

    def duplicate(self) -> Labels | None:
        """A label set that two series have."""
        order = np.argsort(self.keys(), kind="stable")
        same = np.flatnonzero(np.diff(self.keys()[order]) == 0)
        return self.labels(int(order[same[0]])) if len(same) else None

    def labels(self, row: int) -> Labels:
        return Labels.of(
            {
                name: column.values[column.codes[row]]
                for name, column in self.columns.items()
                if column.codes[row] != ABSENT
            }
        )

    def __iter__(self) -> Iterator[Labels]:
        return map(self.labels, range(self._size))

    def dicts(self) -> list[dict[str, str]]:
        """Each series' labels by name, names rising."""
        out: list[dict[str, str]] = [{} for _ in range(self._size)]
        for name in sorted(self.columns):
            for labels, text in zip(out, self.columns[name].texts(), strict=True):
                if text:
                    labels[name] = text
        return out

    def json(self) -> list[bytes]:
        """Each series' labels as a JSON object, names rising."""
        if self._json is None:
            encode = msgspec.json.Encoder().encode
            self._json = [encode(labels) for labels in self.dicts()]
        return self._json

    def order(self) -> RowArray:
        """The rows in the order of their labels, as Prometheus sorts series: pair by pair, names before values."""
        keys: list[npt.NDArray[Any]] = []
        ended = np.ones(self._size, np.bool_)  # has no label from here on, and so comes first
        for name in sorted(self.columns, reverse=True):
            column = self.columns[name]
            rank = np.empty(len(column.values) + 1, np.int64)
            rank[np.array(sorted(range(len(column.values)), key=column.values.__getitem__), np.int64)] = np.arange(
                len(column.values)
            )
            rank[ABSENT] = len(column.values)  # its next label has a later name
            keys.append(np.where(ended & (column.codes == ABSENT), -1, rank[column.codes]))
            ended &= column.codes == ABSENT
        return np.lexsort(keys) if keys else np.arange(self._size)


EMPTY_FRAME = LabelFrame(0, {})


def joined(frames: Sequence[LabelFrame]) -> LabelFrame:
    """One after another."""
    if len(frames) == 1:
        return frames[0]
    names = dict.fromkeys(name for frame in frames for name in frame.columns)
    size = sum(map(len, frames))
    return LabelFrame(size, {name: joined_columns([frame.column(name) for frame in frames]) for name in names})


def joined_columns(columns: Sequence[LabelColumn]) -> LabelColumn:
    known: dict[str, int] = {}
    parts = []
    for column in columns:
        table = [known.setdefault(value, len(known)) for value in column.values]
        parts.append(np.array([*table, ABSENT], np.int32)[column.codes])
    return LabelColumn(np.concatenate(parts) if parts else np.zeros(0, np.int32), list(known))


def common_keys(left: LabelFrame, right: LabelFrame) -> tuple[RowArray, RowArray]:
    """Keys of both, equal where and only where the label sets are equal, across the two as well."""
    keys = joined([left, right]).keys()
    return keys[: len(left)], keys[len(left) :]


def combined(codes: Sequence[CodeArray], size: int) -> RowArray:
    """One number for each row of several columns."""
    keys = np.zeros(size, np.int64)
    width = 1
    for column in codes:
        span = int(column.max(initial=ABSENT)) + 2
        if width * span >= 1 << 62:
            values, keys = np.unique(keys, return_inverse=True)
            width = len(values)
        keys = keys * span + (column + 1)
        width *= span
    return keys


def ranked(keys: RowArray) -> tuple[RowArray, RowArray]:
    """Numbers 0… in the order in which keys first come, and the row in which each of them does."""
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank[inverse], first[order]
