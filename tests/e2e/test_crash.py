"""SIGKILL, ten times, in the middle of pushes: nothing acknowledged is lost, nobody is told twice or not at all."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from tests.support.server import ServerProcess
from tests.support.smtp import Received, SmtpSink

pytestmark = pytest.mark.process

KILLS = 10
SENDERS = 3
PUSHES_A_ROUND = 120
ALERT_EVERY = 20
WAIT_S = 60.0


@dataclass
class Ledger:
    """What the server has acknowledged: the value of each sample, and the alerts that must be told."""

    values: dict[tuple[str, int], float] = field(default_factory=dict)
    alerts: set[str] = field(default_factory=set)


class Sender(threading.Thread):
    """Pushes numbered samples of a series of its own, each until it is acknowledged.

    Every twentieth breaks the rule, on a series that nothing else writes to: each of these is one alert.
    """

    def __init__(self, name: str, token: str, ledger: Ledger, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.url = ""
        self.up = threading.Event()
        self.acknowledged = threading.Semaphore(0)
        self._sender = name
        self._headers = {"Authorization": f"Bearer {token}"}
        self._ledger = ledger
        self._over = stop
        self.base_ms = (time.time_ns() // 1_000_000_000 - 3_600) * 1_000

    def run(self) -> None:
        with httpx.Client(headers=self._headers, timeout=WAIT_S, trust_env=False) as client:
            number = 0
            while not self._over.is_set():
                number += 1
                self._push(client, number, f"{self._sender}-{number}" if number % ALERT_EVERY == 0 else "")
                self.acknowledged.release()

    def _push(self, client: httpx.Client, number: int, alert: str) -> None:
        if alert:
            sample = {"name": "crash.alert", "value": 99.0, "tags": {"alert": alert}}
        else:
            at_ms = self.base_ms + number * 1_000
            sample = {
                "name": "crash.test",
                "value": float(number),
                "tags": {"sender": self._sender},
                "timestamp": at_ms / 1_000,
            }
        while not self._over.is_set():
            self.up.wait(WAIT_S)
            try:
                answer = client.post(f"{self.url}/api/metrics", json=sample)
            except httpx.TransportError:
                continue
            if answer.status_code == 200:
                if alert:
                    self._ledger.alerts.add(alert)
                else:
                    self._ledger.values[self._sender, self.base_ms + number * 1_000] = float(number)
                return
            assert answer.status_code in (429, 503), answer.text


def test_ten_kills_lose_no_sample_and_no_alert_and_double_none(tmp_path: Path) -> None:
    ledger, stop = Ledger(), threading.Event()
    with SmtpSink() as sink:
        server = ServerProcess(
            tmp_path / "data",
            {
                "TOCSIN_SMTP__HOST": sink.host,
                "TOCSIN_SMTP__PORT": str(sink.port),
                "TOCSIN_SMTP__SECURITY": "none",
                "TOCSIN_SMTP__FROM": "tocsin@example.org",
                "TOCSIN_SMTP__TO": '["night@example.org"]',
                "TOCSIN_HOST__ENABLED": "false",
            },
        )
        server.start()
        token = server.run("token", "create", "--role", "writer").strip()
        with server.client() as client:
            rule = {"name": "Crash", "metric_name": "crash.alert", "condition": ">", "threshold": 50, "duration": 0}
            client.post("/api/rules", json=rule).raise_for_status()
        senders = [Sender(f"s{number}", token, ledger, stop) for number in range(SENDERS)]
        for sender in senders:
            sender.start()
        for _ in range(KILLS):
            _let_push(senders, server)
            server.kill()
            for sender in senders:
                sender.up.clear()
            server.start()
        _let_push(senders, server)
        stop.set()
        for sender in senders:
            sender.join(WAIT_S)
        assert _wait_for(sink, lambda: ledger.alerts <= set(_told(sink))), ledger.alerts - set(_told(sink))
        with server.client() as client:
            stored = _stored(client, senders)
            firing = _firing(client)
        server.stop()
    assert {key: stored.get(key) for key in ledger.values} == ledger.values
    assert set(firing) >= ledger.alerts
    assert max(Counter(firing).values()) == 1
    # A mail that was taken just before a kill may come once more, with the same Message-ID: one sending, not two.
    sendings = {(mail.message["Message-ID"], alert) for mail in list(sink.messages) if (alert := _alert_of(mail))}
    assert max(Counter(alert for _, alert in sendings).values()) == 1


def _let_push(senders: list[Sender], server: ServerProcess) -> None:
    for sender in senders:
        sender.url = server.url
        sender.up.set()
    for _ in range(PUSHES_A_ROUND // SENDERS):
        for sender in senders:
            assert sender.acknowledged.acquire(timeout=WAIT_S), "a push was not acknowledged"


def _wait_for(sink: SmtpSink, done: Callable[[], bool]) -> bool:
    """Looks whenever a mail has come."""
    came = threading.Condition()

    def wake(_: Received) -> None:
        with came:
            came.notify_all()

    sink.on_message = wake
    with came:
        return came.wait_for(done, WAIT_S)


def _told(sink: SmtpSink) -> Counter[str]:
    return Counter(alert for message in list(sink.messages) if (alert := _alert_of(message)))


def _alert_of(message: Received) -> str:
    found = re.search(r"s\d+-\d+", message.part("plain"))
    return found[0] if found else ""


def _stored(client: httpx.Client, senders: list[Sender]) -> dict[tuple[str, int], float]:
    """Every sample of the numbered series; a step of a second holds one."""
    start = senders[0].base_ms / 1_000
    asked: dict[str, str | float] = {"name": "crash.test", "start": start, "end": start + 3_600, "step": "1s"}
    answer = client.get("/api/metrics/range", params=asked).raise_for_status().json()
    stored = {}
    for series in answer["series"]:
        assert series["min"] == series["max"], "two values in one second"
        for at_ms, value in zip(answer["times"], series["avg"], strict=True):
            if value is not None:
                stored[series["labels"]["sender"], at_ms] = value
    return stored


def _firing(client: httpx.Client) -> list[str]:
    firing: list[str] = []
    asked: dict[str, str | int] = {"state": "firing", "limit": 1_000}
    while True:
        page = client.get("/api/alerts", params=asked).raise_for_status().json()
        firing += [alert["labels"]["alert"] for alert in page["items"]]
        if page["next"] is None:
            return firing
        asked["cursor"] = page["next"]
