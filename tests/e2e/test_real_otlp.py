"""OpenTelemetry's own SDK and exporter against a running server, sample for sample."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    InMemoryMetricReader,
    MetricExporter,
    MetricExportResult,
    MetricsData,
)
from opentelemetry.sdk.resources import Resource
from tests.support.server import ServerProcess

pytestmark = pytest.mark.process

RESOURCE = {"service.name": "shop", "service.namespace": "eu", "service.instance.id": "i1", "deployment.tier": "gold"}
TARGET = {"job": "eu/shop", "instance": "i1"}
DELTAS = {Counter: AggregationTemporality.DELTA, Histogram: AggregationTemporality.DELTA}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    data_dir = tmp_path_factory.mktemp("otlp") / "data"
    with ServerProcess(data_dir, {"TOCSIN_HOST__ENABLED": "false"}) as running:
        yield running


@pytest.fixture(scope="module")
def token(server: ServerProcess) -> str:
    return server.run("token", "create", "--role", "writer").strip()


class Shop:
    """A program with the SDK; `push` sends what it counted so far, and gives it back for comparison."""

    def __init__(self, exporter: MetricExporter, temporality: dict[type, AggregationTemporality], name: str) -> None:
        self._exporter = exporter
        self._reader = InMemoryMetricReader(preferred_temporality=temporality)
        self._provider = MeterProvider([self._reader], Resource(RESOURCE))
        meter = self._provider.get_meter("tests")
        self.orders = meter.create_counter(f"{name}.orders", unit="{order}", description="Orders taken.")
        self.open = meter.create_up_down_counter(f"{name}.open")
        self.seconds = meter.create_histogram(
            f"{name}.seconds", unit="s", explicit_bucket_boundaries_advisory=[0.1, 1, 10]
        )
        meter.create_observable_gauge(f"{name}.temperature", [self._observe])

    def _observe(self, _: CallbackOptions) -> list[Observation]:
        return [Observation(21.5, {"room": "küche"})]

    def serve(self, books: int) -> None:
        self.orders.add(books, {"kind": "book"})
        self.orders.add(1, {"kind": "pen"})
        self.open.add(-2)
        for seconds in (0.05, 0.5, 50):
            self.seconds.record(seconds)

    def push(self) -> MetricsData:
        data = self._reader.get_metrics_data()
        assert data is not None
        assert self._exporter.export(data) is MetricExportResult.SUCCESS
        return data

    def close(self) -> None:
        self._provider.shutdown()
        self._exporter.shutdown()


@pytest.fixture(scope="module")
def http(server: ServerProcess) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def stored(http: httpx.Client, name: str) -> dict[tuple[tuple[str, str], ...], tuple[int, float]]:
    """labels → (time, value), the newest of each series."""
    items = http.get("/api/metrics/series", params={"name": name}).raise_for_status().json()["items"]
    return {tuple(sorted(each["labels"].items())): (each["time"], each["value"]) for each in items}


def labels(**more: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted({**TARGET, **more}.items()))


def sent(data: MetricsData, name: str) -> Any:
    """The SDK's data points of a metric."""
    (resource,) = data.resource_metrics
    return next(
        metric.data.data_points for scope in resource.scope_metrics for metric in scope.metrics if metric.name == name
    )


@pytest.mark.parametrize("path", ["/v1/metrics", "/api/v1/otlp/v1/metrics"])
@pytest.mark.parametrize("temporality", [{}, DELTAS], ids=["cumulative", "delta"])
def test_what_the_sdk_counted_is_stored(
    server: ServerProcess, http: httpx.Client, token: str, path: str, temporality: dict[type, AggregationTemporality]
) -> None:
    name = f"{'delta' if temporality else 'total'}{len(path)}"
    exporter = OTLPMetricExporter(
        f"{server.url}{path}", headers={"Authorization": f"Bearer {token}"}, compression=Compression.Gzip
    )
    shop = Shop(exporter, temporality, name)
    shop.serve(3)
    shop.push()
    shop.serve(4)
    data = shop.push()
    shop.close()

    at_ms = sent(data, f"{name}.orders")[0].time_unix_nano // 1_000_000
    assert stored(http, f"{name}.orders") == {labels(kind="book"): (at_ms, 7), labels(kind="pen"): (at_ms, 2)}
    assert stored(http, f"{name}.open") == {labels(): (at_ms, -4)}
    assert stored(http, f"{name}.temperature") == {labels(room="küche"): (at_ms, 21.5)}
    assert stored(http, f"{name}.seconds_bucket") == {
        labels(le=end): (at_ms, value) for end, value in (("0.1", 2), ("1", 4), ("10", 4), ("+Inf", 6))
    }
    assert stored(http, f"{name}.seconds_count") == {labels(): (at_ms, 6)}
    (total,) = stored(http, f"{name}.seconds_sum").values()
    assert total[1] == pytest.approx(2 * (0.05 + 0.5 + 50))
    ((about, _),) = stored(http, "target_info").items()
    assert set(labels(**{"deployment.tier": "gold"})) <= set(about)

    known = {each["name"]: each for each in http.get("/api/metrics", params={"limit": 500}).json()["items"]}
    assert (known[f"{name}.orders"]["unit"], known[f"{name}.orders"]["kind"]) == ("{order}", "counter")


def test_a_sender_without_a_token_is_refused(server: ServerProcess, http: httpx.Client) -> None:
    exporter = OTLPMetricExporter(f"{server.url}/v1/metrics")
    shop = Shop(exporter, {}, "stranger")
    shop.orders.add(1)
    with pytest.raises(AssertionError):
        shop.push()
    shop.close()
    assert stored(http, "stranger.orders") == {}
