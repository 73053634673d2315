from __future__ import annotations

import math
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.remote_write import (
    Sent,
    block,
    label,
    metadata_v1,
    number_field,
    request_v1,
    request_v2,
    sample,
    varint,
)

from tocsin.ingest.rows import Refusal
from tocsin.ingest.settings import IngestSettings
from tocsin.ingest.wire import remote_write
from tocsin.ingest.wire.remote_known import KnownSeries, Version
from tocsin.ingest.wire.remote_write import Written
from tocsin.model.errors import TooLargeError, UserError
from tocsin.model.labels import Labels
from tocsin.model.series import MetricInfo

LIMITS = IngestSettings()
NOW = 1_800_000_000_000
STALE = struct.pack("<Q", 0x7FF0_0000_0000_0002)
UP = (("__name__", "up"), ("job", "a"))
VERSIONS = pytest.mark.parametrize("version", [1, 2])


def parse(version: Version, body: bytes, limits: IngestSettings = LIMITS) -> Written:
    """What the thorough way reads; it must be what `KnownSeries` reads too, of series that are new and known."""
    thorough = remote_write.parse_v1 if version == 1 else remote_write.parse_v2
    wanted = outcome(lambda: thorough(body, limits))
    known = KnownSeries(limits, seed=1)
    for again in range(3):
        found = outcome(lambda: known.read(version, body))
        if again and isinstance(wanted, Written) and isinstance(found, Written):
            assert set(found.infos) <= set(wanted.infos)
            found = replace(found, infos=wanted.infos)  # told once
        assert comparable(found) == comparable(wanted)
    if isinstance(wanted, Written):
        return wanted
    raise wanted


def outcome(reading: Callable[[], Written]) -> Written | UserError | TooLargeError:
    try:
        return reading()
    except (UserError, TooLargeError) as error:
        return error


def comparable(found: Written | UserError | TooLargeError) -> object:
    if not isinstance(found, Written):
        return type(found), str(found)
    index = found.rows.index.tolist()
    return stored(found), index, found.refused, set(found.infos), found.sent, found.exemplars


def parse_v1(body: bytes, limits: IngestSettings) -> Written:
    return parse(1, body, limits)


def parse_v2(body: bytes, limits: IngestSettings) -> Written:
    return parse(2, body, limits)


def read(version: int, series: list[Sent], limits: IngestSettings = LIMITS) -> Written:
    return parse_v1(request_v1(series), limits) if version == 1 else parse_v2(request_v2(series), limits)


def stored(written: Written) -> list[tuple[str, int, bytes]]:
    """(series, time, the value's bytes)"""
    rows = written.rows
    return [
        (str(rows.series[which]), int(time), value.tobytes())
        for which, time, value in zip(rows.which, rows.times, rows.values, strict=True)
    ]


def why(version: int, *pairs: tuple[str | bytes, str | bytes], limits: IngestSettings = LIMITS) -> str:
    """Why a series with these labels was refused, while its neighbour was taken."""
    good = Sent(UP, [(NOW, 1.0)])
    written = read(version, [Sent(pairs, [(NOW, 1.0), (NOW + 1, 2.0)]), good], limits)
    assert [one.index for one in written.refused] == [0, 1]
    assert [(one[0], one[1]) for one in stored(written)] == [('up{job="a"}', NOW)]
    assert written.rows.index.tolist() == [2]
    assert written.sent == 3
    return written.refused[0].reason


@VERSIONS
def test_a_sample_is_stored_with_its_series(version: int) -> None:
    written = read(version, [Sent(UP, [(NOW, 1.5)])])
    assert stored(written) == [('up{job="a"}', NOW, struct.pack("<d", 1.5))]
    assert (written.refused, written.sent) == ((), 1)


@VERSIONS
def test_an_empty_request_holds_nothing(version: int) -> None:
    assert len(read(version, []).rows) == 0


@VERSIONS
def test_a_zero_and_a_time_of_zero_are_left_out_by_senders(version: int) -> None:
    for _ in range(2):
        written = read(version, [Sent(UP, [(NOW, 0.0)]), Sent(UP, [(0, 0.0)])])
        assert [(time, value) for _, time, value in stored(written)] == [(NOW, bytes(8)), (0, bytes(8))]


@VERSIONS
def test_a_stale_marker_and_minus_zero_keep_their_bits(version: int) -> None:
    for _ in range(2):
        values = [STALE, struct.pack("<d", -0.0), struct.pack("<d", math.inf)]
        written = read(version, [Sent((*UP, ("n", str(at))), [(NOW, bits)]) for at, bits in enumerate(values)])
        assert [value for _, _, value in stored(written)] == values


@VERSIONS
def test_a_time_before_1970_is_negative(version: int) -> None:
    assert stored(read(version, [Sent(UP, [(-5, 1.0)])]))[0][1] == -5


@VERSIONS
def test_labels_may_come_in_any_order(version: int) -> None:
    written = read(version, [Sent((("job", "a"), ("__name__", "up")), [(NOW, 1.0)])])
    assert written.rows.series == (Labels.metric("up", {"job": "a"}),)


@VERSIONS
def test_an_empty_label_is_no_label(version: int) -> None:
    assert stored(read(version, [Sent((*UP, ("empty", "")), [(NOW, 1.0)])]))[0][0] == 'up{job="a"}'


@VERSIONS
def test_names_are_any_utf8(version: int) -> None:
    written = read(version, [Sent((("__name__", "wärme.grad"), ("ort ☃", "Zürich\n")), [(NOW, 1.0)])])
    assert written.rows.series == (Labels.metric("wärme.grad", {"ort ☃": "Zürich\n"}),)


@VERSIONS
@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        ((("job", "a"),), "The metric's name is empty."),
        ((("__name__", ""), ("job", "a")), "The metric's name is empty."),
        ((), "The metric's name is empty."),
        ((*UP, ("job", "b")), "The label `job` is there twice."),
        ((*UP, ("", "b")), "The label's name is empty."),
        ((*UP, ("a\n", "b")), "The label's name `a\N{REPLACEMENT CHARACTER}` holds a control character."),
        ((("__name__", "a\x00"),), "The metric's name `a\N{REPLACEMENT CHARACTER}` holds a control character."),
        ((*UP, ("a", "b\0")), "The label `a` holds a NUL character."),
        ((*UP, ("a", b"\xff")), "A label is not UTF-8."),
        ((*UP, (b"\xff", "a")), "A label is not UTF-8."),
        ((*UP, ("a", b"\xed\xa0\x80")), "A label is not UTF-8."),
    ],
)
def test_wrong_labels_refuse_their_own_samples_only(
    version: int, pairs: tuple[tuple[str | bytes, str | bytes], ...], reason: str
) -> None:
    assert why(version, *pairs) == reason


@VERSIONS
@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        ((("__name__", "x" * 9),), "The metric's name `xxxxxxxxx` is longer than 8 characters."),
        ((*UP, ("x" * 9, "a")), "The label's name `xxxxxxxxx` is longer than 8 characters."),
        ((*UP, ("a", "xxxxx")), "The label `a` is longer than 4 characters."),
        ((*UP, ("a", "1"), ("b", "2")), "There are more than 2 labels."),
        ((*UP, *((f"l{at}", "1") for at in range(50))), "There are more than 2 labels."),
    ],
)
def test_limits_refuse_their_own_samples_only(
    version: int, pairs: tuple[tuple[str | bytes, str | bytes], ...], reason: str
) -> None:
    limits = IngestSettings(labels_max=2, name_chars_max=8, value_chars_max=4)
    assert why(version, *pairs, limits=limits) == reason


@VERSIONS
def test_native_histograms_are_refused_and_counted(version: int) -> None:
    written = read(version, [Sent(UP, [(NOW, 1.0)], histograms=2), Sent(UP, [(NOW, 2.0)])])
    assert [(one.index, one.kind) for one in written.refused] == [(1, Refusal.HISTOGRAM), (2, Refusal.HISTOGRAM)]
    assert written.rows.index.tolist() == [0, 3]
    assert written.sent == 4


@VERSIONS
def test_exemplars_are_counted_and_left_out(version: int) -> None:
    written = read(version, [Sent(UP, [(NOW, 1.0)], exemplars=3)])
    assert (written.exemplars, len(written.rows), written.refused) == (3, 1, ())


@VERSIONS
def test_too_many_samples_are_told_the_limit(version: int) -> None:
    limits = replace(LIMITS, samples_max=3)
    several = [Sent(UP, [(NOW + at, 1.0)]) for at in range(4)]
    for series in (several, [Sent(UP, [(NOW + at, 1.0) for at in range(4)])], [Sent(UP, histograms=4)]):
        assert read(version, several[:3], limits).sent == 3
        with pytest.raises(TooLargeError, match=r"3 (samples|series)"):
            read(version, series, limits)
    with pytest.raises(TooLargeError, match="3 series"):
        read(version, [Sent(UP)] * 4, limits)


def test_metadata_becomes_what_a_metric_is() -> None:
    body = request_v1([]) + metadata_v1(1, "http_seconds", "How long.", "seconds") + metadata_v1(0, "nothing")
    assert parse_v1(body, LIMITS).infos == (MetricInfo("http_seconds", "s", "counter", "How long."),)


def test_metadata_of_version_2_comes_with_its_series() -> None:
    written = read(2, [Sent(UP, [(NOW, 1.0)], info=(2, "Whether it is up.", "parsecs"))])
    assert written.infos == (MetricInfo("up", "parsecs", "gauge", "Whether it is up."),)


@pytest.mark.parametrize("broken", [metadata_v1(9, b"\xff", "a"), metadata_v1(1, ""), metadata_v1(1, "a\n")])
def test_metadata_that_cannot_be_kept_is_passed_over(broken: bytes) -> None:
    assert parse_v1(broken + request_v1([Sent(UP, [(NOW, 1.0)])]), LIMITS).sent == 1


@pytest.mark.parametrize(
    ("refs", "reason"),
    [([1], "odd"), ([1, 9], "symbol 9, and the request has 2"), ([1, 2**40], "symbol 1099511627776")],
)
def test_references_beyond_the_symbols_refuse_their_series(refs: list[int], reason: str) -> None:
    series = block(1, b"".join(map(varint, refs))) + block(2, sample(NOW, 1.0))
    written = parse_v2(block(4, b"") + block(4, b"up") + block(5, series), LIMITS)
    assert reason in written.refused[0].reason


def test_references_may_be_unpacked_and_symbols_may_come_last() -> None:
    series = number_field(1, 1) + number_field(1, 2) + block(2, sample(NOW, 1.0))
    written = parse_v2(block(5, series) + block(4, b"") + block(4, b"__name__") + block(4, b"up"), LIMITS)
    assert written.rows.series == (Labels.metric("up"),)


def test_unknown_fields_are_passed_over() -> None:
    extra = block(15, b"abc") + number_field(14, 5) + varint(13 << 3 | 5) + bytes(4) + varint(12 << 3 | 1) + bytes(8)
    series = block(1, label("__name__", "up")) + extra + block(2, sample(NOW, 1.0) + extra)
    assert stored(parse_v1(extra + block(1, series) + extra, LIMITS)) == [("up", NOW, struct.pack("<d", 1.0))]


def test_labels_after_the_samples_are_labels() -> None:
    series = block(2, sample(NOW, 1.0)) + block(1, label("__name__", "up"))
    assert stored(parse_v1(block(1, series), LIMITS)) == [("up", NOW, struct.pack("<d", 1.0))]


@pytest.mark.parametrize(
    "body",
    [
        b"\x0a",
        b"\x0a\x05abc",
        b"\x0a\xff",
        b"\xff" * 11,
        b"\x0b\x0c",
        b"\x00\x00",
        b"\x09abc",
        b"hello, world",
        block(1, b"\x0a\x7f"),
        block(1, block(1, label("__name__", "up")) + block(2, b"\x09abc")),
        block(5, block(1, b"\x80")) + block(4, b""),
    ],
)
def test_a_body_that_is_no_request_is_an_error(body: bytes) -> None:
    parsers = (parse_v2,) if body[:1] == b"\x2a" else (parse_v1, parse_v2) if body[:1] != b"\x0a" else (parse_v1,)
    for parse in parsers:
        with pytest.raises(UserError, match=r"not remote write's protobuf"):
            parse(body, LIMITS)


def test_a_request_cut_anywhere_is_an_error_or_a_shorter_request() -> None:
    body = request_v1([Sent((*UP, ("n", str(at))), [(NOW, float(at))]) for at in range(4)])
    assert len(parse_v1(body, LIMITS).rows) == 4
    whole = 0
    for cut in range(len(body)):
        with suppress(UserError):
            whole += 1 + (len(parse_v1(body[:cut], LIMITS).rows) > 4)
    assert whole == 4


# Seconds, odd times and times around the borders of six bytes, so that the quick way and the plain one both read them.
TIMES = st.sampled_from([NOW, NOW + 15_000, 0, 1, 2**35 - 1, 2**35, 2**42 - 1, 2**42, -1, 2**63 - 1, -(2**63)])
NAMES = st.sampled_from(["a", "b", "instance", "le", "ä", "x" * 130])
TEXTS = st.sampled_from(["", "1", "\x12\x10\x09", "\x12\x07\x10", "y" * 200, "é\n"])
SERIES = st.builds(
    Sent,
    st.tuples(st.sampled_from(["up", "cpu.usage", "\u4e00"]), st.dictionaries(NAMES, TEXTS, max_size=4)).map(
        lambda named: (("__name__", named[0]), *named[1].items())
    ),
    st.lists(st.tuples(TIMES, st.sampled_from([0.0, -0.0, 1.5, math.inf, STALE, bytes(range(8))])), max_size=3),
)


@VERSIONS
@given(st.lists(SERIES, max_size=6))
def test_what_is_written_is_what_is_read_also_the_second_time(version: int, series: list[Sent]) -> None:
    wanted = [
        (str(Labels.of(dict(one.labels))), time, value if isinstance(value, bytes) else struct.pack("<d", value))  # type: ignore[arg-type]  # text here
        for one in series
        for time, value in one.samples
    ]
    for _ in range(2):
        written = read(version, series)
        assert stored(written) == wanted
        assert written.rows.index.tolist() == list(range(len(wanted)))
        assert written.refused == ()


def check_sense(written: Written) -> None:
    rows = written.rows
    assert len(rows.which) == len(rows.times) == len(rows.values) == len(rows.index)
    assert all(0 <= which < len(rows.series) for which in rows.which)
    assert len(rows) + len(written.refused) == written.sent
    for labels in rows.series:
        str(labels).encode()


@VERSIONS
@given(st.binary(max_size=200))
def test_random_bytes_are_read_or_refused(version: int, body: bytes) -> None:
    with suppress(UserError, TooLargeError):
        check_sense((parse_v1 if version == 1 else parse_v2)(body, LIMITS))


@VERSIONS
@given(st.lists(SERIES, min_size=1, max_size=3), st.data())
def test_a_damaged_request_is_read_or_refused(version: int, series: list[Sent], data: st.DataObject) -> None:
    read(version, series)
    body = bytearray(request_v1(series) if version == 1 else request_v2(series))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
        if not body:
            break
    with suppress(UserError, TooLargeError):
        check_sense((parse_v1 if version == 1 else parse_v2)(bytes(body), LIMITS))
