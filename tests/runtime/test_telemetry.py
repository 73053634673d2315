from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tocsin.runtime.telemetry import CONTENT_TYPE, Telemetry


def value(telemetry: Telemetry, name: str, **labels: str) -> float | None:
    return telemetry.registry.get_sample_value(name, labels)


def test_a_name_asked_for_twice_gives_the_same_metric() -> None:
    telemetry = Telemetry()
    assert telemetry.counter("pushes", "Pushes.") is telemetry.counter("pushes", "Pushes.")
    assert telemetry.gauge("series", "Series.") is telemetry.gauge("series", "Series.")
    assert telemetry.histogram("commit_seconds", "Commits.") is telemetry.histogram("commit_seconds", "Commits.")


def test_two_kinds_under_one_name_are_a_mistake() -> None:
    telemetry = Telemetry()
    counter = telemetry.counter("pushes", "Pushes.")
    with pytest.raises(ValueError, match="pushes"):
        telemetry.gauge("pushes", "Pushes.")
    assert telemetry.counter("pushes", "Pushes.") is counter


def test_two_servers_in_one_process_do_not_mix() -> None:
    one, other = Telemetry(), Telemetry()
    one.counter("pushes", "Pushes.").inc(3)
    other.counter("pushes", "Pushes.").inc(1)
    assert (value(one, "tocsin_pushes_total"), value(other, "tocsin_pushes_total")) == (3, 1)


def test_metrics_carry_labels() -> None:
    telemetry = Telemetry()
    drops = telemetry.counter("drops", "Dropped.", ["queue"])
    drops.labels("live").inc()
    drops.labels("outbox").inc(2)
    assert value(telemetry, "tocsin_drops_total", queue="live") == 1
    assert value(telemetry, "tocsin_drops_total", queue="outbox") == 2


def test_histograms_have_buckets_for_milliseconds_or_as_asked() -> None:
    telemetry = Telemetry()
    telemetry.histogram("commit_seconds", "Commits.").observe(0.003)
    telemetry.histogram("batch_rows", "Rows.", buckets=(10, 100)).observe(50)
    assert value(telemetry, "tocsin_commit_seconds_bucket", le="0.0025") == 0
    assert value(telemetry, "tocsin_commit_seconds_bucket", le="0.005") == 1
    assert value(telemetry, "tocsin_batch_rows_bucket", le="100.0") == 1


def test_what_is_rendered_can_be_read_as_prometheus_text() -> None:
    telemetry = Telemetry()
    telemetry.counter("pushes", "Pushes so far.", ["from"]).labels('a "b"\n').inc(2)
    telemetry.gauge("series", "Series known.").set(7)
    families = {family.name: family for family in text_string_to_metric_families(telemetry.render().decode())}
    assert families["tocsin_series"].type == "gauge"
    assert families["tocsin_series"].samples[0].value == 7
    assert families["tocsin_pushes"].documentation == "Pushes so far."
    assert families["tocsin_pushes"].samples[0].labels == {"from": 'a "b"\n'}
    assert CONTENT_TYPE.startswith("text/plain; version=1.0.0")


def test_nothing_made_renders_nothing() -> None:
    assert Telemetry().render() == b""
