from __future__ import annotations

import csv
import io
from dataclasses import replace
from math import inf, isnan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.ingest.rows import Refusal
from tocsin.ingest.settings import IngestSettings
from tocsin.ingest.wire.csv_rows import CsvRows, parse
from tocsin.model.errors import TooLargeError, UserError

NOW = 1_769_850_000_000
LIMITS = IngestSettings()


def read(text: str | bytes, **more: Any) -> CsvRows:
    return parse(text if isinstance(text, bytes) else text.encode(), NOW, LIMITS, **more)


def samples(found: CsvRows) -> list[tuple[str, int, float]]:
    rows = found.rows
    return [
        (str(rows.series[which]), time, value)
        for which, time, value in zip(rows.which.tolist(), rows.times.tolist(), rows.values.tolist(), strict=True)
    ]


def stored(text: str | bytes, **more: Any) -> list[tuple[str, int, float]]:
    found = read(text, **more)
    assert found.rejected == ()
    return samples(found)


def test_the_first_row_names_the_columns() -> None:
    text = "name,value,timestamp,host\r\ndisk.used,81.5,2026-01-31T09:00:00Z,a\r\ndisk.used,17,1769850000.25,\r\n"
    assert stored(text) == [('disk.used{host="a"}', 1_769_850_000_000, 81.5), ("disk.used", 1_769_850_000_250, 17.0)]


@pytest.mark.parametrize("name", ["name", "metric", "__name__"])
@pytest.mark.parametrize("time", ["timestamp", "time"])
def test_columns_may_come_in_any_order_and_by_their_usual_names(name: str, time: str) -> None:
    assert stored(f"zone,{time},value, {name} \nz,1,2,a") == [('a{zone="z"}', 1_000, 2.0)]


def test_without_a_time_it_is_now() -> None:
    assert stored("name,value\na,1") == [("a", NOW, 1.0)]
    assert stored("name,value,time\na,1,\n") == [("a", NOW, 1.0)]


def test_quotes_hold_commas_quotes_and_line_ends_and_lines_are_counted_as_they_are_written() -> None:
    found = read('name,value,note\na,1,"x, ""y""\nz"\n\nb,many,\nc,3,\n')
    assert [str(labels) for labels in found.rows.series] == ['a{note="x, \\"y\\"\\nz"}', "c"]
    assert [one.index for one in found.rejected] == [4]


def test_a_byte_order_mark_and_a_column_without_a_name_are_passed_over() -> None:
    assert stored(b"\xef\xbb\xbf,name,value\n0,a,1\n1,b,2\n") == [("a", NOW, 1.0), ("b", NOW, 2.0)]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_another_delimiter_may_be_named(delimiter: str) -> None:
    text = "name,value,x\na,1,b".replace(",", delimiter)
    assert stored(text, delimiter=delimiter) == [('a{x="b"}', NOW, 1.0)]


def test_a_list_says_what_the_columns_are() -> None:
    text = "GOOG,1.23,4.56,NYSE,1769850000\nMSFT,3.21,,NASDAQ,1769850001\n"
    assert stored(text, form="2:metric:ask,3:metric:bid,1:label:ticker,4:label:market,5:time:unix_s") == [
        ('ask{market="NYSE", ticker="GOOG"}', 1_769_850_000_000, 1.23),
        ('bid{market="NYSE", ticker="GOOG"}', 1_769_850_000_000, 4.56),
        ('ask{market="NASDAQ", ticker="MSFT"}', 1_769_850_001_000, 3.21),
    ]


def test_a_first_row_can_be_passed_over() -> None:
    assert stored("host,cpu\na,1\n", form="1:label:host,2:metric:cpu", skip_header=True) == [
        ('cpu{host="a"}', NOW, 1.0)
    ]


@pytest.mark.parametrize(
    ("kind", "text", "time"),
    [
        ("unix_s", "1769850000", 1_769_850_000_000),
        ("unix_s", "1769850000.5", 1_769_850_000_500),
        ("unix_ms", "1769850000001", 1_769_850_000_001),
        ("unix_us", "1769850000001999", 1_769_850_000_001),
        ("unix_ns", "1769850000001999999", 1_769_850_000_001),
        ("unix_ms", "-5", -5),
        ("rfc3339", "2026-01-31T10:00:00+01:00", 1_769_850_000_000),
    ],
)
def test_times_are_read_in_the_unit_that_was_named(kind: str, text: str, time: int) -> None:
    assert stored(f"1,{text}", form=f"1:metric:a,2:time:{kind}") == [("a", time, 1.0)]


def test_not_finite_numbers_are_written_as_prometheus_or_python_do() -> None:
    values = [
        value
        for _, _, value in stored(
            "name,value\n" + "".join(f"a,{one}\n" for one in ("NaN", "+Inf", "-inf", "Infinity", "1e3"))
        )
    ]
    assert isnan(values[0])
    assert values[1:] == [inf, -inf, inf, 1_000.0]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("b", "The row has 1 columns, and there should be 4."),
        ("b,1,2,3,4", "The row has 5 columns, and there should be 4."),
        ("b,many,,x", "The value must be a number, NaN or Inf, and is `many`."),
        ("b,1_0,,x", "The value must be a number"),
        ("b,,,x", "The value must be a number"),
        ("b,1e999,,x", "The value must be a number"),
        ("b,1,soon,x", "The time must be RFC 3339 or epoch seconds, and is `soon`."),
        ("b,1,2026-01-31T09:00:00,x", "The time has no time zone"),
        ("b,1,1769850000000,x", "The time looks like milliseconds or finer"),
        ("b,1,inf,x", "The time looks like milliseconds or finer"),
        (",1,,x", "The metric's name is empty."),
        ('b,1,,"x"y', "The row is not CSV: "),
        (b"b,1,,\xff", "The text is not UTF-8."),
        (b"b\xff,1,,x", "The text is not UTF-8."),
    ],
)
def test_a_wrong_row_is_refused_with_its_reason_and_the_others_are_taken(row: str | bytes, reason: str) -> None:
    text = row if isinstance(row, bytes) else row.encode()
    found = read(b"name,value,timestamp,x\na,1,,\n" + text + b"\nc,3,,\n")
    assert [str(labels) for labels in found.rows.series] == ["a", "c"]
    assert [one.index for one in found.rejected] == [2]
    assert found.rejected[0].reason.startswith(reason)
    assert found.lines == 3


def test_a_quote_that_is_never_closed_refuses_what_it_holds() -> None:
    found = read('name,value,x\na,1,\nb,2,"open\nc,3,\n')
    assert [str(labels) for labels in found.rows.series] == ["a"]
    assert [one.index for one in found.rejected] == [2]


def test_limits_are_named_in_the_refusal() -> None:
    found = read(f"name,value,x\n{'n' * 300},1,\na,1,{'v' * 3_000}\n")
    assert [one.kind for one in found.rejected] == [Refusal.TOO_LONG, Refusal.TOO_LONG]


@pytest.mark.parametrize(
    ("text", "more", "reason"),
    [
        ("", {}, "The first row must name the columns"),
        ("a,b\n1,2", {}, "The first row must name the columns"),
        ("name,value,value\n", {}, "names a column twice"),
        ("name,value\n", {"delimiter": "ab"}, "delimiter must be one character"),
        ("name,value\n", {"delimiter": '"'}, "delimiter must be one character"),
        ('"name,value\n', {}, "The row is not CSV"),
        ("1", {"form": "1"}, "format lists columns as"),
        ("1", {"form": "0:metric:a"}, "format lists columns as"),
        ("1", {"form": "1001:metric:a"}, "format lists columns as"),
        ("1", {"form": "1:gauge:a"}, "format lists columns as"),
        ("1", {"form": "1:label:a"}, "names no column as a metric"),
        ("1", {"form": "1:metric:a,2:label:b,3:label:b"}, "names a label twice"),
        ("1", {"form": "1:metric:a,2:time:unix_s,3:time:unix_s"}, "more than one column as the time"),
        ("1", {"form": "1:metric:a,2:time:fortnights"}, "There is no time `fortnights`"),
    ],
)
def test_a_body_that_does_not_say_what_its_columns_are_is_refused(text: str, more: dict[str, str], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        read(text, **more)


def test_too_many_samples_are_refused_as_a_whole() -> None:
    tight = replace(LIMITS, samples_max=2)
    for body in (b"name,value\na,1\nb,2\nc,3\n", b"name,value\n1\n2\n3\n"):
        with pytest.raises(TooLargeError, match="2 samples"):
            parse(body, NOW, tight)


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]), min_size=1, max_size=8)
VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=8)


@given(st.lists(st.tuples(NAMES, st.floats(allow_nan=False), VALUES), max_size=8))
def test_what_python_writes_is_read_back(rows: list[tuple[str, float, str]]) -> None:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["name", "value", "x"])
    writer.writerows(rows)
    found = read(out.getvalue().encode())
    assert found.rejected == ()
    assert found.rows.values.tolist() == [value for _, value, _ in rows]
    assert [found.rows.series[which].get("x") for which in found.rows.which] == [text for _, _, text in rows]


PARTS = st.sampled_from(
    [b",", b'"', b"\n", b"\r", b"name", b"value", b"1", b"NaN", b"\xff", b"\0", b"2026-01-31T09:00:00Z"]
)


@given(
    st.lists(PARTS | st.binary(max_size=6), max_size=40).map(b"".join),
    st.sampled_from(["", "1:metric:a,2:time:unix_s"]),
)
def test_any_bytes_are_read_to_the_end(body: bytes, form: str) -> None:
    try:
        found = parse(b"name,value,timestamp\n" + body, NOW, LIMITS, form=form)
    except UserError:
        return
    assert all(0 <= one.index <= body.count(b"\n") + body.count(b"\r") + 1 for one in found.rejected)
