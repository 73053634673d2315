"""OTLP requests for tests, short to write."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

DELTA, CUMULATIVE = 1, 2


def attributes(tags: dict[str, Any]) -> list[dict[str, Any]]:
    """Values are text, or an AnyValue as JSON has it."""
    return [
        {"key": key, "value": {"stringValue": value} if isinstance(value, str) else value}
        for key, value in tags.items()
    ]


def request(*metrics: dict[str, Any], **resource: Any) -> dict[str, Any]:
    """One resource and scope, as JSON; `_` in the resource's names stands for a dot."""
    of = {name.replace("_", "."): value for name, value in resource.items()}
    return {
        "resourceMetrics": [{"resource": {"attributes": attributes(of)}, "scopeMetrics": [{"metrics": list(metrics)}]}]
    }


def point(at_ms: int, value: float | int | None = None, tags: dict[str, Any] | None = None, **more: Any) -> Any:
    made: dict[str, Any] = {"timeUnixNano": str(at_ms * 1_000_000), "attributes": attributes(tags or {}), **more}
    if value is not None:
        made |= {"asInt": str(value)} if isinstance(value, int) else {"asDouble": value}
    return made


def gauge(name: str, *points: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "gauge": {"dataPoints": list(points)}, **more}


def total(name: str, *points: Any, temporality: int = CUMULATIVE, monotonic: bool = True, **more: Any) -> Any:
    data = {"dataPoints": list(points), "aggregationTemporality": temporality, "isMonotonic": monotonic}
    return {"name": name, "sum": data, **more}


def histogram(name: str, *points: Any, temporality: int = CUMULATIVE, **more: Any) -> dict[str, Any]:
    data = {"dataPoints": list(points), "aggregationTemporality": temporality}
    return {"name": name, "histogram": data, **more}


def protobuf(asked: dict[str, Any]) -> bytes:
    """The same message in protobuf, by protobuf's own reading of JSON."""
    made: bytes = json_format.ParseDict(asked, ExportMetricsServiceRequest()).SerializeToString()
    return made
