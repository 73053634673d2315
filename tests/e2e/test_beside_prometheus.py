"""The same random queries to tocsin and to Debian's Prometheus, which hold the same random series.

It is version 2.42, whose windows held both their edges and whose language was a little another: queries are asked at
moments at which nothing lies on an edge, and what has changed since is left out (`CHANGED`).
"""

from __future__ import annotations

import math
import os
import random
import re
import time
from collections.abc import Iterator
from typing import Any

import cramjam
import httpx
import pytest
from tests.support.prometheus import PrometheusProcess
from tests.support.promql_random import INTERVAL_MS, Expressions, Series, some_series
from tests.support.remote_write import block, label, sample
from tests.support.server import ServerProcess

pytestmark = pytest.mark.process

STEPS = 480  # two hours
SEED = int(os.environ.get("PROMQL_SEED", "1"))
QUERIES = int(os.environ.get("PROMQL_QUERIES", "400"))
TOLERANCE = 1e-9
FRACTION_S = 0.123
"""Added to all moments: windows begin and end between samples and between the steps of subqueries."""
CHANGED = re.compile(
    r"atan2"  # kept the metric's name
    r"|day_of_|days_in|hour|minute|month|year"  # of NaN, told a date of the smallest integer
    r"|std(?:dev|var)"  # of infinities was no NaN
    r"|topk|bottomk"  # of equals any may be chosen
    r"|predict_linear\([^)]*@"  # moved on from step to step
    r"|@.*\[\w+:|:\w*\].*:\w*\]"  # as did what is fixed within a subquery; inner subqueries began elsewhere
)
HEADERS = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}


@pytest.fixture(scope="module")
def start_ms() -> int:
    return (int(time.time() * 1_000) // INTERVAL_MS - STEPS) * INTERVAL_MS  # noqa: TID251 - Prometheus has its own clock


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, start_ms: int) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Signed-in clients of tocsin and Prometheus, both loaded."""
    folder = tmp_path_factory.mktemp("beside")
    series = some_series(SEED, start_ms, STEPS)
    with (
        PrometheusProcess(folder / "prometheus", receiving=True) as prometheus,
        ServerProcess(folder / "data") as server,
        server.client() as ours,
        httpx.Client(base_url=f"http://{prometheus.address}", trust_env=False, timeout=30.0) as theirs,
    ):
        prometheus.wait_until_ready()
        for client in (ours, theirs):
            client.post("/api/v1/write", content=_request(series), headers=HEADERS).raise_for_status()
        yield ours, theirs


def _request(series: Series) -> bytes:
    body = b"".join(
        block(
            1,
            b"".join(block(1, label(*pair)) for pair in labels)
            + b"".join(
                block(2, sample(at_ms, value.tobytes())) for at_ms, value in zip(times.tolist(), values, strict=True)
            ),
        )
        for labels, (times, values) in series.items()
    )
    return bytes(cramjam.snappy.compress_raw(body))


def test_random_queries_have_the_answers_of_prometheus(
    servers: tuple[httpx.Client, httpx.Client], start_ms: int
) -> None:
    chance = random.Random(SEED)
    questions = Expressions(chance)
    wrong = []
    answered = 0
    for number in range(QUERIES):
        query = questions.vector(chance.randint(0, 3))
        if CHANGED.search(query):
            continue
        path, asked = _question(query, chance, start_ms)
        ours, theirs = (client.post(path, data=asked) for client in servers)
        difference = _difference(ours, theirs)
        answered += theirs.status_code == 200 and bool(theirs.json()["data"]["result"])
        if difference:
            wrong.append(f"#{number} {path} {asked}\n    {difference}")
    assert not wrong, f"seed {SEED}: {len(wrong)} of {QUERIES} differ\n" + "\n".join(wrong[:20])
    assert answered > QUERIES / 4


def _question(query: str, chance: random.Random, start_ms: int) -> tuple[str, dict[str, Any]]:
    start_s, length_s = start_ms // 1_000, STEPS * INTERVAL_MS // 1_000
    if chance.random() < 0.4:
        return "/api/v1/query", {"query": query, "time": start_s + chance.randrange(0, length_s, 5) + FRACTION_S}
    start = start_s + chance.randrange(-600, length_s, 5) + FRACTION_S
    step = chance.choice((5, 15, 60, 300))
    return "/api/v1/query_range", {"query": query, "start": start, "end": start + step * 25, "step": step}


def _difference(ours: httpx.Response, theirs: httpx.Response) -> str:
    if (ours.status_code, theirs.status_code) == (200, 200):
        return _differing(ours.json()["data"], theirs.json()["data"])
    if ours.status_code == theirs.status_code:
        return ""
    return f"{ours.status_code} {ours.text[:300]}, Prometheus {theirs.status_code} {theirs.text[:300]}"


def _differing(ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    if ours["resultType"] != theirs["resultType"]:
        return f"{ours['resultType']}, Prometheus {theirs['resultType']}"
    if ours["resultType"] == "scalar":
        return "" if _same(ours["result"], theirs["result"]) else f"{ours['result']}, Prometheus {theirs['result']}"
    mine, yours = _rows(ours), _rows(theirs)
    for labels in mine.keys() | yours.keys():
        one, other = mine.get(labels, []), yours.get(labels, [])
        if len(one) != len(other):
            return f"{dict(labels)}: {len(one)} points, Prometheus {len(other)}: {one[:3]} {other[:3]}"
        for left, right in zip(one, other, strict=True):
            if not _same(left, right):
                return f"{dict(labels)}: {left}, Prometheus {right}"
    return ""


def _rows(data: dict[str, Any]) -> dict[tuple[tuple[str, str], ...], list[Any]]:
    return {
        tuple(sorted(row["metric"].items())): row["values"] if "values" in row else [row["value"]]
        for row in data["result"]
    }


def _same(one: list[Any], other: list[Any]) -> bool:
    left, right = float(one[1]), float(other[1])
    if math.isnan(left) or math.isnan(right):
        return one[0] == other[0] and math.isnan(left) and math.isnan(right)
    return one[0] == other[0] and (left == right or math.isclose(left, right, rel_tol=TOLERANCE, abs_tol=1e-12))
