"""Plays scripts in Prometheus' test language: load, clear, eval, and what is expected of each eval.

Source of the language: Prometheus, promql/promqltest/README.md.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tests.support.series_source import MemorySource

from tocsin.model.duration import Duration
from tocsin.model.errors import TocsinError
from tocsin.model.labels import Labels
from tocsin.model.series import STALE, FloatArray, TimeArray
from tocsin.promql.engine import Answer, Engine
from tocsin.promql.notation import parse_labels, parse_values
from tocsin.promql.settings import QuerySettings
from tocsin.promql.values import Grid, Ranges, Scalar, Text, Vector
from tocsin.runtime.offload import InlineOffload

RELATIVE = 1e-9
STALE_BITS = np.float64(STALE).view(np.uint64)

_EVAL = re.compile(
    r"eval(?:_(?P<mode>fail|warn|info|ordered))?\s+(?:instant\s+at\s+(?P<at>\S+)"
    r"|range\s+from\s+(?P<from>\S+)\s+to\s+(?P<to>\S+)\s+step\s+(?P<step>\S+))\s+(?P<expr>.+)"
)
_SERIES = re.compile(
    r"""(?P<labels>[^\s{]*\s*(?:\{(?:[^"'`}]|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)*\})?)\s*(?P<values>.*)"""
)

Row = dict[int, float]
"""Values by time in ms."""


@dataclass
class Case:
    """One eval: `grid` of a count above 1, or `ranging`, is a range query."""

    line: int
    expr: str
    grid: Grid
    modes: set[str]
    ranging: bool = False
    wants: list[tuple[str, str]] = field(default_factory=list)
    """What must be said: (fail, warn or info; a part of it)."""
    rows: list[str] = field(default_factory=list)


@dataclass
class Load:
    step_ms: int
    rows: list[str] = field(default_factory=list)


def cases(path: Path) -> Iterator[tuple[Mapping[Labels, tuple[TimeArray, FloatArray]], Case]]:
    """Each eval with the series that are loaded when it comes."""
    series: dict[Labels, tuple[TimeArray, FloatArray]] = {}
    for command in _commands(path.read_text()):
        if command == "clear":
            series = {}
        elif isinstance(command, Load):
            series = {**series, **dict(_loaded(row, command.step_ms) for row in command.rows)}
        elif isinstance(command, Case):
            yield series, command


def _loaded(row: str, step_ms: int) -> tuple[Labels, tuple[TimeArray, FloatArray]]:
    labels, values, present = series_of(row)
    return labels, (np.flatnonzero(present) * step_ms, values[present])


def series_of(row: str) -> tuple[Labels, FloatArray, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    found = _SERIES.fullmatch(row)
    assert found, row
    values, present = parse_values(found["values"])
    return parse_labels(found["labels"]), values, present


def _commands(text: str) -> Iterator[str | Load | Case]:
    current: Load | Case | None = None
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            if not line and current is not None:
                yield current
                current = None
            continue
        if raw[0].isspace() and current is not None:
            _take(current, line)
            continue
        if current is not None:
            yield current
            current = None
        if line == "clear":
            yield line
        elif line.startswith("load "):
            current = Load(_ms(line.split()[1]))
        else:
            current = _case(number, line)
    if current is not None:
        yield current


def _case(number: int, line: str) -> Case:
    found = _EVAL.fullmatch(line)
    assert found, f"line {number}: {line}"
    modes = {found["mode"]} if found["mode"] else set()
    if found["at"] is not None:
        return Case(number, found["expr"], Grid(_ms(found["at"])), modes)
    start, end, step = (_ms(found[name]) for name in ("from", "to", "step"))
    return Case(number, found["expr"], Grid(start, step, (end - start) // step + 1), modes, ranging=True)


def _take(current: Load | Case, line: str) -> None:
    if isinstance(current, Load) or not line.startswith("expect "):
        current.rows.append(line)
        return
    _, what, *rest = line.split(maxsplit=2)
    said = rest[0] if rest else ""
    if what in ("fail", "warn", "info", "no_warn", "no_info"):
        current.modes.add(what)
        current.wants.append((what, said.removeprefix("msg:").strip() if said.startswith("msg:") else said))
    elif what == "ordered":
        current.modes.add(what)
    else:
        current.rows.append(f"{what} {said}")


def _ms(text: str) -> int:
    sign = -1 if text.startswith("-") else 1
    text = text.lstrip("-")
    return sign * (round(float(text) * 1000) if re.fullmatch(r"[\d.]+", text) else int(Duration.parse(text)))


class Player:
    def __init__(self, lookback_ms: int = 300_000) -> None:
        self.clock_s = 0.0
        settings = QuerySettings(lookback=Duration(lookback_ms))
        self.engine = Engine(settings, monotonic_s=lambda: self.clock_s, threads=InlineOffload())

    async def play(self, series: Mapping[Labels, tuple[TimeArray, FloatArray]], case: Case) -> str | None:
        """What is wrong with the answer, or None."""
        source = MemorySource(series)
        try:
            if case.ranging:
                answer = await self.engine.query_range(source, case.expr, case.grid)
            else:
                answer = await self.engine.query(source, case.expr, case.grid.start_ms)
        except TocsinError as error:
            if "fail" not in case.modes:
                return f"failed: {error}"
            return next(
                (f"failed with: {error}" for how, said in case.wants if how == "fail" and not _says(said, str(error))),
                None,
            )
        if "fail" in case.modes:
            return "did not fail"
        return _annotations(case, answer) or difference(case, answer)


def _says(wanted: str, said: str) -> bool:
    if wanted.startswith("regex:"):
        return re.search(wanted.removeprefix("regex:").strip(), said) is not None
    return wanted in said


def _annotations(case: Case, answer: Answer) -> str | None:
    for kind, found in (("warn", answer.warnings), ("info", answer.infos)):
        if kind in case.modes and not found:
            return f"no {kind}"
        if f"no_{kind}" in case.modes and found:
            return f"{kind}: {found}"
        for how, said in case.wants:
            if how == kind and not any(_says(said, one) for one in found):
                return f"{kind} is {found}"
    return None


def difference(case: Case, answer: Answer) -> str | None:
    value = answer.value
    if isinstance(value, Text):
        return None if case.rows == [f'string "{value.value}"'] else f"string {value.value!r}"
    if isinstance(value, Scalar) and not case.ranging:
        return (
            None
            if len(case.rows) == 1 and same(parse_values(case.rows[0])[0][0], value.values[0])
            else f"scalar {value.values}"
        )
    wanted = _wanted(case)
    found = rows_of(answer)
    if "ordered" in case.modes and list(wanted) != list(found):
        return f"order {list(map(str, found))}"
    for labels in wanted.keys() | found.keys():
        if labels not in found:
            return f"lacks {labels}"
        if labels not in wanted:
            return f"has {labels} {found[labels]}"
        if not _same_row(wanted[labels], found[labels]):
            return f"{labels} is {found[labels]}, not {wanted[labels]}"
    return None


def _wanted(case: Case) -> dict[Labels, Row]:
    grid, rows, wanted = case.grid, case.rows, {}
    if rows and rows[0].startswith("range vector"):
        start, end, step = (_ms(text) for text in rows[0].split()[3::2])
        grid, rows = Grid(start, step, (end - start) // step + 1), rows[1:]
    for row in rows:
        labels, values, present = series_of(row)
        assert len(values) <= grid.count, f"line {case.line}: more values than steps"
        wanted[labels] = {
            grid.start_ms + at * grid.step_ms: float(values[at]) for at in range(len(values)) if present[at]
        }
    return {labels: row for labels, row in wanted.items() if row}


def rows_of(answer: Answer) -> dict[Labels, Row]:
    value = answer.value
    times = answer.grid.times.tolist()
    if isinstance(value, Scalar):
        return {Labels(): dict(zip(times, value.values.tolist(), strict=True))}
    if isinstance(value, Ranges):
        block = value.block
        rows = {}
        for at, labels in enumerate(value.frame):
            span = slice(int(block.offsets[at]), int(block.offsets[at + 1]))
            real = block.values[span].view(np.uint64) != STALE_BITS
            rows[labels] = dict(zip(block.times[span][real].tolist(), block.values[span][real].tolist(), strict=True))
        return {labels: row for labels, row in rows.items() if row}
    assert isinstance(value, Vector)
    return {
        labels: {time: float(one) for time, one, there in zip(times, values, present, strict=True) if there}
        for labels, values, present in zip(value.frame, value.values, value.present, strict=True)
    }


def _same_row(wanted: Row, found: Row) -> bool:
    return wanted.keys() == found.keys() and all(same(wanted[time], found[time]) for time in wanted)


def same(wanted: float, found: float) -> bool:
    if math.isnan(wanted) or math.isnan(found):
        return math.isnan(wanted) and math.isnan(found)
    return wanted == found or math.isclose(wanted, found, rel_tol=RELATIVE, abs_tol=1e-12)
