from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.ingest.rows import Refusal, Rejection
from tocsin.ingest.settings import IngestSettings
from tocsin.ingest.wire.statsd import Reading, labels_of, parse

LIMITS = IngestSettings()


def one(line: bytes) -> Reading:
    read = parse(line)
    assert (read.rejected, read.events, read.checks) == ([], 0, 0)
    (reading,) = read.readings
    return reading


def series(name: bytes, tags: bytes = b"") -> tuple[bytes, bytes]:
    return (name, tags)


@pytest.mark.parametrize(
    ("line", "reading"),
    [
        (b"a:1|c", Reading(series(b"a"), "c", (1.0,), 1.0, relative=False, time_ms=None)),
        (b"a:1|c|@0.1", Reading(series(b"a"), "c", (1.0,), 10.0, relative=False, time_ms=None)),
        (b"a:2|c|T1769850000", Reading(series(b"a"), "c", (2.0,), 1.0, relative=False, time_ms=1_769_850_000_000)),
        (b"a:5|g|T1769850000", Reading(series(b"a"), "g", (5.0,), 1.0, relative=False, time_ms=1_769_850_000_000)),
        (b"a:5|g", Reading(series(b"a"), "g", (5.0,), 1.0, relative=False, time_ms=None)),
        (b"a:+5|g", Reading(series(b"a"), "g", (5.0,), 1.0, relative=True, time_ms=None)),
        (b"a:-5|g", Reading(series(b"a"), "g", (-5.0,), 1.0, relative=True, time_ms=None)),
        (b"a:320|ms|@0.5", Reading(series(b"a"), "t", (320.0,), 2.0, relative=False, time_ms=None)),
        (b"a:1:2:3.5|h", Reading(series(b"a"), "t", (1.0, 2.0, 3.5), 1.0, relative=False, time_ms=None)),
        (b"a:1|d", Reading(series(b"a"), "t", (1.0,), 1.0, relative=False, time_ms=None)),
        (b"a:x:y|s", Reading(series(b"a"), "s", (b"x:y",), 1.0, relative=False, time_ms=None)),
        (b"a:1|c|#z:1,b", Reading(series(b"a", b"b,z:1"), "c", (1.0,), 1.0, relative=False, time_ms=None)),
        (b"a:1|c|#b|c:ci-1|e:x|card:low", Reading(series(b"a", b"b"), "c", (1.0,), 1.0, relative=False, time_ms=None)),
    ],
)
def test_a_line_is_a_reading(line: bytes, reading: Reading) -> None:
    assert one(line) == reading


@pytest.mark.parametrize(
    "line",
    [
        b"a",
        b"a:1",
        b":1|c",
        b"a|c",
        b"a:|c",
        b"a:x|c",
        b"a:nan|g",
        b"a:1::2|h",
        b"a:1|q",
        b"a:1|",
        b"a:1|c|@0",
        b"a:1|c|@2",
        b"a:1|c|@",
        b"a:1|c|Tsoon",
        b"a:1|c|T999999999999",
        b"a:" + b"1" * 500 + b"|c",
    ],
)
def test_a_wrong_line_loses_no_other(line: bytes) -> None:
    read = parse(b"before:1|c\n" + line + b"\n\nafter:1|c\n")
    assert [each.series[0] for each in read.readings] == [b"before", b"after"]
    (why,) = read.rejected
    assert (why.index, why.kind) == (1, Refusal.MALFORMED)
    assert why.reason.endswith(".")


def test_events_and_service_checks_are_counted_and_passed_over() -> None:
    read = parse(b"_e{5,4}:title|text|t:warning\n_sc|db|0|m:fine\na:1|c")
    assert (read.events, read.checks, len(read.readings), read.rejected) == (1, 1, 1, [])


def test_the_order_of_tags_makes_no_other_series() -> None:
    assert one(b"a:1|c|#x:1,y:2").series == one(b"a:1|c|#y:2,x:1,x:1").series


def test_tags_become_labels_and_a_bare_one_is_true() -> None:
    assert str(labels_of((b"a.b", b"canary,site:x:y,none:"), LIMITS)) == 'a.b{canary="true", site="x:y"}'


@pytest.mark.parametrize(
    ("name", "tags", "kind"),
    [
        (b"\xff", b"", Refusal.MALFORMED),
        (b"a", b"__name__:x", Refusal.MALFORMED),
        (b"a", b":x", Refusal.MALFORMED),
        (b"a\x01", b"", Refusal.MALFORMED),
        (b"a" * 15, b"", Refusal.TOO_LONG),
        (b"a", b"b:" + b"x" * 21, Refusal.TOO_LONG),
        (b"a", b"b,c,d", Refusal.TOO_MANY_LABELS),
    ],
)
def test_limits_are_kept(name: bytes, tags: bytes, kind: Refusal) -> None:
    why = labels_of((name, tags), replace(LIMITS, labels_max=2, name_chars_max=20, value_chars_max=20))
    assert isinstance(why, Rejection)
    assert why.kind is kind


@given(st.one_of(st.binary(max_size=80), st.text("ab:|cgmshd@#T,1.-+\n_e{", max_size=80).map(str.encode)))
def test_any_datagram_is_read_or_refused_line_by_line(datagram: bytes) -> None:
    read = parse(datagram + b"\nlast:1|c")
    assert read.readings[-1].series == (b"last", b"")
    lines = sum(1 for line in (datagram + b"\nlast:1|c").split(b"\n") if line.strip())
    assert len(read.readings) + len(read.rejected) + read.events + read.checks == lines
    for reading in read.readings:
        labels_of(reading.series, LIMITS)
