"""Debian's vmagent scrapes and writes; each sample that it was shown has to arrive, with its own protocol too."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
from tests.support.exposer import SERIES, exposer
from tests.support.server import ServerProcess
from tests.support.stored import read

pytestmark = pytest.mark.process

SCRAPES = 6
STOP_TIMEOUT_S = 30.0


def test_every_sample_that_vmagent_was_shown_is_stored(tmp_path: Path) -> None:
    program = shutil.which("vmagent")
    assert program is not None, "there is no vmagent; `make setup` installs it"
    with (
        exposer() as target,
        ServerProcess(tmp_path / "data", {"TOCSIN_HOST__ENABLED": "false"}) as server,
        server.client() as admin,
    ):
        token = server.run("token", "create", "--role", "writer").strip()
        address = target.url.removeprefix("http://")
        config = {
            "global": {"scrape_interval": "1s"},
            "scrape_configs": [{"job_name": "shown", "static_configs": [{"targets": [address]}]}],
        }
        (tmp_path / "scrape.yml").write_text(json.dumps(config))  # JSON is YAML
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            listen = f"127.0.0.1:{one.getsockname()[1]}"
        began_ms = time.time_ns() // 1_000_000 // 1_000 * 1_000
        with (tmp_path / "log").open("wb") as log:
            agent = subprocess.Popen(
                [
                    program,
                    f"-promscrape.config={tmp_path / 'scrape.yml'}",
                    f"-remoteWrite.url={server.url}/api/v1/write",
                    f"-remoteWrite.bearerToken={token}",
                    f"-remoteWrite.tmpDataPath={tmp_path / 'queue'}",
                    "-remoteWrite.flushInterval=100ms",
                    f"-httpListenAddr={listen}",
                ],
                stdout=log,
                stderr=log,
            )
            try:
                target.wait_for(SCRAPES)
            finally:
                agent.terminate()  # it sends what it still holds
                agent.wait(STOP_TIMEOUT_S)
        shown = target.shown
        ended_ms = time.time_ns() // 1_000_000 + 1_000
        labels = {"instance": address, "job": "shown"}
        counted = read(admin, "shown", began_ms, ended_ms, 10)
        assert {series: list(samples.values()) for series, samples in counted.items()} == {
            tuple(sorted(labels.items())): [float(number) for number in range(1, shown + 1)]
        }
        levels = read(admin, "level", began_ms, ended_ms, 10)
        assert len(levels) == SERIES
        for at in range(SERIES):
            said = labels | {"at": str(at), "path": 'C:\\a "b"'}
            wanted = [number + at / 100 for number in range(1, shown + 1)]
            assert list(levels[tuple(sorted(said.items()))].values()) == wanted
        assert "dropping" not in (tmp_path / "log").read_text()
