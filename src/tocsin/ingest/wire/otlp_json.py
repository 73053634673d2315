"""OTLP in JSON: the same fields as in protobuf, under the same names once they are read.

Objects of these classes answer to what `ingest/wire/otlp.py` asks of protobuf's own, so that there is one reading
of both. Names are lowerCamelCase, 64-bit integers may be text, enums are numbers or names, null is as good as absent,
fields that nobody knows are skipped, and exemplars are not looked at.

Source: OpenTelemetry protocol specification, JSON Protobuf Encoding; protobuf's JSON mapping.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import Any, ClassVar

import msgspec

from tocsin.model.errors import UserError


class Message(msgspec.Struct, rename="camel", gc=False):
    """What absent means is protobuf's default, or None where a field's presence says something."""

    GROUPS: ClassVar[dict[str, tuple[str, ...]]] = {}

    def HasField(self, name: str) -> bool:  # noqa: N802  # as protobuf calls it
        return getattr(self, name) is not None

    def WhichOneof(self, group: str) -> str | None:  # noqa: N802  # as protobuf calls it
        return next((name for name in self.GROUPS[group] if getattr(self, name) is not None), None)


class AnyValue(Message):
    GROUPS: ClassVar[dict[str, tuple[str, ...]]] = {
        "value": tuple(f"{kind}_value" for kind in ("string", "bool", "int", "double", "array", "kvlist", "bytes"))
    }

    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | None = None
    double_value: float | None = None
    array_value: ArrayValue | None = None
    kvlist_value: KeyValueList | None = None
    raw_bytes: str | None = msgspec.field(default=None, name="bytesValue")

    @property
    def bytes_value(self) -> bytes | None:
        if self.raw_bytes is None:
            return None
        text = self.raw_bytes.replace("-", "+").replace("_", "/").rstrip("=")
        try:
            return b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError) as error:
            raise UserError("A bytesValue is not base64.") from error


class ArrayValue(Message):
    values: list[AnyValue] = []


class KeyValue(Message):
    key: str = ""
    value: AnyValue = msgspec.field(default_factory=AnyValue)


class KeyValueList(Message):
    values: list[KeyValue] = []


class DataPoint(Message):
    attributes: list[KeyValue] = []
    start_time_unix_nano: int = 0
    time_unix_nano: int = 0
    flags: int = 0


class NumberDataPoint(DataPoint):
    GROUPS: ClassVar[dict[str, tuple[str, ...]]] = {"value": ("as_double", "as_int")}

    as_double: float | None = None
    as_int: int | None = None


class HistogramDataPoint(DataPoint):
    count: int = 0
    sum: float | None = None
    bucket_counts: list[int] = []
    explicit_bounds: list[float] = []


class ValueAtQuantile(Message):
    quantile: float = 0.0
    value: float = 0.0


class SummaryDataPoint(DataPoint):
    count: int = 0
    sum: float = 0.0
    quantile_values: list[ValueAtQuantile] = []


class Gauge(Message):
    data_points: list[NumberDataPoint] = []


class Sum(Message):
    data_points: list[NumberDataPoint] = []
    raw_temporality: int | str = msgspec.field(default=0, name="aggregationTemporality")
    is_monotonic: bool = False

    @property
    def aggregation_temporality(self) -> int:
        return _temporality(self.raw_temporality)


class Histogram(Message):
    data_points: list[HistogramDataPoint] = []
    raw_temporality: int | str = msgspec.field(default=0, name="aggregationTemporality")

    @property
    def aggregation_temporality(self) -> int:
        return _temporality(self.raw_temporality)


class ExponentialHistogram(Message):
    """Only counted: its points are refused."""

    data_points: list[DataPoint] = []


class Summary(Message):
    data_points: list[SummaryDataPoint] = []


class Metric(Message):
    GROUPS: ClassVar[dict[str, tuple[str, ...]]] = {
        "data": ("gauge", "sum", "histogram", "exponential_histogram", "summary")
    }

    name: str = ""
    description: str = ""
    unit: str = ""
    gauge: Gauge | None = None
    sum: Sum | None = None
    histogram: Histogram | None = None
    exponential_histogram: ExponentialHistogram | None = None
    summary: Summary | None = None


class ScopeMetrics(Message):
    metrics: list[Metric] = []


class Resource(Message):
    attributes: list[KeyValue] = []


class ResourceMetrics(Message):
    resource: Resource = msgspec.field(default_factory=Resource)
    scope_metrics: list[ScopeMetrics] = []


class Request(Message):
    resource_metrics: list[ResourceMetrics] = []


_TEMPORALITIES = {
    "": 0,
    "AGGREGATION_TEMPORALITY_UNSPECIFIED": 0,
    "AGGREGATION_TEMPORALITY_DELTA": 1,
    "AGGREGATION_TEMPORALITY_CUMULATIVE": 2,
}

_request = msgspec.json.Decoder(Request, strict=False)

# All that msgspec raises: text that is not UTF-8 and hostile nesting have no error of their own.
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def read(body: bytes) -> Request:
    """Raises UserError that says where the body is wrong."""
    try:
        return _request.decode(body)
    except msgspec.ValidationError:
        return _read_with_nulls(body)
    except _UNREADABLE as error:
        raise UserError(_malformed(body, error)) from error


def _read_with_nulls(body: bytes) -> Request:
    """A field that is null is absent; nearly nobody writes them, so that reading twice is cheap."""
    try:
        return msgspec.convert(_without_nulls(msgspec.json.decode(body)), Request, strict=False)
    except _UNREADABLE as error:
        raise UserError(_malformed(body, error)) from error


def _without_nulls(data: Any) -> Any:
    if isinstance(data, dict):
        return {name: _without_nulls(value) for name, value in data.items() if value is not None}
    if isinstance(data, list):
        return [_without_nulls(value) for value in data]
    return data


def _temporality(raw: int | str) -> int:
    if isinstance(raw, int):
        return raw
    if raw.isdecimal():
        return int(raw[:2])
    return _TEMPORALITIES.get(raw, 0)


def _malformed(body: bytes, error: Exception) -> str:
    if not body.strip():
        return "The body is empty; send an ExportMetricsServiceRequest."
    if isinstance(error, RecursionError):
        return "The body is nested too deeply."
    if isinstance(error, UnicodeDecodeError):
        return "The text is not UTF-8."
    return f"The body is not an OTLP request in JSON: {error}."
