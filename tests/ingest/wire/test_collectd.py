from __future__ import annotations

import json
from dataclasses import replace
from math import isnan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.ingest.settings import IngestSettings
from tocsin.ingest.wire.collectd import ValueLists, parse
from tocsin.model.errors import TooLargeError, UserError

LIMITS = IngestSettings()


def value_list(*values: float | None, **more: Any) -> dict[str, Any]:
    names = ["value"] if len(values) == 1 else [f"v{at}" for at in range(len(values))]
    return {
        "values": list(values),
        "dstypes": ["gauge"] * len(values),
        "dsnames": names,
        "time": 1_769_850_000.123,
        "interval": 10.0,
        "host": "web1",
        "plugin": "df",
        "plugin_instance": "",
        "type": "df",
        "type_instance": "",
    } | more


def read(*lists: Any, limits: IngestSettings = LIMITS) -> ValueLists:
    return parse(json.dumps(lists).encode(), limits)


def samples(found: ValueLists) -> list[tuple[str, int, float]]:
    rows = found.rows
    return [
        (str(rows.series[which]), time, value)
        for which, time, value in zip(rows.which.tolist(), rows.times.tolist(), rows.values.tolist(), strict=True)
    ]


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"plugin": "load", "type": "load"}, 'collectd_load{instance="web1"}'),
        ({"plugin": "df", "type": "df_complex"}, 'collectd_df_df_complex{instance="web1"}'),
        ({"plugin": "cpu", "type": "cpu", "plugin_instance": "0"}, 'collectd_cpu{cpu="0", instance="web1"}'),
        (
            {"plugin": "memory", "type": "memory", "type_instance": "free"},
            'collectd_memory{instance="web1", memory="free"}',
        ),
        (
            {"plugin": "cpu", "type": "cpu", "plugin_instance": "0", "type_instance": "idle"},
            'collectd_cpu{cpu="0", instance="web1", type="idle"}',
        ),
        ({"dsnames": ["rx"]}, 'collectd_df_rx{instance="web1"}'),
        ({"dstypes": ["derive"]}, 'collectd_df_total{instance="web1"}'),
        ({"dstypes": ["counter"]}, 'collectd_df_total{instance="web1"}'),
        ({"dstypes": ["absolute"]}, 'collectd_df{instance="web1"}'),
    ],
)
def test_names_are_those_of_prometheus_exporter(more: dict[str, Any], name: str) -> None:
    found = read(value_list(1.5, **more))
    assert found.rejected == ()
    assert samples(found) == [(name, 1_769_850_000_123, 1.5)]


def test_a_list_has_a_sample_for_each_of_its_values() -> None:
    found = read(value_list(1, 2**63), value_list(None, host="web2", meta={"a:b": True}))
    assert [name for name, _, _ in samples(found)] == [
        'collectd_df_v0{instance="web1"}',
        'collectd_df_v1{instance="web1"}',
        'collectd_df{instance="web2"}',
    ]
    assert found.rows.values.tolist()[:2] == [1.0, 2.0**63]
    assert isnan(found.rows.values.tolist()[2])
    assert found.rows.index.tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("wrong", "count", "reason"),
    [
        (value_list(1, 2, host=""), 2, "A value list needs a host, a plugin and a type."),
        (value_list(1, 2, dsnames=["a"]), 2, "A value list needs as many dstypes and dsnames as values."),
        (value_list(1, time=-1), 1, "The time must be in seconds since 1970, and is -1."),
        (value_list(1, time=1e12), 1, "The time must be in seconds since 1970"),
        (value_list(1, dstypes=["rate"]), 1, "There is no type `rate`; there are absolute, counter, derive, gauge."),
        (value_list(1, values=["a"]), 1, "`values` of a value list is not what it should be."),
        (value_list(1, host="x" * 3_000), 1, "The label `instance` is longer than 2048 characters."),
        ({"values": [1]}, 1, "`dstypes` is missing in a value list."),
        (7, 1, "A value list cannot be read."),
    ],
)
def test_a_wrong_list_is_refused_with_all_its_values_and_the_others_are_taken(
    wrong: Any, count: int, reason: str
) -> None:
    found = read(value_list(1), wrong, value_list(2))
    assert found.rows.index.tolist() == [0, 2]
    assert [one.index for one in found.rejected] == [1] * count
    assert found.rejected[0].reason.startswith(reason)


@pytest.mark.parametrize("body", [b"", b"{}", b"nonsense", b"\xff", b"[" * 10_000, b"[1,"])
def test_a_body_that_is_no_list_is_refused(body: bytes) -> None:
    with pytest.raises(UserError, match="write_http"):
        parse(body, LIMITS)


def test_too_many_values_are_refused_as_a_whole() -> None:
    with pytest.raises(TooLargeError, match="2 values"):
        read(value_list(1, 2, 3), limits=replace(LIMITS, samples_max=2))
    with pytest.raises(TooLargeError):
        parse(b"[" + b"1," * 2_000_000, LIMITS)


@given(
    st.lists(st.sampled_from([b"[", b"]", b"{", b"}", b'"values":', b"1", b",", b'"', b"\xff"]), max_size=40).map(
        b"".join
    )
)
def test_any_bytes_are_read_or_are_a_users_error(body: bytes) -> None:
    try:
        parse(body, LIMITS)
    except UserError:
        return
