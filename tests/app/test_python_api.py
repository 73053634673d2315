"""The Python API, on the real engine: one data directory for the whole module, because a path opens once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import tocsin
from tocsin import SYSTEM_HEALTH_ALERTS, AlertConfigManager, AlertNotifier, MetricAnalyzer, MetricStorage
from tocsin.app.embedded import close
from tocsin.model.audit import Actor
from tocsin.model.duration import DAY_MS, HOUR_MS
from tocsin.model.errors import UserError
from tocsin.model.labels import Labels
from tocsin.model.matcher import parse_selector
from tocsin.model.retention import Policy
from tocsin.model.series import SampleBatch


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield tmp_path_factory.mktemp("python-api")
    close()


@pytest.fixture
def storage(folder: Path) -> MetricStorage:
    return MetricStorage(data_dir=folder)


def test_a_stored_metric_comes_back_with_its_utc_time(storage: MetricStorage) -> None:
    before = datetime.now(UTC)
    stored = storage.store_metric("api.stored", 12, {"queue": "mail"})
    assert (stored.name, stored.value, stored.tags) == ("api.stored", 12.0, {"queue": "mail"})
    assert stored.timestamp.tzinfo is UTC
    assert abs((stored.timestamp - before).total_seconds()) < 60


def test_a_metric_that_cannot_be_stored_is_logged_and_raises(
    storage: MetricStorage, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(UserError):
        storage.store_metric("", 1)
    assert "a metric was not stored" in caplog.text


def test_many_threads_store_side_by_side(storage: MetricStorage) -> None:
    def store(number: int) -> None:
        for _ in range(5):
            storage.store_metric("api.threads", number, {"thread": str(number)})

    threads = [threading.Thread(target=store, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert MetricAnalyzer(storage).calculate_trend("api.threads")["series"] == 8


def test_a_metric_without_samples_has_no_trend(storage: MetricStorage) -> None:
    found = MetricAnalyzer(storage).calculate_trend("api.none")
    assert found["trend"] == "no_data"
    assert (found["avg"], found["min"], found["max"]) == (0, 0, 0)


def test_a_trend_knows_average_and_extremes(storage: MetricStorage) -> None:
    for value in (1.0, 2.0, 6.0):
        storage.store_metric("api.trend", value)
    found = MetricAnalyzer(storage).calculate_trend("api.trend", hours=1)
    assert (found["avg"], found["min"], found["max"]) == (3.0, 1.0, 6.0)
    assert found["trend"] in ("up", "down", "flat")


def test_calls_in_one_millisecond_are_samples_of_their_own(storage: MetricStorage) -> None:
    stored = [storage.store_metric("api.fast", value).timestamp for value in range(300)]
    assert len(set(stored)) == 300
    assert MetricAnalyzer(storage).calculate_trend("api.fast", hours=1)["avg"] == pytest.approx(149.5)
    assert stored == sorted(stored)


def test_what_is_past_the_retention_is_not_returned_and_then_removed(storage: MetricStorage, folder: Path) -> None:
    loop = storage._loop
    for labels in (Labels.metric("api.retention"), Labels.metric("api.retention", {"another": "series"})):
        ids = np.array([loop.engine.samples.intern(labels)], np.uint64)
        hour_ago = np.array([loop.engine.world.clock.now_ms() - HOUR_MS])
        loop.call(loop.engine.samples.append(SampleBatch(ids, hour_ago, np.ones(1))))
    assert MetricAnalyzer(storage).calculate_trend("api.retention", 24)["trend"] != "no_data"
    short = MetricStorage(retention_days=0.01, cleanup_threshold=1, data_dir=folder)
    try:
        for hours in (1, 24, 2_000):
            assert MetricAnalyzer(short).calculate_trend("api.retention", hours)["trend"] == "no_data"
        short.cleanup()
        assert MetricAnalyzer(short).calculate_trend("api.retention", 2_000)["trend"] == "no_data"
    finally:
        MetricStorage(data_dir=folder)  # the retention is the engine's: give the others their week back


def test_a_retention_policy_of_the_data_directory_holds_here_too(storage: MetricStorage, folder: Path) -> None:
    loop = storage._loop
    samples, book = loop.engine.samples, loop.engine.retention
    now_ms = loop.engine.world.clock.now_ms()
    for team in ("dev", "ops"):
        ids = np.array([samples.intern(Labels.metric("api.policy", {"team": team}))] * 2, np.uint64)
        loop.call(samples.append(SampleBatch(ids, now_ms - np.array([3 * DAY_MS, HOUR_MS]), np.array([9.0, 1.0]))))
    short = Policy(0, "dev", parse_selector('{team="dev"}'), 2 * HOUR_MS)
    policy = loop.call(book.add(short, None, Actor("tester")))
    close()  # it is read again at the next start
    again = MetricStorage(data_dir=folder)
    try:
        analyzer = MetricAnalyzer(again)
        for removed in (1, 0):
            assert analyzer.calculate_trend("api.policy", 100, tags={"team": "dev"})["max"] == 1.0
            assert analyzer.calculate_trend("api.policy", 100, tags={"team": "ops"})["max"] == 9.0
            assert again.cleanup() == removed
    finally:
        again._loop.call(again._loop.engine.retention.delete(policy.id, Actor("tester")))


@pytest.mark.parametrize("arguments", [{"retention_days": 0}, {"cleanup_threshold": 0}])
def test_settings_that_make_no_sense_are_refused(folder: Path, arguments: dict[str, int]) -> None:
    with pytest.raises(UserError):
        MetricStorage(data_dir=folder, **arguments)


def test_the_default_alerts_are_set_up_once(folder: Path) -> None:
    manager = AlertConfigManager(data_dir=folder)
    assert manager.setup_default_alerts() == [alert["name"] for alert in SYSTEM_HEALTH_ALERTS.values()]
    assert manager.setup_default_alerts() == []


def test_severities_say_their_colour_and_interval() -> None:
    assert {name: (level["color"], level["interval"]) for name, level in AlertNotifier.SEVERITY_LEVELS.items()} == {
        "critical": ("#FF0000", 300),
        "warning": ("#FFA500", 1800),
        "info": ("#0000FF", 3600),
    }


@dataclass
class OldAlert:
    """A row of the older schema."""

    name: str = "High CPU Usage"
    metric_name: str = "system.cpu.usage"
    condition: str = ">"
    threshold: float = 80.0
    severity: str = "warning"


AT = datetime(2026, 11, 23, 12, 30, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("alert", "condition"),
    [
        (OldAlert(), {"value": 91.239, "triggered_at": AT}),
        (OldAlert(), SimpleNamespace(current_value=91.239, triggered_at=AT.replace(tzinfo=None))),
        ({**OldAlert().__dict__, "value": 91.239, "triggered_at": AT.timestamp()}, None),
        (SimpleNamespace(value=91.239, triggered_at=AT), OldAlert()),
    ],
)
def test_an_alert_email_names_what_the_contract_names(alert: object, condition: object) -> None:
    subject, html = AlertNotifier.format_alert_email(alert, condition)
    assert subject == "[WARNING] System Alert: High CPU Usage"
    for text in ("High CPU Usage", "system.cpu.usage", "91.24", "80", "2026-11-23 12:30:05", "#FFA500", "4px"):
        assert text in html


def test_an_email_without_a_value_is_refused_by_name() -> None:
    with pytest.raises(UserError, match="value"):
        AlertNotifier.format_alert_email(OldAlert(), {"triggered_at": AT})


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError):
        _ = tocsin.nothing
