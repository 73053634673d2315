"""Series as tests write them: `http_requests{job="a"} 0+10x100 _x3 stale`, one value a step.

The notation is that of Prometheus' rule tests: `a+bxn` is a and then n more, each b larger (`axn`: n more of the
same), `_` is no sample, `_xn` n of those, `stale` the stale marker.
"""

from __future__ import annotations

import re

import numpy as np

from tocsin.model.errors import UserError
from tocsin.model.labels import Labels
from tocsin.model.matcher import MatchOp
from tocsin.model.series import STALE, FloatArray
from tocsin.promql import ast
from tocsin.promql.parse import parse
from tocsin.promql.values import BoolArray

POINTS_MAX = 1_000_000

_NUMBER = r"(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|(?i:inf|nan))"
_ITEM = re.compile(
    rf"(?:(?P<gap>_)|(?P<stale>stale)|(?P<start>[+-]?{_NUMBER}))(?P<more>[+-]{_NUMBER})?(?:x(?P<times>\d+))?"
)


def parse_labels(text: str) -> Labels:
    """`name{label="value"}` as labels. Raises UserError."""
    tree = parse(text) if text.strip() not in ("", "{}") else None
    if tree is None:
        return Labels()
    if not isinstance(tree, ast.Selector) or tree.offset_ms or tree.at is not None:
        raise UserError(f'{text!r} names no series; write it like name{{label="value"}}.')
    if any(matcher.op is not MatchOp.EQUAL for matcher in tree.matchers):
        raise UserError(f'{text!r} names no series: each label has one value, as in label="value".')
    return Labels.of({matcher.label: matcher.value for matcher in tree.matchers})


def parse_values(text: str) -> tuple[FloatArray, BoolArray]:
    """float64[steps] and whether there is a sample, bool[steps]. Raises UserError."""
    if "{{" in text:
        raise UserError("Native histograms are not supported; write the series of a classic one.")
    values: list[FloatArray] = []
    present: list[BoolArray] = []
    for word in text.split():
        item = _ITEM.fullmatch(word)
        if item is None or (item["more"] and not item["start"]):
            raise UserError(f"{word!r} is no value; write numbers, 1+2x10, _ or stale.")
        times = int(item["times"] or 0)
        if times > POINTS_MAX:
            raise UserError(f"{word!r} is more than {POINTS_MAX:,} values.")
        count = max(1, times) if item["gap"] else times + 1
        present.append(np.full(count, not item["gap"]))
        values.append(_run(item, count))
    return (
        np.concatenate(values) if values else np.zeros(0),
        np.concatenate(present) if present else np.zeros(0, np.bool_),
    )


def _run(item: re.Match[str], count: int) -> FloatArray:
    if item["gap"] or item["stale"]:
        return np.full(count, STALE if item["stale"] else 0.0)
    start = float(item["start"])
    if not item["more"]:
        return np.full(count, start)
    # added one by one, as Prometheus does: start + k·more would round otherwise
    return np.cumsum(np.concatenate(([start], np.full(count - 1, float(item["more"])))))
