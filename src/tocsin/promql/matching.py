"""Which series of two vectors belong together, step by step, and what comes of each pair.

A series that is absent at a step matches nothing there: series that take turns under one key are no duplicates. So
pairs are made of all series that share a key, each with the steps at which both are there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from tocsin.model.labels import METRIC_NAME, Labels
from tocsin.model.series import FloatArray
from tocsin.promql import ast
from tocsin.promql.crowds import crowded, some
from tocsin.promql.frame import LabelColumn, LabelFrame, RowArray, combined, joined, ranked
from tocsin.promql.here import EvaluationError
from tocsin.promql.merge import NAMING, braced, merged
from tocsin.promql.operators import ARITHMETIC, compared, computed
from tocsin.promql.sets import meeting
from tocsin.promql.values import BoolArray, Vector, empty_vector


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """A vector whose series have keys int64[n]; equal keys match."""

    vector: Vector
    keys: RowArray

    def take(self, rows: RowArray) -> _Side:
        whole = len(rows) == len(self.keys) and bool((rows == np.arange(len(rows))).all())
        return self if whole else _Side(self.vector.take(rows), self.keys[rows])


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """What meets: its labels, both sides' values, where both are there, and the key they share.

    `many` is the side of which several series may meet one of the other.
    """

    frame: LabelFrame
    many: FloatArray
    one: FloatArray
    present: BoolArray
    keys: RowArray


def matched(node: ast.Binary, left: Vector, right: Vector) -> Vector:
    """Arithmetic and comparisons between vectors. Raises EvaluationError where a match is not the only one."""
    matching = node.matching or ast.Matching(ast.Card.ONE_TO_ONE, on=False, labels=())
    swapped = matching.card is ast.Card.ONE_TO_MANY
    keys_left, keys_right, count = meeting(left.frame, right.frame, matching.labels, on=matching.on)
    many, one = _Side(left, keys_left), _Side(right, keys_right)
    if swapped:
        many, one = one, many
    live = _live(matching, left, right)
    if not live.any():
        return empty_vector(left.values.shape[1])
    _refuse_crowds(one, count, live, matching)
    one = _in_turns(one, matching)
    parts = [_met(node, matching, many, one), *_filled(node, matching, many, one, count)]
    pairs = parts[0] if len(parts) == 1 else _together(parts)
    _refuse_ambiguity(pairs, count, matching)
    return _computed(node, pairs, swapped=swapped)


def _live(matching: ast.Matching, left: Vector, right: Vector) -> BoolArray:
    """bool[steps]: where anything is looked at. One side empty and nothing to fill it with: nothing is."""
    ours, theirs = left.present.any(axis=0), right.present.any(axis=0)
    filled = matching.fill_left is not None or matching.fill_right is not None
    return np.asarray(ours | theirs if filled else ours & theirs)


def _refuse_crowds(one: _Side, count: int, live: BoolArray, matching: ast.Matching) -> None:
    """Raises EvaluationError where the side that must be unique is not, at a step that is looked at."""
    found = np.argwhere(crowded(one.vector.present, one.keys, count).T & live[:, np.newaxis])
    if not len(found):
        return
    step, key = (int(each) for each in found[0])
    rows = np.flatnonzero((one.keys == key) & one.vector.present[:, step])
    kept, extra = (one.vector.frame.labels(int(row)) for row in rows[:2])
    group = {name: value for name, value in kept if (name in matching.labels) == matching.on}
    if not matching.on:
        group.pop(METRIC_NAME, None)
    side = "left" if matching.card is ast.Card.ONE_TO_MANY else "right"
    raise EvaluationError(
        f"found duplicate series for the match group {braced(Labels.of(group))} on the {side} hand-side of the "
        f"operation: [{braced(extra)}, {braced(kept)}];many-to-many matching not allowed: matching labels must be "
        "unique on one side"
    )


def _in_turns(one: _Side, matching: ast.Matching) -> _Side:
    """Series that take turns become one, unless a label that is to be included tells them apart."""
    told = [one.vector.frame.column(name).codes for name in matching.include]
    of, first = ranked(combined([ranked(one.keys)[0].astype(np.int32), *told], len(one.keys)))
    if len(first) == len(of):
        return one
    shape = (len(first), one.vector.values.shape[1])
    values, present = np.zeros(shape), np.zeros(shape, np.bool_)
    rows, steps = np.nonzero(one.vector.present)
    values[of[rows], steps] = one.vector.values[rows, steps]
    present[of[rows], steps] = True
    return _Side(Vector(one.vector.frame.take(first), values, present), one.keys[first])


def _met(node: ast.Binary, matching: ast.Matching, many: _Side, one: _Side) -> _Pairs:
    """Every series of the many with every one of the other side that has its key."""
    order = np.argsort(one.keys, kind="stable")
    ordered = one.keys[order]
    starts = np.searchsorted(ordered, many.keys, "left")
    sizes = np.searchsorted(ordered, many.keys, "right") - starts
    rows = np.repeat(np.arange(len(many.keys)), sizes)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    ours, theirs = many.take(rows), one.take(order[np.repeat(starts, sizes) + within])
    included = {name: theirs.vector.frame.column(name) for name in matching.include}
    return _Pairs(
        _labels(node, matching, ours.vector.frame, included),
        ours.vector.values,
        theirs.vector.values,
        ours.vector.present & theirs.vector.present,
        ours.keys,
    )


def _filled(node: ast.Binary, matching: ast.Matching, many: _Side, one: _Side, count: int) -> list[_Pairs]:
    """Series without a match at a step meet the fill value there.

    With group_right it is the right side whose gaps `fill_left` fills: Prometheus changes the sides, not the values.
    """
    parts = []
    if matching.fill_right is not None:
        alone = many.vector.present & ~some(one.vector.present, one.keys, count)[many.keys]
        bare = _match_labels(matching, many.vector.frame)
        included = {name: bare.column(name) for name in matching.include}
        frame = _labels(node, matching, many.vector.frame, included)
        filler = np.broadcast_to(np.float64(matching.fill_right), many.vector.values.shape)
        parts.append(_Pairs(frame, many.vector.values, filler, alone, many.keys))
    if matching.fill_left is not None:
        alone = one.vector.present & ~some(many.vector.present, many.keys, count)[one.keys]
        included = {name: one.vector.frame.column(name) for name in matching.include}
        frame = _labels(node, matching, _match_labels(matching, one.vector.frame), included)
        filler = np.broadcast_to(np.float64(matching.fill_left), one.vector.values.shape)
        parts.append(_Pairs(frame, filler, one.vector.values, alone, one.keys))
    return parts


def _labels(
    node: ast.Binary, matching: ast.Matching, frame: LabelFrame, included: dict[str, LabelColumn]
) -> LabelFrame:
    """What the result is called. An included label comes from the one side, also its absence."""
    if node.op in ARITHMETIC:
        frame = frame.without(*NAMING)
    if matching.card is ast.Card.ONE_TO_ONE:
        frame = frame.only(matching.labels) if matching.on else frame.without(*matching.labels)
    for name, column in included.items():
        frame = frame.with_column(name, column)
    return frame.without(*NAMING) if node.as_bool else frame


def _match_labels(matching: ast.Matching, frame: LabelFrame) -> LabelFrame:
    return frame.only(matching.labels) if matching.on else frame.without(*matching.labels, METRIC_NAME)


def _together(parts: list[_Pairs]) -> _Pairs:
    return _Pairs(
        joined([part.frame for part in parts]),
        np.concatenate([part.many for part in parts]),
        np.concatenate([part.one for part in parts]),
        np.concatenate([part.present for part in parts]),
        np.concatenate([part.keys for part in parts]),
    )


def _refuse_ambiguity(pairs: _Pairs, count: int, matching: ast.Matching) -> None:
    """Raises EvaluationError where several of the many meet one at a step and may not."""
    if matching.card is ast.Card.ONE_TO_ONE:
        if crowded(pairs.present, pairs.keys, count).any():
            _ambiguous("many-to-one matching must be explicit (group_left/group_right)")
        return
    told = [ranked(each)[0].astype(np.int32) for each in (pairs.keys, pairs.frame.keys())]
    of, first = ranked(combined(told, len(pairs.keys)))
    if crowded(pairs.present, of, len(first)).any():
        _ambiguous("grouping labels must ensure unique matches")


def _ambiguous(rule: str) -> NoReturn:
    raise EvaluationError(f"multiple matches for labels: {rule}")


def _computed(node: ast.Binary, pairs: _Pairs, *, swapped: bool) -> Vector:
    left, right = (pairs.one, pairs.many) if swapped else (pairs.many, pairs.one)
    if node.op in ARITHMETIC:
        return merged(Vector(pairs.frame, computed(node.op, left, right), pairs.present))
    holds = compared(node.op, left, right)
    if node.as_bool:
        return merged(Vector(pairs.frame, holds.astype(np.float64), pairs.present))
    return merged(Vector(pairs.frame, np.asarray(left), pairs.present & holds))
