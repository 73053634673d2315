"""Quantiles and fractions of classic histograms, whose series are buckets with an upper bound in `le`.

Functions of native histograms find none: there are only numbers here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tocsin.model.labels import METRIC_NAME, quote
from tocsin.model.series import FloatArray
from tocsin.promql.aggregate import quantile_warning
from tocsin.promql.crowds import mask
from tocsin.promql.frame import LabelColumn, LabelFrame, RowArray, ranked
from tocsin.promql.functions import buckets
from tocsin.promql.functions.apply import Apply, argument, numbers_of, vector_of
from tocsin.promql.here import Here
from tocsin.promql.merge import nameless
from tocsin.promql.values import Value, Vector, empty_vector

BOUND = "le"
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|(?i:inf|infinity))")

NOT_MONOTONIC = (
    "PromQL info: input to histogram_quantile needed to be fixed for monotonicity "
    "(see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)"
)


@dataclass(frozen=True, slots=True, eq=False)
class _Histograms:
    """Histogram g has the rows order[starts[g]:starts[g + 1]], with bounds that rise."""

    frame: LabelFrame
    order: RowArray
    starts: RowArray
    bounds: FloatArray


def _quantile(args: Sequence[Value], here: Here) -> Value:
    phi, vector = numbers_of(args[0]), vector_of(args[1])
    for wrong in {float(each) for each in phi if not 0 <= each <= 1}:
        here.notes.warn(quantile_warning(wrong), argument(here, 0).span)
    found = _histograms(vector, here, 1)
    values, there, forced = buckets.quantiles(
        np.ascontiguousarray(vector.values), mask(vector.present), found.order, found.starts, found.bounds, _flat(phi)
    )
    if forced:
        here.notes.info(NOT_MONOTONIC, argument(here, 1).span)
    return nameless(Vector(found.frame, values, there.view(np.bool_)))


def _fraction(args: Sequence[Value], here: Here) -> Value:
    lower, upper, vector = numbers_of(args[0]), numbers_of(args[1]), vector_of(args[2])
    found = _histograms(vector, here, 2)
    values, there = buckets.fractions(
        np.ascontiguousarray(vector.values),
        mask(vector.present),
        found.order,
        found.starts,
        found.bounds,
        _flat(lower),
        _flat(upper),
    )
    return nameless(Vector(found.frame, values, there.view(np.bool_)))


def _flat(numbers: FloatArray) -> FloatArray:
    return np.ascontiguousarray(numbers, np.float64)


def _histograms(vector: Vector, here: Here, at: int) -> _Histograms:
    """Series that differ in `le` alone belong together; those without a bound are warned of and left out."""
    column = vector.frame.column(BOUND)
    bounds = np.array([_bound(text) for text in (*column.values, "")])[column.codes]  # the last is that of ABSENT, -1
    _warn_of_bounds(vector, column, np.isnan(bounds), here, at)
    rows = np.flatnonzero(~np.isnan(bounds))
    rest = vector.frame.without(BOUND).take(rows)
    of, first = ranked(rest.keys())
    order = np.lexsort((bounds[rows], of))
    starts = np.searchsorted(of[order], np.arange(len(first) + 1)).astype(np.int64)
    return _Histograms(rest.take(first), rows[order], starts, _flat(bounds[rows][order]))


def _bound(text: str) -> float:
    return float(text) if _NUMBER.fullmatch(text) else np.nan


def _warn_of_bounds(vector: Vector, column: LabelColumn, wrong: RowArray, here: Here, at: int) -> None:
    names = vector.frame.column(METRIC_NAME)
    bad = np.flatnonzero(wrong & vector.present.any(axis=1))
    values, metrics = [*column.values, ""], [*names.values, ""]
    for le, name in sorted({(values[column.codes[row]], metrics[names.codes[row]]) for row in bad}):
        metric = f" for metric name {quote(name)}" if name else ""
        here.notes.warn(
            f'PromQL warning: bucket label "le" is missing or has a malformed value of {quote(le)}{metric}',
            argument(here, at).span,
        )


def _none(args: Sequence[Value], here: Here) -> Value:  # noqa: ARG001 - all functions are called in one way
    return empty_vector(here.grid.count)


FAMILY: Mapping[str, Apply] = {
    "histogram_avg": _none,
    "histogram_count": _none,
    "histogram_fraction": _fraction,
    "histogram_quantile": _quantile,
    "histogram_stddev": _none,
    "histogram_stdvar": _none,
    "histogram_sum": _none,
}
