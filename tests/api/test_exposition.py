import gzip

import pytest
from tests.api.world import Api
from tests.support.state import AT_MS

from tocsin.api.routes.lines import TEXT_AT_ONCE_MAX, TOLD_MAX
from tocsin.model.people import Role

PATH = "/api/v1/import/prometheus"
OPENMETRICS = {"Content-Type": "application/openmetrics-text; version=1.0.0; charset=utf-8"}


async def stored(api: Api, name: str) -> list[dict[str, object]]:
    async with api.client(Role.VIEWER) as http:
        items: list[dict[str, object]] = (await http.get("/api/metrics/series", params={"name": name})).json()["items"]
        return items


@pytest.mark.parametrize(
    "headers",
    [{}, {"Content-Type": "text/plain; version=0.0.4"}, {"Content-Type": "application/x-www-form-urlencoded"}],
)
async def test_pushed_text_is_stored_with_what_it_says_about_its_metrics(api: Api, headers: dict[str, str]) -> None:
    text = f'# HELP jobs_total Jobs done.\n# TYPE jobs_total counter\njobs_total{{host="a"}} 5\nup 1 {AT_MS - 7}\n'
    async with api.client(Role.WRITER) as script:
        answer = await script.post(PATH, content=text, headers=headers)
    assert (answer.status_code, answer.content) == (204, b"")
    assert await stored(api, "jobs_total") == [
        {"name": "jobs_total", "labels": {"host": "a"}, "time": AT_MS, "value": 5.0}
    ]
    assert (await stored(api, "up"))[0]["time"] == AT_MS - 7
    async with api.client(Role.VIEWER) as http:
        (jobs, _) = (await http.get("/api/metrics")).json()["items"]
    assert (jobs["kind"], jobs["help"]) == ("counter", "Jobs done.")
    assert b'tocsin_samples_ingested_total{source="prometheus text"} 2.0' in api.telemetry.render()


async def test_openmetrics_is_read_as_such(api: Api) -> None:
    text = f'a_total 1 {AT_MS / 1_000} # {{trace="x"}} 1\n# EOF\n'
    async with api.client(Role.WRITER) as script:
        answer = await script.post(
            PATH, content=gzip.compress(text.encode()), headers=OPENMETRICS | {"Content-Encoding": "gzip"}
        )
        cut = await script.post(PATH, content="a_total 1\n", headers=OPENMETRICS)
    assert answer.status_code == 204
    assert (await stored(api, "a_total"))[0]["time"] == AT_MS
    assert b"tocsin_exemplars_skipped_total 1.0" in api.telemetry.render()
    assert cut.status_code == 400
    assert cut.json()["detail"].endswith("is missing.")


async def test_one_wrong_line_loses_no_other_and_is_named(api: Api) -> None:
    text = f"a 1\nb one\nc 1 {AT_MS + 3_600_000}\nd 1\n"
    async with api.client(Role.WRITER) as script:
        answer = await script.post(PATH, content=text)
    assert answer.status_code == 400
    told = answer.json()
    assert told["detail"].startswith("2 of 4 lines refused; the others are stored. Line 2: The value")
    assert (told["stored"], told["refused"], [one["line"] for one in told["rejected"]]) == (2, 2, [2, 3])
    assert len(await stored(api, "a")) == len(await stored(api, "d")) == 1
    assert b'samples_rejected_total{reason="malformed",source="prometheus text"} 1.0' in api.telemetry.render()


async def test_an_answer_lists_some_refused_lines_and_counts_all(api: Api) -> None:
    async with api.client(Role.WRITER) as script:
        told = (await script.post(PATH, content="wrong\n" * 500)).json()
    assert (told["stored"], told["refused"], len(told["rejected"])) == (0, 500, TOLD_MAX)
    assert told["detail"].startswith("500 of 500 lines refused. Line 1: ")


async def test_a_large_body_is_stored_as_well(api: Api) -> None:
    text = "".join(f'm{{host="number {number}"}} {number}\n' for number in range(2_000))
    assert len(text) > TEXT_AT_ONCE_MAX
    async with api.client(Role.WRITER) as script:
        assert (await script.post(PATH, content=text)).status_code == 204
    async with api.client(Role.VIEWER) as http:
        assert (await http.get("/api/metrics")).json()["items"][0]["series"] == 2_000


async def test_another_type_of_body_is_not_taken(api: Api) -> None:
    headers = {"Content-Type": "application/vnd.google.protobuf"}
    async with api.client(Role.WRITER) as script:
        answer = await script.post(PATH, content=b"\x0a", headers=headers)
    assert answer.status_code == 415
    assert "text/plain" in answer.json()["detail"]


async def test_only_who_may_push_samples_may_push_text(api: Api) -> None:
    async with api.client() as stranger, api.client(Role.VIEWER) as viewer:
        assert (await stranger.post(PATH, content="a 1")).status_code == 401
        assert (await viewer.post(PATH, content="a 1")).status_code == 403
