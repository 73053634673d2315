from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.ingest.rows import Refusal, Rejection, Rows
from tocsin.ingest.settings import IngestSettings
from tocsin.ingest.wire.json_push import parse
from tocsin.model.errors import TooLargeError, UserError

NOW = 1_800_000_000_000
LIMITS = IngestSettings()


def parsed(data: Any, limits: IngestSettings = LIMITS) -> tuple[Rows, tuple[Rejection, ...]]:
    return parse(json.dumps(data).encode(), NOW, limits)


def one(**fields: Any) -> tuple[str, int, float]:
    """The only sample as (series, time, value)."""
    rows, rejected = parsed({"name": "a", "value": 1} | fields)
    assert rejected == ()
    return str(rows.series[0]), int(rows.times[0]), float(rows.values[0])


def why(**fields: Any) -> str:
    """Why the only sample was refused."""
    rows, rejected = parsed([{"name": "a", "value": 1} | fields])
    assert len(rows) == 0
    return rejected[0].reason


def test_one_object_is_one_sample_that_arrived_now() -> None:
    assert one(value=12.5) == ("a", NOW, 12.5)


def test_a_list_keeps_the_senders_order() -> None:
    rows, rejected = parsed([{"name": "b", "value": 1}, {"name": "a", "value": 2}, {"name": "b", "value": 3}])
    assert [str(series) for series in rows.series] == ["b", "a"]
    assert (rows.which.tolist(), rows.values.tolist(), rows.index.tolist()) == ([0, 1, 0], [1, 2, 3], [0, 1, 2])
    assert rejected == ()


def test_tags_become_labels() -> None:
    assert one(tags={"b": "2", "a": "1"})[0] == 'a{a="1", b="2"}'


def test_tags_that_are_the_same_in_another_order_are_one_series() -> None:
    rows, _ = parsed(
        [
            {"name": "a", "value": 1, "tags": {"x": "1", "y": "2"}},
            {"name": "a", "value": 2, "tags": {"y": "2", "x": "1"}},
        ]
    )
    assert (len(rows.series), rows.which.tolist()) == (1, [0, 0])


def test_whole_numbers_and_booleans_in_tags_become_text() -> None:
    assert one(tags={"port": 8080, "tls": True})[0] == 'a{port="8080", tls="true"}'


def test_an_empty_tag_is_no_tag() -> None:
    assert one(tags={"x": ""})[0] == "a"


def test_null_for_tags_or_time_is_as_good_as_leaving_them_out() -> None:
    assert one(tags=None, timestamp=None) == ("a", NOW, 1.0)


@pytest.mark.parametrize(
    ("timestamp", "at_ms"),
    [
        (0, 0),
        (1_700_000_000, 1_700_000_000_000),
        (1_700_000_000.25, 1_700_000_000_250),
        (1_700_000_000.0005, 1_700_000_000_000),
        ("1970-01-01T00:00:00Z", 0),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000),
        ("2023-11-14T22:13:20.250Z", 1_700_000_000_250),
        ("2023-11-14T22:13:20.250999Z", 1_700_000_000_251),
        ("2023-11-15T00:13:20+02:00", 1_700_000_000_000),
        ("2023-11-14 22:13:20z", 1_700_000_000_000),
    ],
)
def test_a_timestamp_is_rfc_3339_or_epoch_seconds(timestamp: object, at_ms: int) -> None:
    assert one(timestamp=timestamp)[1] == at_ms


def test_milliseconds_are_refused_with_a_word_about_it() -> None:
    assert "milliseconds" in why(timestamp=1_700_000_000_000)
    assert "milliseconds" in why(timestamp=-1e300)


def test_a_time_without_a_zone_is_refused_with_a_word_about_it() -> None:
    assert "time zone" in why(timestamp="2026-01-31T09:00:00")


@pytest.mark.parametrize("timestamp", ["yesterday", "2026-02-30T00:00:00Z", "1700000000", True, {}, []])
def test_what_is_no_time_is_refused(timestamp: object) -> None:
    assert "`timestamp` must be RFC 3339" in why(timestamp=timestamp)


@pytest.mark.parametrize(
    ("text", "value"), [("NaN", math.nan), ("Inf", math.inf), ("+Inf", math.inf), ("-Inf", -math.inf)]
)
def test_what_json_has_no_number_for_is_sent_in_quotes(text: str, value: float) -> None:
    assert one(value=text)[2] == pytest.approx(value, nan_ok=True)


@pytest.mark.parametrize("value", [True, None, "12", "nan", "", [], {}])
def test_what_is_no_number_is_refused(value: object) -> None:
    assert "`value` must be a number" in why(value=value)


def test_a_number_that_no_float_holds_is_refused() -> None:
    _, rejected = parse(b'[{"name": "a", "value": 1e999}]', NOW, LIMITS)
    assert "`value`" in rejected[0].reason


@pytest.mark.parametrize("name", [1, None, []])
def test_a_name_is_text(name: object) -> None:
    assert why(name=name) == "`name` must be text."


@pytest.mark.parametrize("name", ["", "a\0", "a\nb", "a\x7f", "x" * 256])
def test_a_name_is_short_and_visible(name: str) -> None:
    assert "name" in why(name=name)
    assert "name" in why(tags={name: "x"})


def test_names_are_any_utf8() -> None:
    assert one(name="température.salon")[0] == "température.salon"


@pytest.mark.parametrize("tag", [1.5, None, [], {}])
def test_a_tag_that_is_no_text_is_refused_by_name(tag: object) -> None:
    assert why(tags={"good": "1", "x": tag}) == "The tag `x` must be text, a whole number or a boolean."


@pytest.mark.parametrize("tags", ["x=1", ["x"], 1])
def test_tags_are_an_object(tags: object) -> None:
    assert "`tags` must be an object" in why(tags=tags)


def test_the_metrics_name_is_no_tag() -> None:
    assert "__name__" in why(tags={"__name__": "b"})


def test_a_nul_in_a_tag_is_refused() -> None:
    assert "NUL" in why(tags={"x": "a\0b"})


def test_a_misspelt_field_is_refused_by_name() -> None:
    assert "no field `labels`" in why(labels={"x": "1"})


def test_a_missing_field_is_refused_by_name() -> None:
    _, rejected = parsed([{"name": "a"}, {"value": 1}])
    assert [r.reason for r in rejected] == ["`value` is missing.", "`name` is missing."]


def test_a_bad_sample_refuses_only_itself() -> None:
    rows, rejected = parsed([{"name": "a", "value": 1}, 3, {"name": "", "value": 2}, {"name": "b", "value": 4}])
    assert (rows.values.tolist(), rows.index.tolist()) == ([1.0, 4.0], [0, 3])
    assert [r.index for r in rejected] == [1, 2]


def test_text_that_is_not_utf8_refuses_only_its_sample() -> None:
    body = (
        b'[{"name": "a\xff", "value": 1}, {"name": "b", "value": 2}, {"name": "c", "value": 3, "tags": {"x": "\xff"}}]'
    )
    rows, rejected = parse(body, NOW, LIMITS)
    assert (rows.index.tolist(), [r.index for r in rejected]) == ([1], [0, 2])


def test_limits_are_named_in_the_refusal() -> None:
    tight = replace(LIMITS, labels_max=2, value_chars_max=3)
    _, rejected = parsed(
        [
            {"name": "a", "value": 1, "tags": {"a": "1", "b": "2", "c": "3"}},
            {"name": "a", "value": 1, "tags": {"a": "1234"}},
        ],
        tight,
    )
    assert [r.kind for r in rejected] == [Refusal.TOO_MANY_LABELS, Refusal.TOO_LONG]
    assert rejected[0].reason == "There are more than 2 tags."


def test_too_many_samples_are_refused_as_a_whole() -> None:
    tight = replace(LIMITS, samples_max=2)
    assert len(parsed([{"name": "a", "value": 1}] * 2, tight)[0]) == 2
    for bad in ({"name": "a", "value": 1}, {"name": "a"}):
        with pytest.raises(TooLargeError, match="2 samples"):
            parsed([{"name": "a", "value": 1}, {"name": "a", "value": 1}, bad], tight)


def test_an_empty_list_is_nothing() -> None:
    rows, rejected = parsed([])
    assert (len(rows), rejected) == (0, ())


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"3", "one object or a list"),
        (b'"x"', "one object or a list"),
        (b"null", "one object or a list"),
        (b'[{"name": "a",\n  "value": x}]', "line 2, column 12"),
        (b'{"name": "a", "value": 1', "line 1, column 25"),
        (b'{"name": "a", "value": 1} 2', "trailing characters at line 1"),
        (b'[{"name": "a", "value": NaN}]', 'in quotes: "NaN"'),
        (b'[{"name": "a", "value": -Infinity}]', "in quotes"),
        (b"[" * 100_000, "nested"),
    ],
)
def test_a_malformed_body_is_told_where_it_is_wrong(body: bytes, said: str) -> None:
    with pytest.raises(UserError, match=said):
        parse(body, NOW, LIMITS)


@given(st.binary(max_size=60) | st.text('[]{}",:name value tags 1.e-\\u', max_size=60).map(str.encode))
def test_no_body_does_more_than_be_refused(body: bytes) -> None:
    try:
        rows, rejected = parse(body, NOW, LIMITS)
    except UserError:
        return
    assert sorted([*rows.index.tolist(), *(r.index for r in rejected)]) == list(range(len(rows) + len(rejected)))


_text = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"name": _text, "value": st.floats(allow_nan=False, allow_infinity=False)},
            optional={"tags": st.dictionaries(_text, _text, max_size=4), "timestamp": st.integers(0, 4_000_000_000)},
        ),
        max_size=8,
    )
)
def test_what_is_right_arrives_as_it_was_sent(samples: list[dict[str, Any]]) -> None:
    rows, rejected = parsed(samples)
    assert rejected == ()
    arrived = [
        (rows.series[which].name, rows.series[which].tags, time, value)
        for which, time, value in zip(rows.which, rows.times, rows.values, strict=True)
    ]
    assert arrived == [
        (sent["name"], sent.get("tags", {}), sent.get("timestamp", NOW // 1_000) * 1_000, sent["value"])
        for sent in samples
    ]
