"""Debian's collectd writes through its Graphite plugin; each value that it also wrote to a file has to arrive."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from tests.support.server import ServerProcess

pytestmark = pytest.mark.process

STOP_TIMEOUT_S = 30.0
WAIT_S = 60.0
ROWS = 4
WRITTEN = {
    "box_example.load.load.shortterm": ("load", 1),
    "box_example.load.load.longterm": ("load", 3),
    "box_example.memory.memory.used": ("memory-used", 1),
    "box_example.memory.memory.free": ("memory-free", 1),
}
"""What Graphite calls it → the file and column of the csv plugin."""

CONFIG = """
Hostname "box.example"
FQDNLookup false
Interval 1
BaseDir "{folder}"
PIDFile "{folder}/collectd.pid"
TypesDB "/usr/share/collectd/types.db"
LoadPlugin load
LoadPlugin memory
LoadPlugin csv
LoadPlugin write_graphite
<Plugin csv>
  DataDir "{folder}/csv"
  StoreRates true
</Plugin>
<Plugin write_graphite>
  <Node "tocsin">
    Host "127.0.0.1"
    Port "{port}"
    Protocol "tcp"
    StoreRates true
    SeparateInstances true
  </Node>
</Plugin>
"""


def test_every_value_that_collectd_read_is_stored(tmp_path: Path) -> None:
    program = shutil.which("collectd")
    assert program is not None, "there is no collectd; `make setup` installs it"
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    folder = tmp_path / "collectd"
    folder.mkdir()
    (folder / "collectd.conf").write_text(CONFIG.format(folder=folder, port=port))
    environment = {"TOCSIN_HOST__ENABLED": "false", "TOCSIN_GRAPHITE__LISTEN": f"127.0.0.1:{port}"}
    with (
        ServerProcess(tmp_path / "data", environment) as server,
        server.client() as admin,
        (folder / "log").open("wb") as log,
    ):
        daemon = subprocess.Popen([program, "-f", "-C", str(folder / "collectd.conf")], stdout=log, stderr=log)
        try:
            wait_for_rows(folder / "csv")
            rows = {name: values(folder / "csv", *source) for name, source in WRITTEN.items()}
            daemon.send_signal(signal.SIGUSR1)  # send what is buffered; at its end it would drop some of it
            for name, wanted in rows.items():
                assert arrived(admin, name, wanted) == pytest.approx(wanted, rel=1e-6), name
        finally:
            daemon.terminate()
            daemon.wait(STOP_TIMEOUT_S)


def arrived(admin: httpx.Client, name: str, rows: dict[int, float]) -> dict[int, float | None]:
    """What is stored at the times of the rows; the last lines may still be on their way."""
    asked: dict[str, str | float] = {"name": name, "start": min(rows) - 1, "end": max(rows) + 2, "step": "1s"}
    end_s = time.monotonic() + WAIT_S
    while True:
        answer = admin.get("/api/metrics/range", params=asked).raise_for_status().json()
        columns = [zip(answer["times"], one["max"], strict=True) for one in answer["series"]]
        stored = {time_ms // 1_000: value for column in columns for time_ms, value in column}
        found = {at: stored.get(at) for at in rows}
        if None not in found.values() or time.monotonic() > end_s:
            return found


def values(folder: Path, file: str, column: int) -> dict[int, float]:
    """Seconds → value, as the csv plugin wrote them; Graphite gets whole seconds, the nearest ones."""
    found: dict[int, float] = {}
    for path in sorted(folder.glob(f"box.example/*/{file}-2*")):
        for line in path.read_text().splitlines()[1:]:
            fields = line.split(",")
            found[int(float(fields[0]) + 0.5)] = float(fields[column])
    return found


def wait_for_rows(folder: Path) -> None:
    end_s = time.monotonic() + WAIT_S
    while any(len(values(folder, *source)) < ROWS for source in WRITTEN.values()):
        assert time.monotonic() < end_s, "collectd wrote nothing"
