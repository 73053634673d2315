"""Resident memory after an hour of host readings, in simulated time: real readings, real stores, a quick clock."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from bench.figures import resident_mb, show
from tocsin.app.config import Settings
from tocsin.app.wiring import open_server
from tocsin.app.world import real_world
from tocsin.ingest.host.collector import HostCollector
from tocsin.model.duration import HOUR_MS, SECOND_MS
from tocsin.runtime.clock import FixedClock

INTERVAL_S = 5
ROUNDS = 3600 // INTERVAL_S


def main() -> None:
    """In a process of its own, so that nothing else is counted."""
    subprocess.run([sys.executable, "-m", "bench.hour"], check=True)


async def _hour(folder: Path) -> None:
    clock = FixedClock(time.time_ns() // 1_000_000 - HOUR_MS)
    world = replace(real_world(), clock=clock)
    settings = Settings()
    async with open_server(settings, folder, world, url="http://127.0.0.1", loops=False) as server:
        families, file_systems = world.open_machine(settings.host)
        reading = world.offload("bench-host", 1)
        collector = HostCollector(
            families,
            file_systems,
            server.appender,
            host="bench",
            interval_s=INTERVAL_S,
            offload=reading,
            clock=clock,
            telemetry=server.services.telemetry,
        )
        stored = await collector.round()
        show("resident memory at the start", [resident_mb(os.getpid())], "MB")
        for _ in range(ROUNDS):
            clock.advance(INTERVAL_S * SECOND_MS)
            stored += await collector.round()
        show("samples stored in the hour", [stored], "", digits=0)
        show("resident memory after the hour", [resident_mb(os.getpid())], "MB")
        if file_systems is not None:
            await file_systems.close()
        reading.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        asyncio.run(_hour(Path(temporary)))
