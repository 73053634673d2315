"""A database of the older schema, read page by page and never written to.

metric(id, name, value, tags, timestamp)
metric_alert(id, name, metric_name, condition, threshold, duration, enabled[, severity])
alert_history(id, alert_id, triggered_at, value, acknowledged, acknowledged_by), where there is one
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import sqlalchemy as sa
from sqlalchemy import exc, pool

from tocsin.model.errors import StoreError, UserError
from tocsin.model.rule import Rule, Severity, check_rule
from tocsin.model.series import FloatArray, TimeArray
from tocsin.store.adopt.values import ABSENT, OldFiring, condition_of, epoch_ms, number_of, severity_of, shown, truth_of
from tocsin.store.state.engine import parse_url

PAGE = 10_000
"""Rows in memory at a time."""

_NEEDED = {
    "metric": ("id", "name", "value", "tags", "timestamp"),
    "metric_alert": ("id", "name", "metric_name", "condition", "threshold", "duration"),
}
_HISTORY = ("id", "alert_id", "triggered_at", "value")
_HISTORY_MORE = ("acknowledged", "acknowledged_by")
_TEXT_ON_POSTGRES = frozenset(("tags", "timestamp", "triggered_at"))
"""Read as text there: Python has no value for some of what those columns may hold, such as infinity."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a row of the old database. `kept` where the row was taken over nevertheless."""

    table: str
    row: int
    kind: str
    reason: str
    kept: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class MetricPage:
    """Rows of metric: texts as they were, ids and times int64[n] (ms UTC), values float64[n]. `read` counts all."""

    read: int
    last_id: int
    names: Sequence[str]
    tags: Sequence[str]
    ids: TimeArray
    times: TimeArray
    values: FloatArray
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class RulePage:
    """`rules` holds old ids with rules that are not yet saved."""

    read: int
    rules: tuple[tuple[int, Rule], ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class HistoryPage:
    read: int
    last_id: int
    firings: tuple[OldFiring, ...]
    problems: tuple[Problem, ...]


class OldDatabase:
    """`where` is a path or a URL. Times without a zone are in `zone`. Synchronous: run it on an offload.

    `name` says where it is without its password, `url` with it.
    """

    def __init__(self, where: str, zone: tzinfo, page: int = PAGE) -> None:
        self._zone = zone
        self._page = page
        url = sa.URL.create("sqlite+pysqlite", database=where) if "://" not in where else parse_url(where)
        self._sqlite = url.get_backend_name() == "sqlite"
        self._columns: dict[str, frozenset[str]] = {}
        self._aside = ""
        self._given: sa.Connection | None = None
        if self._sqlite:
            path = Path(url.database or "").resolve()
            if not path.is_file():
                raise UserError(f"There is no SQLite file {path}.")
            self.name = str(path)
            self.url = sa.URL.create("sqlite", database=self.name).render_as_string()
            self._engine = _sqlite_engine(path)
        else:
            # Built anew: the name is also the key of what was taken, with the password in the URL or elsewhere.
            plain = sa.URL.create("postgresql", url.username, None, url.host, url.port, url.database, url.query)
            self.url = url.set(drivername="postgresql").render_as_string(hide_password=False)
            self.name = plain.difference_update_query(["password"]).render_as_string()
            self._engine = sa.create_engine(
                url, poolclass=pool.NullPool, connect_args={"connect_timeout": 5, "options": _POSTGRES_OPTIONS}
            )

    def _connect(self) -> AbstractContextManager[sa.Connection]:
        return self._engine.connect() if self._given is None else nullcontext(self._given)

    def check(self) -> None:
        """Raises UserError where this is no database of the older schema, StoreError where it does not answer."""
        with _plain_errors(self.name), self._connect() as connection:
            inspector = sa.inspect(connection)
            tables = set(inspector.get_table_names())
            if "alembic_version" in tables and "outbox" in tables:
                raise UserError(f"{self.name} is tocsin's own state database; there is nothing to adopt.")
            history = {"alert_history": _HISTORY} if "alert_history" in tables else {}
            for table, needed in {**_NEEDED, **history}.items():
                self._check_table(inspector, table, needed)

    def _check_table(self, inspector: sa.Inspector, table: str, needed: Sequence[str]) -> None:
        have = _columns(inspector, table) if inspector.has_table(table) else frozenset()
        lacking = [name for name in needed if name not in have]
        if lacking:
            what = f"{table} lacks {', '.join(lacking)}" if have else f"it has no table {table}"
            raise UserError(f"{self.name} is no database of the older schema: {what}.")
        if inspector.get_pk_constraint(table)["constrained_columns"] != ["id"]:
            raise UserError(f"In {self.name}, id is not the primary key of {table}; make it that first.")
        self._columns[table] = have

    @contextmanager
    def inside(self, connection: sa.Connection, aside: str) -> Iterator[None]:
        """Meanwhile read in the transaction of somebody else, who has renamed rules and history: `aside` leads."""
        self._given, self._aside = connection, aside
        try:
            yield
        finally:
            self._given, self._aside = None, ""

    def has_metrics(self) -> bool:
        """Of one that was taken over in place: whether samples may be left there. Raises UserError, StoreError."""
        with _plain_errors(self.name), self._connect() as connection:
            if not sa.inspect(connection).has_table("metric"):
                return False
            self._check_table(sa.inspect(connection), "metric", _NEEDED["metric"])
            return True

    def last_metric_id(self) -> int:
        """0 where there are none."""
        query: sa.Select[Any] = sa.select(sa.func.max(sa.column("id"))).select_from(sa.table("metric"))
        with _plain_errors(self.name), self._connect() as connection:
            return int(connection.execute(query).scalar() or 0)

    def metrics(self, after: int | None) -> Iterator[MetricPage]:
        for rows in self._pages("metric", _NEEDED["metric"], after):
            yield self._metric_page(rows)

    def rules(self) -> Iterator[RulePage]:
        columns = (*_NEEDED["metric_alert"], *self._have("metric_alert", ("enabled", "severity")))
        for rows in self._pages("metric_alert", columns, None):
            problems: list[Problem] = []
            found = [(row[0], _rule(dict(zip(columns, row, strict=True)), problems)) for row in rows]
            rules = tuple((old, rule) for old, rule in found if rule is not None)
            yield RulePage(len(rows), rules, tuple(problems))

    def history(self, after: int | None) -> Iterator[HistoryPage]:
        if "alert_history" not in self._columns:
            return
        columns = (*_HISTORY, *self._have("alert_history", _HISTORY_MORE))
        for rows in self._pages("alert_history", columns, after):
            problems: list[Problem] = []
            found = [self._firing(dict(zip(columns, row, strict=True)), problems) for row in rows]
            firings = tuple(one for one in found if one is not None)
            yield HistoryPage(len(rows), rows[-1][0], firings, tuple(problems))

    def close(self) -> None:
        self._engine.dispose()

    def _have(self, table: str, names: Sequence[str]) -> tuple[str, ...]:
        return tuple(name for name in names if name in self._columns[table])

    def _pages(self, table: str, columns: Sequence[str], after: int | None) -> Iterator[list[tuple[Any, ...]]]:
        """By rising id, each page a query of its own, so that no transaction outlives it."""
        wanted = [
            sa.cast(sa.column(name), sa.Text) if not self._sqlite and name in _TEXT_ON_POSTGRES else sa.column(name)
            for name in columns
        ]
        key: sa.ColumnClause[int] = sa.column("id")
        named = table if table == "metric" else self._aside + table
        query = sa.select(*wanted).select_from(sa.table(named)).order_by(key).limit(self._page)
        while True:
            page = query if after is None else query.where(key > after)
            with _plain_errors(self.name), self._connect() as connection:
                rows = [tuple(row) for row in connection.execute(page)]
            if not rows:
                return
            if not isinstance(rows[-1][0], int):
                raise UserError(f"In {self.name}, the ids of {table} are not whole numbers.")
            yield rows
            after = rows[-1][0]

    def _metric_page(self, rows: list[tuple[Any, ...]]) -> MetricPage:
        problems: list[Problem] = []
        good: list[tuple[int, str, str, int, float]] = []
        for row, name, value, tags, timestamp in rows:
            number, time = number_of(value), epoch_ms(timestamp, self._zone)
            if name is None or value is None or timestamp is None:
                problems.append(Problem("metric", row, "missing value", "The name, value or timestamp is NULL."))
            elif number is None:
                problems.append(Problem("metric", row, "bad value", f"{shown(value)} is no number."))
            elif time is None:
                problems.append(Problem("metric", row, "bad timestamp", f"{shown(timestamp)} is no time."))
            else:
                good.append((row, str(name), "" if tags is None else str(tags), time, number))
        ids, names, texts, times, values = zip(*good, strict=True) if good else ((), (), (), (), ())
        return MetricPage(
            len(rows),
            rows[-1][0],
            names,
            texts,
            np.array(ids, np.int64),
            np.array(times, np.int64),
            np.array(values, np.float64),
            tuple(problems),
        )

    def _firing(self, row: dict[str, Any], problems: list[Problem]) -> OldFiring | None:
        time = epoch_ms(row["triggered_at"], self._zone)
        if time is None:
            reason = f"{shown(row['triggered_at'])} is no time."
            problems.append(Problem("alert_history", row["id"], "bad timestamp", reason))
            return None
        value = number_of(row["value"])
        if value is None and row["value"] is not None:
            reason = f"{shown(row['value'])} is no number; the row is kept without a value."
            problems.append(Problem("alert_history", row["id"], "bad value", reason, kept=True))
        return OldFiring(
            row["id"],
            row["alert_id"] if isinstance(row["alert_id"], int) else None,
            time,
            math.nan if value is None else value,
            truth_of(row.get("acknowledged"), default=False),
            str(row.get("acknowledged_by") or ""),
        )


def _columns(inspector: sa.Inspector, table: str) -> frozenset[str]:
    return frozenset(column["name"] for column in inspector.get_columns(table))


_POSTGRES_OPTIONS = "-c default_transaction_read_only=on -c datestyle=ISO"


def _sqlite_engine(path: Path) -> sa.Engine:
    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, check_same_thread=False)
        connection.text_factory = replaced_text
        return connection

    return sa.create_engine("sqlite+pysqlite://", creator=connect, poolclass=pool.NullPool)


def replaced_text(raw: bytes) -> str:
    """Text that is not UTF-8 costs its wrong bytes, not the whole page."""
    return raw.decode("utf-8", "replace")


@contextmanager
def _plain_errors(name: str) -> Iterator[None]:
    try:
        yield
    except exc.DBAPIError as error:
        lines = str(error.orig).strip().splitlines() or ["no reason given"]
        raise StoreError(f"{name} cannot be read: {lines[0].rstrip('.')}.") from error


def _rule(row: dict[str, Any], problems: list[Problem]) -> Rule | None:
    """The rule, or None with the problem that kept it out."""

    def problem(kind: str, reason: str, *, kept: bool = False) -> None:
        problems.append(Problem("metric_alert", row["id"], kind, reason, kept=kept))

    condition = condition_of(row["condition"])
    threshold = number_of(row["threshold"])
    duration = 0.0 if row["duration"] is None else number_of(row["duration"])
    severity = severity_of(row.get("severity", ABSENT))
    if condition is None:
        problem("unknown condition", f"{shown(row['condition'])} is no condition; make the rule by hand.")
        return None
    if threshold is None or duration is None or not math.isfinite(duration):
        problem("bad number", "The threshold or the duration is no number; make the rule by hand.")
        return None
    try:
        rule = check_rule(
            Rule(
                0,
                str(row["name"] or ""),
                str(row["metric_name"] or ""),
                condition,
                threshold,
                round(duration * 1_000),
                severity or Severity.WARNING,
                enabled=truth_of(row.get("enabled"), default=True),
            )
        )
    except UserError as error:
        problem("bad rule", str(error))
        return None
    if severity is None:
        problem("unknown severity", f"{shown(row['severity'])} is no severity; it became warning.", kept=True)
    return rule
