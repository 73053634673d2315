"""`tocsin query`: what is asked of the server, and how its answers look in a terminal."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tocsin.api.times import parse_time, step_for
from tocsin.app.charting import Line, span_of, sparkline, under
from tocsin.model.duration import SECOND_MS, Duration
from tocsin.model.errors import UserError
from tocsin.model.labels import Labels

INSTANT, RANGE = "/api/v1/query", "/api/v1/query_range"
SPARKS_MAX, SPARKS_MIN = 40, 10
NUMBERS_WIDTH = 60
"""Columns of the terminal that are kept for what stands beside a sparkline."""
EXCERPT_MAX = 100
"""Characters of a long expression that are shown around a mistake."""

_PLACE = re.compile(r"(?:^|: )((\d+):(\d+): parse error: .*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Moments:
    """Which moments are asked for, as typed: one, or many between two. None is what was not said."""

    time: str | None = None
    start: str | None = None
    end: str | None = None
    step: str | None = None
    length: str | None = None

    @property
    def ranging(self) -> bool:
        return self.start is not None or self.length is not None


@dataclass(frozen=True, slots=True)
class Asked:
    """A path, and the form that is sent to it."""

    path: str
    form: Mapping[str, str]


def asked(expr: str, moments: Moments, now_ms: int, *, lookback: str | None = None, explain: bool = False) -> Asked:
    """What to send. Raises UserError for what does not go together, and for what is no time and no duration."""
    more = {"query": expr}
    if lookback is not None:
        more["lookback_delta"] = _seconds(Duration.parse(lookback))
    if explain:
        more["explain"] = "1"
    if not moments.ranging:
        if moments.end is not None or moments.step is not None:
            raise UserError("Say from when, with --start or --range, beside --end and --step.")
        at_ms = now_ms if moments.time is None else parse_time(moments.time, "--time")
        return Asked(INSTANT, {**more, "time": _seconds(at_ms)})
    if moments.time is not None:
        raise UserError("--time is one moment: it does not go with --start and --range.")
    if moments.start is not None and moments.length is not None:
        raise UserError("Say --start or --range, not both.")
    start_ms, end_ms = _span(moments, now_ms)
    step_ms = step_for(end_ms - start_ms) if moments.step is None else Duration.parse(moments.step)
    if step_ms <= 0:
        raise UserError("--step must be longer than nothing.")
    return Asked(RANGE, {**more, "start": _seconds(start_ms), "end": _seconds(end_ms), "step": _seconds(step_ms)})


def _span(moments: Moments, now_ms: int) -> tuple[int, int]:
    end_ms = now_ms if moments.end is None else parse_time(moments.end, "--end")
    if moments.length is not None:
        return end_ms - Duration.parse(moments.length), end_ms
    start_ms = parse_time(moments.start or "", "--start")
    if end_ms < start_ms:
        raise UserError("--end is before --start.")
    return start_ms, end_ms


def _seconds(ms: int) -> str:
    return f"{ms / SECOND_MS:.3f}"


def pointed(expr: str, detail: str) -> str:
    """The server's sentence about an expression, with its line and a caret below the place; others as they are."""
    found = _PLACE.search(detail)
    if found is None:
        return detail
    sentence, line, column = found[1], int(found[2]), int(found[3])
    lines = expr.split("\n")
    if not 1 <= line <= len(lines):
        return sentence
    text, at = lines[line - 1], column - 1
    first = max(at - EXCERPT_MAX // 2, 0) if len(text) > EXCERPT_MAX else 0
    shown = text[first : first + EXCERPT_MAX]
    return f"{sentence}\n  {shown}\n  {under(shown, at - first)}"


def name_of(metric: Mapping[str, str]) -> str:
    """A series for people; `{}` where it has no labels."""
    return str(Labels.of(metric))


def rows_of_vector(result: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{"series": name_of(one["metric"]), "value": one["value"][1]} for one in result]


def lines_of(result: Sequence[Mapping[str, Any]]) -> list[Line]:
    """The series of a matrix."""
    return [
        Line(
            name_of(one["metric"]),
            [round(at * SECOND_MS) for at, _ in one["values"]],
            [float(text) for _, text in one["values"]],
        )
        for one in result
    ]


def rows_of_lines(lines: Sequence[Line], width: int) -> list[dict[str, Any]]:
    """A row for each of the lines, of which there is at least one. `width` is the terminal's, in characters."""
    span_ms = span_of(lines)
    moments = len({at_ms for line in lines for at_ms in line.times_ms})
    sparks = min(moments, SPARKS_MAX, max(width - NUMBERS_WIDTH, SPARKS_MIN))
    return [_row_of(line, sparkline(line, span_ms, sparks)) for line in lines]


def _row_of(line: Line, drawn: str) -> dict[str, Any]:
    numbers = [value for value in line.values if not math.isnan(value)]
    return {
        "series": line.name,
        "course": drawn,
        "min": number(min(numbers, default=math.nan)),
        "max": number(max(numbers, default=math.nan)),
        "last": number(line.values[-1]),
    }


def number(value: float) -> str:
    """Six digits; what is no number as Prometheus writes it."""
    if math.isnan(value):
        return "NaN"
    return f"{value:.6g}" if math.isfinite(value) else f"{'+' if value > 0 else '-'}Inf"


def rows_of_stages(explain: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"stage": stage, "ms": _ms(seconds)} for stage, seconds in explain["stages"].items()]


def lines_of_selectors(explain: Mapping[str, Any]) -> list[str]:
    """Each selector with the function over its window, and below it a line for each source."""
    lines: list[str] = []
    for asked in explain["selectors"]:
        window = f" over {Duration(round(asked['range'] * SECOND_MS))}" if asked["range"] else ""
        lines.append(f"{asked['selector']}: {asked['function']}{window}")
        lines += (f"  {_told(source)}" for source in asked["sources"])
    return lines


def _told(source: Mapping[str, Any]) -> str:
    read = f"{source['series']} series, {source['samples']} samples in {_ms(source['seconds'])} ms"
    return f"{source['how']}: {read}, resolution {source['resolution']}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1_000:.2f}"
