"""Debian's Prometheus writes what it reads of itself; each sample has to arrive."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from pathlib import Path

import pytest
from tests.support.prometheus import PrometheusProcess
from tests.support.server import ServerProcess
from tests.support.stored import Samples, read
from websockets.sync.client import connect

pytestmark = pytest.mark.process

SCRAPES = 4
STEP_MS = 10
WAIT_S = 30.0


def test_every_sample_that_prometheus_has_is_stored(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data", {"TOCSIN_HOST__ENABLED": "false"}) as server, server.client() as admin:
        token = server.run("token", "create", "--role", "writer").strip()
        headers = {"Authorization": f"Bearer {server.run('token', 'create', '--role', 'viewer').strip()}"}
        with (
            connect(f"ws{server.url[4:]}/ws", additional_headers=headers) as live,
            PrometheusProcess(tmp_path / "prometheus", f"{server.url}/api/v1/write", token) as prometheus,
        ):
            live.send(json.dumps({"type": "subscribe", "id": "up", "name": "up"}))
            seen = 0
            while seen < SCRAPES:
                message = json.loads(live.recv(timeout=WAIT_S))
                seen += len(message["samples"]) if message["type"] == "samples" else 0
            held = prometheus.samples()
            prometheus.stop()
            assert "non-recoverable error" not in prometheus.log()
        wanted: dict[str, Samples] = defaultdict(dict)
        for labels, samples in held:
            tags = tuple(sorted((name, value) for name, value in labels.items() if name != "__name__"))
            kept = {time // STEP_MS * STEP_MS: value for time, value in samples if not math.isnan(value)}
            if kept:
                wanted[labels["__name__"]][tags] = kept
        assert len(wanted) > 100
        times = [time for series in wanted.values() for kept in series.values() for time in kept]
        for name, series in wanted.items():
            assert read(admin, name, min(times), max(times) + STEP_MS, STEP_MS) == series, name
        described = {one["name"]: one for one in admin.get("/api/metrics", params={"limit": 1000}).json()["items"]}
        assert described["prometheus_http_requests_total"]["kind"] == "counter"
