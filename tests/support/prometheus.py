"""Debian's Prometheus as a process, reading itself and writing to a server under test."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

STOP_TIMEOUT_S = 30.0
READY_TRIES_MAX = 10_000


class PrometheusProcess:
    """It scrapes itself every second, and writes it to `write_url` where there is one; or it is written to itself.

    Use it as a context; `stop` sends what is still to be sent.
    """

    def __init__(
        self,
        folder: Path,
        write_url: str = "",
        token: str = "",
        *,
        receiving: bool = False,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        """`more` are parts of the configuration beside those, or in their place."""
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{one.getsockname()[1]}"
        remote = {
            "url": write_url,
            "authorization": {"credentials": token},
            "metadata_config": {"send_interval": "1s"},
            "queue_config": {"batch_send_deadline": "100ms"},
        }
        config = {
            "global": {"scrape_interval": "1s"},
            "scrape_configs": [{"job_name": "self", "static_configs": [{"targets": [self.address]}]}][receiving:],
            "remote_write": [remote] if write_url else [],
        }
        config |= more or {}
        self._flags = ["--web.enable-remote-write-receiver"] if receiving else []
        folder.mkdir()
        self.folder = folder
        (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with (self.folder / "log").open("wb") as said:
            self._process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={self.folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self.folder / 'data'}",
                    f"--web.listen-address={self.address}",
                    *self._flags,
                ],
                stdout=said,
                stderr=said,
                cwd=self.folder,
            )
        return self

    def wait_until_ready(self) -> None:
        """Raises httpx.HTTPError where it does not come up."""
        transport = httpx.HTTPTransport(retries=10)  # with growing pauses, of some ten seconds in all
        with httpx.Client(transport=transport, timeout=20.0) as client:
            answer = client.get(f"http://{self.address}/-/ready")
            for _ in range(READY_TRIES_MAX):  # it listens before it has read its store
                if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                    break
                answer = client.get(f"http://{self.address}/-/ready")
            answer.raise_for_status()

    def stop(self) -> None:
        """SIGTERM; it returns when all its samples are delivered, or it has given up."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self.stop()

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def samples(self) -> list[tuple[dict[str, str], list[tuple[int, float]]]]:
        """(labels, [(ms, value)]) of each series of its own storage."""
        asked = {"query": '{job="self"}[1h]'}
        answer = httpx.get(f"http://{self.address}/api/v1/query", params=asked, trust_env=False, timeout=20.0)
        result: list[dict[str, Any]] = answer.raise_for_status().json()["data"]["result"]
        return [
            (one["metric"], [(round(float(time) * 1_000), float(value)) for time, value in one["values"]])
            for one in result
        ]
