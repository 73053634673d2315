"""Aggregations at one moment, written to be obvious.

The order of operations is Prometheus' (promql/engine.go, aggregation), so that not even a comparison of two answers can
come out otherwise; `exact_…` are what mathematics says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from tests.promql.reference.instant import Sample, key


def group_labels(labels: dict[str, str], by: Sequence[str], without: bool) -> dict[str, str]:
    if without:
        return {name: value for name, value in labels.items() if name not in (*by, "__name__")}
    return {name: value for name, value in labels.items() if name in by}


def grouped(vector: Sequence[Sample], by: Sequence[str], without: bool) -> list[tuple[dict[str, str], list[Sample]]]:
    groups: dict[tuple[tuple[str, str], ...], tuple[dict[str, str], list[Sample]]] = {}
    for sample in vector:
        labels = group_labels(sample[0], by, without)
        groups.setdefault(key(labels), (labels, []))[1].append(sample)
    return list(groups.values())


def aggregate(
    op: str, vector: Sequence[Sample], by: Sequence[str], without: bool, param: float | str | None
) -> list[Sample]:
    if op == "count_values":
        assert isinstance(param, str)
        told = [({**labels, param: plain(value)}, value) for labels, value in vector]
        names = by if without else (*by, param)
        return [(labels, float(len(members))) for labels, members in grouped(told, names, without)]
    groups = grouped(vector, by, without)
    if op in ("topk", "bottomk", "limitk"):
        assert isinstance(param, float)
        return [sample for _, members in groups for sample in chosen(op, members, int(param))]
    return [(labels, folded(op, [value for _, value in members], param)) for labels, members in groups]


def chosen(op: str, members: list[Sample], k: int) -> list[Sample]:
    if op == "limitk":
        return members[: max(k, 0)]
    sign = -1 if op == "topk" else 1
    order = sorted(members, key=lambda each: (math.isnan(each[1]), 0 if math.isnan(each[1]) else sign * each[1]))
    return order[: max(k, 0)]


def folded(op: str, values: list[float], param: float | str | None) -> float:
    match op:
        case "sum":
            return total(values)
        case "avg":
            return mean(values)
        case "count":
            return float(len(values))
        case "group":
            return 1.0
        case "min" | "max":
            real = [value for value in values if not math.isnan(value)]
            return (min(real) if op == "min" else max(real)) if real else math.nan
        case "stdvar" | "stddev":
            spread = variance(values)
            return spread if op == "stdvar" or math.isnan(spread) else math.sqrt(spread)
        case _:
            assert isinstance(param, float)
            return quantile(param, values)


def add(more: float, total_: float, lost: float) -> tuple[float, float]:
    """Neumaier's sum and what was rounded away so far."""
    now = total_ + more
    if math.isinf(now):
        return now, 0.0
    if abs(total_) >= abs(more):
        return now, lost + ((total_ - now) + more)
    return now, lost + ((more - now) + total_)


def total(values: list[float]) -> float:
    sum_, lost = values[0], 0.0
    for value in values[1:]:
        sum_, lost = add(value, sum_, lost)
    return sum_ + lost


def mean(values: list[float]) -> float:
    """The sum by the count; a running mean from where the sum would overflow."""
    sum_, lost = values[0], 0.0
    for at, value in enumerate(values[1:], start=1):
        now, rest = add(value, sum_, lost)
        if math.isinf(now):
            return running_mean(values[at:], at, sum_ / at, lost / at)
        sum_, lost = now, rest
    return sum_ / len(values) + lost / len(values)


def running_mean(values: list[float], count: int, middle: float, lost: float) -> float:
    for number, value in enumerate(values, start=count + 1):
        share = (number - 1) / number
        middle, lost = add(value / number, share * middle, share * lost)
    return middle + lost


def variance(values: list[float]) -> float:
    """After Welford."""
    middle = values[0]
    squares = 0.0 if math.isfinite(middle) else math.nan
    for number, value in enumerate(values[1:], start=2):
        delta = value - middle
        middle += delta / number
        squares += delta * (value - middle)
    return squares / len(values)


def exact_total(values: list[float]) -> float:
    return float(sum(map(Fraction, values)))


def exact_mean(values: list[float]) -> float:
    return float(sum(map(Fraction, values)) / len(values))


def exact_variance(values: list[float]) -> float:
    middle = sum(map(Fraction, values)) / len(values)
    return float(sum((Fraction(value) - middle) ** 2 for value in values) / len(values))


def quantile(phi: float, values: Sequence[float]) -> float:
    """Linear between the two nearest; NaN counts as the smallest."""
    if not values or math.isnan(phi):
        return math.nan
    if not 0 <= phi <= 1:
        return math.copysign(math.inf, phi)
    ordered = sorted(values, key=lambda value: (not math.isnan(value), value))
    rank = phi * (len(values) - 1)
    lower = math.floor(rank)
    weight = rank - lower
    return ordered[lower] * (1 - weight) + ordered[min(lower + 1, len(values) - 1)] * weight


def plain(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    digits = str(int(Decimal(repr(value)))) if value == int(value) else format(Decimal(repr(value)), "f")
    return "-0" if value == 0 and math.copysign(1, value) < 0 else digits
