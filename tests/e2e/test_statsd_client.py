"""The `statsd` package against the whole server: what it counts, sets and times is what is stored."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import httpx
import pytest
from statsd import StatsClient
from tests.support.server import ServerProcess

pytestmark = pytest.mark.process

COUNTS = 500
WAIT_S = 30.0


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def most(admin: httpx.Client, name: str) -> float | None:
    """Of the last hour: a set is counted anew with each flush."""
    asked: dict[str, str] = {"name": name, "step": "1h"}
    series = admin.get("/api/metrics/range", params=asked).raise_for_status().json()["series"]
    return max((value for one in series for value in one["max"] if value is not None), default=None)


def test_what_the_client_counts_sets_and_times_is_stored(tmp_path: Path) -> None:
    port = free_udp_port()
    environment = {
        "TOCSIN_HOST__ENABLED": "false",
        "TOCSIN_STATSD__LISTEN": f"127.0.0.1:{port}",
        "TOCSIN_STATSD__FLUSH": "1s",
    }
    with ServerProcess(tmp_path, environment) as server, server.client() as admin:
        client = StatsClient("127.0.0.1", port, prefix="shop")
        for _ in range(COUNTS):
            client.incr("orders", 2)
        client.gauge("queue", 12.5)
        client.gauge("queue", -2.5, delta=True)
        with client.pipeline() as together:
            together.set("people", "ada")
            together.set("people", "grace")
            together.set("people", "ada")
            for ms in (10, 20, 30):
                together.timing("answer", ms)
        client.close()
        wanted = {"shop.orders": 2.0 * COUNTS, "shop.queue": 10.0, "shop.people": 2.0}
        end_s = time.monotonic() + WAIT_S
        while True:
            found = {name: most(admin, name) for name in wanted}
            if found == wanted or time.monotonic() > end_s:
                break
        assert found == wanted
        names = {one["name"] for one in admin.get("/api/metrics", params={"limit": 100}).json()["items"]}
        assert any(name.startswith("shop.answer") for name in names), names
