"""A storage that speaks S3 on loopback: moto's server, one a test process."""

from __future__ import annotations

import atexit
import socket
import subprocess
import sys
import time
from functools import cache
from itertools import count

import httpx

from tocsin.store.backup.settings import BackupSettings

START_TIMEOUT_S = 30.0
_numbers = count(1)


@cache
def endpoint() -> str:
    """Where it listens; it is started when it is first wanted and ends with the process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    atexit.register(_end, server)
    url = f"http://127.0.0.1:{port}"
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s and server.poll() is None:
        try:
            httpx.get(f"{url}/moto-api/", trust_env=False)
        except httpx.TransportError:
            continue
        return url
    raise AssertionError("moto's server did not start")


def bucket() -> tuple[str, BackupSettings]:
    """A new bucket's address, and the settings that reach it."""
    name = f"backups-{next(_numbers)}"
    httpx.put(f"{endpoint()}/{name}", trust_env=False).raise_for_status()
    settings = BackupSettings(s3_endpoint=endpoint(), s3_region="us-east-1", s3_access_key="k", s3_secret_key="s")
    return f"s3://{name}/servers/web", settings


def _end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    server.wait(10)
