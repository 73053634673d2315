"""Debian's Prometheus is asked what we are asked, of the same samples: the answers are the same.

It is version 2.42, and its language has changed since; `changed_since` names every difference.
"""

from __future__ import annotations

import random
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from tests.promql import expressions
from tests.promql.printer import text
from tests.promql.reference.evaluator import Series
from tests.promql.reference.windows import Sample
from tests.promql.test_evaluate_property import GRID, evaluated
from tests.promql.world import alike, at
from tests.support.prometheus import PrometheusProcess

from tocsin.promql import ast
from tocsin.promql.values import Grid, Vector

pytestmark = pytest.mark.process

EXAMPLES = 1_000
OTHERWISE_COMPUTED = {"first_over_time", "rate", "increase"}  # new in 3.0; how counters are extrapolated to zero
DATES = {"hour", "day_of_week", "days_in_month"}  # of NaN it tells the date of the smallest integer
FIXED_OTHERWISE = {
    "predict_linear",  # under `@` its window moved on from step to step,
    "quantile_over_time",  # and so did this one's
    "timestamp",  # beside `@` its selector's offset is forgotten, to this day
}
MERGED_NOW = {"label_replace", "label_join"}  # series that take turns were refused


def changed_since(node: ast.Expr) -> bool:
    """Whether 3.x answers differently, or may."""
    parts = list(ast.walk(node))
    calls = {part.function for part in parts if isinstance(part, ast.Call)}
    fixed = any(isinstance(part, ast.Selector | ast.Subquery) and part.at is not None for part in parts)
    nested = any(isinstance(part, ast.Subquery) for part in parts)
    return (
        bool(calls & (OTHERWISE_COMPUTED | DATES | MERGED_NOW))
        or (
            fixed and (nested or bool(calls & FIXED_OTHERWISE))
        )  # 2.42 moved `@` in subqueries that began with the query
        or any(isinstance(part, ast.Unary) for part in parts)  # as MERGED_NOW
        or any(isinstance(part, ast.Aggregate) and part.op in ("stddev", "stdvar") for part in parts)  # Inf was no NaN
        or any(_filters(part) for part in parts)
    )


def _filters(node: ast.Expr) -> bool:
    """A comparison of vectors: ambiguous matches that it does not let through are refused as well, nowadays."""
    return (
        isinstance(node, ast.Binary)
        and node.op in expressions.COMPARISONS
        and node.matching is not None
        and not node.as_bool
    )


def some_series(chance: random.Random) -> Series:
    """Samples never lie on the edge of a window, which belonged to both sides before 3.0."""
    found = []
    for name in ("a", "b_total", "h_bucket"):
        for x, y in (("", ""), ("1", ""), ("2", ""), ("1", "1"), ("2", "1")):
            for le in ("1", "2", "+Inf") if name == "h_bucket" else ("",):
                pairs = {"__name__": name, "x": x, "y": y, "le": le}
                found.append(
                    ({key: value for key, value in pairs.items() if value}, _points(chance, rising=name != "a"))
                )
    return chance.sample(found, 16)


def _points(chance: random.Random, *, rising: bool) -> list[Sample]:
    time, value, points = chance.randrange(300, 700) * 1000 + 137, 0.0, []
    for _ in range(chance.randrange(8, 25)):
        step = chance.choice([0.0, 1.0, 2.5, 10.0])
        value = value + step if rising else chance.choice([0.0, 5.0, float("nan"), chance.randrange(400) / 4])
        points.append(Sample(time, value))
        time += (400 if chance.random() < 0.1 else chance.randrange(30, 90)) * 1000
    return points


def openmetrics(series: Series) -> str:
    lines: list[str] = []
    for name in ("a", "b_total", "h_bucket"):
        lines.append(f"# TYPE {name} unknown")
        for labels, points in series:
            if labels["__name__"] == name:
                inner = ",".join(f'{key}="{value}"' for key, value in labels.items() if key != "__name__")
                lines += [f"{name}{{{inner}}} {point.value!r} {point.time / 1000}" for point in points]
    return "\n".join([*lines, "# EOF\n"])


def told(answer: dict[str, Any]) -> dict[tuple[object, int], float]:
    return {
        (tuple(sorted(one["metric"].items())), round(float(time) * 1000)): float(value)
        for one in answer["data"]["result"]
        for time, value in one.get("values") or [one["value"]]
    }


def ours(found: Vector, grid: Grid) -> dict[tuple[object, int], float]:
    return {
        (tuple(sorted(labels.items())), time): value
        for step, time in enumerate(grid.times.tolist())
        for labels, value in at(found, step)
    }


@pytest.mark.parametrize("number", [1, 2])
def test_random_expressions_have_the_answers_of_prometheus(tmp_path: Path, number: int) -> None:
    series = some_series(random.Random(number))
    prometheus = PrometheusProcess(tmp_path / "prometheus", receiving=True)
    (tmp_path / "samples").write_text(openmetrics(series))
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(tmp_path / "samples")]
    subprocess.run([*command, str(prometheus.folder / "data")], check=True, capture_output=True)
    answered = refused = 0

    with prometheus, httpx.Client(base_url=f"http://{prometheus.address}/api/v1/", timeout=20.0) as client:
        prometheus.wait_until_ready()

        @seed(number)
        @settings(
            max_examples=EXAMPLES, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
        )
        @given(expressions.vectors(), st.booleans())
        def compare(node: ast.Expr, instant: bool) -> None:
            nonlocal answered, refused
            if changed_since(node):
                return
            grid = Grid(GRID.start_ms) if instant else GRID
            query = text(node)
            times = {"start": grid.start_ms / 1000, "end": grid.end_ms / 1000, "step": GRID.step_ms / 1000}
            asked = {"query": query} | ({"time": grid.start_ms / 1000} if instant else times)
            theirs = client.post("query" if instant else "query_range", data=asked).json()
            found = evaluated(node, series, grid)
            if theirs["status"] != "success" or found is None:
                assert (theirs["status"], found) == ("error", None), (query, theirs)
                refused += 1
                return
            assert isinstance(found, Vector)
            expected, got = told(theirs), ours(found, grid)
            assert got.keys() == expected.keys(), query
            assert all(alike(value, expected[key], 1e-9) for key, value in got.items()), (query, got, expected)
            answered += bool(got)

        compare()
    assert answered > EXAMPLES / 10
    assert refused
