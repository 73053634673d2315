"""The front answers as ClickHouse does: with its own client, unchanged, and by the words of its documentation."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import clickhouse_connect
import httpx
import lz4.frame
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError
from clickhouse_connect.driver.external import ExternalData
from tests.support.clickhouse import PASSWORD, USER, Front
from tests.support.clickhouse_front import Fault, parts_of


@pytest.fixture
def client(clickhouse_server: Front) -> Iterator[Any]:
    opened = clickhouse_connect.get_client(
        host="127.0.0.1", port=clickhouse_server.port, username=USER, password=PASSWORD, dedicated_pool=True
    )
    yield opened
    opened.close()
    clickhouse_server.forgive()


@pytest.fixture
def http(clickhouse_server: Front) -> Iterator[httpx.Client]:
    url = f"http://127.0.0.1:{clickhouse_server.port}"
    with httpx.Client(base_url=url, auth=(USER, PASSWORD), trust_env=False, timeout=30.0) as opened:
        yield opened


@pytest.fixture
def table(client: Any) -> Iterator[str]:
    client.command(
        "create or replace table taken (id UInt64, name String, at DateTime64(3)) engine = MergeTree order by id"
    )
    yield "taken"
    client.command("drop table taken")


def test_the_client_inserts_and_reads_rows(client: Any, table: str) -> None:
    client.insert(table, [[1, "one", 0], [2, "two", 1]], column_names=["id", "name", "at"])
    assert client.query(f"select id, name from {table} order by id").result_rows == [(1, "one"), (2, "two")]
    assert client.command(f"select count() from {table}") == 2
    assert client.query(f"select * from {table} where id = {{wanted:UInt64}}", parameters={"wanted": 3}).row_count == 0


def test_the_client_sends_settings_with_each_query_and_none_stays(client: Any) -> None:
    assert client.command("select getSetting('max_threads')", settings={"max_threads": 3}) == 3
    assert client.command("select getSetting('max_threads')") != 3


def test_a_session_keeps_its_temporary_tables(clickhouse_server: Front) -> None:
    with clickhouse_connect.get_client(
        host="127.0.0.1",
        port=clickhouse_server.port,
        username=USER,
        password=PASSWORD,
        session_id="kept",
        dedicated_pool=True,
    ) as client:
        client.command("create temporary table mine (n UInt8)")
        client.command("insert into mine values (7)")
        assert client.command("select n from mine") == 7


def test_external_data_is_a_table_of_one_query(client: Any) -> None:
    beside = ExternalData(file_name="beside.csv", data=b"1,a\r\n2,b\r\n", fmt="CSV", types=["UInt8", "String"])
    assert client.query("select _2 from beside order by _1", external_data=beside).result_rows == [("a",), ("b",)]
    with pytest.raises(DatabaseError, match="UNKNOWN_TABLE"):
        client.query("select * from beside")


@pytest.mark.parametrize(
    ("sql", "status", "code"),
    [
        ("selec 1", 400, 62),
        ("select * from nowhere", 404, 60),
        ("select nothing", 404, 47),
        ("select throwIf(1)", 500, 395),
        ("select count() from system.numbers settings max_execution_time = 0.1", 408, 159),
    ],
)
def test_an_exception_has_its_status_code_and_text(http: httpx.Client, sql: str, status: int, code: int) -> None:
    answer = http.post("/", content=sql)
    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (status, str(code))
    assert answer.text.startswith(f"Code: {code}. DB::Exception: ")


def test_the_query_may_be_in_the_url_in_the_body_or_in_both(http: httpx.Client) -> None:
    assert http.get("/", params={"query": "select 1"}).text == "1\n"
    assert http.post("/", content="select 2").text == "2\n"
    assert http.post("/", params={"query": "select 3"}).text == "3\n"
    assert http.post("/", params={"query": "select 4 +"}, content="5").text == "9\n"


def test_formats_come_from_the_query_before_the_default(http: httpx.Client) -> None:
    assert http.post("/", params={"default_format": "JSONEachRow"}, content="select 1 as n").json() == {"n": 1}
    answer = http.post("/", params={"default_format": "CSV"}, content="select 1 as n format JSONEachRow")
    assert answer.json() == {"n": 1}
    assert answer.headers["X-ClickHouse-Format"] == "JSONEachRow"


def test_a_get_changes_nothing(http: httpx.Client) -> None:
    answer = http.get("/", params={"query": "create database other"})
    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (500, "164")


@pytest.mark.parametrize(
    "who",
    [
        {"headers": {"X-ClickHouse-User": USER, "X-ClickHouse-Key": PASSWORD}},
        {"params": {"user": USER, "password": PASSWORD}},
        {"auth": (USER, PASSWORD)},
    ],
)
def test_a_user_may_say_who_it_is_in_three_ways(clickhouse_server: Front, who: dict[str, Any]) -> None:
    url = f"http://127.0.0.1:{clickhouse_server.port}/"
    with httpx.Client(trust_env=False) as anybody:
        assert anybody.post(url, content="select 1", **who).text == "1\n"
        answer = anybody.post(url, content="select 1")
        assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (403, "516")


def test_bodies_are_packed_either_way(http: httpx.Client, table: str) -> None:
    query = {"query": f"insert into {table} (id, name) format JSONEachRow"}
    for pack, name in ((lz4.frame.compress, "lz4"), (gzip.compress, "gzip")):
        row = json.dumps({"id": 1, "name": name}).encode()
        done = http.post("/", params=query, content=pack(row), headers={"Content-Encoding": name})
        assert json.loads(done.headers["X-ClickHouse-Summary"])["written_rows"] == "1"
    asked = {"enable_http_compression": "1", "query": f"select name from {table} order by name"}
    assert http.post("/", params=asked, headers={"Accept-Encoding": "gzip"}).text == "gzip\nlz4\n"
    packed = http.post("/", params=asked, headers={"Accept-Encoding": "lz4"})
    assert packed.headers["Content-Encoding"] == "lz4"
    assert lz4.frame.decompress(packed.content) == b"gzip\nlz4\n"
    refused = http.post("/", params=query, content=b"x", headers={"Content-Encoding": "zip"})
    assert refused.headers["X-ClickHouse-Exception-Code"] == "89"


def test_it_says_that_it_is_there(http: httpx.Client) -> None:
    assert http.get("/ping").text == "Ok.\n"
    assert http.get("/").text == "Ok.\n"
    assert http.get("/other").status_code == 404


def test_a_fault_comes_as_often_as_it_was_asked_for(client: Any, clickhouse_server: Front) -> None:
    clickhouse_server.fault(Fault("error", "select 5", times=2, code=999, status=503))
    for _ in range(2):
        with pytest.raises(OperationalError, match="code: 999"):
            client.command("select 5")
    assert client.command("select 5") == 5


@pytest.mark.parametrize("data", [b"", b"\r\n", b"\x00\xff\r", b"a\r\n--b\r\n", b"\n" * 3])
def test_a_file_of_a_form_keeps_every_byte(data: bytes) -> None:
    body = (
        b'--frontier\r\nContent-Disposition: form-data; name="query"\r\n\r\nselect 1\r\n'
        b'--frontier\r\nContent-Disposition: form-data; name="ids"; filename="ids"\r\nContent-Type: x/y\r\n\r\n'
        + data
        + b"\r\n--frontier--\r\n"
    )
    assert parts_of("multipart/form-data; boundary=frontier", body) == ({"query": "select 1"}, {"ids": data})
