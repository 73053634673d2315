"""A ClickHouse server for tests: `clickhouse_front` as a process of its own."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.support.clickhouse_front import CLUSTER, Fault

ROOT = Path(__file__).parents[2]
USER, PASSWORD = "tocsin", "s:cr@t/1"
STOP_TIMEOUT_S = 30.0


class Front:
    """Started with `start`; its data and its port outlive a `stop` or `kill`.

    `tls`: files of a certificate and key.
    `client_ca`: who must have signed the certificate of a client.
    """

    def __init__(self, path: Path, tls: tuple[Path, Path] | None = None, client_ca: Path | None = None) -> None:
        self._path = path
        self._client_ca = client_ca
        self._tls = tls
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = itertools.count(1)

    @property
    def port(self) -> int:
        return self._port

    def start(self) -> None:
        arguments = ["--path", str(self._path), "--port", str(self._port), "--user", USER, "--password", PASSWORD]
        if self._tls is not None:
            arguments += ["--cert", str(self._tls[0]), "--key", str(self._tls[1])]
        if self._client_ca is not None:
            arguments += ["--client-ca", str(self._client_ca)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.clickhouse_front", *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self._port = int(self._process.stdout.readline())

    def stop(self) -> None:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        process.stdin.close()
        self._ended(process)

    def kill(self) -> None:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        process.kill()
        process.stdin.close()
        self._ended(process)

    def fault(self, fault: Fault) -> None:
        self._tell(asdict(fault))

    def forgive(self) -> None:
        """No fault is left."""
        self._tell(None)

    def _tell(self, said: dict[str, Any] | None) -> None:
        body = json.dumps(said).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}/front/fault", body)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        opener.open(request, timeout=STOP_TIMEOUT_S).close()

    def url(self, database: str | None = None, options: str = "") -> str:
        """With a database of its own, unless one is named."""
        name = database or f"t{next(self._databases)}"
        return f"clickhouse{'s' if self._tls else ''}://{USER}:s%3Acr%40t%2F1@127.0.0.1:{self._port}/{name}{options}"

    def _ended(self, process: subprocess.Popen[bytes]) -> None:
        process.wait(STOP_TIMEOUT_S)
        assert process.stdout is not None
        process.stdout.close()
        self._process = None

    @property
    def running(self) -> bool:
        return self._process is not None


def server_url(kind: str, front: Front) -> str:
    """For a contract suite: a server, a cluster as far as the front is one, or none."""
    match kind:
        case "served":
            return front.url()
        case "cluster":
            return front.url(options=f"?cluster={CLUSTER}")
        case _:
            return ""


@contextmanager
def running_front(path: Path, tls: tuple[Path, Path] | None = None, client_ca: Path | None = None) -> Iterator[Front]:
    front = Front(path, tls, client_ca)
    front.start()
    try:
        yield front
    finally:
        if front.running:
            front.stop()
