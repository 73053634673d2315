from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.otlp import CUMULATIVE, DELTA, gauge, histogram, point, protobuf, request, total

from tocsin.ingest.rows import Refusal
from tocsin.ingest.settings import IngestSettings
from tocsin.ingest.wire.otlp import NO_POINT, SAMPLES_PER_POINT, Export, parse
from tocsin.ingest.wire.otlp_deltas import DeltaStreams, SenderDeltas
from tocsin.model.errors import TooLargeError, UserError
from tocsin.model.series import MetricInfo
from tocsin.runtime.telemetry import Telemetry

NOW = 1_800_000_000_000
LIMITS = IngestSettings()
NO_VALUE = 1
STALE_BITS = 0x7FF0_0000_0000_0002

Read = Callable[..., Export]


def streams() -> SenderDeltas:
    return DeltaStreams(Telemetry()).of(None)


def read_protobuf(asked: Any, deltas: SenderDeltas | None = None, limits: IngestSettings = LIMITS) -> Export:
    return parse(protobuf(asked), NOW, limits, streams() if deltas is None else deltas)


def read_json(asked: Any, deltas: SenderDeltas | None = None, limits: IngestSettings = LIMITS) -> Export:
    return parse(json.dumps(asked).encode(), NOW, limits, streams() if deltas is None else deltas, as_json=True)


@pytest.fixture(params=[read_protobuf, read_json], ids=["protobuf", "json"])
def read(request: pytest.FixtureRequest) -> Read:
    reading: Read = request.param
    return reading


def samples(export: Export) -> list[tuple[str, int, float]]:
    rows = export.rows
    return [
        (str(rows.series[which]), int(time), float(value))
        for which, time, value in zip(rows.which, rows.times, rows.values, strict=True)
    ]


def why(export: Export) -> str:
    """Why the only data point was refused."""
    assert (len(export.rows), export.points, len(export.rejected)) == (0, 1, 1)
    return export.rejected[0].reason


def test_a_gauge_keeps_its_name_and_attributes_as_sent(read: Read) -> None:
    made = read(request(gauge("app.queue.depth", point(NOW, 2.5, {"queue.name": "mail"}))))
    assert samples(made) == [('app.queue.depth{queue.name="mail"}', NOW, 2.5)]
    assert (made.points, made.rejected) == (1, ())


def test_a_whole_number_is_a_value(read: Read) -> None:
    assert samples(read(request(gauge("a", point(NOW, 7))))) == [("a", NOW, 7.0)]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_no_numbers_are_kept(read: Read, value: float) -> None:
    text = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    made = read(request(gauge("a", {**point(NOW), "asDouble": text})))
    assert np.array_equal(made.rows.values, [value], equal_nan=True)


def test_a_point_without_a_time_is_of_now(read: Read) -> None:
    assert samples(read(request(gauge("a", {"asInt": "1"})))) == [("a", NOW, 1.0)]


def test_a_cumulative_sum_is_stored_as_it_is(read: Read) -> None:
    assert samples(read(request(total("a", point(NOW, 5), point(NOW + 1, 3))))) == [("a", NOW, 5), ("a", NOW + 1, 3)]


def test_deltas_become_a_running_total(read: Read) -> None:
    deltas = streams()
    for at, (delta, expected) in enumerate([(5, 5), (2, 7), (0, 7)]):
        made = read(request(total("a", point(NOW + at, delta), temporality=DELTA)), deltas)
        assert samples(made) == [("a", NOW + at, expected)]


def test_deltas_of_two_services_are_apart(read: Read) -> None:
    deltas = streams()
    for service in ("x", "y"):
        made = read(request(total("a", point(NOW, 5), temporality=DELTA), service_name=service), deltas)
        assert samples(made) == [(f'a{{job="{service}"}}', NOW, 5)]


def test_a_late_delta_is_refused(read: Read) -> None:
    made = read(request(total("a", point(NOW, 5), point(NOW - 1, 5), temporality=DELTA)))
    assert samples(made) == [("a", NOW, 5)]
    assert [one.index for one in made.rejected] == [1]


def test_a_delta_of_the_future_does_not_make_the_next_look_late(read: Read) -> None:
    deltas = streams()
    ahead = read(request(total("a", point(NOW + LIMITS.future_max + 1, 5), temporality=DELTA)), deltas)
    assert ahead.rejected[0].kind is Refusal.FUTURE
    assert samples(read(request(total("a", point(NOW, 1), temporality=DELTA)), deltas)) == [("a", NOW, 1)]


@pytest.mark.parametrize("value", ["NaN", "Infinity"])
def test_a_delta_that_is_no_number_does_not_spoil_the_total(read: Read, value: str) -> None:
    deltas = streams()
    read(request(total("a", point(NOW, 5), temporality=DELTA)), deltas)
    wrong = read(request(total("a", {**point(NOW + 1), "asDouble": value}, temporality=DELTA)), deltas)
    assert "finite" in why(wrong)
    assert samples(read(request(total("a", point(NOW + 2, 1), temporality=DELTA)), deltas)) == [("a", NOW + 2, 6)]


def test_a_resource_whose_points_were_all_refused_is_not_told(read: Read) -> None:
    assert len(read(request(gauge("", point(NOW, 1)), service_name="s", os_type="linux")).rows) == 0


def test_attributes_of_a_resource_that_break_a_limit_cost_no_data_point(read: Read) -> None:
    made = read(request(gauge("a", point(NOW, 1)), service_name="s", os_type="x" * 2_049))
    assert samples(made) == [('a{job="s"}', NOW, 1)]
    assert [(one.index, one.kind) for one in made.rejected] == [(NO_POINT, Refusal.TOO_LONG)]


def test_a_sum_must_say_what_it_counts_from(read: Read) -> None:
    assert why(read(request(total("a", point(NOW, 5), temporality=0)))).startswith("aggregationTemporality")


BUCKETS: dict[str, Any] = {"count": "6", "sum": 9.5, "bucketCounts": ["1", "2", "3"], "explicitBounds": [0.005, 10]}


def test_a_histogram_becomes_buckets_count_and_sum(read: Read) -> None:
    made = read(request(histogram("t", point(NOW, tags={"x": "1"}, **BUCKETS))))
    assert samples(made) == [
        ('t_bucket{le="0.005", x="1"}', NOW, 1),
        ('t_bucket{le="10", x="1"}', NOW, 3),
        ('t_bucket{le="+Inf", x="1"}', NOW, 6),
        ('t_count{x="1"}', NOW, 6),
        ('t_sum{x="1"}', NOW, 9.5),
    ]
    assert set(made.rows.index) == {0}


def test_histograms_of_deltas_add_up(read: Read) -> None:
    deltas = streams()
    read(request(histogram("t", point(NOW, **BUCKETS), temporality=DELTA)), deltas)
    made = read(request(histogram("t", point(NOW + 1, **BUCKETS), temporality=DELTA)), deltas)
    assert made.rows.values.tolist() == [2, 6, 12, 12, 19]


def test_a_histogram_of_deltas_with_other_bounds_begins_anew(read: Read) -> None:
    deltas = streams()
    read(request(histogram("t", point(NOW, **BUCKETS), temporality=DELTA)), deltas)
    other = BUCKETS | {"explicitBounds": [1, 2]}
    made = read(request(histogram("t", point(NOW + 1, **other), temporality=DELTA)), deltas)
    assert made.rows.values.tolist() == [1, 3, 6, 6, 9.5]


def test_a_histogram_without_buckets_or_sum_is_its_count(read: Read) -> None:
    made = read(request(histogram("t", point(NOW, count="4"))))
    assert samples(made) == [('t_bucket{le="+Inf"}', NOW, 4), ("t_count", NOW, 4)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"bucketCounts": ["1"]},
        {"bucketCounts": []},
        {"explicitBounds": [2, 1]},
        {"explicitBounds": [1, 1]},
        {"explicitBounds": [1, "NaN"]},
        {"explicitBounds": [1, "Infinity"]},
    ],
)
def test_a_histogram_whose_buckets_do_not_fit_is_refused(read: Read, wrong: dict[str, Any]) -> None:
    assert "ounds" in why(read(request(histogram("t", point(NOW, **BUCKETS | wrong)))))


def test_a_summary_becomes_quantiles_count_and_sum(read: Read) -> None:
    values = [{"quantile": 0.5, "value": 2}, {"quantile": 0.99, "value": 8}]
    summary = {"dataPoints": [point(NOW, count="3", sum=12.5, quantileValues=values)]}
    assert samples(read(request({"name": "s", "summary": summary}))) == [
        ('s{quantile="0.5"}', NOW, 2),
        ('s{quantile="0.99"}', NOW, 8),
        ("s_count", NOW, 3),
        ("s_sum", NOW, 12.5),
    ]


def test_an_exponential_histogram_is_refused_and_counted(read: Read) -> None:
    data = {"dataPoints": [point(NOW, count="3", scale=1)], "aggregationTemporality": CUMULATIVE}
    made = read(request({"name": "e", "exponentialHistogram": data}))
    assert "not stored" in why(made)
    assert made.rejected[0].kind is Refusal.HISTOGRAM
    assert made.infos == ()


@pytest.mark.parametrize(
    ("metric", "count"),
    [
        (gauge("a", point(NOW, flags=NO_VALUE)), 1),
        (total("a", point(NOW, flags=NO_VALUE)), 1),
        (total("a", point(NOW, flags=NO_VALUE), temporality=DELTA), 1),
        (histogram("a", point(NOW, flags=NO_VALUE, explicitBounds=[1, 2])), 5),
        (histogram("a", point(NOW, flags=NO_VALUE), temporality=DELTA), 3),
        ({"name": "a", "summary": {"dataPoints": [point(NOW, flags=NO_VALUE)]}}, 2),
    ],
)
def test_no_recorded_value_is_prometheus_stale_marker(read: Read, metric: Any, count: int) -> None:
    assert read(request(metric)).rows.values.view(np.uint64).tolist() == [STALE_BITS] * count


def test_a_resource_becomes_job_instance_and_target_info(read: Read) -> None:
    asked = request(
        gauge("a", point(NOW, 1), point(NOW + 5, 2)),
        service_name="shop",
        service_namespace="eu",
        service_instance_id="i1",
        host_name="h",
    )
    made = read(asked)
    assert samples(made)[1:] == [
        ('a{instance="i1", job="eu/shop"}', NOW + 5, 2),
        ('target_info{host.name="h", instance="i1", job="eu/shop"}', NOW + 5, 1),
    ]
    assert made.rows.index.tolist() == [0, 1, NO_POINT]
    assert made.points == 2


def test_a_resource_without_an_instance_is_told_apart_by_its_host(read: Read) -> None:
    made = read(request(gauge("a", point(NOW, 1)), host_name="h"))
    assert samples(made) == [('a{instance="h"}', NOW, 1), ('target_info{host.name="h", instance="h"}', NOW, 1)]


def test_a_resource_that_nothing_can_be_joined_by_has_no_target_info(read: Read) -> None:
    assert samples(read(request(gauge("a", point(NOW, 1)), os_type="linux"))) == [("a", NOW, 1)]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"boolValue": True}, "true"),
        ({"boolValue": False}, "false"),
        ({"intValue": "-12"}, "-12"),
        ({"doubleValue": 1.5}, "1.5"),
        ({"bytesValue": "aGk="}, "aGk="),
        ({"arrayValue": {"values": [{"stringValue": "a"}, {"intValue": "1"}]}}, '["a",1]'),
        ({"kvlistValue": {"values": [{"key": "k", "value": {"boolValue": True}}]}}, '{"k":true}'),
        ({"stringValue": ""}, ""),
        ({}, ""),
    ],
)
def test_attributes_of_all_kinds_become_text(read: Read, value: Any, text: str) -> None:
    assert read(request(gauge("a", point(NOW, 1, {"x": value})))).rows.series[0].get("x") == text


@pytest.mark.parametrize(
    ("metric", "kind"),
    [
        (gauge("", point(NOW, 1)), Refusal.MALFORMED),
        (gauge("a\n", point(NOW, 1)), Refusal.MALFORMED),
        (gauge("a", point(NOW)), Refusal.MALFORMED),
        (gauge("a" * 256, point(NOW, 1)), Refusal.TOO_LONG),
        (gauge("a", point(NOW, 1, {"__name__": "b"})), Refusal.MALFORMED),
        (gauge("a", point(NOW, 1, {"": "b"})), Refusal.MALFORMED),
        (gauge("a", point(NOW, 1, {"x": "\0"})), Refusal.MALFORMED),
        (gauge("a", point(NOW, 1, {"x": "y" * 2_049})), Refusal.TOO_LONG),
        (gauge("a", point(NOW, 1, {f"x{number}": "y" for number in range(65)})), Refusal.TOO_MANY_LABELS),
    ],
)
def test_a_point_that_breaks_a_limit_is_refused_by_itself(read: Read, metric: Any, kind: Refusal) -> None:
    made = read(request(gauge("before", point(NOW, 1)), metric, gauge("after", point(NOW, 1))))
    assert [name for name, _, _ in samples(made)] == ["before", "after"]
    assert [(one.index, one.kind) for one in made.rejected] == [(1, kind)]


def test_what_metrics_measure_is_told(read: Read) -> None:
    made = read(
        request(
            gauge("g", point(NOW, 1), unit="By", description="Bytes."),
            total("c", point(NOW, 1), unit="{call}"),
            total("u", point(NOW, 1), monotonic=False),
            histogram("h", point(NOW, count="1"), unit="s"),
        )
    )
    told = {info.name: info for info in made.infos}
    assert told["g"] == MetricInfo("g", "By", "gauge", "Bytes.")
    assert told["c"] == MetricInfo("c", "{call}", "counter")
    assert told["u"].kind == "gauge"
    assert (told["h"].kind, told["h_sum"].unit, told["h_count"].unit) == ("histogram", "s", "")


def test_too_many_points_are_refused_before_deltas_are_added(read: Read) -> None:
    deltas = streams()
    asked = request(total("a", point(NOW, 1), point(NOW + 1, 1), temporality=DELTA))
    with pytest.raises(TooLargeError, match="1 data points"):
        read(asked, deltas, replace(LIMITS, samples_max=1))
    assert len(deltas.streams) == 0


def test_too_many_buckets_are_refused(read: Read) -> None:
    with pytest.raises(TooLargeError, match="samples"):
        read(
            request(histogram("a", point(NOW, bucketCounts=["1"] * SAMPLES_PER_POINT))),
            limits=replace(LIMITS, samples_max=1),
        )


def test_an_empty_request_holds_nothing(read: Read) -> None:
    assert read({}).points == 0


def from_json(body: str) -> Export:
    return parse(body.encode(), NOW, LIMITS, streams(), as_json=True)


def test_json_may_hold_nulls_unknown_fields_numbers_and_names_of_enums() -> None:
    made = from_json(
        """{"new": 1, "resourceMetrics": [{"resource": null, "scopeMetrics": [{"scope": {"name": "x"}, "metrics": [
        {"name": "a", "unit": null, "sum": {"aggregationTemporality": "AGGREGATION_TEMPORALITY_CUMULATIVE",
        "dataPoints": [{"asInt": 3, "timeUnixNano": 1800000000000000000, "flags": null,
        "exemplars": [{"traceId": "not even hex"}]}]}}]}]}]}"""
    )
    assert samples(made) == [("a", NOW, 3)]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "{",
        "1",
        '{"resourceMetrics": 1}',
        '{"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": 1}]}]}]}',
        '{"a":' * 5_000,
        '{"a":null,"resourceMetrics":' + "[" * 5_000,
    ],
)
def test_json_that_is_no_request_is_a_users_error(body: str) -> None:
    with pytest.raises(UserError, match="body"):
        from_json(body)


def test_integers_without_end_refuse_their_point_alone() -> None:
    huge = "9" * 400
    made = from_json(
        json.dumps(
            request(
                gauge("a", {"asInt": huge}),
                gauge("b", {"timeUnixNano": huge, "asInt": 1}),
                histogram("c", {"count": huge}),
                histogram("d", {"count": "1", "bucketCounts": [huge, "1"], "explicitBounds": [1]}, temporality=DELTA),
                {"name": "e", "summary": {"dataPoints": [{"count": huge}]}},
                gauge("f", point(NOW, 1)),
            )
        )
    )
    assert [one.index for one in made.rejected] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("body", [b"\xff", b"\x0a\x05", b"not protobuf", b"\x0a\x04\x0a\x02\xff\xff"])
def test_bytes_that_are_no_message_are_a_users_error(body: bytes) -> None:
    with pytest.raises(UserError, match="protobuf"):
        parse(body, NOW, LIMITS, streams())


tags = st.dictionaries(
    st.text(max_size=4), st.text(max_size=4) | st.builds(lambda n: {"intValue": str(n)}, st.integers(-9, 9)), max_size=3
)
times = st.integers(NOW - 5, NOW + 5)
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
number_points = st.lists(st.builds(point, times, numbers, tags, flags=st.integers(0, 1)), max_size=4)
counts = st.integers(0, 9).map(str)
histogram_points = st.lists(
    st.builds(
        point,
        times,
        tags=tags,
        count=counts,
        sum=st.floats(-9, 9),
        bucketCounts=st.lists(counts, max_size=3),
        explicitBounds=st.lists(st.integers(0, 5), max_size=2),
    ),
    max_size=4,
)
metrics = st.one_of(
    st.builds(gauge, st.sampled_from("ab")).flatmap(
        lambda made: number_points.map(lambda some: gauge(made["name"], *some))
    ),
    st.tuples(number_points, st.integers(0, 2)).map(lambda one: total("c", *one[0], temporality=one[1])),
    st.tuples(histogram_points, st.integers(0, 2)).map(lambda one: histogram("h", *one[0], temporality=one[1])),
)
requests = st.lists(metrics, max_size=4).map(lambda some: request(*some, service_name="s", os_type="linux"))


@given(requests)
def test_json_and_protobuf_of_one_message_give_the_same(asked: Any) -> None:
    one, other = read_protobuf(asked), read_json(asked)
    assert [(str(labels), labels) for labels in one.rows.series] == [
        (str(labels), labels) for labels in other.rows.series
    ]
    assert one.rows.which.tolist() == other.rows.which.tolist()
    assert one.rows.times.tolist() == other.rows.times.tolist()
    assert one.rows.values.view(np.uint64).tolist() == other.rows.values.view(np.uint64).tolist()
    assert (one.rejected, one.infos, one.points) == (other.rejected, other.infos, other.points)


def _survives(body: bytes, *, as_json: bool) -> None:
    try:
        made = parse(body, NOW, LIMITS, streams(), as_json=as_json)
    except (UserError, TooLargeError):
        return
    for labels in made.rows.series:
        labels.series_id()


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_read_or_refused(body: bytes, as_json: bool) -> None:
    _survives(body, as_json=as_json)


@given(requests, st.booleans(), st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_damaged_message_is_read_or_refused(asked: Any, as_json: bool, damage: list[tuple[int, int]]) -> None:
    body = bytearray(json.dumps(asked).encode() if as_json else protobuf(asked))
    for at, byte in damage:
        if body:
            body[at % len(body)] = byte
    _survives(bytes(body), as_json=as_json)


@pytest.mark.parametrize("depth", [10, 100, 200, 300, 400, 5_000])
def test_attributes_nested_deeply_are_read_or_refused(depth: int) -> None:
    nested = '{"arrayValue":{"values":[' * depth + "]}}" * depth
    attribute = f'{{"key":"a","value":{nested}}}'
    points = f'{{"dataPoints":[{{"asInt":1,"attributes":[{attribute}]}}]}}'
    body = f'{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"a","gauge":{points}}}]}}]}}]}}'
    _survives(body.encode(), as_json=True)


def test_a_lone_surrogate_is_refused() -> None:
    _survives(
        b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"\\ud800","gauge":{"dataPoints":[{"asInt":1}]}}]}]}]}',
        as_json=True,
    )
