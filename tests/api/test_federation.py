"""What another Prometheus scrapes from `/federate`, and reads with remote read."""

from __future__ import annotations

import struct

import cramjam
import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.remote_read import CLASSES, read_request, read_response
from tests.support.state import AT_MS

from tocsin.api.prometheus.escaping import escaped, underscored, unescaped
from tocsin.api.prometheus.federation import negotiated
from tocsin.api.prometheus.remote_read import encoded
from tocsin.model.series import STALE

AT_S = AT_MS // 1_000


@pytest.fixture
async def filled(admin: httpx.AsyncClient) -> httpx.AsyncClient:
    sent = [
        {"name": "hits_total", "value": 7.25, "tags": {"job": "web", "path": 'a"b'}, "timestamp": AT_S - 30},
        {"name": "hits_total", "value": 5, "tags": {"job": "web", "path": 'a"b'}, "timestamp": AT_S - 60},
        {"name": "hits_total", "value": 1, "tags": {"job": "db", "instance": "x:1"}, "timestamp": AT_S},
        {"name": "hits_total", "value": 1, "tags": {"job": "old"}, "timestamp": AT_S - 400},
        {"name": "system.cpu", "value": 0.5, "tags": {"job": "web", "host.name": "a"}, "timestamp": AT_S},
    ]
    assert (await admin.post("/api/metrics", json=sent)).json()["stored"] == 5
    return admin


async def test_the_newest_samples_with_their_times(filled: httpx.AsyncClient) -> None:
    answer = await filled.get("/federate", params={"match[]": ['{job=~"web|old"}', "hits_total"]})
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
    assert answer.text == (
        "# TYPE hits_total untyped\n"
        f'hits_total{{instance="x:1",job="db"}} 1 {AT_MS}\n'
        f'hits_total{{job="web",path="a\\"b",instance=""}} 7.25 {AT_MS - 30_000}\n'
        "# TYPE system_cpu untyped\n"
        f'system_cpu{{host_name="a",job="web",instance=""}} 0.5 {AT_MS}\n'
    )


async def test_what_is_not_asked_for_is_not_told(filled: httpx.AsyncClient) -> None:
    assert (await filled.get("/federate")).text == ""
    assert (await filled.get("/federate", params={"match[]": "none"})).text == ""
    assert (await filled.get("/federate", params={"match[]": "x{"})).status_code == 400


async def test_openmetrics_and_names_as_they_are(filled: httpx.AsyncClient) -> None:
    accept = {"Accept": "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;q=0.2"}
    answer = await filled.get("/federate", params={"match[]": '{"system.cpu"}'}, headers=accept)
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.text == (
        f'# TYPE "system.cpu" unknown\n{{"system.cpu","host.name"="a",job="web",instance=""}} 0.5 {AT_S}.000\n# EOF\n'
    )


async def test_a_stale_series_is_not_federated(filled: httpx.AsyncClient) -> None:
    body = cramjam.snappy.compress_raw(_write_request({"__name__": "hits_total", "job": "db", "instance": "x:1"}))
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
    assert (await filled.post("/api/v1/write", content=bytes(body), headers=headers)).status_code == 204
    assert (await filled.get("/federate", params={"match[]": '{job="db"}'})).text == ""


def _write_request(labels: dict[str, str]) -> bytes:
    """Of a stale marker; a write request's series are those of a query's result."""
    made = CLASSES["QueryResult"]()
    series = made.timeseries.add()
    for name, value in sorted(labels.items()):
        series.labels.add(name=name, value=value)
    series.samples.add(value=STALE, timestamp=AT_MS)
    return bytes(made.SerializeToString())


@pytest.mark.parametrize(
    ("accept", "openmetrics", "escaping"),
    [
        ("", False, "underscores"),
        ("*/*", False, "underscores"),
        ("text/html, image/png;q=x", False, "underscores"),
        ("text/plain;version=0.0.4;escaping=values", False, "values"),
        ("text/plain;q=0.1, application/openmetrics-text;q=0.9;escaping=strange", True, "underscores"),
        ("application/openmetrics-text;q=0", False, "underscores"),
    ],
)
def test_the_form_is_the_one_that_a_scraper_likes_best(accept: str, openmetrics: bool, escaping: str) -> None:
    form = negotiated(accept)
    assert (form.openmetrics, form.escaping) == (openmetrics, escaping)


async def test_remote_read_gives_every_sample_of_the_time(filled: httpx.AsyncClient) -> None:
    queries = [
        (AT_MS - 60_000, AT_MS, [(0, "__name__", "hits_total"), (3, "job", "old|db")]),
        (AT_MS, AT_MS - 1, [(0, "__name__", "hits_total")]),
        (0, AT_MS, [(0, "__name__", "hits_total"), (1, "job", "web")]),
    ]
    answer = await filled.post("/api/v1/read", content=read_request(queries), headers={"Content-Encoding": "snappy"})
    assert answer.headers["content-type"] == "application/x-protobuf"
    assert answer.headers["content-encoding"] == "snappy"
    web, nothing, others = read_response(answer.content)
    labels = {"__name__": "hits_total", "job": "web", "path": 'a"b'}
    assert web == [(labels, [(AT_MS - 60_000, 5.0), (AT_MS - 30_000, 7.25)])]
    assert nothing == []
    assert [one[0].get("job") for one in others] == ["db", "old"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"\x0a\x7f", "no prometheus.ReadRequest"),
        (b"\x0f", "no prometheus.ReadRequest"),
        (b"\x0a\x04\x1a\x02\x08\x09", "type 9"),
        (b"\x0a\x05\x1a\x03\x12\x01\xff", "not UTF-8"),
        (b"\x0a\x04\x1a\x02\x08\x00", "A label has no name"),
    ],
)
async def test_a_request_that_cannot_be_read_is_refused(admin: httpx.AsyncClient, body: bytes, said: str) -> None:
    answer = await admin.post("/api/v1/read", content=bytes(cramjam.snappy.compress_raw(body)))
    assert (answer.status_code, answer.json()["errorType"]) == (400, "bad_data")
    assert said in answer.json()["error"]
    assert (await admin.post("/api/v1/read", content=b"\xff\xff")).status_code == 400


@given(
    st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False)), max_size=20),
)
def test_samples_are_read_back_by_protobufs_own_library(rows: list[tuple[int, float]]) -> None:
    times = np.array([time for time, _ in rows], np.int64)
    values = np.array([value for _, value in rows], np.float64)
    written, at = encoded(times, values)
    read = CLASSES["TimeSeries"].FromString(written)
    assert [(one.timestamp, one.value) for one in read.samples] == rows
    assert len(CLASSES["TimeSeries"].FromString(written[at[len(rows) // 2] :]).samples) == len(rows) - len(rows) // 2


def test_a_stale_marker_keeps_its_bits() -> None:
    body, _ = encoded(np.array([1], np.int64), np.array([STALE]))
    assert struct.pack("<Q", 0x7FF0_0000_0000_0002) in body


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("system.cpu", "U__system_2e_cpu"),
        ("no_escape", "no_escape"),
        ("1st", "U___31_st"),
        ("a_b.c", "U__a__b_2e_c"),
        ("größe", "U__gr_f6__df_e"),
        ("U__x", "U__U____x"),
    ],
)
def test_names_are_escaped_and_read_back(name: str, plain: str) -> None:
    assert escaped(name) == plain
    assert unescaped(plain) == name


@given(st.text(min_size=1, alphabet=st.characters(exclude_categories=["Cs"])))
def test_every_name_is_read_back(name: str) -> None:
    assert unescaped(escaped(name)) == name


@pytest.mark.parametrize("name", ["plain", "U__a_zz_", "U__a_110000_", "U__a_d800_", "U__a-b"])
def test_what_is_no_escaped_name_stays(name: str) -> None:
    assert unescaped(name) == name


def test_underscores_take_the_place_of_what_cannot_be_read() -> None:
    assert (underscored("system.cpu"), underscored("9 lives")) == ("system_cpu", "_9_lives")
