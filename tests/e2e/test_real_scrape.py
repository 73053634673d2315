"""The whole server scrapes Debian's node exporter and Debian's Prometheus, and reads its list of targets again."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.support.live import wait_for_samples
from tests.support.node_exporter import exposed, kept, node_exporter
from tests.support.prometheus import PrometheusProcess
from tests.support.server import ServerProcess

pytestmark = pytest.mark.process


def configure(folder: Path, *jobs: dict[str, Any]) -> dict[str, str]:
    """The environment of a server with these jobs, every second."""
    write(folder, *jobs)
    return {"TOCSIN_HOST__ENABLED": "false", "TOCSIN_SCRAPE__CONFIG_FILE": str(folder / "scrape.yml")}


def write(folder: Path, *jobs: dict[str, Any]) -> None:
    config = {"global": {"scrape_interval": "1s"}, "scrape_configs": list(jobs)}
    (folder / "scrape.yml").write_text(json.dumps(config))  # JSON is YAML


def job(name: str, *targets: str) -> dict[str, Any]:
    return {"job_name": name, "static_configs": [{"targets": list(targets)}]}


@contextmanager
def counting() -> Iterator[tuple[str, list[int]]]:
    """A target that counts how often it was asked: its address, and all that it has shown."""
    shown: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown.append(len(shown) + 1)
            body = f"# TYPE asked counter\nasked {shown[-1]}\n".encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{http.server_port}", shown
        finally:
            http.shutdown()
            thread.join(10)


def up(job: str, value: float) -> Callable[[list[dict[str, Any]]], bool]:
    """Whether two scrapes of each of the job's targets said so."""

    def enough(seen: list[dict[str, Any]]) -> bool:
        return len([one for one in seen if one["labels"]["job"] == job and one["value"] == value]) >= 2

    return enough


def test_debians_exporter_and_prometheus_are_scraped_whole(tmp_path: Path) -> None:
    with (
        node_exporter(tmp_path) as url,
        PrometheusProcess(tmp_path / "prometheus") as prometheus,
    ):
        exposed(url)
        exposed(f"http://{prometheus.address}/metrics")
        address = url.split("/")[2]
        environment = configure(tmp_path, job("node", address), job("prometheus", prometheus.address))
        with ServerProcess(tmp_path / "data", environment) as server:
            wait_for_samples(server, "up", lambda seen: up("node", 1)(seen) and up("prometheus", 1)(seen))
            shown = {
                (one.name, frozenset((name, label) for name, label in one.labels.items() if label))
                for family in text_string_to_metric_families(exposed(url))
                for one in family.samples
            }
            with server.client() as admin:
                stored = kept(admin)
                described = admin.get("/api/metrics", params={"limit": "1000"}).json()["items"]
    target = {("job", "node"), ("instance", address)}
    missing = {series for series in shown if (series[0], series[1] | target) not in stored}
    # network devices of the machine come and go while the test runs
    assert len(missing) < 10, missing
    assert len(shown) > 100
    assert ("prometheus_build_info", "prometheus") in {(name, dict(labels).get("job")) for name, labels in stored}
    (load,) = (one for one in described if one["name"] == "node_load1")
    assert (load["kind"], load["help"]) == ("gauge", "1m load average.")
    assert stored["scrape_samples_scraped", frozenset(target)] == pytest.approx(len(shown), abs=50)


def test_the_list_of_targets_is_read_again_and_jobs_are_added_while_it_runs(tmp_path: Path) -> None:
    with counting() as (first, asked), counting() as (second, _):
        environment = configure(tmp_path, job("first", first))
        with ServerProcess(tmp_path / "data", environment) as server:
            wait_for_samples(server, "up", up("first", 1))
            write(tmp_path, {**job("first", first), "scrape_intervall": "1s"})
            server.hang_up()
            line = server.wait_for_line("settings were not reloaded")
            assert "did you mean scrape_interval?" in line
            write(tmp_path, job("first", first), job("second", second), job("gone", "127.0.0.1:9"))
            server.hang_up()
            server.wait_for_line("settings reloaded")
            wait_for_samples(server, "up", lambda seen: up("second", 1)(seen) and up("gone", 0)(seen))
            with server.client() as admin:
                stored = kept(admin)
                made = {"job_name": "made", "scrape_interval": "1s", "static_configs": [{"targets": [second]}]}
                admin.post("/api/scrape/jobs", json=made).raise_for_status()
            wait_for_samples(server, "up", up("made", 1))
            listed = json.loads(server.run("targets", "--json"))["items"]
            assert {(one["job_name"], one["health"]) for one in listed} == {
                ("first", "up"),
                ("second", "up"),
                ("gone", "down"),
                ("made", "up"),
            }
            (down,) = json.loads(server.run("targets", "--health", "down", "--json"))["items"]
            assert down["error"] == "Cannot connect: Connection refused"
            assert "down" in server.run("targets", "--job", "gone")
        latest = stored["asked", frozenset({("job", "first"), ("instance", first)})]
        assert latest is not None
        assert 2 < latest <= len(asked)
