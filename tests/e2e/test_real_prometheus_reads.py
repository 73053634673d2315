"""Debian's Prometheus and promtool read from tocsin: remote read, federation and queries."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.prometheus import READY_TRIES_MAX, PrometheusProcess
from tests.support.server import ServerProcess

from tocsin.runtime.clock import SystemClock

pytestmark = pytest.mark.process

AGE_S = 3_600
"""How long ago the samples are that only remote read can bring."""


def test_prometheus_and_promtool_read_what_is_stored(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data", {"TOCSIN_HOST__ENABLED": "false"}) as server, server.client() as admin:
        now_s = SystemClock().now_ms() // 1_000
        sent = [
            {
                "name": name,
                "value": at + 0.5,
                "tags": {"host": host, "job": "app"},
                "timestamp": now_s - AGE_S + 15 * at,
            }
            for name in ("old.value", "old_total")
            for host in ("a", "b")
            for at in range(20)
        ]
        sent.append({"name": "fresh", "value": 42, "tags": {"job": "app"}, "timestamp": now_s})
        assert admin.post("/api/metrics", json=sent).json()["stored"] == len(sent)
        token = server.run("token", "create", "--role", "viewer").strip()
        authorization = {"credentials": token}
        more: dict[str, Any] = {
            "remote_read": [{"url": f"{server.url}/api/v1/read", "authorization": authorization, "read_recent": True}],
            "scrape_configs": [
                {
                    "job_name": "tocsin",
                    "honor_labels": True,
                    "metrics_path": "/federate",
                    "params": {"match[]": ["fresh"]},
                    "authorization": authorization,
                    "static_configs": [{"targets": [server.url.removeprefix("http://")]}],
                }
            ],
        }
        with PrometheusProcess(tmp_path / "prometheus", more=more) as prometheus:
            prometheus.wait_until_ready()
            asked = {"start": now_s - AGE_S, "end": now_s - AGE_S + 300, "step": 15}
            for query in ("old_total", "sum by (job) (old_total)", 'old_total{host=~"b|c"} * 2'):
                ours = admin.get("/api/v1/query_range", params={"query": query, **asked}).json()
                url = f"http://{prometheus.address}/api/v1/query_range"
                theirs = httpx.get(url, params={"query": query, **asked}).json()
                assert theirs["data"] == ours["data"]
                assert len(ours["data"]["result"]) in (1, 2)
            assert _federated(prometheus.address) == "1"
        told = _promtool(server.url, token, "instant", "SERVER", "fresh")
        assert told.startswith('fresh{job="app"} => 42 @[')
        told = _promtool(server.url, token, "labels", "SERVER", "host")
        assert told.split() == ["a", "b"]
        told = _promtool(server.url, token, "series", "--match=old_total", "SERVER")
        assert told.count("old_total") == 2


def _federated(address: str) -> str:
    """How many samples Prometheus has scraped from `/federate`, as soon as it has: it counts them itself."""
    with httpx.Client(base_url=f"http://{address}", trust_env=False) as client:
        targets: list[dict[str, Any]] = []
        for _ in range(READY_TRIES_MAX):  # it begins some seconds after its start
            targets = client.get("/api/v1/targets").json()["data"]["activeTargets"]
            if targets and targets[0]["health"] != "unknown":
                break
        assert [(target["health"], target["lastError"]) for target in targets] == [("up", "")]
        asked = {"query": 'scrape_samples_scraped{job="tocsin"}'}
        (one,) = client.get("/api/v1/query", params=asked).json()["data"]["result"]
    return str(one["value"][1])


def _promtool(url: str, token: str, *arguments: str) -> str:
    """Debian's promtool knows no header, but a name and a password in the address."""
    server = url.replace("://", f"://promtool:{token}@")
    command = ["promtool", "query", *(server if one == "SERVER" else one for one in arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
