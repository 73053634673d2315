from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, Summary
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_prometheus

from tocsin.ingest.rows import Refusal
from tocsin.ingest.settings import IngestSettings
from tocsin.ingest.wire.exposition import Exposition, SeriesMemory, parse
from tocsin.model.errors import TooLargeError, UserError
from tocsin.model.labels import Labels, quote
from tocsin.model.series import MetricInfo

NOW = 1_800_000_000_000
LIMITS = IngestSettings()


def parsed(text: str | bytes, *, openmetrics: bool = False, memory: SeriesMemory | None = None) -> Exposition:
    body = text if isinstance(text, bytes) else text.encode()
    return parse(body, NOW, LIMITS, memory or SeriesMemory(LIMITS), openmetrics=openmetrics)


def stored(found: Exposition) -> list[tuple[str, int, float]]:
    rows = found.rows
    return [
        (str(rows.series[which]), time, value)
        for which, time, value in zip(rows.which.tolist(), rows.times.tolist(), rows.values.tolist(), strict=True)
    ]


def samples(text: str | bytes, *, openmetrics: bool = False) -> list[tuple[str, int, float]]:
    """(series, time, value) of each sample; nothing was refused."""
    found = parsed(text, openmetrics=openmetrics)
    assert found.rejected == ()
    return stored(found)


def why(text: str | bytes) -> str:
    """Why the only line was refused."""
    found = parsed(text)
    assert stored(found) == []
    (one,) = found.rejected
    return one.reason


@pytest.mark.parametrize(
    ("line", "series"),
    [
        ("up 1", "up"),
        ("up{} 1", "up"),
        ("  up\t{ }\t1  ", "up"),
        ('a:b_c{x="1",y="2"} 1', 'a:b_c{x="1", y="2"}'),
        ('m { y = "2" , x = "1" , } 1', 'm{x="1", y="2"}'),
        ('m{x=""} 1', "m"),
        (r'm{x="a\"b\\c\nd\d"} 1', r'm{x="a\"b\\c\nd\\d"}'),
        ('m{x="a } b # c, d=1 {"} 1', 'm{x="a } b # c, d=1 {"}'),
        ('m{x="ä"} 1', 'm{x="ä"}'),
        ('{"a.b"} 1', "a.b"),
        ('{"a.b", "service.name"="x"} 1', 'a.b{service.name="x"}'),
        ('{x="1","a b"} 1', 'a b{x="1"}'),
        ('{__name__="m",x="1"} 1', 'm{x="1"}'),
        ('m{x="1"}1', 'm{x="1"}'),
        ("m 1\r", "m"),
    ],
)
def test_a_series_is_named_in_any_of_the_forms_way(line: str, series: str) -> None:
    assert samples(line) == [(series, NOW, 1.0)]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1.0),
        ("-1.5e-3", -0.0015),
        ("+2", 2.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("+Inf", math.inf),
        ("inf", math.inf),
        ("-Inf", -math.inf),
        ("Infinity", math.inf),
    ],
)
def test_every_number_is_read(text: str, value: float) -> None:
    assert samples(f"m {text}") == [("m", NOW, value)]


def test_nan_is_a_value() -> None:
    ((_, _, value),) = samples("m NaN")
    assert math.isnan(value)


@pytest.mark.parametrize("text", ["1_0", "0x10", "one", "1e999", "--1", "+NaN", "1" * 500, "1\x0b", "\x0c1", "٣"])
def test_what_is_no_number_is_refused_whether_or_not_the_series_is_known(text: str) -> None:
    assert "value" in why(f"m {text}")
    found = parsed(f"m 1\nm {text}")
    assert [one.index for one in found.rejected] == [1]


@pytest.mark.parametrize(("time", "time_ms"), [("1769850000123", 1_769_850_000_123), ("-5", -5), ("+5", 5), ("0", 0)])
def test_prometheus_writes_milliseconds(time: str, time_ms: int) -> None:
    assert samples(f"m 1 {time}") == [("m", time_ms, 1.0)]


@pytest.mark.parametrize(
    ("time", "time_ms"),
    [("1769850000", 1_769_850_000_000), ("1769850000.123", 1_769_850_000_123), ("1.5e3", 1_500_000), ("-1", -1_000)],
)
def test_openmetrics_writes_seconds(time: str, time_ms: int) -> None:
    assert samples(f"m 1 {time}\n# EOF\n", openmetrics=True) == [("m", time_ms, 1.0)]


@pytest.mark.parametrize("time", ["1.5", "x", "1_0", "99999999999999999999", "9999999999999999999", "-", "NaN"])
def test_a_time_that_is_none_refuses_the_line(time: str) -> None:
    assert "time" in why(f"m 1 {time}")


@pytest.mark.parametrize("time", ["NaN", "+Inf", "1e300", "1e308", "x"])
def test_a_time_of_openmetrics_that_is_none_refuses_the_line(time: str) -> None:
    assert "time" in parsed(f"m 1 {time}\n# EOF", openmetrics=True).rejected[0].reason


@pytest.mark.parametrize(
    "bad",
    [
        "m",
        "m{",
        "m{x} 1",
        'm{x="1" 1',
        'm{x="1} 1',
        "m{x=1} 1",
        'm{x="1"y="2"} 1',
        'm{,x="1"} 1',
        'm{x="1",x="2"} 1',
        'm{x="1",,y="2"} 1',
        'm{"n"} 1',
        'm{__name__="n"} 1',
        '{"a","b"} 1',
        '{x="1"} 1',
        '{""} 1',
        "{} 1",
        "1m 1",
        "a.b 1",
        "a-b 1",
        'm{a-b="1"} 1',
        'm{a:b="1"} 1',
        "m 1 2 3",
        "m 1 # no exemplar",
        '"m" 1',
        "# TYPE",
        "# TYPE m nonsense",
        "# HELP",
        "# HELP a.b dots need quotes",
        '{"a\x01"} 1',
        'm{x="\x00"} 1',
    ],
)
def test_a_wrong_line_loses_no_other(bad: str) -> None:
    found = parsed(f"a 1\n{bad}\nb 2\n")
    assert stored(found) == [("a", NOW, 1.0), ("b", NOW, 2.0)]
    (one,) = found.rejected
    assert (one.index, one.kind, found.lines) == (1, Refusal.MALFORMED, 3)
    assert one.reason.endswith(".")


@pytest.mark.parametrize("raw", [b'm{x="\xff"} 1', b'{"\xff"} 1', b"# HELP m \xff", b"\xff 1"])
def test_bytes_that_are_no_text_refuse_their_line_alone(raw: bytes) -> None:
    found = parsed(b"a 1\n" + raw + b"\nb 2")
    assert stored(found) == [("a", NOW, 1.0), ("b", NOW, 2.0)]
    assert len(found.rejected) == 1


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment", " \t\r\n#x", "#", "# EOF", "#TYPE m nonsense"])
def test_comments_and_empty_lines_are_nothing(text: str) -> None:
    found = parsed(text)
    assert (len(found.rows), found.rejected, found.infos, found.lines) == (0, (), (), 0)


def test_help_type_and_unit_describe_a_metric_in_any_order() -> None:
    text = (
        '# HELP a_bytes what\\nit \\\\ is\n# TYPE a_bytes gauge\na_bytes 1\n# UNIT b requests\n# TYPE "c.d" histogram\n'
    )
    assert parsed(text).infos == (
        MetricInfo("a_bytes", "By", "gauge", "what\nit \\ is"),
        MetricInfo("b", "{requests}", "", ""),
        MetricInfo("c.d", "", "histogram", ""),
    )


def test_a_counter_of_openmetrics_is_described_under_the_name_of_its_samples() -> None:
    text = "# TYPE a_seconds counter\n# UNIT a_seconds seconds\na_seconds_total 1\na_seconds_created 5\n# EOF\n"
    found = parsed(text, openmetrics=True)
    assert found.infos == (MetricInfo("a_seconds_total", "s", "counter", ""),)
    assert stored(found) == [("a_seconds_total", NOW, 1.0), ("a_seconds_created", NOW, 5.0)]


def test_exemplars_are_skipped_and_counted() -> None:
    text = 'm_bucket{le="1"} 5 # {trace_id="a } b"} 0.5 1.2\nm_total 5 7 # {} 1\n# EOF'
    found = parsed(text, openmetrics=True)
    assert stored(found) == [('m_bucket{le="1"}', NOW, 5.0), ("m_total", 7_000, 5.0)]
    assert (found.exemplars, found.rejected) == (2, ())


@pytest.mark.parametrize("text", ["", "m 1\n", "m 1\n# EO", "# EOF\nm 1\n", "m 1 # EOF\n"])
def test_openmetrics_that_was_cut_short_is_refused_whole(text: str) -> None:
    with pytest.raises(UserError, match="does not end with `# EOF`"):
        parsed(text, openmetrics=True)


def test_what_follows_the_end_of_openmetrics_is_refused() -> None:
    found = parsed("m 1\n# EOF\nm 2\n# EOF\n", openmetrics=True)
    assert stored(found) == [("m", NOW, 1.0)]
    assert [one.index for one in found.rejected] == [2, 3]


def test_limits_refuse_one_sample_and_say_which() -> None:
    limits = replace(LIMITS, labels_max=2, name_chars_max=8, value_chars_max=4)
    text = b'm{a="1",b="2",c="3"} 1\ntoolongname 1\nm 2\nm{a="12345"} 3\nm{toolongtag="1"} 1'
    found = parse(text, NOW, limits, SeriesMemory(limits))
    assert stored(found) == [("m", NOW, 2.0)]
    assert [(one.index, one.kind) for one in found.rejected] == [
        (0, Refusal.TOO_MANY_LABELS),
        (1, Refusal.TOO_LONG),
        (3, Refusal.TOO_LONG),
        (4, Refusal.TOO_LONG),
    ]


@pytest.mark.parametrize("text", ["a 1\nb 1\nc 1", "m 1\nm 1\nm 1", "x\nx\nx", "# TYPE a gauge\na 1\nb 1"])
def test_a_body_of_too_many_lines_is_refused(text: str) -> None:
    limits = replace(LIMITS, samples_max=2)
    with pytest.raises(TooLargeError, match="may hold 2 lines"):
        parse(text.encode(), NOW, limits, SeriesMemory(limits))


def test_a_series_seen_before_is_the_same_object_and_stands_once_in_a_body() -> None:
    memory = SeriesMemory(LIMITS)
    first, again = (parsed('m{a="1"} 1\nm{a="1"} 2 5', memory=memory) for _ in range(2))
    assert len(first.rows.series) == 1
    assert first.rows.series[0] is again.rows.series[0]


def test_a_memory_that_is_full_starts_anew() -> None:
    memory = SeriesMemory(LIMITS, series_max=3)
    for number in range(10):
        assert len(parsed(f"m{number} 1\nm{number} 2", memory=memory).rows) == 2
        assert len(memory.known) <= 3


def test_a_very_long_name_is_read_and_not_remembered() -> None:
    memory = SeriesMemory(LIMITS)
    text = ",".join(f'label{number}="{"x" * 100}"' for number in range(30))
    assert len(parsed(f"m{{{text}}} 1", memory=memory).rows) == 1
    assert not memory.known


def registry() -> CollectorRegistry:
    made = CollectorRegistry()
    Gauge("queue_bytes", 'a "queue"\nof \\ bytes', ["name"], registry=made).labels('a"b\\c\nd').set(1.5)
    Gauge("not.plain", "dots", ["service.name"], registry=made).labels("shop").set(math.inf)
    Counter("jobs", "done", registry=made).inc(3, exemplar={"trace": "x"})
    Histogram("took_seconds", "time", ["path"], registry=made).labels("/").observe(0.3, {"trace": "y"})
    Summary("size", "of it", registry=made).observe(4)
    Info("build", "which", registry=made).info({"version": "1"})
    return made


@pytest.mark.parametrize("openmetrics", [False, True])
def test_what_prometheus_client_writes_is_read_as_it_reads_it(openmetrics: bool) -> None:
    if openmetrics:
        text = generate_openmetrics(registry(), version="1.0.0").decode()  # type: ignore[no-untyped-call]  # untyped there
        families = list(read_openmetrics(text))  # type: ignore[no-untyped-call]  # untyped there
    else:
        text = generate_latest(registry()).decode()
        families = list(read_prometheus(text))
    told = [(str(Labels.metric(one.name, one.labels)), NOW, one.value) for each in families for one in each.samples]
    assert sorted(samples(text, openmetrics=openmetrics)) == sorted(told)
    assert len(told) > 20


_NAME = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=12).filter(
    lambda name: name != "__name__"
)
_VALUE = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
_LINES = st.lists(
    st.tuples(_NAME, st.dictionaries(_NAME, _VALUE, max_size=4), st.floats(), st.integers(-(2**62), 2**62)),
    max_size=6,
)


@given(_LINES)
def test_what_is_written_is_read_back(lines: list[tuple[str, dict[str, str], float, int]]) -> None:
    text = ""
    for name, tags, number, time in lines:
        inner = [quote(name), *(f"{quote(key)}={quote(value)}" for key, value in tags.items())]
        text += f"{{{', '.join(inner)}}} {number!r} {time}\n"
    found = parsed(text)
    assert found.rejected == ()
    assert [found.rows.series[which] for which in found.rows.which] == [
        Labels.metric(name, tags) for name, tags, _, _ in lines
    ]
    assert found.rows.times.tolist() == [time for *_, time in lines]
    assert list(map(repr, found.rows.values.tolist())) == [repr(number) for _, _, number, _ in lines]


def check_whole(body: bytes, *, openmetrics: bool = False) -> None:
    """What follows a body is stored whatever the body was, and reading it again gives the same."""
    memory = SeriesMemory(LIMITS)
    cold = parsed(body + b"\nlast 1", memory=memory)
    warm = parsed(body + b"\nlast 1", memory=memory)
    assert stored(cold)[-1] == ("last", NOW, 1.0)
    assert (repr(stored(cold)), cold[1:]) == (repr(stored(warm)), warm[1:])
    assert len(cold.rejected) + len(cold.rows) <= cold.lines <= body.count(b"\n") + 2
    if openmetrics:
        parsed(body + b"\n# EOF", openmetrics=True)


@given(st.text('am{}",=\\ \t#1.e-+_"\nHELPTYPEé\x00\x0b', max_size=60))
def test_any_text_is_read_or_refused_line_by_line(text: str) -> None:
    check_whole(text.encode(), openmetrics=True)


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused_line_by_line(body: bytes) -> None:
    check_whole(body)


@given(st.text('a{}",=\\ 1#', max_size=24))
def test_a_line_that_both_readers_take_means_the_same_to_both(line: str) -> None:
    found = parsed(line)
    try:
        told = [one for family in read_prometheus(line + "\n") for one in family.samples]
    except ValueError:
        return
    if len(told) == len(found.rows) == 1:
        assert stored(found)[0][::2] == (str(Labels.metric(told[0].name, told[0].labels)), float(told[0].value))


def test_broken_copies_of_a_real_body_are_survived() -> None:
    body = generate_latest(registry())
    chance = random.Random(7)
    for _ in range(500):
        broken = bytearray(body)
        for _ in range(chance.randint(1, 6)):
            broken[chance.randrange(len(broken))] = chance.choice(b' ,="{}#\\\n1e\xff\x00')
        check_whole(bytes(broken))
