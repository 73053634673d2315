"""PromQL over HTTP: devops queries of the Time Series Benchmark Suite and everyday ones, beside Debian's servers.

`python -m bench.queries [small|large|NAME …]`. All servers are loaded with the same samples and asked the same
questions by the same client, and their answers are compared.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import math
import random
import statistics
import sys
import tempfile
import time
import urllib.parse
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tests.support.server import ServerProcess

from bench.codecs import remote_write_bodies
from bench.devops import INTERVAL_MS, METRICS, Fleet
from bench.figures import resident_mb
from bench.peers import running_peers
from bench.wire import Wire

RUNS = 10
SIZES = {"small": (100, 4_320), "large": (4_000, 180)}
"""Machines (ten series each) and readings, 10 s apart: 1,000 series over 12 hours, 40,000 over half an hour."""
USER = "cpu_usage_user"
REMOTE_WRITE = (
    "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\nX-Prometheus-Remote-Write-Version: 0.1.0\r\n"
)

Parameters = dict[str, str | float]


@dataclass(frozen=True, slots=True)
class Question:
    path: str
    parameters: Parameters


@dataclass(frozen=True, slots=True)
class Data:
    """What was loaded: whole seconds UTC."""

    fleet: Fleet
    start_s: int
    end_s: int

    @property
    def seconds(self) -> int:
        return self.end_s - self.start_s


Ask = Callable[[Data, random.Random], Question]


def _grouped(kind: str, metrics: int, hosts: int, hours: int, step_s: int) -> Ask:
    """A query of the suite: one metric after another, joined with `or`, so that every server is asked the same."""

    def ask(data: Data, chance: random.Random) -> Question:
        step = step_s if data.seconds >= 3 * 3_600 or step_s < 3_600 else 300
        where = _where(data, chance, hosts)
        parts = [f"{_FORMS[kind]}".format(metric=name, where=where, step=step) for name in _names(metrics)]
        if len(parts) > 1:
            parts = [
                f'label_replace({part}, "metric", "{name}", "", "")'
                for part, name in zip(parts, _names(metrics), strict=True)
            ]
        window = min(hours * 3_600, data.seconds)
        start = data.start_s + chance.randint(0, (data.seconds - window) // step) * step
        return _over(" or ".join(parts), start + step, start + window, step)

    return ask


_FORMS = {
    "max": "max(max_over_time({metric}{where}[{step}s]))",
    "avg": "avg by (hostname)(avg_over_time({metric}[{step}s]))",
}


def _names(metrics: int) -> list[str]:
    return [f"cpu_usage_{name}" for name in METRICS[:metrics]]


def _where(data: Data, chance: random.Random, hosts: int) -> str:
    names = [f"host_{number}" for number in chance.sample(range(data.fleet.hosts), hosts)]
    return f'{{hostname="{names[0]}"}}' if hosts == 1 else f'{{hostname=~"{"|".join(names)}"}}'


def _over(query: str, start: float, end: float, step: float) -> Question:
    return Question("/api/v1/query_range", {"query": query, "start": start, "end": end, "step": step})


def _now(form: str) -> Ask:
    def ask(data: Data, chance: random.Random) -> Question:
        query = form.format(one=_where(data, chance, 1))
        return Question("/api/v1/query", {"query": query, "time": data.end_s - chance.randrange(0, 600, 10)})

    return ask


def _whole(form: str) -> Ask:
    def ask(data: Data, chance: random.Random) -> Question:
        return _over(form.format(one=_where(data, chance, 1)), data.start_s, data.end_s, 60)

    return ask


def _list(path: str, **parameters: str) -> Ask:
    names = {name.replace("match", "match[]"): value for name, value in parameters.items()}
    return lambda data, _: Question(path, {**names, "start": data.start_s, "end": data.end_s})


QUESTIONS: Mapping[str, Ask] = {
    **{
        f"single-groupby-{metrics}-{hosts}-{hours}": _grouped("max", metrics, hosts, hours, 60)
        for metrics in (1, 5)
        for hosts, hours in ((1, 1), (1, 12), (8, 1))
    },
    "cpu-max-all-1": _grouped("max", 10, 1, 8, 3_600),
    "cpu-max-all-8": _grouped("max", 10, 8, 8, 3_600),
    "double-groupby-1": _grouped("avg", 1, 0, 12, 3_600),
    "double-groupby-5": _grouped("avg", 5, 0, 12, 3_600),
    "double-groupby-all": _grouped("avg", 10, 0, 12, 3_600),
    "instant-one": _now(USER + "{one}"),
    "instant-sum-by-region": _now(f"sum by (region)({USER})"),
    "instant-topk": _now(f"topk(10, {USER})"),
    "instant-count-over-90": _now(f"count({USER} > 90)"),
    "instant-all-series": _now(USER),
    "range-avg-over-time-one": _whole(f"avg_over_time({USER}{{one}}[5m])"),
    "range-rate-by-datacenter": _whole(f"sum by (datacenter)(rate({USER}[5m]))"),
    "range-sum-by-datacenter": _whole(f"sum by (datacenter)({USER})"),
    "range-quantile-by-region": _whole(f"quantile by (region)(0.9, {USER})"),
    "series": _list("/api/v1/series", match=USER),
    "label-values": _list("/api/v1/label/hostname/values"),
}


@dataclass(frozen=True, slots=True)
class Result:
    median_ms: float
    worst_ms: float
    digest: tuple[float, ...]


def main() -> None:
    names = sys.argv[1:] if __name__ == "__main__" else []
    sizes = [name for name in names if name in SIZES] or list(SIZES)
    asked = [name for name in names if name in QUESTIONS] or list(QUESTIONS)
    for size in sizes:
        _compare(size, asked)


def _compare(size: str, names: list[str]) -> None:
    hosts, steps = SIZES[size]
    grain_s = 3_600 if steps * INTERVAL_MS >= 3 * 3_600_000 else 300
    end_s = int(time.time()) // grain_s * grain_s  # noqa: TID251 - a load generator has the machine's own clock
    # samples lie 3 s after whole steps, so that none is on the edge of a window
    data = Data(Fleet(hosts, steps, end_s * 1_000 + 3_000), end_s - steps * INTERVAL_MS // 1_000, end_s)
    results: dict[str, dict[str, Result]] = {}
    with tempfile.TemporaryDirectory() as folder:
        with ServerProcess(Path(folder) / "tocsin", {"TOCSIN_AUTH__ANONYMOUS_ROLE": "admin"}) as server:
            results["tocsin"] = _measure(data, server.url, server.pid, names)
        for name, url, pid in running_peers(Path(folder)):
            results[name] = _measure(data, url, pid, names)
    _show(size, names, results)


def _measure(data: Data, url: str, pid: int, names: list[str]) -> dict[str, Result]:
    asyncio.run(_load(url, data.fleet))
    _wait_until_visible(url, data)
    before = resident_mb(pid)
    found = {name: _ask(url, QUESTIONS[name], data) for name in names}
    print(f"{url}: resident memory {before:,.0f} MB when loaded, {resident_mb(pid):,.0f} MB after the questions")
    return found


async def _load(url: str, fleet: Fleet) -> None:
    wire = await Wire.open(url, "")
    for body in remote_write_bodies(fleet, 0):
        status = await wire.post("/api/v1/write", body, REMOTE_WRITE)
        assert status in (200, 204), status
    await wire.close()


def _wait_until_visible(url: str, data: Data) -> None:
    for _ in range(300):
        query = f"sum(count_over_time({USER}[{data.seconds}s]))"
        _, body, _ = _get(_client(url), Question("/api/v1/query", {"query": query, "time": data.end_s, "nocache": "1"}))
        rows = json.loads(body)["data"]["result"]
        if rows and float(rows[0]["value"][1]) == data.fleet.samples / len(METRICS):
            return
        time.sleep(0.2)
    raise TimeoutError(f"{url} does not show what was sent")


def _ask(url: str, ask: Ask, data: Data) -> Result:
    chance = random.Random(1)  # the same questions for every server
    client, times, digests = _client(url), [], []
    for _ in range(RUNS):
        status, body, seconds = _get(client, ask(data, chance))
        if status != 200:
            print(f"  {url}: {status} {body[:200]!r}")
            return Result(math.nan, math.nan, ())
        times.append(seconds * 1e3)
        digests.append(_digest(body))
    return Result(statistics.median(times), max(times), tuple(np.sum(digests, axis=0).tolist()))


def _client(url: str) -> http.client.HTTPConnection:
    where = urllib.parse.urlsplit(url)
    assert where.hostname is not None
    return http.client.HTTPConnection(where.hostname, where.port)


def _get(client: http.client.HTTPConnection, question: Question) -> tuple[int, bytes, float]:
    path = f"{question.path}?{urllib.parse.urlencode(question.parameters)}"
    began = time.perf_counter()
    client.request("GET", path)
    answer = client.getresponse()
    body = answer.read()
    return answer.status, body, time.perf_counter() - began


def _digest(body: bytes) -> tuple[float, float, float, float]:
    """Of an answer in any order: series, points, the sum of values, and that sum weighted by labels and times."""
    data = json.loads(body)["data"]
    if isinstance(data, list):
        rows = [zlib.crc32(json.dumps(row, sort_keys=True).encode()) for row in data]
        return float(len(rows)), 0.0, 0.0, float(sum(rows))
    points = total = mixed = 0.0
    for series in data["result"]:
        pairs = np.array(series["values"] if "values" in series else [series["value"]], float)
        labels = {name: value for name, value in series["metric"].items() if name != "__name__"}
        key = zlib.crc32(json.dumps(labels, sort_keys=True).encode()) / 2**32
        points += len(pairs)
        total += float(pairs[:, 1].sum())
        mixed += float((pairs[:, 1] * ((key + pairs[:, 0] * 0.618) % 1)).sum())
    return float(len(data["result"])), points, total, mixed


def _show(size: str, names: list[str], results: dict[str, dict[str, Result]]) -> None:
    hosts, steps = SIZES[size]
    print(f"\n{hosts * len(METRICS):,} series, {steps * INTERVAL_MS / 3.6e6:g} h: median (slowest) of {RUNS}, ms")
    print(f"{'':26}" + "".join(f"{server:>24}" for server in results) + "   answers")
    for name in names:
        cells = [f"{found[name].median_ms:9.2f} ({found[name].worst_ms:8.2f})" for found in results.values()]
        print(f"{name:26}" + "".join(f"{cell:>24}" for cell in cells) + f"   {_agreement(name, results)}")


def _agreement(name: str, results: dict[str, dict[str, Result]]) -> str:
    ours = results["tocsin"][name].digest
    odd = [
        server
        for server, found in results.items()
        if len(found[name].digest) != len(ours) or not np.allclose(found[name].digest, ours, rtol=1e-9)
    ]
    return "agree" if not odd else f"differ from {', '.join(odd)}"


if __name__ == "__main__":
    main()
