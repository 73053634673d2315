"""Magnitudes, logarithms, rounding and bounds.

Source: Prometheus promql/functions.go, funcRound and funcClamp; corner cases are those of Go's `math`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tocsin.model.series import FloatArray
from tocsin.promql.functions.apply import Apply, each, numbers_of, vector_of, with_values
from tocsin.promql.here import Here
from tocsin.promql.merge import nameless
from tocsin.promql.values import Value, Vector


def _sign(values: FloatArray) -> FloatArray:
    return np.where(values > 0, 1.0, np.where(values < 0, -1.0, values))


def _round(args: Sequence[Value], here: Here) -> Value:  # noqa: ARG001 - all functions are called in one way
    """To the nearest multiple, halves upwards."""
    vector = vector_of(args[0])
    nearest = numbers_of(args[1]) if len(args) > 1 else np.ones(1)
    with np.errstate(all="ignore"):
        inverse = 1.0 / nearest  # a division by 0.1 is not exact; a multiplication by 10 is
        return with_values(vector, np.floor(vector.values * inverse + 0.5) / inverse)


def _clamp(args: Sequence[Value], here: Here) -> Value:  # noqa: ARG001
    """Nothing is left at steps where the bounds are the wrong way round."""
    vector, least, most = vector_of(args[0]), numbers_of(args[1]), numbers_of(args[2])
    values = _larger(least, _smaller(most, vector.values))
    return nameless(Vector(vector.frame, values, vector.present & ~(most < least), vector.sorted))


def _clamp_min(args: Sequence[Value], here: Here) -> Value:  # noqa: ARG001
    vector = vector_of(args[0])
    return with_values(vector, _larger(numbers_of(args[1]), vector.values))


def _clamp_max(args: Sequence[Value], here: Here) -> Value:  # noqa: ARG001
    vector = vector_of(args[0])
    return with_values(vector, _smaller(numbers_of(args[1]), vector.values))


def _larger(a: FloatArray, b: FloatArray) -> FloatArray:
    """NaN wins over numbers, and +Inf over NaN."""
    return np.where((a == np.inf) | (b == np.inf), np.inf, np.maximum(a, b))


def _smaller(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.where((a == -np.inf) | (b == -np.inf), -np.inf, np.minimum(a, b))


FAMILY: Mapping[str, Apply] = {
    "abs": each(np.abs),
    "ceil": each(np.ceil),
    "clamp": _clamp,
    "clamp_max": _clamp_max,
    "clamp_min": _clamp_min,
    "exp": each(np.exp),
    "floor": each(np.floor),
    "ln": each(np.log),
    "log10": each(np.log10),
    "log2": each(np.log2),
    "round": _round,
    "sgn": each(_sign),
    "sqrt": each(np.sqrt),
}
