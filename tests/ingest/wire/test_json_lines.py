from __future__ import annotations

import json
from dataclasses import replace
from math import inf, isnan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.ingest.rows import Refusal
from tocsin.ingest.settings import IngestSettings
from tocsin.ingest.wire.json_lines import parse
from tocsin.model.errors import TooLargeError

NOW = 1_769_850_000_000
LIMITS = IngestSettings()


def stored(body: str | bytes) -> list[tuple[str, int, float]]:
    found = parse(body if isinstance(body, bytes) else body.encode(), NOW, LIMITS)
    assert found.rejected == ()
    return samples(found.rows)


def samples(rows: Any) -> list[tuple[str, int, float]]:
    return [
        (str(rows.series[which]), time, value)
        for which, time, value in zip(rows.which.tolist(), rows.times.tolist(), rows.values.tolist(), strict=True)
    ]


def why(line: object) -> str:
    """The reason of the one line between two good ones, which are stored."""
    text = line if isinstance(line, bytes) else json.dumps(line).encode()
    found = parse(b'{"name":"a","value":1}\n' + text + b'\n{"name":"b","value":2}', NOW, LIMITS)
    assert [str(labels) for labels in found.rows.series] == ["a", "b"]
    assert {one.index for one in found.rejected} == {1}
    return found.rejected[0].reason


def test_a_line_is_a_series_with_many_samples() -> None:
    line = '{"metric":{"__name__":"disk.used","host":"a"},"values":[1,2.5,-3e2],"timestamps":[1000,2000,3000]}'
    assert stored(line) == [
        ('disk.used{host="a"}', 1_000, 1.0),
        ('disk.used{host="a"}', 2_000, 2.5),
        ('disk.used{host="a"}', 3_000, -300.0),
    ]


def test_a_line_is_one_sample() -> None:
    lines = (
        '{"name":"a","value":1,"tags":{"x":"1"},"timestamp":"2026-01-31T09:00:00Z"}\n'
        '{"name":"b","value":2,"timestamp":1769850000.5}\r\n\n   \n{"name":"c","value":3}'
    )
    assert stored(lines) == [('a{x="1"}', 1_769_850_000_000, 1.0), ("b", 1_769_850_000_500, 2.0), ("c", NOW, 3.0)]


def test_what_json_has_no_number_for_is_written_as_text_or_null() -> None:
    line = {
        "metric": {"__name__": "a"},
        "values": [None, "NaN", "Inf", "+Inf", "Infinity", "-Inf", "-Infinity", 1],
        "timestamps": list(range(8)),
    }
    values = [value for _, _, value in stored(json.dumps(line))]
    assert isnan(values[0])
    assert isnan(values[1])
    assert values[2:] == [inf, inf, inf, -inf, -inf, 1.0]


def test_a_wrong_value_or_time_in_a_series_refuses_only_itself() -> None:
    line = {"metric": {"__name__": "a"}, "values": [1, "many", 3, 4, 5], "timestamps": [1, 2, 3.5, 4.0, 2**70]}
    found = parse(json.dumps(line).encode(), NOW, LIMITS)
    assert samples(found.rows) == [("a", 1, 1.0), ("a", 4, 4.0)]
    assert [one.index for one in found.rejected] == [0, 0, 0]
    assert [one.reason.split(",")[0] for one in found.rejected] == [
        "A value must be a number",
        "A time must be whole milliseconds since 1970",
        "A time must fit in 64 bits.",
    ]


def test_all_samples_of_a_refused_series_are_counted() -> None:
    line = {"metric": {"__name__": "x" * 300}, "values": [1, 2, 3], "timestamps": [1, 2, 3]}
    found = parse(json.dumps(line).encode(), NOW, LIMITS)
    assert [one.kind for one in found.rejected] == [Refusal.TOO_LONG] * 3


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"nonsense", "The line is not JSON: "),
        (b'{"name":"c","value":3', "The line is not JSON: "),
        (b"[1]", "A line must be a JSON object."),
        (b"1", "A line must be a JSON object."),
        (b'{"name":"\xff","value":3}', "The text is not UTF-8."),
        (b'{"metric":' + b"[" * 5_000, "The line is "),
        ({}, "A line needs `metric`, `values` and `timestamps`, or `name` and `value`."),
        ({"name": "c"}, "`value` is missing."),
        ({"name": 1, "value": 3}, "`name` must be text."),
        ({"name": "c", "value": []}, "`value` must be a number"),
        ({"name": "c", "value": "many"}, "A value must be a number"),
        ({"name": "c", "value": 3, "unit": "s"}, "There is no field `unit` in a line."),
        ({"name": "c", "value": 3, "tags": [1]}, "`tags` must be an object"),
        ({"name": "c", "value": 3, "timestamp": 1e12}, "`timestamp` looks like milliseconds"),
        ({"name": "c", "value": 3, "timestamp": "soon"}, "`timestamp` must be RFC 3339"),
        ({"name": "c", "value": 3, "values": [1]}, "`values` and `timestamps` go with `metric`"),
        ({"metric": {"__name__": "c"}, "value": 3}, "`name`, `value`, `tags` and `timestamp` do not go"),
        ({"metric": {"__name__": "c"}, "values": [3]}, "`values` or `timestamps` is missing."),
        ({"metric": {"__name__": "c"}, "values": [3], "timestamps": [1, 2]}, "There are 1 values and 2 times."),
        ({"metric": {"__name__": "c"}, "values": 3, "timestamps": [1]}, "`values` must be a list of numbers."),
        ({"metric": {"__name__": "c"}, "values": [[]], "timestamps": [1]}, "`values` must be a list of numbers."),
        ({"metric": {"__name__": "c"}, "values": [1], "timestamps": ["1"]}, "`timestamps` must be a list of whole"),
        ({"metric": {"host": "c"}, "values": [3], "timestamps": [1]}, "The metric's name is empty."),
        ({"metric": {"__name__": 1}, "values": [3], "timestamps": [1]}, "`metric` must be an object of texts"),
        ({"metric": [], "values": [3], "timestamps": [1]}, "`metric` must be an object of texts"),
    ],
)
def test_a_wrong_line_is_refused_with_its_reason_and_the_others_are_taken(line: object, reason: str) -> None:
    assert why(line).startswith(reason)


def test_too_many_samples_are_refused_as_a_whole() -> None:
    tight = replace(LIMITS, samples_max=2)
    line = {"metric": {"__name__": "a"}, "values": [1, 2, 3], "timestamps": [1, 2, 3]}
    for body in (json.dumps(line), '{"name":"a","value":1}\n' * 3, "wrong\n" * 3):
        with pytest.raises(TooLargeError, match="2 samples"):
            parse(body.encode(), NOW, tight)


def test_a_line_of_far_too_many_numbers_is_refused_before_it_is_read() -> None:
    with pytest.raises(TooLargeError):
        parse(b'{"values":[' + b"1," * 310_000, NOW, LIMITS)


VALUE = st.floats(allow_nan=False, allow_infinity=False)
SERIES = st.tuples(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=10),
    st.lists(st.tuples(st.integers(-(2**62), 2**62), VALUE), max_size=5),
)


@given(st.lists(SERIES, max_size=5))
def test_what_is_written_is_read_back(series: list[tuple[str, list[tuple[int, float]]]]) -> None:
    lines = [
        {"metric": {"__name__": name}, "timestamps": [time for time, _ in rows], "values": [value for _, value in rows]}
        for name, rows in series
    ]
    found = parse("\n".join(map(json.dumps, lines)).encode(), NOW, LIMITS)
    assert found.rejected == ()
    assert [(labels, time, value) for labels, time, value in samples(found.rows)] == [
        (str(found.rows.series[0].metric(name)), time, value) for name, rows in series for time, value in rows
    ]


PARTS = st.sampled_from(
    [b"{", b"}", b'"metric":', b'"values":[', b"]", b"1,", b'"', b"\n", b"null", b"NaN", b"\xff", b"e9"]
)


@given(st.lists(PARTS | st.binary(max_size=6), max_size=40).map(b"".join))
def test_any_bytes_are_read_to_the_end(body: bytes) -> None:
    found = parse(body, NOW, LIMITS)
    assert {one.index for one in found.rejected} <= set(range(body.count(b"\n") + 1))
