"""The order of an instant answer. A range has none: its series are sorted by their labels, whatever is asked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cmp_to_key

import numpy as np

from tocsin.promql.frame import LabelColumn, RowArray
from tocsin.promql.functions.apply import Apply, text_of, vector_of
from tocsin.promql.here import Here
from tocsin.promql.values import Value, Vector

_CHUNKS = re.compile(r"[0-9]+|[^0-9]+")


def _by_value(*, descending: bool) -> Apply:
    """NaN comes last either way."""

    def apply(args: Sequence[Value], here: Here) -> Value:
        vector = vector_of(args[0]).compacted()
        if here.grid.count != 1:
            return vector
        values = vector.values[:, 0]
        return _ordered(vector, np.lexsort((-values if descending else values, np.isnan(values))))

    return apply


def _by_label(*, descending: bool) -> Apply:
    """Label after label in natural order ("node2" before "node10"), and then all labels."""

    def apply(args: Sequence[Value], here: Here) -> Value:
        vector = vector_of(args[0]).compacted()
        if here.grid.count != 1:
            return vector
        position = np.empty(len(vector), np.int64)
        position[vector.frame.order()] = np.arange(len(vector))
        ranks = [natural_ranks(vector.frame.column(text_of(label))) for label in args[1:]]
        order = np.lexsort((position, *reversed(ranks)))
        return _ordered(vector, order[::-1] if descending else order)

    return apply


def _ordered(vector: Vector, order: RowArray) -> Vector:
    taken = vector.take(order)
    return Vector(taken.frame, taken.values, taken.present, sorted=True)


def natural_ranks(column: LabelColumn) -> RowArray:
    """int64[series]: where each value stands among the others; an absent label comes first."""
    texts = [*column.values, ""]
    place = {text: at for at, text in enumerate(sorted(texts, key=cmp_to_key(_compared)))}
    ranks = np.array([place[text] for text in texts], np.int64)
    return ranks[column.codes]


def _compared(a: str, b: str) -> int:
    """Below, at or above 0. Digits count as a number, all else as text."""
    ours, theirs = _CHUNKS.findall(a), _CHUNKS.findall(b)
    for mine, other in zip(ours, theirs, strict=False):
        numbers = mine.isdigit() and other.isdigit()
        left, right = (int(mine), int(other)) if numbers else (mine, other)
        if left != right:
            return -1 if left < right else 1
    return len(ours) - len(theirs)


FAMILY: Mapping[str, Apply] = {
    "sort": _by_value(descending=False),
    "sort_by_label": _by_label(descending=False),
    "sort_by_label_desc": _by_label(descending=True),
    "sort_desc": _by_value(descending=True),
}
