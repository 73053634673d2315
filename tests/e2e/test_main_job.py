"""The main job over the wire, on PostgreSQL: pushed, judged, told live and by mail, acknowledged, resolved, told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.postgres import cluster
from tests.support.server import ServerProcess
from tests.support.smtp import Received, SmtpSink
from websockets.sync.client import ClientConnection, connect

pytestmark = pytest.mark.process

WAIT_S = 30.0


class Letters:
    """Mails as they come."""

    def __init__(self, sink: SmtpSink) -> None:
        self._sink = sink
        self._came = threading.Condition()
        sink.on_message = self._wake

    def _wake(self, _: Received) -> None:
        with self._came:
            self._came.notify_all()

    def subjects(self, count: int) -> list[str]:
        with self._came:
            assert self._came.wait_for(lambda: len(self._sink.messages) >= count, WAIT_S)
        return [str(mail.message["Subject"]) for mail in self._sink.messages]


@pytest.fixture
def sink() -> Iterator[SmtpSink]:
    with SmtpSink() as opened:
        yield opened


@pytest.fixture
def server(tmp_path: Path, sink: SmtpSink) -> Iterator[ServerProcess]:
    with cluster().database() as url:
        environment = {
            "TOCSIN_STATE__URL": url,
            "TOCSIN_SMTP__HOST": sink.host,
            "TOCSIN_SMTP__PORT": str(sink.port),
            "TOCSIN_SMTP__SECURITY": "none",
            "TOCSIN_SMTP__FROM": "tocsin@example.org",
            "TOCSIN_SMTP__TO": '["night@example.org"]',
            "TOCSIN_HOST__ENABLED": "false",
        }
        with ServerProcess(tmp_path / "data", environment) as running:
            yield running


def test_a_broken_rule_is_told_live_and_by_mail_until_it_resolves(server: ServerProcess, sink: SmtpSink) -> None:
    letters = Letters(sink)
    token = server.run("token", "create", "--role", "admin").strip()
    headers = {"Authorization": f"Bearer {token}"}
    with server.client() as client, connect(f"ws{server.url[4:]}/ws", additional_headers=headers) as live:
        rule = {"name": "Queue", "metric_name": "queue", "condition": ">", "threshold": 10, "duration": 0}
        client.post("/api/rules", json={**rule, "severity": "critical"}).raise_for_status()
        live.send(json.dumps({"type": "subscribe", "id": "q", "name": "queue"}))

        client.post("/api/metrics", json={"name": "queue", "value": 12, "tags": {"host": "a"}}).raise_for_status()
        firing = _next(live, "alert.firing")["alert"]
        assert (firing["rule_name"], firing["value"]) == ("Queue", 12.0)
        assert letters.subjects(1) == ["[CRITICAL] System Alert: Queue"]

        client.post(f"/api/alerts/{firing['id']}/acknowledge", json={"comment": "on it"}).raise_for_status()
        assert _next(live, "alert.acknowledged")["alert"]["acknowledged_by"] == "admin"

        client.post("/api/metrics", json={"name": "queue", "value": 3, "tags": {"host": "a"}}).raise_for_status()
        assert _next(live, "alert.resolved")["alert"]["id"] == firing["id"]
        assert letters.subjects(2)[1] == "[RESOLVED] System Alert: Queue"

        (item,) = client.get("/api/history").raise_for_status().json()["items"]
        assert (item["value"], item["acknowledged_by"], item["comment"]) == (12.0, "admin", "on it")
        assert item["resolved_at"] is not None


def test_a_stop_and_a_start_tell_nobody_again(server: ServerProcess, sink: SmtpSink) -> None:
    letters = Letters(sink)
    with server.client() as client:
        rule = {"name": "Once", "metric_name": "once", "condition": ">", "threshold": 0, "duration": 0}
        client.post("/api/rules", json=rule).raise_for_status()
        client.post("/api/metrics", json={"name": "once", "value": 1}).raise_for_status()
    assert letters.subjects(1) == ["[WARNING] System Alert: Once"]
    server.stop()
    server.start()
    with server.client() as client:
        client.post("/api/metrics", json={"name": "once", "value": 2}).raise_for_status()
        (alert,) = client.get("/api/alerts", params={"state": "firing"}).raise_for_status().json()["items"]
        assert alert["rule_name"] == "Once"
        client.post("/api/metrics", json={"name": "once", "value": 0}).raise_for_status()
    assert letters.subjects(2) == ["[WARNING] System Alert: Once", "[RESOLVED] System Alert: Once"]


def _next(live: ClientConnection, kind: str) -> dict[str, Any]:
    while True:
        message: dict[str, Any] = json.loads(live.recv(timeout=WAIT_S))
        if message["type"] == kind:
            return message
