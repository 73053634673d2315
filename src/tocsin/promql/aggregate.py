"""Aggregations: many series to one for each group, or to some of each group.

Source: Prometheus promql/engine.go, rangeEvalAgg, aggregation, aggregationK and aggregationCountValues.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from tocsin.model.labels import METRIC_NAME, Labels, quote
from tocsin.model.series import FloatArray
from tocsin.promql import ast, folds
from tocsin.promql.crowds import mask, members
from tocsin.promql.frame import Groups, LabelColumn, RowArray
from tocsin.promql.here import EvaluationError, Here
from tocsin.promql.numerals import general, positional
from tocsin.promql.values import Scalar, Text, Value, Vector, empty_vector

_Fold: TypeAlias = Callable[[Vector, Groups], FloatArray]


def aggregate(node: ast.Aggregate, vector: Vector, param: Value | None, here: Here) -> Vector:
    """`param` is the k, φ, ratio or label before the vector. Raises EvaluationError where it is of no use."""
    if node.op in FOLDS:
        return _folded(FOLDS[node.op], vector, vector.frame.group(node.labels, without=node.without))
    match node.op, param:
        case "count_values", Text(label):
            return _count_values(node, vector, label)
        case "quantile", Scalar(phi):
            _warn_of_quantile(node, phi, here)
            return _quantile(vector, vector.frame.group(node.labels, without=node.without), phi)
        case "topk" | "bottomk" | "limitk", Scalar(k):
            return _some_of_each(node, vector, k)
        case "limit_ratio", Scalar(ratio):
            return _limit_ratio(node, vector, ratio, here)
        case _:
            raise EvaluationError(f"{node.op} is no aggregation, or lacks its parameter.")


def _fold(fold: Callable[..., FloatArray], **more: bool) -> _Fold:
    def folded(vector: Vector, groups: Groups) -> FloatArray:
        values = np.ascontiguousarray(vector.values)
        return fold(values, mask(vector.present), groups.of, groups.count, **more)

    return folded


def _count(vector: Vector, groups: Groups) -> FloatArray:
    return members(vector.present, groups.of, groups.count).astype(np.float64)


def _ones(vector: Vector, groups: Groups) -> FloatArray:
    return np.ones((groups.count, vector.values.shape[1]))


def _deviation(vector: Vector, groups: Groups) -> FloatArray:
    with np.errstate(invalid="ignore"):
        root: FloatArray = np.sqrt(_fold(folds.variances)(vector, groups))
    return root


FOLDS: Mapping[str, _Fold] = {
    "sum": _fold(folds.sums),
    "avg": _fold(folds.means),
    "min": _fold(folds.extremes, largest=False),
    "max": _fold(folds.extremes, largest=True),
    "count": _count,
    "group": _ones,
    "stddev": _deviation,
    "stdvar": _fold(folds.variances),
}
"""Those that make one series of each group, and need no parameter."""


def _folded(fold: _Fold, vector: Vector, groups: Groups) -> Vector:
    there = members(vector.present, groups.of, groups.count) > 0
    return Vector(groups.frame, fold(vector, groups), there)


def _ordered(groups: Groups) -> tuple[RowArray, RowArray]:
    """Rows group by group, and where each group starts: int64[series], int64[groups + 1]."""
    order = np.argsort(groups.of, kind="stable")
    sizes = np.bincount(groups.of, minlength=groups.count)
    return order, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _quantile(vector: Vector, groups: Groups, phi: FloatArray) -> Vector:
    order, starts = _ordered(groups)
    values = np.ascontiguousarray(vector.values)
    answer = folds.quantiles(values, mask(vector.present), order, starts, np.ascontiguousarray(phi))
    return Vector(groups.frame, answer, members(vector.present, groups.of, groups.count) > 0)


def _warn_of_quantile(node: ast.Aggregate, phi: FloatArray, here: Here) -> None:
    span = node.param.span if node.param is not None else node.span
    for wrong in ([np.nan] if np.isnan(phi).any() else [], phi[phi > 1], phi[phi < 0]):
        if len(wrong):
            worst = max(wrong, key=abs)
            here.notes.warn(quantile_warning(float(worst)), span)


def quantile_warning(phi: float) -> str:
    return f"PromQL warning: quantile value should be between 0 and 1, got {general(phi)}"


def _some_of_each(node: ast.Aggregate, vector: Vector, k: FloatArray) -> Vector:
    """topk, bottomk and limitk: the series as they were, where they are among the chosen."""
    if not len(k) or k.max() < 1:
        return empty_vector(len(k))
    whole = _whole(k)
    groups = vector.frame.group(node.labels, without=node.without)
    if node.op == "limitk":
        chosen = folds.first(mask(vector.present), groups.of, groups.count, whole)
    else:
        _, starts = _ordered(groups)
        values, largest = np.ascontiguousarray(vector.values), node.op == "topk"
        chosen = folds.leading(values, mask(vector.present), groups.of, starts, whole, largest)
    kept = Vector(vector.frame, vector.values, chosen.view(np.bool_))
    if len(k) > 1 or node.op == "limitk":
        return kept.compacted()
    return _by_value(kept, groups, descending=node.op == "topk")


def _whole(k: FloatArray) -> RowArray:
    if np.isnan(k).any():
        raise EvaluationError("Parameter value is NaN")
    if k.min() <= -(2.0**63):
        raise EvaluationError(f"Scalar value {general(float(k.min()))} underflows int64")
    if k.max() >= 2.0**63:
        raise EvaluationError(f"Scalar value {general(float(k.max()))} overflows int64")
    return k.astype(np.int64)


def _by_value(vector: Vector, groups: Groups, *, descending: bool) -> Vector:
    """An instant answer group by group, the best first and NaN last."""
    rows = np.flatnonzero(vector.present[:, 0])
    values = vector.values[rows, 0]
    signed = -values if descending else values
    order = np.lexsort((signed, np.isnan(values), groups.of[rows]))
    taken = vector.take(rows[order])
    return Vector(taken.frame, taken.values, taken.present, sorted=True)


def _limit_ratio(node: ast.Aggregate, vector: Vector, ratio: FloatArray, here: Here) -> Vector:
    """The series whose hash falls into that share; a negative ratio asks for the others."""
    if not ratio.any():
        return empty_vector(len(ratio))
    if np.isnan(ratio).any():
        raise EvaluationError("Ratio value is NaN")
    span = node.param.span if node.param is not None else node.span
    for wrong, bound in ((ratio[ratio > 1], 1), (ratio[ratio < -1], -1)):
        if len(wrong):
            got = general(float(max(wrong, key=abs)))
            here.notes.warn(
                f"PromQL warning: ratio value should be between -1 and 1, got {got}, capping to {bound}", span
            )
    limit = np.clip(ratio, -1, 1)
    offset = np.array([_offset(labels) for labels in vector.frame], np.float64)[:, np.newaxis]
    chosen = np.where(limit >= 0, offset < limit, offset >= 1 + limit) & (limit != 0)
    return Vector(vector.frame, vector.values, vector.present & chosen).compacted()


def _offset(labels: Labels) -> float:
    """Where in [0, 1) a series stands: Prometheus' hash of its labels, XXH64 over strings with their lengths."""
    return folds.xxh64(b"".join(_sized(text.encode()) for pair in labels for text in pair)) / float(2**64 - 1)


def _sized(text: bytes) -> bytes:
    size = len(text)
    return (bytes([size]) if size < 255 else b"\xff" + size.to_bytes(3, "little")) + text


def _count_values(node: ast.Aggregate, vector: Vector, label: str) -> Vector:
    """How many series of each group have each value, the value being a label of the answer."""
    if not label:
        raise EvaluationError(f"invalid label name {quote(label)}")
    dropped = node.without and label in (*node.labels, METRIC_NAME)  # all values count together
    labels = tuple(name for name in node.labels if name != label)
    groups = vector.frame.group((*labels, label) if node.without else labels, without=node.without)
    rows, steps = np.nonzero(vector.present)
    values = vector.values[rows, steps]
    values[np.isnan(values)] = np.nan  # whatever the payload
    bits, number = np.unique(values.view(np.int64), return_inverse=True)  # 0 and -0 are two
    if dropped:
        bits, number = bits[:1], np.zeros_like(number)
    kinds, kind = np.unique(groups.of[rows] * len(bits) + number, return_inverse=True)
    width = vector.values.shape[1]
    counts = np.bincount(kind * width + steps, minlength=len(kinds) * width).reshape(len(kinds), width)
    group, value = np.divmod(kinds, max(len(bits), 1))
    frame = groups.frame.take(group)
    if not dropped:
        texts = [positional(each) for each in bits.view(np.float64).tolist()]
        frame = frame.with_column(label, LabelColumn(value.astype(np.int32), texts))
    return Vector(frame, counts.astype(np.float64), counts > 0)
