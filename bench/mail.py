"""From a push that breaks a rule to the e-mail server's acceptance of the alert."""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path

from tests.support.server import ServerProcess
from tests.support.smtp import SmtpSink

from bench.figures import percentile, show

ALERTS = 200
TIMEOUT_S = 30.0


def main() -> None:
    waits: list[float] = []
    with SmtpSink() as mail, tempfile.TemporaryDirectory() as folder:
        environment = {
            "TOCSIN_SMTP__HOST": mail.host,
            "TOCSIN_SMTP__PORT": str(mail.port),
            "TOCSIN_SMTP__SECURITY": "none",
            "TOCSIN_SMTP__FROM": "tocsin@example.org",
            "TOCSIN_SMTP__TO": '["night@example.org"]',
        }
        with ServerProcess(Path(folder) / "data", environment) as server, server.client() as client:
            rule = {"name": "Bench", "metric_name": "bench.mail", "condition": ">", "threshold": 1, "duration": 0}
            client.post("/api/rules", json=rule).raise_for_status()
            for number in range(ALERTS):
                arrived = threading.Event()
                mail.on_message = lambda _message, arrived=arrived: arrived.set()
                began = time.perf_counter()
                sample = {"name": "bench.mail", "value": 2, "tags": {"number": str(number)}}
                client.post("/api/metrics", json=sample).raise_for_status()
                if not arrived.wait(TIMEOUT_S):
                    raise SystemExit(f"alert {number} was not mailed within {TIMEOUT_S:.0f} s")
                waits.append((time.perf_counter() - began) * 1e3)
                time.sleep(0.1)
    show("push to mail accepted, median", [percentile(waits, 0.5)], "ms")
    show("push to mail accepted, p99", [percentile(waits, 0.99)], "ms")
    show("push to mail accepted, worst", [max(waits)], "ms")
