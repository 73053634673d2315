"""SIGKILL, twenty times, in the middle of heavy writes through four doors: the ledger of what was acknowledged.

Each request holds one sample of every series of its sender; the ledger has the times of those that were answered.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cramjam
import httpx
import pytest
from tests.support.remote_write import Sent, request_v1, request_v2
from tests.support.server import ServerProcess

pytestmark = pytest.mark.process

KILLS = 20
SERIES = 100
REQUESTS_A_ROUND = (5, 60)
SEED = 8627
WAIT_S = 60.0
"""The longest that a server may take to answer under this load."""


@dataclass(frozen=True, slots=True)
class Door:
    name: str
    path: str
    headers: dict[str, str]
    body: Callable[[str, int, float], bytes]
    """(metric, ms, value) → a request with that value for SERIES series."""


def remote_write_v1(metric: str, at_ms: int, value: float) -> bytes:
    series = [Sent((("__name__", metric), ("n", str(n))), [(at_ms, value)]) for n in range(SERIES)]
    return bytes(cramjam.snappy.compress_raw(request_v1(series)))


def remote_write_v2(metric: str, at_ms: int, value: float) -> bytes:
    series = [Sent((("__name__", metric), ("n", str(n))), [(at_ms, value)]) for n in range(SERIES)]
    return bytes(cramjam.snappy.compress_raw(request_v2(series)))


def json_push(metric: str, at_ms: int, value: float) -> bytes:
    rows = [{"name": metric, "value": value, "tags": {"n": str(n)}, "timestamp": at_ms / 1_000} for n in range(SERIES)]
    return json.dumps(rows).encode()


def influx(metric: str, at_ms: int, value: float) -> bytes:
    measurement, _, name = metric.rpartition("_")
    lines = [f"{measurement},n={n} {name}={value} {at_ms}" for n in range(SERIES)]
    return "\n".join(lines).encode()


V2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
DOORS = (
    Door("ledger_v1", "/api/v1/write", {"Content-Encoding": "snappy"}, remote_write_v1),
    Door("ledger_v2", "/api/v1/write", {"Content-Encoding": "snappy", "Content-Type": V2}, remote_write_v2),
    Door("ledger_json", "/api/metrics", {"Content-Type": "application/json"}, json_push),
    Door("ledger_influx", "/write?precision=ms", {}, influx),
)


@dataclass
class Sender(threading.Thread):
    """Sends the next time over and over until it is acknowledged, and then writes it into its ledger."""

    door: Door
    token: str
    base_ms: int
    over: threading.Event
    ledger: list[int] = field(default_factory=list)
    url: str = ""
    up: threading.Event = field(default_factory=threading.Event)
    acknowledged: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        headers = self.door.headers | {"Authorization": f"Bearer {self.token}"}
        with httpx.Client(headers=headers, timeout=WAIT_S, trust_env=False) as client:
            number = 0
            while not self.over.is_set():
                number += 1
                self._send(client, number)

    def _send(self, client: httpx.Client, number: int) -> None:
        at_ms = self.base_ms + number * 1_000
        body = self.door.body(self.door.name, at_ms, float(number))
        while not self.over.is_set():
            self.up.wait(WAIT_S)
            try:
                answer = client.post(self.url + self.door.path, content=body)
            except httpx.TransportError:
                continue
            if answer.status_code in (200, 204):
                self.ledger.append(at_ms)
                self.acknowledged.release()
                return
            assert answer.status_code in (429, 503), answer.text


def test_twenty_kills_under_heavy_mixed_writes_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    chance, over = random.Random(SEED), threading.Event()
    server = ServerProcess(tmp_path / "data", {"TOCSIN_HOST__ENABLED": "false"})
    server.start()
    token = server.run("token", "create", "--role", "writer").strip()
    base_ms = (time.time_ns() // 1_000_000_000 - 86_400) * 1_000
    senders = [Sender(door, token, base_ms, over) for door in DOORS]
    for sender in senders:
        sender.start()
    try:
        for _ in range(KILLS):
            let_send(senders, server, chance.randint(*REQUESTS_A_ROUND))
            server.kill()
            for sender in senders:
                sender.up.clear()
            server.start()
        let_send(senders, server, REQUESTS_A_ROUND[0])
        over.set()
        for sender in senders:
            sender.join(WAIT_S)
        with server.client() as client:
            for sender in senders:
                stored = read(client, sender)
                assert len(stored) == SERIES
                for series, samples in stored.items():
                    lost = [at_ms for at_ms in sender.ledger if at_ms not in samples]
                    assert not lost, f"{sender.door.name} {series}: {len(lost)} of {len(sender.ledger)} are lost"
                    wrong = {at_ms: value for at_ms, value in samples.items() if value != (at_ms - base_ms) / 1_000}
                    assert not wrong
    finally:
        over.set()
        server.stop()


def let_send(senders: list[Sender], server: ServerProcess, requests: int) -> None:
    for sender in senders:
        sender.url = server.url
        sender.up.set()
    for _ in range(requests):
        sender = senders[0]
        assert sender.acknowledged.acquire(timeout=WAIT_S), f"{sender.door.name}: nothing was acknowledged"


def read(client: httpx.Client, sender: Sender) -> dict[str, dict[int, float]]:
    """A step of a second holds one sample, or its least would not be its most."""
    params: dict[str, str | float] = {
        "name": sender.door.name,
        "start": sender.base_ms / 1_000,
        "end": max(sender.ledger) / 1_000 + 2,
        "step": "1s",
    }
    answer = client.get("/api/metrics/range", params=params).raise_for_status().json()
    stored = {}
    for one in answer["series"]:
        assert one["min"] == one["max"], "two samples at one time"
        cells = zip(answer["times"], one["max"], strict=True)
        stored[str(one["labels"])] = {at_ms: value for at_ms, value in cells if value is not None}
    return stored
