"""InfluxDB's own Python client against the whole server."""

from __future__ import annotations

from pathlib import Path

import pytest
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.domain.write_precision import WritePrecision
from influxdb_client.rest import ApiException
from tests.support.server import ServerProcess

pytestmark = pytest.mark.process


def test_points_of_the_client_are_stored_as_they_were_sent(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, {"TOCSIN_HOST__ENABLED": "false"}) as server, server.client() as admin:
        token = server.run("token", "create", "--role", "writer").strip()
        now_ms = 1_000 * int(admin.get("/api/metrics/range", params={"name": "none"}).json()["times"][-1] // 1_000)
        with InfluxDBClient(server.url, token=token, org="o", enable_gzip=True) as client:
            assert client.ping()
            writer = client.write_api(write_options=SYNCHRONOUS)
            points = [
                {
                    "measurement": "boiler room",
                    "tags": {"site": "a, b = c", "path": "C:\\Program Files"},
                    "fields": {"temp": 20.5 + at, "runs": at, "on": at % 2 == 0, "note": 'it says "hot", twice'},
                    "time": now_ms - 1_000 * at,
                }
                for at in range(10)
            ]
            writer.write("home", record=points, write_precision=WritePrecision.MS)
            with pytest.raises(ApiException, match="Line 1") as caught:
                writer.write("home", record="nothing here")
            assert caught.value.status == 400
        labels = {"db": "home", "path": "C:\\Program Files", "site": "a, b = c"}
        for field, newest in (("temp", 20.5), ("runs", 0.0), ("on", 1.0)):
            listed = admin.get("/api/metrics/series", params={"name": f"boiler room_{field}"}).json()["items"]
            assert [(one["labels"], one["time"], one["value"]) for one in listed] == [(labels, now_ms, newest)]
        params: dict[str, str | float] = {
            "name": "boiler room_temp",
            "start": now_ms / 1_000 - 9,
            "end": now_ms / 1_000 + 1,
            "step": "1s",
        }
        (series,) = admin.get("/api/metrics/range", params=params).json()["series"]
        assert series["avg"] == [20.5 + at for at in reversed(range(10))]
