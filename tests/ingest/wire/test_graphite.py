from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.ingest.rows import Refusal, Rejection, Rows
from tocsin.ingest.settings import IngestSettings
from tocsin.ingest.wire.graphite import parse
from tocsin.model.labels import Labels

NOW = 1_800_000_000_000
LIMITS = IngestSettings()


def stored(rows: Rows) -> list[tuple[str, int, float]]:
    return [
        (str(rows.series[which]), time, value)
        for which, time, value in zip(rows.which.tolist(), rows.times.tolist(), rows.values.tolist(), strict=True)
    ]


def samples(body: bytes) -> list[tuple[str, int, float]]:
    rows, rejected = parse(body, NOW, LIMITS)
    assert rejected == ()
    return stored(rows)


def why(body: bytes, limits: IngestSettings = LIMITS) -> Rejection:
    rows, rejected = parse(body, NOW, limits)
    assert len(rows) == 0
    (one,) = rejected
    return one


@pytest.mark.parametrize(
    ("line", "sample"),
    [
        (b"servers.a.load 1.5 1769850000", ("servers.a.load", 1_769_850_000_000, 1.5)),
        (b"load;host=a;dc=fra 2 1769850000\r", ('load{dc="fra", host="a"}', 1_769_850_000_000, 2.0)),
        (b"load -1e3 1769850000.25", ("load", 1_769_850_000_250, -1_000.0)),
        (b"load\t1\t1769850000", ("load", 1_769_850_000_000, 1.0)),
        (b"load 1 -1", ("load", NOW, 1.0)),
        (b"load 1 N", ("load", NOW, 1.0)),
        (b"load 1", ("load", NOW, 1.0)),
        (b"load;dc= 1", ("load", NOW, 1.0)),
        (b"load;q=a=b 1", ('load{q="a=b"}', NOW, 1.0)),
    ],
)
def test_a_line_is_a_sample(line: bytes, sample: tuple[str, int, float]) -> None:
    assert samples(line) == [sample]


@pytest.mark.parametrize(
    "line",
    [
        b"load",
        b"load 1 2 3",
        b"load x",
        b"load nan",
        b"load inf",
        b"load 1e999",
        b"load 1_0",
        b"load 1 soon",
        b"load 1 1769850000000",
        b";a=b 1",
        b"load;a 1",
        b"load;=b 1",
        b"load;__name__=x 1",
        b"load;a=\0 1",
        b"\xff 1",
        b"load " + b"1" * 500,
    ],
)
def test_a_wrong_line_loses_no_other(line: bytes) -> None:
    rows, rejected = parse(b"a 1\n" + line + b"\n\nb 2\n", NOW, LIMITS)
    assert stored(rows) == [("a", NOW, 1.0), ("b", NOW, 2.0)]
    assert [(one.index, one.kind) for one in rejected] == [(1, Refusal.MALFORMED)]
    assert rejected[0].reason.endswith(".")
    assert rows.index.tolist() == [0, 3]


def test_limits_are_kept() -> None:
    limits = replace(LIMITS, labels_max=1, name_chars_max=4, value_chars_max=3)
    assert why(b"load;a=1;b=2 1", limits).kind is Refusal.TOO_MANY_LABELS
    assert why(b"loads 1", limits).kind is Refusal.TOO_LONG
    assert why(b"load;abcde=1 1", limits).kind is Refusal.TOO_LONG
    assert why(b"load;a=1234 1", limits).kind is Refusal.TOO_LONG


def test_one_series_is_listed_once() -> None:
    rows, _ = parse(b"a 1 1\nb 2 2\na 3 3", NOW, LIMITS)
    assert ([str(one) for one in rows.series], rows.which.tolist()) == (["a", "b"], [0, 1, 0])


_WORD = st.text(st.characters(categories=("L", "N", "P", "S"), exclude_characters=";="), min_size=1, max_size=12)


@given(_WORD, st.dictionaries(_WORD, _WORD, max_size=4), st.floats(allow_nan=False, allow_infinity=False))
def test_what_a_client_writes_is_read_back(path: str, tags: dict[str, str], value: float) -> None:
    line = "".join([path, *(f";{name}={text}" for name, text in tags.items()), f" {value!r} 1769850000"])
    rows, rejected = parse(line.encode(), NOW, LIMITS)
    assert rejected == ()
    assert (rows.series, rows.values.tolist()) == ((Labels.metric(path, tags),), [value])


@given(st.one_of(st.binary(max_size=60), st.text("a;= \n1.e-N\xff\0", max_size=60).map(str.encode)))
def test_any_bytes_are_read_or_refused_line_by_line(body: bytes) -> None:
    rows, rejected = parse(body + b"\nlast 1", NOW, LIMITS)
    assert stored(rows)[-1] == ("last", NOW, 1.0)
    told = sorted([one.index for one in rejected] + rows.index.tolist())
    assert told == [at for at, line in enumerate((body + b"\nlast 1").split(b"\n")) if line.split()]
