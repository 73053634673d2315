"""What PromQL means at one moment, written to be obvious: labels are dicts, vectors are lists, nothing is quick.

The tests hold the vectorised evaluation against it. Source: Prometheus' documentation and promql/engine.go.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

from tocsin.promql.ast import Card, Matching

Sample: TypeAlias = tuple[dict[str, str], float]


class RefusedError(Exception):
    """The expression has no answer."""


def key(labels: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(labels.items()))


def unique(samples: Sequence[Sample]) -> list[Sample]:
    if len({key(labels) for labels, _ in samples}) < len(samples):
        raise RefusedError("vector cannot contain metrics with the same labelset")
    return list(samples)


def nameless(labels: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in labels.items() if name not in ("__name__", "__type__", "__unit__")}


def operate(op: str, left: float, right: float) -> float:
    """Arithmetic as Go's."""
    try:
        match op:
            case "+":
                return left + right
            case "-":
                return left - right
            case "*":
                return left * right
            case "/":
                return left / right
            case "%":
                return math.fmod(left, right)
            case "^":
                return math.pow(left, right)
            case _:
                return math.atan2(left, right)
    except ZeroDivisionError:
        sign = math.copysign(1, left) * math.copysign(1, right)
        return math.nan if left == 0 or math.isnan(left) else math.copysign(math.inf, sign)
    except OverflowError:
        return math.inf if left > 0 or right % 2 == 0 else -math.inf
    except ValueError:  # a domain error
        if op == "^" and left == 0:
            return math.copysign(math.inf, left) if right % 2 == 1 else math.inf
        return math.nan


def compare(op: str, left: float, right: float) -> bool:
    match op:
        case "==":
            return left == right
        case "!=":
            return left != right
        case ">":
            return left > right
        case "<":
            return left < right
        case ">=":
            return left >= right
        case _:
            return left <= right


ARITHMETIC = ("+", "-", "*", "/", "%", "^", "atan2")
COMPARISONS = ("==", "!=", ">", "<", ">=", "<=")
SETS = ("and", "or", "unless")


def match_labels(labels: dict[str, str], matching: Matching) -> dict[str, str]:
    if matching.on:
        return {name: value for name, value in labels.items() if name in matching.labels}
    return {name: value for name, value in labels.items() if name not in matching.labels and name != "__name__"}


def sets(op: str, left: Sequence[Sample], right: Sequence[Sample], matching: Matching) -> list[Sample]:
    ours = {key(match_labels(labels, matching)) for labels, _ in left}
    theirs = {key(match_labels(labels, matching)) for labels, _ in right}
    if op == "and":
        return [each for each in left if key(match_labels(each[0], matching)) in theirs]
    if op == "unless":
        return [each for each in left if key(match_labels(each[0], matching)) not in theirs]
    return unique([*left, *(each for each in right if key(match_labels(each[0], matching)) not in ours)])


def with_scalar(op: str, vector: Sequence[Sample], scalar: float, as_bool: bool, scalar_first: bool) -> list[Sample]:
    out = []
    for labels, value in vector:
        left, right = (scalar, value) if scalar_first else (value, scalar)
        if op in ARITHMETIC:
            out.append((nameless(labels), operate(op, left, right)))
        elif as_bool:
            out.append((nameless(labels), float(compare(op, left, right))))
        elif compare(op, left, right):
            out.append((labels, value))
    return unique(out)


Key: TypeAlias = tuple[tuple[str, str], ...]


def vectors(
    op: str, left: Sequence[Sample], right: Sequence[Sample], matching: Matching, as_bool: bool
) -> list[Sample]:
    filled = matching.fill_left is not None or matching.fill_right is not None
    if not (left or right) or (not (left and right) and not filled):
        return []
    swapped = matching.card is Card.ONE_TO_MANY
    many, one = (right, left) if swapped else (left, right)
    out: list[Sample] = []
    met: dict[Key, set[Key]] = {}
    for ours, theirs, group in meetings(many, one, matching):
        labels = result_labels(op, ours[0], theirs[0], matching, as_bool)
        if matching.card is Card.ONE_TO_ONE and group in met:
            raise RefusedError("multiple matches for labels: many-to-one matching must be explicit")
        if key(labels) in met.setdefault(group, set()):
            raise RefusedError("multiple matches for labels: grouping labels must ensure unique matches")
        met[group].add(key(labels))
        value = paired(op, theirs[1], ours[1], as_bool) if swapped else paired(op, ours[1], theirs[1], as_bool)
        if value is not None:
            out.append((labels, value))
    return unique(out)


def meetings(many: Sequence[Sample], one: Sequence[Sample], matching: Matching) -> list[tuple[Sample, Sample, Key]]:
    """Who meets whom; a fill value meets those that would be alone."""
    ones: dict[Key, Sample] = {}
    for sample in one:
        group = key(match_labels(sample[0], matching))
        if group in ones:
            raise RefusedError("found duplicate series")
        ones[group] = sample
    found: list[tuple[Sample, Sample, Key]] = []
    for sample in many:
        labels = match_labels(sample[0], matching)
        if key(labels) in ones:
            found.append((sample, ones[key(labels)], key(labels)))
        elif matching.fill_right is not None:
            found.append((sample, (labels, matching.fill_right), key(labels)))
    met = {group for _, _, group in found}
    if matching.fill_left is not None:
        fill = matching.fill_left
        alone = [(group, sample) for group, sample in ones.items() if group not in met]
        found += [((match_labels(sample[0], matching), fill), sample, group) for group, sample in alone]
    return found


def paired(op: str, left: float, right: float, as_bool: bool) -> float | None:
    """None where a comparison lets nothing through."""
    if op in ARITHMETIC:
        return operate(op, left, right)
    holds = compare(op, left, right)
    return float(holds) if as_bool else left if holds else None


def result_labels(
    op: str, many: dict[str, str], one: dict[str, str], matching: Matching, as_bool: bool
) -> dict[str, str]:
    labels = nameless(many) if op in ARITHMETIC else dict(many)
    if matching.card is Card.ONE_TO_ONE:
        labels = {name: value for name, value in labels.items() if (name in matching.labels) == matching.on}
    for name in matching.include:
        labels.pop(name, None)
        if name in one:
            labels[name] = one[name]
    return nameless(labels) if as_bool else labels
