"""Whether a vector is empty, told with the labels that its selector asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tocsin.model.labels import METRIC_NAME
from tocsin.model.matcher import MatchOp
from tocsin.promql import ast
from tocsin.promql.frame import LabelColumn, LabelFrame
from tocsin.promql.functions.apply import Apply, argument, vector_of
from tocsin.promql.here import Here
from tocsin.promql.values import Value, Vector


def absent_labels(node: ast.Expr) -> LabelFrame:
    """One series with the labels that a selector matches exactly; none for anything but a selector.

    A label of which more is said after its equality is left out.
    """
    node = ast.unwrapped(node)
    selector = node.selector if isinstance(node, ast.RangeSelector) else node
    if not isinstance(selector, ast.Selector):
        return LabelFrame(1, {})
    wanted: dict[str, str] = {}
    for matcher in selector.matchers:
        first = matcher.label not in wanted and matcher.op is MatchOp.EQUAL
        if first or matcher.label in wanted:
            wanted[matcher.label] = matcher.value if first else ""
    wanted.pop(METRIC_NAME, None)
    return LabelFrame(1, {name: LabelColumn.of([value]) for name, value in wanted.items() if value})


def _absent(args: Sequence[Value], here: Here) -> Value:
    gone = np.asarray(~vector_of(args[0]).present.any(axis=0, keepdims=True))
    return Vector(absent_labels(argument(here, 0)), np.ones(gone.shape), gone)


FAMILY: Mapping[str, Apply] = {"absent": _absent}
