"""The whole server with its samples on a ClickHouse server, which is killed and started again in the middle."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.clickhouse import PASSWORD, Front, running_front
from tests.support.clickhouse_front import Fault
from tests.support.server import ServerProcess

SENDERS, PUSHES, KILLS = 3, 40, 3
WAIT_S = 60.0

pytestmark = pytest.mark.process


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    with running_front(tmp_path / "clickhouse") as running:
        yield running


@pytest.fixture
def server(tmp_path: Path, front: Front) -> Iterator[ServerProcess]:
    url_file = tmp_path / "url"
    url_file.write_text(front.url("metrics") + "\n")
    environment = {"TOCSIN_STORE__URL_FILE": str(url_file), "TOCSIN_HOST__ENABLED": "false"}
    with ServerProcess(tmp_path / "data", environment) as running:
        yield running


def push(client: httpx.Client, value: float, at_s: float) -> httpx.Response:
    return client.post("/api/metrics", json={"name": "queue", "value": value, "timestamp": at_s})


def chart(client: httpx.Client, first_s: float) -> list[float]:
    asked: dict[str, Any] = {"name": "queue", "start": first_s, "end": first_s + 10, "step": "1s"}
    answer = client.get("/api/metrics/range", params=asked).raise_for_status().json()
    return [value for series in answer["series"] for value in series["max"] if value is not None]


def firing(client: httpx.Client) -> list[str]:
    answer = client.get("/api/alerts", params={"state": "firing"}).raise_for_status().json()
    return [alert["rule_name"] for alert in answer["items"]]


def test_samples_and_alerts_live_through_the_death_of_the_clickhouse_server(
    server: ServerProcess, front: Front, tmp_path: Path
) -> None:
    first_s = time.time_ns() // 1_000_000_000 - 20
    with server.client() as client:
        rule = {"name": "Queue", "metric_name": "queue", "condition": ">", "threshold": 10, "duration": 0}
        client.post("/api/rules", json=rule).raise_for_status()
        assert push(client, 1.0, first_s).status_code == 200
        assert chart(client, first_s) == [1.0]

        front.kill()
        refused = push(client, 12.0, first_s + 1)
        assert refused.status_code == 503
        assert refused.headers["retry-after"]
        assert "does not answer: connection refused" in refused.text
        assert client.get("/readyz").status_code == 503
        assert client.get("/healthz").status_code == 200
        assert firing(client) == []

        front.start()
        assert push(client, 12.0, first_s + 1).status_code == 200
        assert chart(client, first_s) == [1.0, 12.0]
        assert firing(client) == ["Queue"]
        assert client.get("/readyz").status_code == 200

        front.fault(Fault("drop_after", "insert into samples"))  # the answer to an insert is lost on its way
        assert push(client, 13.0, first_s + 2).status_code == 200
        assert chart(client, first_s) == [1.0, 12.0, 13.0]
    assert server.stop() == 0
    server.start()
    with server.client() as client:
        assert chart(client, first_s) == [1.0, 12.0, 13.0]
        assert firing(client) == ["Queue"]
    assert PASSWORD not in "".join(server.lines)
    assert not (tmp_path / "data" / "samples").exists()


def test_nothing_acknowledged_is_lost_while_the_clickhouse_server_is_killed_over_and_over(
    server: ServerProcess, front: Front
) -> None:
    """SIGKILL in the middle of inserts; each sample is sent until it is acknowledged, as senders do."""
    first_s = time.time_ns() // 1_000_000_000 - 3_600
    acknowledged = threading.Semaphore(0)

    def send(client: httpx.Client, sender: int) -> None:
        for number in range(PUSHES):
            sample = {"name": "killed", "value": number, "timestamp": first_s + number, "tags": {"s": str(sender)}}
            while client.post("/api/metrics", json=sample).status_code != 200:
                pass
            acknowledged.release()

    with server.client() as client, ThreadPoolExecutor(SENDERS) as threads:
        sent = [threads.submit(send, client, sender) for sender in range(SENDERS)]
        for _ in range(KILLS):
            for _ in range(SENDERS * PUSHES // (KILLS + 1)):
                assert acknowledged.acquire(timeout=WAIT_S)
            front.kill()
            front.start()
        for each in sent:
            each.result()
        asked: dict[str, Any] = {"name": "killed", "start": first_s, "end": first_s + PUSHES, "step": "1s"}
        found = client.get("/api/metrics/range", params=asked).raise_for_status().json()["series"]
    assert [series["avg"] for series in found] == [list(map(float, range(PUSHES)))] * SENDERS


def test_a_start_without_the_clickhouse_server_says_so_in_one_sentence(tmp_path: Path, front: Front) -> None:
    front.stop()
    done = subprocess.run(
        [sys.executable, "-m", "tocsin.app", "serve", "--data-dir", str(tmp_path / "data"), "--listen", "127.0.0.1:0"],
        env={**os.environ, "TOCSIN_STORE__URL": front.url("metrics")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert f"ClickHouse at 127.0.0.1:{front.port}/metrics does not answer: connection refused." in done.stderr
    assert "Traceback" not in done.stderr
