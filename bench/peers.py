"""The servers that tocsin is compared with, as Debian packages them, started one after another on loopback."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx


def running_peers(folder: Path) -> Iterator[tuple[str, str, int]]:
    """Name, URL and process id of each that is installed, while it runs."""
    for name, command in _commands(folder).items():
        if shutil.which(command[0]) is None:
            print(f"{name}: not installed")
            continue
        with _running(command) as (url, pid):
            yield name, url, pid


def _commands(folder: Path) -> dict[str, list[str]]:
    (folder / "empty.yml").write_text("")
    return {
        "prometheus": [
            "prometheus",
            f"--config.file={folder / 'empty.yml'}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            "--web.enable-remote-write-receiver",
            "--web.listen-address={address}",
        ],
        "victoria-metrics": [
            "victoria-metrics",
            f"-storageDataPath={folder / 'victoria'}",
            "-httpListenAddr={address}",
        ],
    }


@contextmanager
def _running(command: list[str]) -> Iterator[tuple[str, int]]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{one.getsockname()[1]}"
    filled = [part.format(address=address) for part in command]
    with subprocess.Popen(filled, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_until_ready(f"http://{address}/-/ready")
            yield f"http://{address}", process.pid
        finally:
            process.terminate()


def _wait_until_ready(url: str) -> None:
    end = time.perf_counter() + 60
    while time.perf_counter() < end:
        try:
            if httpx.get(url, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise TimeoutError(url)
