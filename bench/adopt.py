"""Copying an older SQLite database: rows a second, and resident memory.

python -m bench.adopt. 200 series, one row a second of wall time, tags as JSON; the copy runs again at the end.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from bench.figures import resident_mb, show
from tocsin.app.adopt import adopt
from tocsin.runtime.clock import SystemClock

ROWS = 100_000
SERIES = 200


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_run(Path(folder)))


async def _run(folder: Path) -> None:
    older = folder / "older.db"
    _fill(older)
    for name in ("first copy", "the same again"):
        began = time.perf_counter()
        report = await adopt(None, folder / "data", str(older), "UTC")
        took = time.perf_counter() - began
        assert report.samples_stored == ROWS
        show(f"{name}, {ROWS:,} rows, opening included", [ROWS / took], "rows/s", digits=0)
    show("resident memory afterwards", [resident_mb(os.getpid())], "MB", digits=0)


def _fill(path: Path) -> None:
    now_s = SystemClock().now_ms() // 1_000
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE metric (id INTEGER PRIMARY KEY, name TEXT, value REAL, tags TEXT, timestamp TEXT)")
    connection.execute(
        "CREATE TABLE metric_alert (id INTEGER PRIMARY KEY, name TEXT, metric_name TEXT, condition TEXT,"
        " threshold REAL, duration INTEGER, enabled BOOLEAN)"
    )
    rows = (
        (
            f"metric.{at % 10}",
            at / 7,
            f'{{"host": "web{at % SERIES}"}}',
            datetime.fromtimestamp(now_s - ROWS + at, UTC).strftime("%Y-%m-%d %H:%M:%S.%f"),
        )
        for at in range(ROWS)
    )
    connection.executemany("INSERT INTO metric (name, value, tags, timestamp) VALUES (?, ?, ?, ?)", rows)
    connection.commit()
    connection.close()


if __name__ == "__main__":
    main()
