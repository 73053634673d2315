"""No two series of an answer have the same labels: what takes labels away must look."""

from __future__ import annotations

import numpy as np

from tocsin.model.labels import METRIC_NAME, Labels, label_name, quote
from tocsin.promql.frame import LabelFrame, ranked
from tocsin.promql.here import EvaluationError
from tocsin.promql.values import Vector

NAMING = (METRIC_NAME, "__type__", "__unit__")
"""The labels that say what was measured; they go where the numbers become something else."""

SAME_LABELS = "vector cannot contain metrics with the same labelset"


def nameless(vector: Vector) -> Vector:
    """Without what says what was measured. Series that are the same without it become one.

    Raises EvaluationError where two of them have a value at one step.
    """
    answer = Vector(vector.frame.without(*NAMING), vector.values, vector.present, vector.sorted)
    return answer if _one_name(vector.frame) else merged(answer)


def merged(vector: Vector) -> Vector:
    """Series with the same labels as one. Raises EvaluationError where two of them have a value at one step."""
    of, first = ranked(vector.frame.keys())
    if len(first) == len(vector):
        return vector
    order = np.argsort(of, kind="stable")
    starts = np.searchsorted(of[order], np.arange(len(first)))
    if np.any(np.add.reduceat(vector.present[order], starts, axis=0, dtype=np.int64) > 1):
        raise EvaluationError(SAME_LABELS)
    values = np.zeros((len(first), vector.values.shape[1]))
    rows, steps = np.nonzero(vector.present)
    values[of[rows], steps] = vector.values[rows, steps]
    present = np.logical_or.reduceat(vector.present[order], starts, axis=0)
    return Vector(vector.frame.take(first), values, present, vector.sorted)


def bare(vector: Vector) -> Vector:
    """As `nameless`, but series that would become one are refused even where they take turns.

    So it is with functions over range vectors. Raises EvaluationError.
    """
    answer = Vector(vector.frame.without(*NAMING), vector.values, vector.present, vector.sorted)
    if not _one_name(vector.frame) and answer.compacted().frame.duplicate() is not None:
        raise EvaluationError(SAME_LABELS)
    return answer


def _one_name(frame: LabelFrame) -> bool:
    """Then the series differ in other labels already."""
    columns = [frame.columns[name] for name in NAMING if name in frame.columns]
    return all(len(each) < 2 or bool((each.codes == each.codes[0]).all()) for each in columns)


def braced(labels: Labels) -> str:
    """As Prometheus writes labels in its messages."""
    return "{" + ", ".join(f"{label_name(name)}={quote(value)}" for name, value in labels) + "}"
