"""What Debian's node exporter exposes, through the door of text, against the whole server."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.support.server import ServerProcess

pytestmark = pytest.mark.process

PATH = "/api/v1/import/prometheus"


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


def test_everything_that_the_exporter_shows_is_stored_as_it_shows_it(tmp_path: Path) -> None:
    with node_exporter(tmp_path) as url, ServerProcess(tmp_path / "data", {"TOCSIN_HOST__ENABLED": "false"}) as server:
        text = exposed(url)
        told = {  # an empty label is none, and JSON cannot write NaN
            (one.name, frozenset((name, label) for name, label in one.labels.items() if label)): one.value
            if isfinite(one.value)
            else None
            for family in text_string_to_metric_families(text)
            for one in family.samples
        }
        token = server.run("token", "create", "--role", "writer").strip()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "text/plain; version=0.0.4"}
        answer = httpx.post(server.url + PATH, content=text, headers=headers, trust_env=False, timeout=20.0)
        assert (answer.status_code, answer.text) == (204, "")
        with server.client() as admin:
            stored = kept(admin)
            described = admin.get("/api/metrics", params={"limit": "1000"}).json()["items"]
    assert len(told) > 100
    assert {series: stored.get(series) for series in told} == told
    (load,) = (one for one in described if one["name"] == "node_load1")
    assert (load["kind"], load["help"]) == ("gauge", "1m load average.")
