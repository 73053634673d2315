"""A disk that is full or takes no writes: they are refused, reads go on, and all is well again without a restart."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Self

import cramjam
import httpx
import pytest
from tests.support.disk import no_writes, small_disk
from tests.support.remote_write import Sent, request_v1
from tests.support.server import ServerProcess

pytestmark = pytest.mark.process

SERIES = 4_000
DISK_MB = 40
BALLAST_MB = 20
REQUESTS_MAX = 2_000
WAIT_S = 60.0
ENVIRONMENT = {
    "TOCSIN_HOST__ENABLED": "false",
    "TOCSIN_STORE__DISK_FREE_MIN": "0",  # what drops the oldest days before it comes to this is tested elsewhere
    "TOCSIN_STORE__FLUSH_ROWS": "20000",
}


class Writer:
    """Writes one sample of every series a request; the ledger has the times of those that were acknowledged."""

    def __init__(self, server: ServerProcess) -> None:
        token = server.run("token", "create", "--role", "writer").strip()
        headers = {"Authorization": f"Bearer {token}", "Content-Encoding": "snappy"}
        self._http = httpx.Client(base_url=server.url, headers=headers, timeout=WAIT_S, trust_env=False)
        self.base_ms = (time.time_ns() // 1_000_000_000 - 86_400) * 1_000
        self.ledger: list[int] = []
        self.number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def write(self) -> httpx.Response:
        self.number += 1
        at_ms = self.base_ms + self.number * 1_000
        series = [
            Sent((("__name__", "disk"), ("n", str(n))), [(at_ms, value_of(self.number, n))]) for n in range(SERIES)
        ]
        answer = self._http.post("/api/v1/write", content=bytes(cramjam.snappy.compress_raw(request_v1(series))))
        if answer.status_code == 204:
            self.ledger.append(at_ms)
        else:
            self.number -= 1
        return answer

    def until_refused(self) -> httpx.Response:
        for _ in range(REQUESTS_MAX):
            answer = self.write()
            if answer.status_code != 204:
                return answer
        raise AssertionError("the disk never filled up")

    def until_taken(self) -> None:
        """The engine takes samples again soon after it can: a flush that failed is tried every second."""
        end_s = time.monotonic() + WAIT_S
        while (answer := self.write()).status_code != 204:
            assert time.monotonic() < end_s, answer.text


def value_of(number: int, n: int) -> float:
    """Full-precision floats pack badly, which fills the disk sooner."""
    return math.sin(number * SERIES + n)


def stored(admin: httpx.Client, writer: Writer, n: int) -> dict[int, float]:
    params: dict[str, str | float] = {
        "name": "disk",
        "match": f'n="{n}"',
        "start": writer.base_ms / 1_000,
        "end": max(writer.ledger) / 1_000 + 2,
        "step": "1s",
    }
    answer = admin.get("/api/metrics/range", params=params).raise_for_status().json()
    (series,) = answer["series"]
    return {at_ms: value for at_ms, value in zip(answer["times"], series["max"], strict=True) if value is not None}


def wait_until_shown(admin: httpx.Client, writer: Writer) -> None:
    """What came while the engine took nothing is in the journal; reads find it about a second after it takes some."""
    end_s = time.monotonic() + WAIT_S
    while len(stored(admin, writer, 0)) < len(writer.ledger):
        assert time.monotonic() < end_s, "what is in the journal is not shown"


def check_ledger(admin: httpx.Client, writer: Writer) -> None:
    for n in (0, 1, SERIES // 2, SERIES - 1):
        found = stored(admin, writer, n)
        wanted = {at_ms: value_of((at_ms - writer.base_ms) // 1_000, n) for at_ms in writer.ledger}
        assert {at_ms: found.get(at_ms) for at_ms in wanted} == wanted


def test_a_full_disk_refuses_writes_and_loses_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", DISK_MB) as disk:
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(BALLAST_MB << 20))
        with (
            ServerProcess(disk / "data", ENVIRONMENT) as server,
            server.client() as admin,
            Writer(server) as writer,
        ):
            writer.write()
            refused = writer.until_refused()
            assert refused.status_code == 503, refused.text
            assert "Retry-After" in refused.headers
            assert "full" in refused.json()["detail"]
            assert len(stored(admin, writer, 0)) > 0
            assert admin.get("/healthz").status_code == 200
            ballast.unlink()
            writer.until_taken()
            for _ in range(5):
                assert writer.write().status_code == 204
            wait_until_shown(admin, writer)
            check_ledger(admin, writer)
            server.kill()
            server.start()
            with server.client() as again:
                check_ledger(again, writer)


def test_a_disk_that_takes_no_writes_refuses_them_and_recovers(tmp_path: Path) -> None:
    with (
        ServerProcess(tmp_path / "data", ENVIRONMENT) as server,
        server.client() as admin,
        Writer(server) as writer,
    ):
        for _ in range(30):
            assert writer.write().status_code == 204
        check_ledger(admin, writer)
        with no_writes(server.pid):
            refused = writer.until_refused()
            assert refused.status_code == 503, refused.text
            assert len(stored(admin, writer, 0)) == len(writer.ledger)
            assert writer.write().status_code == 503
        writer.until_taken()
        wait_until_shown(admin, writer)
        check_ledger(admin, writer)
