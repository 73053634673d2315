"""What counters are called: said of what is used like one and named otherwise."""

from __future__ import annotations

from tocsin.model.labels import METRIC_NAME, quote
from tocsin.promql import ast
from tocsin.promql.frame import LabelFrame
from tocsin.promql.here import Here

SUFFIXES = ("_total", "_sum", "_count", "_bucket")


def counter_note(frame: LabelFrame, here: Here) -> None:
    """For `rate` and `increase`: an info for each metric of the answer (names still there) that may be no counter."""
    column = frame.column(METRIC_NAME)
    used = set(column.codes.tolist())
    span = here.node.args[0].span if isinstance(here.node, ast.Call) else here.span
    for name in sorted(name for code, name in enumerate(column.values) if code in used):
        if not name.endswith(SUFFIXES):
            here.notes.info(
                "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "
                f"{quote(name)}",
                span,
            )
