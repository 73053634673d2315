"""Start, first chart point, and what an idle server costs."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from tests.support.server import ServerProcess

from bench.figures import cpu_share, resident_mb, show

STARTS = 5
FIRST_POINT_LIMIT_S = 30.0
SETTLE_S = 15.0
IDLE_S = 60.0


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = ServerProcess(Path(folder) / "data")
        began = time.perf_counter()
        server.start()
        show("first start to ready", [time.perf_counter() - began], "s", digits=2)
        _await_first_point(server)
        show("first start to first chart point", [time.perf_counter() - began], "s", digits=2)
        starts = []
        for _ in range(STARTS):
            server.stop()
            began = time.perf_counter()
            server.start()
            starts.append(time.perf_counter() - began)
        show("later starts to ready", starts, "s", digits=2)
        time.sleep(SETTLE_S)
        show(f"idle CPU over {IDLE_S:.0f} s", [cpu_share(server.pid, IDLE_S)], "% of one core", digits=2)
        show("resident memory", [resident_mb(server.pid)], "MB")
        server.stop()


def _await_first_point(server: ServerProcess) -> None:
    with server.client() as client:
        deadline = time.perf_counter() + FIRST_POINT_LIMIT_S
        while time.perf_counter() < deadline:
            answer = client.get("/api/metrics/range", params={"name": "system.cpu.usage"}).json()
            if any(value is not None for series in answer["series"] for value in series["avg"]):
                return
            time.sleep(0.1)
    raise SystemExit(f"no chart point within {FIRST_POINT_LIMIT_S:.0f} s")
