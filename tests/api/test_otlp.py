from __future__ import annotations

import gzip
import json
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from tests.api.world import Api, open_api
from tests.support.otlp import DELTA, gauge, point, protobuf, request, total
from tests.support.state import AT_MS

from tocsin.api.routes.otlp import PARSED_AT_ONCE_MAX, PATHS
from tocsin.api.settings import ServerSettings
from tocsin.model.errors import QueueFullError, StoreError, TransientError
from tocsin.model.people import Role
from tocsin.model.series import SampleBatch

PROTOBUF, JSON = {"Content-Type": "application/x-protobuf"}, {"Content-Type": "application/json"}
ONE = request(gauge("queue.depth", point(AT_MS, 12.5, {"queue": "mail"}), unit="{job}"))
EXPONENTIAL = {"name": "e", "exponentialHistogram": {"dataPoints": [point(AT_MS)], "aggregationTemporality": 2}}


def status(answer: httpx.Response) -> tuple[int, str]:
    """(code, message) of a google.rpc.Status, short enough for lengths of one or two bytes."""
    assert answer.headers["content-type"] == "application/x-protobuf"
    body = answer.content
    assert (body[0], body[2]) == (0x08, 0x12)
    start = 4 if body[3] < 0x80 else 5
    length = body[3] if start == 4 else (body[3] & 0x7F) | body[4] << 7
    assert len(body) == start + length
    return body[1], body[start:].decode()


async def newest(http: httpx.AsyncClient, name: str) -> Any:
    items = (await http.get("/api/metrics/series", params={"name": name})).json()["items"]
    return [(each["labels"], each["time"], each["value"]) for each in items]


@pytest.mark.parametrize("path", PATHS)
async def test_protobuf_is_stored_and_answered_in_protobuf(admin: httpx.AsyncClient, path: str) -> None:
    answer = await admin.post(path, content=protobuf(ONE), headers=PROTOBUF)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "application/x-protobuf"
    assert await newest(admin, "queue.depth") == [({"queue": "mail"}, AT_MS, 12.5)]
    (metric,) = (await admin.get("/api/metrics")).json()["items"]
    assert metric["unit"] == "{job}"


async def test_json_is_stored_and_answered_in_json(admin: httpx.AsyncClient) -> None:
    answer = await admin.post(PATHS[0], json=ONE)
    assert (answer.status_code, answer.json()) == (200, {})
    assert answer.headers["content-type"] == "application/json"
    assert await newest(admin, "queue.depth") == [({"queue": "mail"}, AT_MS, 12.5)]


async def test_a_packed_body_is_taken(admin: httpx.AsyncClient) -> None:
    packed = {**PROTOBUF, "Content-Encoding": "gzip"}
    answer = await admin.post(PATHS[0], content=gzip.compress(protobuf(ONE)), headers=packed)
    assert answer.status_code == 200
    assert len(await newest(admin, "queue.depth")) == 1


async def test_a_large_body_is_taken(admin: httpx.AsyncClient) -> None:
    body = protobuf(request(gauge("a", *(point(AT_MS, at, {"number": str(at)}) for at in range(2_000)))))
    assert len(body) > PARSED_AT_ONCE_MAX
    assert (await admin.post(PATHS[0], content=body, headers=PROTOBUF)).content == b""


async def test_what_was_refused_is_told_in_data_points(api: Api, admin: httpx.AsyncClient) -> None:
    some = request(*ONE["resourceMetrics"][0]["scopeMetrics"][0]["metrics"], EXPONENTIAL, EXPONENTIAL)
    answer = await admin.post(PATHS[0], content=protobuf(some), headers=PROTOBUF)
    assert answer.status_code == 200
    partial = ExportMetricsServiceResponse.FromString(answer.content).partial_success
    assert partial.rejected_data_points == 2
    assert partial.error_message.startswith("2 of 3 data points refused. Exponential histograms are not stored")
    told = (await admin.post(PATHS[0], json=some)).json()["partialSuccess"]
    assert told == {"rejectedDataPoints": "2", "errorMessage": partial.error_message}
    labels = {"source": "otlp", "reason": "native histogram"}
    assert api.telemetry.registry.get_sample_value("tocsin_samples_rejected_total", labels) == 4


async def test_a_sample_that_the_store_may_not_take_is_told_too(admin: httpx.AsyncClient) -> None:
    asked = request(gauge("a", point(1, 1), point(AT_MS, 1)))
    told = (await admin.post(PATHS[0], json=asked)).json()["partialSuccess"]
    assert told["rejectedDataPoints"] == "1"


async def test_when_nothing_could_be_stored_it_is_an_error(admin: httpx.AsyncClient) -> None:
    answer = await admin.post(PATHS[0], content=protobuf(request(EXPONENTIAL)), headers=PROTOBUF)
    assert answer.status_code == 400
    code, message = status(answer)
    assert code == 3
    assert message.startswith("Nothing was stored. Exponential")


async def test_an_empty_request_is_no_error(admin: httpx.AsyncClient) -> None:
    assert (await admin.post(PATHS[0], content=b"", headers=PROTOBUF)).status_code == 200


async def test_errors_are_a_status_in_the_encoding_of_the_request(admin: httpx.AsyncClient) -> None:
    answer = await admin.post(PATHS[0], content=b"\xff", headers=PROTOBUF)
    assert (answer.status_code, status(answer)[0]) == (400, 3)
    answer = await admin.post(PATHS[0], content=b"{", headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (400, 3)
    assert answer.headers["content-type"] == "application/json"


async def test_another_content_type_is_refused(admin: httpx.AsyncClient) -> None:
    answer = await admin.post(PATHS[0], content=b"x", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415
    assert "application/x-protobuf" in status(answer)[1]


async def test_another_encoding_is_refused(admin: httpx.AsyncClient) -> None:
    answer = await admin.post(PATHS[0], content=b"x", headers={**JSON, "Content-Encoding": "br"})
    assert (answer.status_code, answer.json()["code"]) == (415, 3)


async def test_a_stranger_is_told_in_the_same_form(stranger: httpx.AsyncClient) -> None:
    answer = await stranger.post(PATHS[1], content=protobuf(ONE), headers=PROTOBUF)
    assert (answer.status_code, status(answer)[0]) == (401, 16)
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_another_method_is_refused(admin: httpx.AsyncClient) -> None:
    answer = await admin.get(PATHS[0], headers=PROTOBUF)
    assert (answer.status_code, status(answer)[0]) == (405, 12)


async def test_a_body_that_is_too_large_is_413_also_after_unpacking() -> None:
    async with open_api(ServerSettings(body_max=1_000)) as api, api.client(Role.WRITER) as http:
        plain = await http.post(PATHS[0], content=b" " * 1_001, headers=JSON)
        packed = await http.post(
            PATHS[0], content=gzip.compress(b" " * 1_001), headers={**JSON, "Content-Encoding": "gzip"}
        )
    assert [(each.status_code, each.json()["code"]) for each in (plain, packed)] == [(413, 8), (413, 8)]


class Refusing:
    """Fits ingest's SampleObserver: the way is blocked, once."""

    def __init__(self, error: TransientError) -> None:
        self.error: TransientError | None = error

    async def observe(self, batch: SampleBatch, at_ms: int) -> None:
        error, self.error = self.error, None
        if error is not None:
            raise error


@pytest.mark.parametrize(
    ("error", "code"), [(QueueFullError("Full.", retry_after_s=3), 429), (StoreError("Away.", retry_after_s=3), 503)]
)
async def test_a_request_that_found_no_room_is_sent_again_and_counts_once(error: TransientError, code: int) -> None:
    async with open_api(observers=(Refusing(error),)) as api, api.client(Role.ADMIN) as http:
        body = json.dumps(request(total("a", point(AT_MS, 5), temporality=DELTA)))
        first = await http.post(PATHS[0], content=body, headers=JSON)
        assert (first.status_code, first.headers["retry-after"]) == (code, "3")
        again = await http.post(PATHS[0], content=body, headers=JSON)
        assert (again.status_code, again.json()) == (200, {})
        assert await newest(http, "a") == [({}, AT_MS, 5)]
