"""What every door for samples holds to, whatever it speaks. A door that is not in the table fails the first test."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import cramjam
import httpx
import pytest
from structlog.testing import capture_logs
from tests.api.world import NO_SITE, TESTER, Api, open_api
from tests.ingest.fakes import KeptFor
from tests.support.otlp import gauge, point, protobuf, request
from tests.support.remote_write import Sent, request_v1, request_v2
from tests.support.state import AT_MS

from tocsin.api.envelope import BULK_PATHS
from tocsin.api.server import build_api
from tocsin.api.settings import ServerSettings
from tocsin.ingest.appender import Appender
from tocsin.ingest.intake import Intake
from tocsin.model.duration import DAY_MS
from tocsin.model.errors import QueueFullError, StoreError, TransientError
from tocsin.model.labels import Labels
from tocsin.model.matcher import Matcher, MatchOp
from tocsin.model.people import Allowance, Role
from tocsin.model.series import SampleBatch

Samples = Sequence[tuple[str, float]]
"""(the metric's name, value) of each; all at the time of the tests' clock."""

Tags = Mapping[str, str]

LONG = "x" * 300
"""A name that is longer than any may be."""

SNAPPY = {"Content-Encoding": "snappy"}


@dataclass(frozen=True)
class Door:
    """`full` is the status that makes its senders come again; `stored_name` what it makes of a name."""

    path: str
    source: str
    body: Callable[[Samples, Tags], bytes]
    headers: dict[str, str] = field(default_factory=dict)
    full: int = 429
    some_refused: int = 400
    told: bytes = b"2 of 4"
    stored_name: Callable[[str], str] = str
    labels: tuple[str, str] | None = None
    """One that it puts on every series by itself."""

    def series(self, name: str, **tags: str) -> str:
        return str(Labels.metric(self.stored_name(name), tags | dict([self.labels] if self.labels else [])))


def json_push(samples: Samples, tags: Tags) -> bytes:
    return json.dumps([{"name": name, "value": value, "tags": tags} for name, value in samples]).encode()


def text(samples: Samples, tags: Tags) -> bytes:
    labels = ",".join(f'{name}="{value}"' for name, value in tags.items())
    return "".join(f"{name}{{{labels}}} {value}\n" for name, value in samples).encode()


def json_lines(samples: Samples, tags: Tags) -> bytes:
    lines = [{"name": name, "value": value, "tags": tags} for name, value in samples]
    return b"\n".join(json.dumps(line).encode() for line in lines)


def series_lines(samples: Samples, tags: Tags) -> bytes:
    lines = [{"metric": dict(tags, __name__=name), "values": [value], "timestamps": [AT_MS]} for name, value in samples]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def csv(samples: Samples, tags: Tags) -> bytes:
    rows = [("name", "value", *tags), *((name, str(value), *tags.values()) for name, value in samples)]
    return "".join(",".join(row) + "\n" for row in rows).encode()


def collectd(samples: Samples, tags: Tags) -> bytes:
    """It knows no tags, but for one: what follows in its text is as long as the tags are."""
    told = {"dstypes": ["gauge"], "dsnames": ["value"], "time": AT_MS / 1_000, "host": "h"}
    told |= {"type_instance": "".join(tags.values())}
    return json.dumps([{"values": [value], "plugin": name, "type": name} | told for name, value in samples]).encode()


def influx(samples: Samples, tags: Tags) -> bytes:
    labels = "".join(f",{name}={value}" for name, value in tags.items())
    return "".join(f"{name}{labels} v={value}\n" for name, value in samples).encode()


def written(samples: Samples, tags: Tags) -> list[Sent]:
    return [Sent((("__name__", name), *tags.items()), [(AT_MS, value)]) for name, value in samples]


def remote_write_v1(samples: Samples, tags: Tags) -> bytes:
    return bytes(cramjam.snappy.compress_raw(request_v1(written(samples, tags))))


def remote_write_v2(samples: Samples, tags: Tags) -> bytes:
    return bytes(cramjam.snappy.compress_raw(request_v2(written(samples, tags))))


def otlp(samples: Samples, tags: Tags) -> dict[str, object]:
    return request(*(gauge(name, point(AT_MS, value, dict(tags))) for name, value in samples))


V1 = {"Content-Type": "application/x-protobuf"} | SNAPPY
V2 = {"Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request"} | SNAPPY
JSON = {"Content-Type": "application/json"}

DOORS = {
    "json": Door("/api/metrics", "push", json_push, JSON, some_refused=200, told=b'"stored":2,"rejected":[{"index":1,'),
    "text": Door("/api/v1/import/prometheus", "prometheus text", text),
    "json lines": Door("/api/v1/import", "json lines", json_lines),
    "json lines of series": Door("/api/v1/import", "json lines", series_lines),
    "csv": Door("/api/v1/import/csv", "csv", csv),
    "influx 1": Door("/write", "influx", influx, full=503, stored_name="{}_v".format),
    "collectd": Door(
        "/collectd-post", "collectd", collectd, JSON, stored_name="collectd_{}".format, labels=("instance", "h")
    ),
    "influx 2": Door("/api/v2/write", "influx", influx, stored_name="{}_v".format),
    "remote write 1": Door("/api/v1/write", "remote_write", remote_write_v1, V1, full=503),
    "remote write 2": Door("/api/v1/write", "remote_write", remote_write_v2, V2, full=503),
    "otlp protobuf": Door(
        "/v1/metrics",
        "otlp",
        lambda samples, tags: protobuf(otlp(samples, tags)),
        {"Content-Type": "application/x-protobuf"},
        some_refused=200,
    ),
    "otlp json": Door(
        "/api/v1/otlp/v1/metrics",
        "otlp",
        lambda samples, tags: json.dumps(otlp(samples, tags)).encode(),
        JSON,
        some_refused=200,
    ),
}

EVERY = pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)


class Refusing:
    """A sink that takes nothing."""

    def __init__(self, error: TransientError) -> None:
        self.error = error

    async def append(self, batch: SampleBatch) -> None:
        raise self.error


async def send(http: httpx.AsyncClient, door: Door, samples: Samples, tags: Tags | None = None) -> httpx.Response:
    return await http.post(door.path, content=door.body(samples, tags or {}), headers=door.headers)


async def stored(api: Api) -> dict[str, float]:
    """The newest value of each series."""
    block = await api.samples.select((Matcher("__name__", MatchOp.REGEX, ".+"),), 0, AT_MS + DAY_MS)
    return {str(labels): float(values[-1]) for labels, _, values in block}


def counted(api: Api, **labels: str) -> float:
    return api.telemetry.registry.get_sample_value("tocsin_samples_rejected_total", labels) or 0.0


@asynccontextmanager
async def writing(api: Api, **held: object) -> AsyncIterator[httpx.AsyncClient]:
    """A program with a writer's token that is held to something."""
    _, token = await api.services.people.create_token("tenant", Role.WRITER, None, TESTER, Allowance(**held))  # type: ignore[arg-type]
    async with api.client() as http:
        http.headers["Authorization"] = f"Bearer {token}"
        yield http


def test_every_path_that_takes_samples_in_bulk_is_in_the_table() -> None:
    assert {door.path for door in DOORS.values()} == BULK_PATHS


@EVERY
async def test_what_is_sent_is_stored(api: Api, door: Door) -> None:
    async with api.client(Role.WRITER) as http:
        answer = await send(http, door, [("a", 1.0), ("b", 2.0)])
    assert answer.is_success, answer.text
    assert await stored(api) == {door.series("a"): 1.0, door.series("b"): 2.0}


@EVERY
async def test_a_bad_sample_refuses_only_itself_and_is_counted_in_answer_metrics_and_log(api: Api, door: Door) -> None:
    async with api.client(Role.WRITER) as http:
        with capture_logs() as logs:
            answer = await send(http, door, [("a", 1.0), (LONG, 2.0), (LONG + "y", 3.0), ("b", 4.0)])
    assert answer.status_code == door.some_refused
    assert b"longer than 255 characters" in answer.content
    assert door.told in answer.content
    assert await stored(api) == {door.series("a"): 1.0, door.series("b"): 4.0}
    assert counted(api, source=door.source, reason="too long") == 2
    (line,) = [line for line in logs if line["event"] == "samples refused"]
    assert (line["source"], line["refused"], line["kinds"]) == (door.source, 2, "too long 2")


@EVERY
async def test_the_length_of_a_label_is_limited(api: Api, door: Door) -> None:
    await _refuses_both(api, door, {"tag": "v" * 3_000}, "too long")


@pytest.mark.parametrize("door", [door for door in DOORS.values() if door.source != "collectd"])  # it has three
async def test_the_number_of_labels_is_limited(api: Api, door: Door) -> None:
    await _refuses_both(api, door, {f"tag{at}": "v" for at in range(70)}, "too many labels")


async def _refuses_both(api: Api, door: Door, tags: Tags, kind: str) -> None:
    async with api.client(Role.WRITER) as http:
        answer = await send(http, door, [("a", 1.0), ("b", 2.0)], tags)
    assert (answer.status_code, await stored(api)) == (400, {})
    assert counted(api, source=door.source, reason=kind) == 2


@EVERY
async def test_a_full_queue_makes_the_sender_wait(api: Api, door: Door) -> None:
    async with refusing(api, QueueFullError("The queue is full.", retry_after_s=3.0)) as http:
        answer = await send(http, door, [("a", 1.0)])
    assert (answer.status_code, answer.headers["retry-after"]) == (door.full, "3")


@EVERY
async def test_a_store_that_is_away_makes_the_sender_come_again(api: Api, door: Door) -> None:
    async with refusing(api, StoreError("The disk is full.")) as http:
        answer = await send(http, door, [("a", 1.0)])
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert b"The disk is full." in answer.content


@asynccontextmanager
async def refusing(api: Api, error: TransientError) -> AsyncIterator[httpx.AsyncClient]:
    appender = Appender(
        api.samples,
        Refusing(error),
        api.samples,
        (),
        clock=api.clock,
        telemetry=api.telemetry,
        settings=api.services.ingest,
        kept=KeptFor(DAY_MS),
    )
    intake = Intake(appender, api.samples, clock=api.clock, telemetry=api.telemetry)
    app = build_api(replace(api.services, intake=intake), ServerSettings(), NO_SITE)
    headers = {"Authorization": f"Bearer {api.tokens[Role.WRITER]}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://a", headers=headers) as http:
        yield http


@EVERY
async def test_a_body_that_is_too_large_is_refused_before_it_is_read(door: Door) -> None:
    async with open_api(server=ServerSettings(body_max=1_000)) as api, api.client(Role.WRITER) as http:
        answer = await http.post(door.path, content=bytes(1_001), headers=door.headers)
        assert (answer.status_code, await stored(api)) == (413, {})


@EVERY
async def test_a_body_is_unpacked_no_further_than_the_limit(door: Door) -> None:
    packed = gzip.compress(bytes(100_000))
    async with open_api(server=ServerSettings(body_max=1_000)) as api, api.client(Role.WRITER) as http:
        answer = await http.post(door.path, content=packed, headers=door.headers | {"Content-Encoding": "gzip"})
        assert (answer.status_code, await stored(api)) == (413, {})


@EVERY
async def test_bytes_that_mean_nothing_store_nothing_and_are_told(api: Api, door: Door) -> None:
    headers = {**door.headers, "Content-Encoding": "identity"}
    async with api.client(Role.WRITER) as http:
        answer = await http.post(door.path, content=b'\x00\xff{"=', headers=headers)
    assert (answer.status_code, await stored(api)) == (400, {})
    assert answer.content


@EVERY
async def test_the_tokens_labels_are_on_all_that_it_writes(api: Api, door: Door) -> None:
    async with writing(api, labels=Labels.of(team="web")) as http:
        answer = await send(http, door, [("a", 1.0)])
    assert answer.is_success, answer.text
    assert await stored(api) == {door.series("a", team="web"): 1.0}


@EVERY
async def test_past_its_rate_a_token_is_refused_before_its_body_is_read(api: Api, door: Door) -> None:
    many = [(f"m{number}", 1.0) for number in range(20)]
    async with writing(api, rate=1) as http:
        assert (await send(http, door, many)).is_success
        for content in (door.body([("late", 1.0)], {}), b"\x00 nonsense"):
            answer = await http.post(door.path, content=content, headers=door.headers)
            assert (answer.status_code, answer.headers["retry-after"]) == (door.full, "11")
            assert b"may send 1 samples a second" in answer.content
        api.clock.advance(11_000)
        assert (await send(http, door, [("late", 1.0)])).is_success
    assert len(await stored(api)) == 21


@EVERY
async def test_new_series_beyond_a_tokens_budget_are_refused_and_the_known_ones_flow(api: Api, door: Door) -> None:
    async with writing(api, labels=Labels.of(team="web"), series_max=2) as http:
        assert (await send(http, door, [("a", 1.0), ("b", 2.0)])).is_success
        api.clock.advance(1_000)
        answer = await send(http, door, [("c", 3.0), ("b", 4.0)])
    assert answer.status_code == door.some_refused
    assert b"may write 2 series and has them" in answer.content
    assert sorted((await stored(api)).values()) == [1.0, 4.0]
    assert counted(api, source=door.source, reason="series budget of the token") == 1
