"""`and`, `or` and `unless`: which series there are, step by step; their values stay."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tocsin.promql import ast
from tocsin.promql.crowds import some
from tocsin.promql.frame import LabelFrame, RowArray, common_keys, joined
from tocsin.promql.merge import merged
from tocsin.promql.values import Vector


def combined(node: ast.Binary, left: Vector, right: Vector) -> Vector:
    """Source: Prometheus promql/engine.go, VectorAnd, VectorOr and VectorUnless."""
    matching = node.matching or ast.Matching(ast.Card.MANY_TO_MANY, on=False, labels=())
    keys_left, keys_right, count = meeting(left.frame, right.frame, matching.labels, on=matching.on)
    if node.op == "or":
        kept = right.present & ~some(left.present, keys_left, count)[keys_right]
        rows = np.flatnonzero(kept.any(axis=1))
        if not len(rows):
            return Vector(left.frame, left.values, left.present)
        frames = joined([left.frame, right.frame.take(rows)])
        values = np.concatenate([left.values, right.values[rows]])
        return merged(Vector(frames, values, np.concatenate([left.present, kept[rows]])))
    there = some(right.present, keys_right, count)[keys_left]
    present = left.present & (there if node.op == "and" else ~there)
    return Vector(left.frame, left.values, present, left.sorted)


def meeting(left: LabelFrame, right: LabelFrame, labels: Sequence[str], *, on: bool) -> tuple[RowArray, RowArray, int]:
    """Numbers 0… < count for both sides' series, equal where they match."""
    ours, theirs = (each.group(labels, without=not on) for each in (left, right))
    keys, others = common_keys(ours.frame, theirs.frame)
    known, number = np.unique(np.concatenate([keys, others]), return_inverse=True)
    return number[: len(keys)][ours.of], number[len(keys) :][theirs.of], len(known)
