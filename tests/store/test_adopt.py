"""Reading a database of the older schema."""

from __future__ import annotations

import math
import sqlite3
from datetime import UTC
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from tests.support.older import NOON, NOON_MS, OLDER_KINDS, older
from tests.support.state import migrated_url

from tocsin.model.errors import StoreError, UserError
from tocsin.model.rule import Condition, Severity
from tocsin.store.adopt.source import OldDatabase
from tocsin.store.adopt.values import condition_of, epoch_ms, number_of, severity_of, truth_of

HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("written", "ms"),
    [
        (NOON, NOON_MS),
        ("2026-11-20T12:00:00", NOON_MS),
        ("2026-11-20T12:00:00Z", NOON_MS),
        ("2026-11-20 12:00:00 UTC", NOON_MS),
        ("2026-11-20 14:00:00+02:00", NOON_MS),
        ("2026-11-20 14:00:00 +0200", NOON_MS),
        ("2026-11-20 12:00:00+00", NOON_MS),
        ("2026-11-20 12:00:00.123456", NOON_MS + 123),
        ("2026-11-20 12:00:00.5", NOON_MS + 500),
        ("2026-11-20", NOON_MS - 12 * HOUR_MS),
        (NOON_MS // 1_000, NOON_MS),
        (NOON_MS / 1_000 + 0.25, NOON_MS + 250),
        (NOON_MS, NOON_MS),
        (NOON_MS * 1_000, NOON_MS),
        (NOON_MS * 1_000_000, NOON_MS),
        (str(NOON_MS // 1_000), NOON_MS),
        (0, 0),
        ("yesterday", None),
        ("infinity", None),
        ("", None),
        (b"2026", None),
        (math.inf, None),
        (math.nan, None),
        ("0001-01-01 00:00:00+14:00", None),
        (None, None),
    ],
)
def test_a_time_is_read_in_every_form_it_was_written_in(written: Any, ms: int | None) -> None:
    assert epoch_ms(written, UTC) == ms


def test_only_a_time_without_a_zone_is_in_the_given_one() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert epoch_ms("2026-11-20 13:00:00", berlin) == NOON_MS
    assert epoch_ms("2026-11-20 12:00:00Z", berlin) == NOON_MS


def test_words_for_conditions_and_severities_are_understood() -> None:
    assert condition_of(" Greater Than ") is Condition.ABOVE
    assert condition_of("gte") is Condition.AT_LEAST
    assert condition_of("=") is Condition.EQUAL
    assert condition_of("~") is None
    assert condition_of(None) is None
    assert severity_of("High") is Severity.CRITICAL
    assert severity_of(None) is Severity.WARNING
    assert severity_of("purple") is None


def test_numbers_and_truths_may_be_text() -> None:
    assert number_of("1.5") == 1.5
    assert number_of("many") is None
    assert number_of(b"1") is None
    assert truth_of("false", default=True) is False
    assert truth_of(None, default=True) is True
    assert truth_of(1, default=False) is True


@pytest.mark.parametrize("kind", OLDER_KINDS)
def test_rows_are_read_in_pages_of_bounded_size(kind: str, tmp_path: Path) -> None:
    with older(kind, tmp_path) as made:
        made.add("metric", *((at, "m", at, None, NOON) for at in range(1, 26)))
        database = OldDatabase(made.url, UTC, page=10)
        database.check()
        pages = list(database.metrics(None))
        assert [(page.read, page.last_id) for page in pages] == [(10, 10), (10, 20), (5, 25)]
        assert [page.last_id for page in database.metrics(20)] == [25]
        assert database.last_metric_id() == 25


@pytest.mark.parametrize("kind", OLDER_KINDS)
def test_rules_history_and_samples_come_out_as_they_were_meant(kind: str, tmp_path: Path) -> None:
    with older(kind, tmp_path) as made:
        made.fill()
        database = OldDatabase(made.url, UTC)
        database.check()
        (rules,), (history,), (metrics,) = database.rules(), database.history(None), database.metrics(None)
    assert [(old, rule.name, rule.duration_ms, rule.enabled) for old, rule in rules.rules] == [
        (1, "High CPU Usage", 300_000, True),
        (2, "Queue", 0, False),
    ]
    assert {rule.severity for _, rule in rules.rules} == {Severity.WARNING}
    (firing,) = history.firings
    assert (firing.rule_id, firing.triggered_at_ms, firing.value) == (2, NOON_MS, 7.5)
    assert (firing.acknowledged, firing.acknowledged_by) == (True, "anna")
    assert metrics.times.tolist() == [NOON_MS, NOON_MS + 1_250, NOON_MS]
    assert metrics.values.tolist() == [1.5, 2.5, 40.0]
    assert metrics.tags[2] == ""


def test_what_cannot_be_read_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    with older("sqlite", tmp_path) as made:
        made.add(
            "metric",
            (1, "m", None, None, NOON),
            (2, "m", "much", None, NOON),
            (3, "m", 1, None, "someday"),
            (4, "m", 1, None, NOON),
        )
        made.execute("ALTER TABLE metric_alert ADD COLUMN severity VARCHAR(32)")
        made.add(
            "metric_alert",
            (1, "A", "m", "~", 1, 0, True, "info"),
            (2, "B", "m", ">", None, 0, True, "info"),
            (3, "C", "m", ">", 1, -5, True, "info"),
            (4, "D", "m", ">", 1, 0, True, "purple"),
        )
        made.add("alert_history", (1, 9, "someday", 1, None, None), (2, 9, NOON, "much", None, None))
        database = OldDatabase(made.url, UTC)
        database.check()
        (rules,), (history,), (metrics,) = database.rules(), database.history(None), database.metrics(None)
    assert [one.kind for one in metrics.problems] == ["missing value", "bad value", "bad timestamp"]
    assert metrics.ids.tolist() == [4]
    assert [(one.row, one.kind, one.kept) for one in rules.problems] == [
        (1, "unknown condition", False),
        (2, "bad number", False),
        (3, "bad rule", False),
        (4, "unknown severity", True),
    ]
    assert [(old, rule.severity) for old, rule in rules.rules] == [(4, Severity.WARNING)]
    assert [one.kind for one in history.problems] == ["bad timestamp", "bad value"]
    assert math.isnan(history.firings[0].value)


def test_a_database_of_another_kind_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with pytest.raises(UserError, match="no SQLite file"):
        OldDatabase(str(path), UTC)
    sqlite3.connect(path).execute("CREATE TABLE metric (id INTEGER PRIMARY KEY, name TEXT)").connection.close()
    with pytest.raises(UserError, match="metric lacks value, tags, timestamp"):
        OldDatabase(str(path), UTC).check()
    path.write_text("no database at all " * 100)
    with pytest.raises(StoreError, match="cannot be read"):
        OldDatabase(str(path), UTC).check()


@pytest.mark.parametrize("kind", OLDER_KINDS)
def test_ids_that_could_repeat_are_refused(kind: str, tmp_path: Path) -> None:
    with older(kind, tmp_path) as made:
        made.execute("CREATE TABLE copied AS SELECT * FROM metric", "DROP TABLE metric")
        made.execute("ALTER TABLE copied RENAME TO metric")
        with pytest.raises(UserError, match="primary key"):
            OldDatabase(made.url, UTC).check()


def test_a_source_is_named_without_its_password() -> None:
    database = OldDatabase("postgres://anna:secret@db.example/old?password=secret&sslmode=require", UTC)
    assert database.name == "postgresql://anna@db.example/old?sslmode=require"


def test_the_state_database_of_tocsin_is_not_adopted(tmp_path: Path) -> None:
    with migrated_url("sqlite file", tmp_path) as url, pytest.raises(UserError, match="own state database"):
        OldDatabase(url, UTC).check()
