"""What Debian's node exporter exposes, through the door of text, against the whole server."""

from __future__ import annotations

from math import isfinite
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.support.node_exporter import exposed, kept, node_exporter
from tests.support.server import ServerProcess

pytestmark = pytest.mark.process

PATH = "/api/v1/import/prometheus"


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
