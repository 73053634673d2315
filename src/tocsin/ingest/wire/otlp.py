"""OpenTelemetry's metrics (OTLP), from protobuf or JSON to rows.

Names of metrics and attributes stay as they were sent. A histogram becomes `name_bucket` (with `le`), `name_sum` and
`name_count`, a summary `name` (with `quantile`), `name_sum` and `name_count`. Of the resource, `service.namespace` and
`service.name` become the label `job`, `service.instance.id` (else `host.name`) becomes `instance`, and the rest is told
by the series `target_info`. The scope is not kept.

Source: OpenTelemetry protocol and data model for metrics; OpenTelemetry, Prometheus and OpenMetrics compatibility.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from enum import IntEnum
from functools import lru_cache
from itertools import accumulate
from math import isfinite
from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np

from tocsin.ingest import naming
from tocsin.ingest.columns import Columns
from tocsin.ingest.naming import Fault
from tocsin.ingest.rows import Refusal, Rejection, Rows
from tocsin.ingest.settings import IngestSettings
from tocsin.ingest.wire import otlp_json, otlp_weight
from tocsin.ingest.wire.otlp_deltas import Parts, SenderDeltas
from tocsin.model.errors import TooLargeError, UserError
from tocsin.model.labels import Labels
from tocsin.model.series import STALE, MetricInfo

TARGET_INFO = "target_info"
NO_POINT = -1
"""Index of a row that no data point wrote: a `target_info`."""

SAMPLES_PER_POINT = 20
"""On average; a histogram is one data point and a sample for each bucket. A request may hold this many times
`samples_max`."""

SERIES_REMEMBERED = 65_536

_JOB, _INSTANCE = "job", "instance"
_IDENTITY = ("service.name", "service.namespace", "service.instance.id")
_NO_VALUE = 1  # of DataPointFlags
_NS_PER_MS = 1_000_000
_INT64_MAX, _UINT64_MAX = 2**63 - 1, 2**64 - 1

Message: TypeAlias = Any
"""A message of protobuf, or its twin from `otlp_json`: both answer to the same names."""

Pairs: TypeAlias = tuple[tuple[str, str], ...]


class Export(NamedTuple):
    """What a request held. `index` of rows and rejections counts its data points from 0, `points` all of them."""

    rows: Rows
    rejected: tuple[Rejection, ...]
    infos: tuple[MetricInfo, ...]
    points: int


class _Temporality(IntEnum):
    DELTA = 1
    CUMULATIVE = 2


class _BadPointError(Exception):
    """Its text is the reason, a sentence for the sender."""

    def __init__(self, reason: str, kind: Refusal = Refusal.MALFORMED) -> None:
        super().__init__(reason)
        self.fault = Fault(reason, kind)


def parse(body: bytes, now_ms: int, limits: IngestSettings, deltas: SenderDeltas, as_json: bool = False) -> Export:
    """Rows in the sender's order, and what was refused.

    Raises UserError where the body is no such message, TooLargeError where it holds more than one request may.
    """
    if as_json:
        otlp_weight.check_json(body)
    else:
        otlp_weight.check_protobuf(body)
    request = otlp_json.read(body) if as_json else _read_protobuf(body)
    _check_count(request, limits.samples_max)
    try:
        return _Reader(now_ms, limits, deltas).read(request)
    except RecursionError as error:
        raise UserError("An attribute in the body is nested too deeply.") from error


def _read_protobuf(body: bytes) -> Message:
    # Loaded when the first such request comes: 6 MB and 30 ms that a server without OTLP does not need.
    from google.protobuf.message import DecodeError  # noqa: PLC0415
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (  # noqa: PLC0415
        ExportMetricsServiceRequest,
    )

    try:
        return ExportMetricsServiceRequest.FromString(body)
    except DecodeError as error:
        raise UserError("The body is not an ExportMetricsServiceRequest in protobuf.") from error


def _check_count(request: Message, points_max: int) -> None:
    """Before anything is added to a running total."""
    points = samples = 0
    for metric in _metrics(request):
        kind = metric.WhichOneof("data")
        if kind is None:
            continue
        found = getattr(metric, kind).data_points
        points += len(found)
        samples += len(found)
        if kind == "histogram":
            samples += sum(len(point.bucket_counts) + 2 for point in found)
        elif kind == "summary":
            samples += sum(len(point.quantile_values) + 2 for point in found)
    if points > points_max:
        raise TooLargeError(f"One request may hold {points_max} data points, this one has {points}; send fewer.")
    if samples > points_max * SAMPLES_PER_POINT:
        most = points_max * SAMPLES_PER_POINT
        raise TooLargeError(f"One request may hold {most} samples, this one has {samples}; send it in several.")


def _metrics(request: Message) -> Iterator[Message]:
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            yield from scope.metrics


class _Reader:
    """One request."""

    def __init__(self, now_ms: int, limits: IngestSettings, deltas: SenderDeltas) -> None:
        self._now_ms = now_ms
        self._newest_ms = now_ms + limits.future_max
        self._deltas = deltas
        self._request = object()
        self._series_of = _series_memory(limits)
        self._columns = Columns()
        self._rejected: list[Rejection] = []
        self._infos: dict[str, MetricInfo] = {}
        self._points = 0
        self._resource: Pairs = ()
        self._resource_ms = 0

    def read(self, request: Message) -> Export:
        for one in request.resource_metrics:
            attributes = dict(_pairs(one.resource.attributes))
            self._resource = _job_and_instance(attributes)
            self._resource_ms = 0
            for scope in one.scope_metrics:
                for metric in scope.metrics:
                    self._read_metric(metric)
            self._add_target_info(attributes)
        return Export(self._columns.rows(), tuple(self._rejected), tuple(self._infos.values()), self._points)

    def _read_metric(self, metric: Message) -> None:
        kind = metric.WhichOneof("data")
        if kind is None:
            return
        data = getattr(metric, kind)
        read = self._reading_of(kind, data)
        taken = False
        for point in data.data_points:
            try:
                read(metric.name, point)
                taken = True
                self._resource_ms = max(self._resource_ms, self._time_ms(point))
            except _BadPointError as error:
                self._rejected.append(Rejection(self._points, *error.fault))
            self._points += 1
        if taken:
            self._describe(metric, kind, data)

    def _reading_of(self, kind: str, data: Message) -> Callable[[str, Message], None]:
        if kind == "exponential_histogram":
            return _refuse_exponential
        if kind == "gauge":
            return self._read_number
        if kind == "summary":
            return self._read_summary
        temporality = data.aggregation_temporality
        if temporality not in (_Temporality.DELTA, _Temporality.CUMULATIVE):
            return _refuse_temporality
        delta = temporality == _Temporality.DELTA
        if kind == "sum":
            return self._read_delta if delta else self._read_number
        return self._read_delta_histogram if delta else self._read_histogram

    def _read_number(self, name: str, point: Message) -> None:
        value = STALE if point.flags & _NO_VALUE else float(_number(point))
        self._columns.add(self._labels(name, _pairs(point.attributes)), self._time_ms(point), value, self._points)

    def _read_delta(self, name: str, point: Message) -> None:
        if point.flags & _NO_VALUE:
            self._read_number(name, point)
            return
        labels = self._labels(name, _pairs(point.attributes))
        time_ms = self._time_ms(point)
        (total,) = self._total(labels, time_ms, (_number(point),), None)
        self._columns.add(labels, time_ms, total, self._points)

    def _read_histogram(self, name: str, point: Message) -> None:
        bounds = _bounds(point)
        if point.flags & _NO_VALUE:
            values: Sequence[float] = [STALE] * (len(bounds) + 3)
        else:
            values = (*_counts(point, bounds), point.count, _sum(point))
        self._add_histogram(name, point, bounds, values, has_sum=_has_sum(point))

    def _read_delta_histogram(self, name: str, point: Message) -> None:
        if point.flags & _NO_VALUE:
            self._read_histogram(name, point)
            return
        bounds = _bounds(point)
        has_sum = _has_sum(point)
        deltas = (*_counts(point, bounds), point.count, _sum(point))
        stream = self._labels(f"{name}_count", _pairs(point.attributes))
        values = self._total(stream, self._time_ms(point), deltas, (bounds, has_sum))
        self._add_histogram(name, point, bounds, values, has_sum=has_sum)

    def _add_histogram(
        self, name: str, point: Message, bounds: tuple[float, ...], values: Sequence[float], *, has_sum: bool
    ) -> None:
        """All series or none. `values`: of each bucket and the endless one, the count, and the sum."""
        attributes, time_ms, at = _pairs(point.attributes), self._time_ms(point), self._points
        ends = [*map(_float_text, bounds), "+Inf"]
        names = [self._labels(f"{name}_bucket", attributes, "le", end) for end in ends]
        names.append(self._labels(f"{name}_count", attributes))
        if has_sum:
            names.append(self._labels(f"{name}_sum", attributes))
        for labels, value in zip(names, values, strict=False):  # without a sum the last value has no series
            self._columns.add(labels, time_ms, value, at)

    def _read_summary(self, name: str, point: Message) -> None:
        attributes, time_ms, at = _pairs(point.attributes), self._time_ms(point), self._points
        stale = bool(point.flags & _NO_VALUE)
        values = {
            self._labels(name, attributes, "quantile", _float_text(one.quantile)): one.value
            for one in point.quantile_values
        }
        values[self._labels(f"{name}_count", attributes)] = float(_in_64_bits(point.count))
        values[self._labels(f"{name}_sum", attributes)] = point.sum
        for labels, value in values.items():
            self._columns.add(labels, time_ms, STALE if stale else value, at)

    def _labels(self, name: str, attributes: Pairs, extra: str = "", value: str = "") -> Labels:
        """Raises _BadPointError."""
        return self._series_of(name, self._resource, attributes, extra, value)

    def _time_ms(self, point: Message) -> int:
        """A point without a time is of now. Raises _BadPointError."""
        time_ms: int = point.time_unix_nano // _NS_PER_MS if point.time_unix_nano else self._now_ms
        if not 0 <= time_ms <= _INT64_MAX:
            raise _BadPointError("timeUnixNano must be a time since 1970 in 64 bits.")
        return time_ms

    def _total(self, labels: Labels, time_ms: int, deltas: Parts, shape: Hashable) -> Parts:
        """Raises _BadPointError."""
        if not all(map(isfinite, deltas)):  # it would make the total no number for ever
            raise _BadPointError("A delta must be a finite number.")
        if time_ms > self._newest_ms:  # it would make all that comes after it look late
            raise _BadPointError("The delta is of the future; check the sender's clock.", Refusal.FUTURE)
        total = self._deltas.add(labels, time_ms, deltas, shape, self._request)
        if total is None:
            raise _BadPointError("The delta is older than one that was added already; send deltas in order.")
        return total

    def _add_target_info(self, attributes: dict[str, str]) -> None:
        """What else is known of the resource, where there is something to join it by."""
        rest = tuple((name, value) for name, value in attributes.items() if name not in _IDENTITY and value)
        if not self._resource or not rest or not self._resource_ms:
            return
        try:
            labels = self._labels(TARGET_INFO, rest)
        except _BadPointError as error:
            self._rejected.append(Rejection(NO_POINT, f"{TARGET_INFO}: {error.fault.reason}", error.fault.kind))
            return
        self._infos[TARGET_INFO] = MetricInfo(TARGET_INFO, kind="info", help="Attributes of the resource.")
        self._columns.add(labels, min(self._resource_ms, self._newest_ms), 1.0, NO_POINT)

    def _describe(self, metric: Message, kind: str, data: Message) -> None:
        name, unit, told = metric.name, metric.unit[:_UNIT_MAX], metric.description[:_HELP_MAX]
        if kind in ("histogram", "summary"):
            self._infos[name] = MetricInfo(name, unit, kind, told)
            parts = ("_sum", "_count", "_bucket") if kind == "histogram" else ("_sum", "_count")
            for part in parts:
                self._infos[name + part] = MetricInfo(name + part, unit if part == "_sum" else "", "counter", told)
            return
        counts = kind == "sum" and data.is_monotonic
        self._infos[name] = MetricInfo(name, unit, "counter" if counts else "gauge", told)


_UNIT_MAX, _HELP_MAX = 63, 1_000


def _refuse_exponential(_: str, __: Message) -> None:
    raise _BadPointError(
        "Exponential histograms are not stored; let the sender make histograms with explicit bounds.",
        Refusal.HISTOGRAM,
    )


def _refuse_temporality(_: str, __: Message) -> None:
    raise _BadPointError("aggregationTemporality must be delta or cumulative.")


def _number(point: Message) -> float:
    kind = point.WhichOneof("value")
    if kind is None:
        raise _BadPointError("The data point has neither asDouble nor asInt.")
    number: float = getattr(point, kind)
    return _in_64_bits(number) if isinstance(number, int) else number


def _in_64_bits(number: int) -> int:
    """JSON knows no largest integer. Raises _BadPointError."""
    if abs(number) > _UINT64_MAX:
        raise _BadPointError("An integer is larger than 64 bits.")
    return number


def _has_sum(point: Message) -> bool:
    has: bool = point.HasField("sum")
    return has or bool(point.flags & _NO_VALUE)


def _sum(point: Message) -> float:
    return point.sum if point.HasField("sum") else 0.0


def _bounds(point: Message) -> tuple[float, ...]:
    """Raises _BadPointError."""
    bounds = tuple(point.explicit_bounds)
    if not all(low < high for low, high in zip(bounds, (*bounds[1:], float("inf")), strict=False)):
        raise _BadPointError("explicitBounds must be finite, and each larger than the one before.")
    return bounds


def _counts(point: Message, bounds: tuple[float, ...]) -> tuple[int, ...]:
    """Of each bucket with all below it, one more than bounds. Raises _BadPointError."""
    counts = list(point.bucket_counts)
    if len(counts) not in (0, len(bounds) + 1) or (bounds and not counts):
        raise _BadPointError("There must be one more of bucketCounts than of explicitBounds.")
    return (*map(_in_64_bits, accumulate(counts[:-1])), _in_64_bits(point.count))


@lru_cache(maxsize=4_096)
def _float_text(number: float) -> str:
    """Without an exponent, as Prometheus writes bounds: 0.005, 5, 10000000."""
    return np.format_float_positional(number, trim="-")


def _pairs(attributes: Iterable[Message]) -> Pairs:
    return tuple([(one.key, _text(one.value)) for one in attributes])


def _text(value: Message) -> str:
    kind = value.WhichOneof("value")
    if kind == "string_value":
        text: str = value.string_value
        return text
    plain = _plain(value)
    return "" if plain is None else plain if isinstance(plain, str) else msgspec.json.encode(plain).decode()


def _plain(value: Message) -> Any:
    """As JSON knows it."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(one) for one in value.array_value.values]
    if kind == "kvlist_value":
        return {one.key: _plain(one.value) for one in value.kvlist_value.values}
    if kind == "bytes_value":
        return b64encode(value.bytes_value).decode()
    if kind in ("string_value", "bool_value", "int_value", "double_value"):
        return getattr(value, kind)
    return None


def _job_and_instance(attributes: dict[str, str]) -> Pairs:
    service, namespace = attributes.get("service.name", ""), attributes.get("service.namespace", "")
    job = f"{namespace}/{service}" if service and namespace else service
    instance = attributes.get("service.instance.id") or attributes.get("host.name", "")
    return tuple((name, value) for name, value in ((_JOB, job), (_INSTANCE, instance)) if value)


@lru_cache(maxsize=4)
def _series_memory(limits: IngestSettings) -> Callable[[str, Pairs, Pairs, str, str], Labels]:
    """(name, job and instance, attributes, one more label) → labels, remembering as many as a large sender repeats.

    What breaks a limit raises _BadPointError and is not remembered: it may be as long as a body.
    """

    @lru_cache(maxsize=SERIES_REMEMBERED)
    def series_of(name: str, resource: Pairs, attributes: Pairs, extra: str, value: str) -> Labels:
        tags = dict(attributes)
        tags.update(resource)
        if extra:
            tags[extra] = value
        labels = naming.series_of(name, tags, limits, "attribute")
        if isinstance(labels, Fault):
            raise _BadPointError(*labels)
        return labels

    return series_of
