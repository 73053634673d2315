"""Remote write's door: what senders are answered, and what is stored whatever they are answered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import cramjam
import httpx
import numpy as np
import pytest
from tests.api.world import NO_SITE, Api
from tests.ingest.fakes import KeptFor
from tests.support.remote_write import Sent, metadata_v1, request_v1, request_v2
from tests.support.state import AT_MS

from tocsin.api.server import build_api
from tocsin.api.settings import ServerSettings
from tocsin.ingest.appender import Appender
from tocsin.ingest.intake import Intake
from tocsin.model.duration import DAY_MS
from tocsin.model.errors import QueueFullError
from tocsin.model.matcher import Matcher, MatchOp
from tocsin.model.people import Role
from tocsin.model.series import SampleBatch
from tocsin.runtime.telemetry import Telemetry

UP = (("__name__", "up"), ("job", "a"))
V1 = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
V2 = V1 | {"Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request"}


@pytest.fixture
async def writer(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    async with api.client(Role.WRITER) as client:
        yield client


def snappy(body: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(body))


async def send(http: httpx.AsyncClient, *series: Sent, version: int = 1) -> httpx.Response:
    body, headers = (request_v1(series), V1) if version == 1 else (request_v2(series), V2)
    return await http.post("/api/v1/write", content=snappy(body), headers=headers)


async def stored(api: Api) -> list[tuple[str, int, float]]:
    block = await api.samples.select((Matcher("__name__", MatchOp.REGEX, ".+"),), 0, AT_MS + DAY_MS)
    return [
        (str(labels), int(time), float(value))
        for labels, times, values in block
        for time, value in zip(times, values, strict=True)
    ]


def written(answer: httpx.Response) -> list[str | None]:
    kinds = ("Samples", "Histograms", "Exemplars")
    return [answer.headers.get(f"X-Prometheus-Remote-Write-{kind}-Written") for kind in kinds]


async def test_version_1_is_answered_204(api: Api, writer: httpx.AsyncClient) -> None:
    answer = await send(writer, Sent(UP, [(AT_MS - 1_000, 1.0), (AT_MS, 2.0)]))
    assert (answer.status_code, answer.content, written(answer)) == (204, b"", [None, None, None])
    assert await stored(api) == [('up{job="a"}', AT_MS - 1_000, 1.0), ('up{job="a"}', AT_MS, 2.0)]


async def test_version_2_says_how_much_was_written(api: Api, writer: httpx.AsyncClient) -> None:
    answer = await send(writer, Sent(UP, [(AT_MS, 1.0)], exemplars=1), version=2)
    assert (answer.status_code, written(answer)) == (204, ["1", "0", "0"])
    assert await stored(api) == [('up{job="a"}', AT_MS, 1.0)]


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/json"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-protobuf;proto=io.prometheus.write.v3.Request"},
        {"Content-Encoding": "br"},
        {"Content-Encoding": "lz4"},
    ],
)
async def test_another_form_or_encoding_is_415(writer: httpx.AsyncClient, headers: dict[str, str]) -> None:
    answer = await writer.post("/api/v1/write", content=snappy(request_v1([])), headers=V1 | headers)
    assert answer.status_code == 415
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    "kind", ["application/x-protobuf", 'application/x-protobuf; proto="prometheus.WriteRequest"', ""]
)
async def test_version_1_has_several_names(writer: httpx.AsyncClient, kind: str) -> None:
    body = snappy(request_v1([Sent(UP, [(AT_MS, 1.0)])]))
    answer = await writer.post("/api/v1/write", content=body, headers={"Content-Type": kind} if kind else {})
    assert answer.status_code == 204


async def test_vmagents_zstd_is_taken(api: Api, writer: httpx.AsyncClient) -> None:
    headers = {"Content-Encoding": "zstd", "X-VictoriaMetrics-Remote-Write-Version": "1", "User-Agent": "vmagent"}
    body = bytes(cramjam.zstd.compress(request_v1([Sent(UP, [(AT_MS, 3.0)])])))
    answer = await writer.post("/api/v1/write", content=body, headers=V1 | headers)
    assert answer.status_code == 204
    assert await stored(api) == [('up{job="a"}', AT_MS, 3.0)]


@pytest.mark.parametrize("version", [1, 2])
async def test_a_partial_write_is_400_once_and_the_rest_is_stored(
    api: Api, writer: httpx.AsyncClient, version: int
) -> None:
    old, nameless = Sent(UP, [(AT_MS - 8 * DAY_MS, 1.0), (AT_MS, 2.0)]), Sent((("job", "a"),), [(AT_MS, 1.0)])
    answer = await send(writer, old, nameless, version=version)
    assert answer.status_code == 400
    assert answer.json()["stored"] == 1
    assert answer.json()["detail"] == (
        "2 of 3 samples refused; the others are stored. "
        "The first: The sample is older than the 7d that samples are kept."
    )
    assert written(answer) == (["1", "0", "0"] if version == 2 else [None, None, None])
    assert await stored(api) == [('up{job="a"}', AT_MS, 2.0)]
    count = api.telemetry.registry.get_sample_value
    assert (
        count("tocsin_samples_rejected_total", {"source": "remote_write", "reason": "past retention"}),
        count("tocsin_samples_rejected_total", {"source": "remote_write", "reason": "malformed"}),
        count("tocsin_samples_ingested_total", {"source": "remote_write"}),
    ) == (1, 1, 1)


async def test_native_histograms_alone_are_400(writer: httpx.AsyncClient) -> None:
    answer = await send(writer, Sent(UP, histograms=2))
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("2 of 2 samples refused. The first: Native histograms are not stored")


async def test_exemplars_are_counted(api: Api, writer: httpx.AsyncClient) -> None:
    assert (await send(writer, Sent(UP, [(AT_MS, 1.0)], exemplars=3))).status_code == 204
    assert api.telemetry.registry.get_sample_value("tocsin_remote_write_exemplars_ignored_total") == 3


async def test_metadata_alone_is_204_and_describes_the_metric(api: Api, writer: httpx.AsyncClient) -> None:
    body = metadata_v1(1, "up", "Whether it is up.", "ratio")
    assert (await writer.post("/api/v1/write", content=snappy(body), headers=V1)).status_code == 204
    await send(writer, Sent(UP, [(AT_MS, 1.0)]))
    async with api.client(Role.VIEWER) as viewer:
        (metric,) = (await viewer.get("/api/metrics")).json()["items"]
    assert (metric["kind"], metric["unit"], metric["help"]) == ("counter", "1", "Whether it is up.")


@pytest.mark.parametrize("body", [b"hello", snappy(b"hello, world"), snappy(request_v1([Sent(UP, [(1, 1.0)])])[:-3])])
@pytest.mark.parametrize("headers", [V1, V2])
async def test_garbage_is_400(api: Api, writer: httpx.AsyncClient, body: bytes, headers: dict[str, str]) -> None:
    answer = await writer.post("/api/v1/write", content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("The body is not")
    assert await stored(api) == []


async def test_a_snappy_bomb_is_413_before_it_is_unpacked(writer: httpx.AsyncClient) -> None:
    answer = await writer.post("/api/v1/write", content=b"\xff\xff\xff\xff\x0fabc", headers=V1)
    assert answer.status_code == 413


async def test_a_large_request_is_stored_whole(api: Api, writer: httpx.AsyncClient) -> None:
    series = [Sent((*UP, ("n", str(at))), [(AT_MS, float(at))]) for at in range(5_000)]
    for _ in range(2):
        assert (await send(writer, *series)).status_code == 204
    values = np.array([value for _, _, value in await stored(api)])
    assert np.array_equal(np.sort(values), np.arange(5_000))


@pytest.mark.parametrize(("role", "status"), [(Role.WRITER, 204), (Role.EDITOR, 204), (Role.VIEWER, 403), (None, 401)])
async def test_writing_needs_the_right_to(api: Api, role: Role | None, status: int) -> None:
    async with api.client(role) as http:
        assert (await send(http, Sent(UP, [(AT_MS, 1.0)]))).status_code == status


class Full:
    async def append(self, batch: SampleBatch) -> None:
        raise QueueFullError("There is no room.", retry_after_s=3.0)


@pytest.mark.parametrize("version", [1, 2])
async def test_a_full_queue_is_503_because_prometheus_drops_what_is_answered_429(api: Api, version: int) -> None:
    appender = Appender(
        api.samples,
        Full(),
        api.samples,
        (),
        clock=api.clock,
        telemetry=Telemetry(),
        settings=api.services.ingest,
        kept=KeptFor(DAY_MS),
    )
    intake = Intake(appender, api.samples, clock=api.clock, telemetry=Telemetry())
    app = build_api(replace(api.services, intake=intake), ServerSettings(), NO_SITE)
    headers = {"Authorization": f"Bearer {api.tokens[Role.WRITER]}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://a", headers=headers) as http:
        answer = await send(http, Sent(UP, [(AT_MS, 1.0)]), version=version)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")
