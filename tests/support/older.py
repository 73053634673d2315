"""Databases of the older schema, with the rows that years of use leave behind."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from tests.support.postgres import cluster

from tocsin.store.state.engine import parse_url

OLDER_KINDS = ("sqlite", "postgresql")
NOON = "2026-11-20 12:00:00"
NOON_MS = 1_795_176_000_000

_TABLES = (
    "CREATE TABLE metric (id INTEGER PRIMARY KEY, name VARCHAR(255), value FLOAT, tags TEXT, timestamp {time})",
    """CREATE TABLE metric_alert (id INTEGER PRIMARY KEY, name VARCHAR(255), metric_name VARCHAR(255),
        condition VARCHAR(32), threshold FLOAT, duration INTEGER, enabled BOOLEAN)""",
    """CREATE TABLE alert_history (id INTEGER PRIMARY KEY, alert_id INTEGER, triggered_at {time}, value FLOAT,
        acknowledged BOOLEAN, acknowledged_by VARCHAR(64))""",
    "CREATE TABLE invoices (id INTEGER PRIMARY KEY)",
)


class Older:
    """An older database; its tables are filled through columns in the order of their definition."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._engine = sa.create_engine(parse_url(url), poolclass=sa.pool.NullPool)
        time = "DATETIME" if url.startswith("sqlite") else "TIMESTAMP"
        self.execute(*(statement.format(time=time) for statement in _TABLES))

    def execute(self, *statements: str) -> None:
        with self._engine.begin() as connection:
            for statement in statements:
                connection.execute(sa.text(statement))

    def add(self, table: str, *rows: Sequence[Any]) -> None:
        names = [f"v{at}" for at in range(len(rows[0]))]
        insert = sa.text(f"INSERT INTO {table} VALUES ({', '.join(f':{name}' for name in names)})")
        with self._engine.begin() as connection:
            connection.execute(insert, [dict(zip(names, row, strict=True)) for row in rows])

    def fill(self) -> None:
        """Two rules, one firing of the second, three samples of two series."""
        self.add(
            "metric_alert",
            (1, "High CPU Usage", "system.cpu.usage", ">", 80.0, 300, True),
            (2, "Queue", "queue.length", "greater_than", 5.0, None, False),
        )
        self.add("alert_history", (1, 2, NOON, 7.5, True, "anna"))
        self.add(
            "metric",
            (1, "queue.length", 1.5, '{"queue": "mail", "n": 3, "deep": {"a": [1]}, "none": null}', NOON),
            (2, "queue.length", 2.5, '{"queue": "mail", "n": 3, "deep": {"a": [1]}}', "2026-11-20T12:00:01.250"),
            (3, "system.cpu.usage", 40, None, NOON),
        )


@contextmanager
def older(kind: str, folder: Path) -> Iterator[Older]:
    if kind == "sqlite":
        yield Older(f"sqlite:///{folder / 'older.db'}")
    else:
        with cluster().database() as url:
            yield Older(url)
