"""Pushes over HTTP, each to its durable acknowledgement."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import msgspec
from tests.support.server import ServerProcess

from bench.figures import percentile, resident_mb, show
from bench.wire import Wire

RUNS = 3
SECONDS = 5.0
SHAPES = ((1, 1), (32, 1), (1, 1_000), (2, 2_000), (8, 1_000))  # (connections, samples a push)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, ServerProcess(Path(folder) / "data") as server:
        token = server.run("token", "create", "--role", "writer", "--name", "bench").strip()
        for connections, samples in SHAPES:
            rates, waits = [], []
            for _ in range(RUNS):
                counts, times = asyncio.run(_load(server.url, token, connections, samples))
                rates.append(counts / SECONDS)
                waits += times
            name = f"{connections} connections × {samples} samples"
            show(f"{name}: pushes", rates, "/s", digits=0)
            show(f"{name}: samples", [rate * samples for rate in rates], "/s", digits=0)
            show(f"{name}: acknowledged, median", [percentile(waits, 0.5) * 1e3], "ms")
            show(f"{name}: acknowledged, p99", [percentile(waits, 0.99) * 1e3], "ms")
        show("resident memory", [resident_mb(server.pid)], "MB")


async def _load(url: str, token: str, connections: int, samples: int) -> tuple[int, list[float]]:
    done: list[float] = []
    end = time.perf_counter() + SECONDS

    async def sender(number: int) -> None:
        wire = await Wire.open(url, token)
        while time.perf_counter() < end:
            began = time.perf_counter()
            status = await wire.post("/api/metrics", _body(number, samples))
            assert status == 200, status
            done.append(time.perf_counter() - began)
        await wire.close()

    async with asyncio.TaskGroup() as group:
        for number in range(connections):
            group.create_task(sender(number))
    return len(done), done


def _body(number: int, samples: int) -> bytes:
    now = time.time()  # noqa: TID251 - a load generator has the machine's own clock
    value = now % 100
    return msgspec.json.encode(
        [
            {
                "name": "bench.push",
                "value": round(value + at, 2),
                "tags": {"host": f"h{at % 100}", "core": str(at)},
                "timestamp": now,
            }
            for at in range(number * samples, (number + 1) * samples)
        ]
    )
