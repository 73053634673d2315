"""Prometheus' remote write, versions 1.0 and 2.0, as Prometheus itself, vmagent and collectors send it.

A sender drops what is answered with 4xx and sends again what is answered with 5xx, so a request of which a part is
wrong is answered 400 once, with the rest of it stored.
"""

from __future__ import annotations

from email.message import Message
from typing import Literal

from fastapi import APIRouter, Request, Response

from tocsin.access.policy import Permission
from tocsin.api.bodies import read_body
from tocsin.api.deps import Services, Wired, body_max, require
from tocsin.api.errors import problem
from tocsin.ingest.rows import Appended
from tocsin.ingest.wire import remote_write
from tocsin.ingest.wire.remote_write import Written
from tocsin.model.errors import QueueFullError, TransientError

PARSED_AT_ONCE_MAX = 128 * 1024
"""Bytes that are parsed on the loop: half a ms, or 10 ms where all series are new; more go to a thread."""

PARSED_AT_ONCE_V2_MAX = 16 * 1024
"""Version 2 has fewer bytes for a sample and costs more."""

MEDIA_TYPE = "application/x-protobuf"
_VERSIONS: dict[str, Literal[1, 2]] = {
    "": 1,
    "prometheus.WriteRequest": 1,
    "io.prometheus.write.v2.Request": 2,
}

router = APIRouter(include_in_schema=False)


@router.post("/api/v1/write", dependencies=[require(Permission.METRICS_WRITE)])
async def write(request: Request, wired: Wired) -> Response:
    """204 where all was stored. Prometheus sends snappy, and so does a sender that names no encoding."""
    version = _version(request.headers.get("content-type", ""))
    if version is None:
        known = ", ".join(f"{MEDIA_TYPE};proto={proto}" for proto in _VERSIONS if proto)
        return problem(415, f"Send one of {known}.", headers={"Accept": known})
    body = await read_body(request, body_max(request), wired.offload, unnamed="snappy")
    written = await _parse(version, body, wired)
    try:
        done = await wired.appender.append(written.rows, "remote_write", written.refused)
        await wired.appender.describe(written.infos)
    except QueueFullError as error:
        # 503 and not 429, on which Prometheus drops the batch unless `retry_on_http_429` is set
        raise TransientError(str(error), retry_after_s=error.retry_after_s) from error
    wired.telemetry.counter("remote_write_exemplars_ignored", "Exemplars, which are not kept.").inc(written.exemplars)
    return _answer(version, written, done)


async def _parse(version: Literal[1, 2], body: bytes, wired: Services) -> Written:
    parse = remote_write.parse_v1 if version == 1 else remote_write.parse_v2
    at_once_max = PARSED_AT_ONCE_MAX if version == 1 else PARSED_AT_ONCE_V2_MAX
    if len(body) <= at_once_max:
        return parse(body, wired.ingest)
    return await wired.offload.run(parse, body, wired.ingest)


def _version(content_type: str) -> Literal[1, 2] | None:
    """None for a type that is not understood here. A sender that names none means version 1."""
    if not content_type:
        return 1
    header = Message()
    header["content-type"] = content_type
    if header.get_content_type() != MEDIA_TYPE:
        return None
    return _VERSIONS.get(str(header.get_param("proto", "")))


def _answer(version: Literal[1, 2], written: Written, done: Appended) -> Response:
    """Version 2 always says how much was written; without that its sender would think that nobody understood."""
    headers = _written_headers(done.stored) if version == 2 else {}
    if not done.rejected:
        return Response(status_code=204, headers=headers)
    rest = "; the others are stored" if done.stored else ""
    detail = f"{len(done.rejected)} of {written.sent} samples refused{rest}. The first: {done.rejected[0].reason}"
    return problem(400, detail, headers=headers, stored=done.stored)


def _written_headers(samples: int) -> dict[str, str]:
    prefix = "X-Prometheus-Remote-Write"
    return {
        f"{prefix}-Samples-Written": str(samples),
        f"{prefix}-Histograms-Written": "0",
        f"{prefix}-Exemplars-Written": "0",
    }
