"""Waiting for samples to arrive, by the server's own live messages."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.support.server import ServerProcess
from websockets.sync.client import connect

WAIT_S = 30.0


def wait_for_samples(server: ServerProcess, name: str, enough: Callable[[list[dict[str, Any]]], bool]) -> None:
    """Until `enough` says so of all samples of the metric that came since."""
    headers = {"Authorization": f"Bearer {server.run('token', 'create', '--role', 'viewer').strip()}"}
    with connect(f"ws{server.url[4:]}/ws", additional_headers=headers) as live:
        live.send(json.dumps({"type": "subscribe", "id": name, "name": name}))
        seen: list[dict[str, Any]] = []
        while not enough(seen):
            message = json.loads(live.recv(timeout=WAIT_S))
            if message["type"] == "samples":
                seen += message["samples"]
