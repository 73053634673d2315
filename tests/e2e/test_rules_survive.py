"""Rule files on a real server: SIGKILL, a file that breaks, a SIGHUP that takes it away."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.server import ServerProcess

pytestmark = pytest.mark.process

WAIT_S = 30.0
RULES = """groups:
- name: g
  interval: 1s
  rules:
  - {record: "job:down", expr: "1 - job_up"}
  - {alert: JobDown, expr: "job:down == 1", labels: {severity: critical}, annotations: {summary: "{{ $labels.job }}"}}
"""


def until(found: Callable[[], Any]) -> Any:
    """What `found` gives once that is something."""
    end = time.monotonic() + WAIT_S
    while not (got := found()):
        assert time.monotonic() < end, "it never came"
        time.sleep(0.1)
    return got


def alerts(server: ServerProcess, state: str) -> list[dict[str, Any]]:
    with server.client() as http:
        items: list[dict[str, Any]] = http.get("/api/alerts", params={"state": state}).json()["items"]
        return [item for item in items if item["rule_name"] == "JobDown"]


def push(server: ServerProcess, value: float) -> None:
    with server.client() as http:
        body = {"name": "job_up", "value": value, "tags": {"job": "web"}}
        assert http.post("/api/metrics", json=body).status_code == 200


def test_an_alert_of_a_rule_file_survives_a_kill_a_mistake_and_ends_with_its_file(tmp_path: Path) -> None:
    file = tmp_path / "rules.yml"
    file.write_text(RULES)
    environment = {"TOCSIN_HOST__ENABLED": "false", "TOCSIN_RULES__FILES": f'["{tmp_path}/*.yml"]'}
    with ServerProcess(tmp_path / "data", environment) as server:
        push(server, 0)
        (alert,) = until(lambda: alerts(server, "firing"))
        assert (alert["annotations"], alert["severity"]) == ({"summary": "web"}, "critical")
        server.kill()
        file.write_text(RULES.replace("1 - job_up", "1 -"))
        server.start()
        (still,) = alerts(server, "firing")
        assert (still["id"], still["started_at"]) == (alert["id"], alert["started_at"])
        with server.client() as http:
            (broken,) = http.get("/api/rule-files").json()["items"]
        assert [problem["line"] for problem in broken["problems"]] == [5]
        file.unlink()
        server.hang_up()
        (over,) = until(lambda: alerts(server, "resolved"))
        assert (over["id"], over["reason"]) == (alert["id"], "rule deleted")
