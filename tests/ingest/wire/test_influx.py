from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.ingest.rows import Refusal
from tocsin.ingest.settings import IngestSettings
from tocsin.ingest.wire.influx import PRECISIONS, REMEMBERED_BYTES_MAX, Lines, parse
from tocsin.model.errors import TooLargeError, UserError
from tocsin.model.labels import Labels

NOW = 1_800_000_000_000
LIMITS = IngestSettings()


def parsed(text: str | bytes, **more: str) -> Lines:
    return parse(text if isinstance(text, bytes) else text.encode(), NOW, LIMITS, **more)


def samples(text: str | bytes, **more: str) -> list[tuple[str, int, float]]:
    """(series, time, value) of each sample; nothing was refused."""
    lines = parsed(text, **more)
    assert lines.rejected == ()
    return stored(lines)


def stored(lines: Lines) -> list[tuple[str, int, float]]:
    rows = lines.rows
    return [
        (str(rows.series[which]), time, value)
        for which, time, value in zip(rows.which.tolist(), rows.times.tolist(), rows.values.tolist(), strict=True)
    ]


def why(text: str | bytes, **more: str) -> str:
    """Why the only line was refused."""
    lines = parsed(text, **more)
    assert stored(lines) == []
    (one,) = lines.rejected
    return one.reason


def test_each_field_of_a_line_is_a_sample() -> None:
    assert samples("cpu,host=a,cpu=cpu0 user=1.5,idle=98 1769850000000000000") == [
        ('cpu_user{cpu="cpu0", host="a"}', 1_769_850_000_000, 1.5),
        ('cpu_idle{cpu="cpu0", host="a"}', 1_769_850_000_000, 98.0),
    ]


def test_a_field_called_value_keeps_its_name() -> None:
    assert samples("temp value=21") == [("temp_value", NOW, 21.0)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1.0),
        ("-1.5", -1.5),
        ("+2", 2.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("1.5E-2", 0.015),
        ("3i", 3.0),
        ("-3i", -3.0),
        ("9223372036854775807i", float(2**63)),
        ("-9223372036854775808i", -float(2**63)),
        ("18446744073709551615u", float(2**64)),
        *((word, 1.0) for word in ("t", "T", "true", "True", "TRUE")),
        *((word, 0.0) for word in ("f", "F", "false", "False", "FALSE")),
    ],
)
def test_every_kind_of_number_is_a_float(text: str, value: float) -> None:
    assert samples(f"m f={text}") == [("m_f", NOW, value)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nan",
        "NaN",
        "inf",
        "-inf",
        "1e999",
        "1_0",
        "1_0i",
        "i",
        "-i",
        "u",
        "-1u",
        "+1u",
        "1.5i",
        "0x10",
        "9223372036854775808i",
        "18446744073709551616u",
        "tRue",
        "abc",
        "1-2",
        "--1",
        "1" * 500,
    ],
)
def test_what_is_no_value_refuses_the_line(text: str) -> None:
    assert "field" in why(f"m f={text},good=1")


@pytest.mark.parametrize(
    ("precision", "time", "time_ms"),
    [
        ("", "1769850000123456789", 1_769_850_000_123),
        ("n", "1769850000123456789", 1_769_850_000_123),
        ("ns", "1769850000123999999", 1_769_850_000_123),
        ("u", "1769850000123456", 1_769_850_000_123),
        ("us", "1769850000123456", 1_769_850_000_123),
        ("µ", "1769850000123456", 1_769_850_000_123),
        ("ms", "1769850000123", 1_769_850_000_123),
        ("s", "1769850000", 1_769_850_000_000),
        ("m", "29497500", 1_769_850_000_000),
        ("h", "491625", 1_769_850_000_000),
        ("s", "-1", -1_000),
    ],
)
def test_a_time_is_read_in_its_precision(precision: str, time: str, time_ms: int) -> None:
    assert samples(f"m f=1 {time}", precision=precision) == [("m_f", time_ms, 1.0)]


def test_an_unknown_precision_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UserError, match="no precision `weeks`"):
        parsed("m f=1", precision="weeks")


@pytest.mark.parametrize("time", ["x", "1.5", "-", "1_0", "99999999999999999999", "9" * 1_000])
def test_a_time_that_is_none_refuses_the_line(time: str) -> None:
    assert "time" in why(f"m f=1 {time}")


def test_a_time_of_another_precision_is_told() -> None:
    assert "precision" in why("m f=1 1769850000123456789", precision="h")


def test_text_is_skipped_and_counted() -> None:
    lines = parsed('system uptime=5i,uptime_format="1 day, 2:03",note="" 1769850000000000000')
    assert stored(lines) == [("system_uptime", 1_769_850_000_000, 5.0)]
    assert (lines.skipped, lines.rejected, lines.lines) == (2, (), 1)


@pytest.mark.parametrize(
    ("text", "series"),
    [
        (r"disk\ io,path=C:\ drive read=1", r'disk io_read{path="C: drive"}'),
        (r"a\,b,t\,g=v\,w,u\=x=y\=z f\ g=1", r'a,b_f g{t,g="v,w", u=x="y=z"}'),
        (r"disk,path=C:\Users read=1", r'disk_read{path="C:\\Users"}'),
        (r"m,t=a\\\,b f=1", r'm_f{t="a\\\\,b"}'),
        (r"m f\,g\=h=1", "m_f,g=h"),
        ('m,t="x" f=1', r'm_f{t="\"x\""}'),
        ("m,t=ä f=1", 'm_f{t="ä"}'),
        ("m,t= f=1", "m_f"),
        ("m,t=a=b f=1", 'm_f{t="a=b"}'),
    ],
)
def test_escaped_characters_are_text(text: str, series: str) -> None:
    assert samples(text) == [(series, NOW, 1.0)]


@pytest.mark.parametrize(
    "text",
    [
        'm a="x y, z=1",f=1',
        r'm a="say \"hi\", twice",f=1',
        'm a="ends with a backslash \\\\",f=1',
        'm a="two\nlines # and\n\nmore",f=1',
        'm f=1,a="z"',
        'm f=1,a="x f=2"',
    ],
)
def test_quotes_hold_what_would_end_a_field_elsewhere(text: str) -> None:
    assert samples(text + " 1769850000000000000\nn f=2") == [
        ("m_f", 1_769_850_000_000, 1.0),
        ("n_f", NOW, 2.0),
    ]


@pytest.mark.parametrize("text", ["", "\n", "# only\n", "  \r\n\t\n#x", '# "a\n# \\b'])
def test_comments_and_empty_lines_are_nothing(text: str) -> None:
    lines = parsed(text)
    assert (len(lines.rows), lines.rejected, lines.lines) == (0, (), 0)


@pytest.mark.parametrize(
    "text", ["m f=1\r\nm f=2\r\n", "  m f=1 \n\tm f=2", "m  f=1\nm f=2  ", 'm f=1,a="\\""\r\nm f=2']
)
def test_spaces_and_carriage_returns_around_do_not_matter(text: str) -> None:
    assert samples(text) == [("m_f", NOW, 1.0), ("m_f", NOW, 2.0)]


@pytest.mark.parametrize(
    "bad",
    [
        "m",
        "m f",
        "m f=",
        "m =1",
        "m f=1,",
        "m ,f=1",
        "m f=1 5 6",
        'm f="open',
        'm f="a"b',
        'm f="a"5',
        ",t=1 f=1",
        "m,t f=1",
        "m,=1 f=1",
        "m,, f=1",
        "m,__name__=x f=1",
        "m f=1 now",
        "\\",
        "m\\ f=1",
        '"',
    ],
)
def test_a_wrong_line_loses_no_other(bad: str) -> None:
    lines = parsed(f"a f=1\n{bad}\nb f=2\n")
    assert stored(lines) == [("a_f", NOW, 1.0), ("b_f", NOW, 2.0)]
    (one,) = lines.rejected
    assert (one.index, one.kind, lines.lines) == (1, Refusal.MALFORMED, 3)
    assert one.reason.endswith(".")


def test_lines_are_counted_through_quotes_that_hold_line_ends() -> None:
    lines = parsed('a f=1,s="x\ny\nz"\n\n# comment\nbad\nb f=2')
    assert [one.index for one in lines.rejected] == [5]
    assert lines.rows.index.tolist() == [0, 6]


def test_bytes_that_are_no_text_refuse_their_line_alone() -> None:
    lines = parsed(b"m,t=\xff f=1\nm f=2")
    assert stored(lines) == [("m_f", NOW, 2.0)]
    assert lines.rejected[0].reason == "The text is not UTF-8."


def test_the_database_is_a_label_unless_a_tag_is_called_so() -> None:
    assert samples("m f=1\nm,db=mine f=2", database="telegraf") == [
        ('m_f{db="telegraf"}', NOW, 1.0),
        ('m_f{db="mine"}', NOW, 2.0),
    ]


def test_limits_refuse_one_sample_and_say_which() -> None:
    limits = replace(LIMITS, labels_max=2, name_chars_max=8, value_chars_max=4)
    text = "m,a=1,b=2,c=3 f=1\nm toolongname=1,f=2\nm,a=12345 f=3\nm,toolongtag=1 f=1\nm,a=x\0 f=1\nm\x01 f=1"
    lines = parse(text.encode(), NOW, limits)
    assert stored(lines) == [("m_f", NOW, 2.0)]
    assert [(one.index, one.kind) for one in lines.rejected] == [
        (0, Refusal.TOO_MANY_LABELS),
        (1, Refusal.TOO_LONG),
        (2, Refusal.TOO_LONG),
        (3, Refusal.TOO_LONG),
        (4, Refusal.MALFORMED),
        (5, Refusal.MALFORMED),
    ]


@pytest.mark.parametrize("text", ["m a=1,b=2,c=3", "m f=1\nm f=2\nm f=3", "x\nx\nx"])
def test_a_body_of_too_many_samples_or_wrong_lines_is_refused(text: str) -> None:
    with pytest.raises(TooLargeError, match="may hold 2 samples"):
        parse(text.encode(), NOW, replace(LIMITS, samples_max=2))


def test_series_seen_before_are_the_same_objects() -> None:
    text = b"seen,a=1 f=1"
    assert parsed(text).rows.series[0] is parsed(text).rows.series[0]


def test_very_long_names_are_read_and_not_remembered() -> None:
    text = "m,t=" + "x" * REMEMBERED_BYTES_MAX + " f=1"
    assert parsed(text).rows.series[0] is not parsed(text).rows.series[0]


def test_a_broken_quote_costs_no_more_than_its_bytes() -> None:
    lines = parsed('a b="\n' * 10_000 + 'a b="')
    assert lines.lines == 5_001


_TEXT = st.text(st.characters(exclude_characters="\\", exclude_categories=("Cc", "Cs")), min_size=1, max_size=12)


def _escaped(text: str) -> str:
    return text.replace(",", r"\,").replace(" ", r"\ ").replace("=", r"\=")


@given(
    _TEXT.filter(lambda text: not text.startswith("#")),
    st.dictionaries(_TEXT.filter(lambda name: name != "__name__"), _TEXT, max_size=4),
    st.dictionaries(_TEXT, st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=4),
    st.integers(-(2**62), 2**62),
)
def test_what_a_client_writes_is_read_back(
    measurement: str, tags: dict[str, str], fields: dict[str, float], time_ns: int
) -> None:
    key = ",".join([_escaped(measurement), *(f"{_escaped(name)}={_escaped(value)}" for name, value in tags.items())])
    line = f"{key} {','.join(f'{_escaped(name)}={value!r}' for name, value in fields.items())} {time_ns}"
    lines = parsed(line)
    assert lines.rejected == ()
    rows = lines.rows
    assert [rows.series[which] for which in rows.which] == [
        Labels.metric(f"{measurement}_{name}", tags) for name in fields
    ]
    assert rows.values.tolist() == list(fields.values())
    assert set(rows.times.tolist()) == {time_ns // 1_000_000}


@given(st.text('m,= "\\\n\r#1it.-eé\x00', max_size=60), st.sampled_from(sorted(PRECISIONS)))
def test_any_text_is_read_or_refused_line_by_line(text: str, precision: str) -> None:
    check_whole(text.encode(), precision)


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused_line_by_line(body: bytes) -> None:
    check_whole(body, "ns")


def check_whole(body: bytes, precision: str) -> None:
    """What follows a body is stored whatever the body was, unless its quotes swallow it."""
    lines = parse(body.replace(b'"', b"") + b"\nlast f=1", NOW, LIMITS, precision)
    assert stored(lines)[-1] == ("last_f", NOW, 1.0)
    whole = parse(body, NOW, LIMITS, precision)
    told = {one.index for one in whole.rejected} | set(whole.rows.index.tolist())
    assert len(told) <= whole.lines
    assert all(0 <= index <= body.count(b"\n") for index in told)


def test_broken_copies_of_a_real_body_are_survived() -> None:
    body = bytearray(b'cpu,host=a\\ b user=1.5,n=3i,s="x \\" y" 1769850000000000000\n' * 4)
    chance = random.Random(7)
    for _ in range(2_000):
        broken = bytearray(body)
        for _ in range(chance.randint(1, 6)):
            broken[chance.randrange(len(broken))] = chance.choice(b' ,="\\\n1i\xff\x00')
        check_whole(bytes(broken), "ns")
