"""Debian's node exporter as a process, and what a server has kept."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx


@contextmanager
def node_exporter(folder: Path) -> Iterator[str]:
    """Its address, once it answers."""
    program = shutil.which("prometheus-node-exporter")
    assert program is not None, "there is no node exporter; `make setup` installs it"
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{one.getsockname()[1]}"
    with (folder / "exporter.log").open("wb") as log:
        process = subprocess.Popen([program, f"--web.listen-address={address}"], stdout=log, stderr=log)
        try:
            yield f"http://{address}/metrics"
        finally:
            process.terminate()
            process.wait(30)


def exposed(url: str) -> str:
    """Retried until the exporter listens, a connection at a time."""
    transport = httpx.HTTPTransport(retries=8)  # pauses of 0.5 s, doubled each time
    with httpx.Client(transport=transport, timeout=30.0) as http:
        return http.get(url).raise_for_status().text


def kept(admin: httpx.Client) -> dict[tuple[str, frozenset[tuple[str, str]]], float | None]:
    """Series → newest value, of all pages."""
    found = {}
    params = {"match": '__name__=~".+"', "limit": "1000"}
    while True:
        page = admin.get("/api/metrics/series", params=params).raise_for_status().json()
        for one in page["items"]:
            found[one["name"], frozenset(one["labels"].items())] = one["value"]
        if page["next"] is None:
            return found
        params["cursor"] = page["next"]
