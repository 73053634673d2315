"""Files of samples, through the real routes."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.api.world import Api, open_api
from tests.support.state import AT_MS

from tocsin.app.importing import PART_LINES, Asked, Form, Part, Report, form_of, parts, send_parts
from tocsin.model.duration import DAY_MS
from tocsin.model.errors import UserError
from tocsin.model.matcher import Matcher, MatchOp
from tocsin.model.people import Role

NOW = AT_MS // 1_000


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with open_api() as opened:
        yield opened


async def imported(api: Api, text: str | bytes, form: Form, columns: str = "", *, skip_header: bool = False) -> Report:
    report = Report()
    body = text if isinstance(text, bytes) else text.encode()
    async with api.client(Role.WRITER) as http:
        asked = Asked(None, form, columns, skip_header=skip_header)
        await send_parts(http, asked, io.BytesIO(body), report, lambda: None)
    return report


async def stored(api: Api) -> dict[str, int]:
    """How many samples each series has."""
    block = await api.samples.select((Matcher("__name__", MatchOp.REGEX, ".+"),), 0, AT_MS + DAY_MS)
    return {str(labels): len(times) for labels, times, _ in block}


async def test_a_long_csv_file_is_sent_in_parts_that_all_know_the_columns(api: Api) -> None:
    count = 2 * PART_LINES + 5
    rows = "".join(f"a,{at},{NOW - at},h{at % 3}\n" for at in range(count))
    report = await imported(api, "name,value,time,host\n" + rows, "csv")
    assert (report.lines, report.stored, report.refused) == (count + 1, count, 0)
    assert sum((await stored(api)).values()) == count


async def test_refused_lines_are_told_by_their_number_in_the_file(api: Api) -> None:
    rows = [f"a,{at},{NOW - at}" for at in range(2 * PART_LINES)]
    rows[5] = "a,many,1"
    rows[PART_LINES + 7] = "a"
    report = await imported(api, "name,value,time\n" + "\n".join(rows), "csv")
    assert (report.stored, report.refused) == (2 * PART_LINES - 2, 2)
    assert [line for line, _ in report.examples] == [7, PART_LINES + 9]


async def test_a_row_of_names_is_passed_over_once_where_columns_are_listed(api: Api) -> None:
    rows = "".join(f"h,{at},{NOW - at}\n" for at in range(PART_LINES + 5))
    report = await imported(
        api, "host,cpu,time\n" + rows, "csv", "1:label:host,2:metric:cpu,3:time:unix_s", skip_header=True
    )
    assert (report.stored, report.refused) == (PART_LINES + 5, 0)


async def test_json_lines_with_more_samples_than_a_request_may_hold_are_parted(api: Api) -> None:
    count = api.services.ingest.samples_max + 3
    series = {
        "metric": {"__name__": "a"},
        "values": [float(at) for at in range(count)],
        "timestamps": [AT_MS - at for at in range(count)],
    }
    lines = json.dumps(series) + '\n{"name":"b","value":1}\n'
    report = await imported(api, lines, "json")
    assert (report.lines, report.stored) == (2, count + 1)
    assert await stored(api) == {"a": count, "b": 1}


async def test_text_is_imported_too(api: Api) -> None:
    report = await imported(api, '# HELP a It.\na{x="1"} 1\nwrong\n', "text")
    assert (report.stored, report.refused) == (1, 1)
    assert report.examples[0][0] == 3


async def test_a_file_that_is_not_what_it_should_be_is_told(api: Api) -> None:
    with pytest.raises(UserError, match="first row must name the columns"):
        await imported(api, "a,b\n1,2\n", "csv")


async def test_a_broken_gzip_file_is_told(api: Api) -> None:
    packed = gzip.compress(b'{"name":"a","value":1}\n' * 10)
    async with api.client(Role.WRITER) as http:
        lines = gzip.GzipFile(fileobj=io.BytesIO(packed[:-9]))
        with pytest.raises(UserError, match="not whole"):
            await send_parts(http, Asked(None, "json"), lines, Report(), lambda: None)  # type: ignore[arg-type]


async def test_a_busy_server_is_waited_for() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if len(asked) < 3:
            return httpx.Response(429, headers={"retry-after": "0"})
        return httpx.Response(204, headers={"x-tocsin-stored": "1"})

    report = Report()
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://a") as http:
        await send_parts(http, Asked(None, "text"), io.BytesIO(b"a 1\n"), report, lambda: None)
    assert (len(asked), report.stored) == (3, 1)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.csv", "csv"),
        ("a.CSV.gz", "csv"),
        ("a.tsv", "csv"),
        ("a.jsonl", "json"),
        ("a.b.ndjson", "json"),
        ("a.prom", "text"),
    ],
)
def test_the_form_is_told_by_the_name(name: str, form: str) -> None:
    assert form_of(Path(name), None) == form
    assert form_of(Path(name), "json") == "json"


@pytest.mark.parametrize(("path", "named"), [(Path("a"), None), (Path("a.gz"), None), (None, None), (None, "xml")])
def test_where_it_is_not_the_user_is_asked(path: Path | None, named: str | None) -> None:
    with pytest.raises(UserError, match="json, csv, text"):
        form_of(path, named)


def test_a_quote_that_never_closes_does_not_fill_the_memory() -> None:
    with pytest.raises(UserError, match="never closed"):
        list(parts(io.BytesIO(b'a,"\n' + (b"x" * 1_000_000 + b"\n") * 9), quoted=True))


def test_a_line_without_end_does_not_fill_the_memory() -> None:
    with pytest.raises(UserError, match="longer than"):
        list(parts(io.BytesIO(b"x" * 9_000_000), quoted=False))


@given(st.lists(st.sampled_from([b"a,1\n", b'"x\n', b'y",2\n', b"\n", b"z"]), max_size=60))
def test_parts_joined_are_the_file(lines: list[bytes]) -> None:
    body = b"".join(lines)
    found = list(parts(io.BytesIO(body), quoted=False))
    assert b"".join(part.body for part in found) == body
    assert sum(part.lines for part in found) == body.count(b"\n") + (not body.endswith(b"\n") and bool(body))
    assert all(isinstance(part, Part) for part in found)
