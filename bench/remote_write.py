"""Remote write, 2,000 samples a request over two connections, and the same against Debian's servers where they are."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import cramjam
import numpy as np
import psutil
from tests.support.remote_write import block, label, varint
from tests.support.server import ServerProcess

from bench.figures import show
from bench.peers import running_peers
from bench.wire import Wire

RUNS = 3
CONNECTIONS = 2
SERIES = 2_000  # of each connection, one sample of each in a request
REQUESTS = 300  # of each connection in a run
WARM_UP = 5
HEADERS = (
    "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\nX-Prometheus-Remote-Write-Version: 0.1.0\r\n"
)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        with ServerProcess(Path(folder) / "tocsin") as server:
            token = server.run("token", "create", "--role", "writer", "--name", "bench").strip()
            _measure("tocsin", server.url, token, server.pid)
        for name, url, pid in running_peers(Path(folder)):
            _measure(name, url, "", pid)


def _measure(name: str, url: str, token: str, pid: int) -> None:
    start_ms = int(time.time() * 1_000) - 1_800_000  # noqa: TID251 - a load generator has the machine's own clock
    steps = WARM_UP + RUNS * REQUESTS
    bodies = [_bodies(number, start_ms, steps) for number in range(CONNECTIONS)]
    process = psutil.Process(pid)
    asyncio.run(_send(url, token, [own[:WARM_UP] for own in bodies]))
    samples = CONNECTIONS * REQUESTS * SERIES
    rates, costs = [], []
    for first in range(WARM_UP, steps, REQUESTS):
        before, began = _cpu_s(process), time.perf_counter()
        asyncio.run(_send(url, token, [own[first : first + REQUESTS] for own in bodies]))
        rates.append(samples / (time.perf_counter() - began))
        costs.append((_cpu_s(process) - before) / samples * 1e6)
    show(f"{name}: samples", rates, "/s", digits=0)
    show(f"{name}: CPU for a million samples", costs, "s", digits=2)
    show(f"{name}: resident memory", [process.memory_info().rss / 1e6], "MB")


def _cpu_s(process: psutil.Process) -> float:
    used = process.cpu_times()
    return used.user + used.system


async def _send(url: str, token: str, bodies: list[list[bytes]]) -> None:
    async def sender(own: list[bytes]) -> None:
        wire = await Wire.open(url, token)
        for body in own:
            status = await wire.post("/api/v1/write", body, HEADERS)
            assert status == 204, status
        await wire.close()

    async with asyncio.TaskGroup() as group:
        for own in bodies:
            group.create_task(sender(own))


def _bodies(number: int, start_ms: int, steps: int) -> list[bytes]:
    """Packed requests a second apart; all differ from one another in times and values only."""
    sample = b"\x12\x10\x09" + bytes(8) + b"\x10" + varint(start_ms)
    series = [block(1, _labels(number, at) + sample) for at in range(SERIES)]
    plain = np.frombuffer(b"".join(series), np.uint8).copy()
    ends = np.cumsum([len(one) for one in series])[:, None]
    chance = np.random.default_rng(number)
    values = chance.uniform(0, 100, SERIES)
    packed = []
    for step in range(steps):
        values = np.clip(values + chance.standard_normal(SERIES), 0, 100)
        plain[ends + np.arange(-15, -7)] = np.round(values, 2).astype("<f8").view(np.uint8).reshape(SERIES, 8)
        plain[ends + np.arange(-6, 0)] = np.frombuffer(varint(start_ms + 1_000 * step), np.uint8)
        packed.append(bytes(cramjam.snappy.compress_raw(plain.data)))
    return packed


def _labels(number: int, at: int) -> bytes:
    pairs = {
        "__name__": f"cpu_usage_{('user', 'system', 'idle', 'nice', 'iowait')[at % 5]}",
        "arch": "x64",
        "datacenter": f"eu-west-1{'abc'[at % 3]}",
        "hostname": f"host_{number}_{at // 5}",
        "os": "Ubuntu16.10",
        "rack": str(at % 97),
        "region": "eu-west-1",
        "service": str(at % 19),
        "team": "LON",
    }
    return b"".join(block(1, label(name, value)) for name, value in pairs.items())


if __name__ == "__main__":
    main()
