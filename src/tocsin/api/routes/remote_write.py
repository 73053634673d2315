"""Prometheus' remote write, versions 1.0 and 2.0, as Prometheus itself, vmagent and collectors send it.

A sender drops what is answered with 4xx and sends again what is answered with 5xx, so a request of which a part is
wrong is answered 400 once, with the rest of it stored.
"""

from __future__ import annotations

from email.message import Message

from fastapi import APIRouter, Request, Response

from tocsin.api.errors import problem
from tocsin.api.push import Push, Pushed, come_again
from tocsin.ingest.rows import Appended
from tocsin.ingest.wire.remote_known import Version
from tocsin.ingest.wire.remote_write import Written
from tocsin.model.errors import QueueFullError, StoreError

READ_AT_ONCE_MAX = 2 * 1024 * 1024
"""Bytes of known series that are read on the loop: 3 ms; more go to a thread."""

LEARNT_AT_ONCE_MAX = 64 * 1024
"""Bytes that may hold new series and be read on the loop: 5 ms."""

MEDIA_TYPE = "application/x-protobuf"
_VERSIONS: dict[str, Version] = {
    "": 1,
    "prometheus.WriteRequest": 1,
    "io.prometheus.write.v2.Request": 2,
}

router = APIRouter(include_in_schema=False)


@router.post("/api/v1/write")
async def write(request: Request, push: Push) -> Response:
    """204 where all was stored. Prometheus sends snappy, and so does a sender that names no encoding."""
    version = _version(request.headers.get("content-type", ""))
    if version is None:
        known = ", ".join(f"{MEDIA_TYPE};proto={proto}" for proto in _VERSIONS if proto)
        return problem(415, f"Send one of {known}.", headers={"Accept": known})
    try:
        body = await push.body(unnamed="snappy")
        written = await _parse(version, body, push)
        done = await push.append(written.rows, "remote_write", written.refused)
        await push.describe(written.infos)
    except StoreError:
        push.wired.known_series.retell()
        raise
    except QueueFullError as error:
        push.wired.known_series.retell()
        raise come_again(error) from error  # Prometheus, unless `retry_on_http_429` is set
    push.telemetry.counter("remote_write_exemplars_ignored", "Exemplars, which are not kept.").inc(written.exemplars)
    return _answer(version, written, done)


async def _parse(version: Version, body: bytes, push: Pushed) -> Written:
    known = push.wired.known_series
    if len(body) <= LEARNT_AT_ONCE_MAX:
        return known.read(version, body)
    written = known.quick(version, body, learn=False) if len(body) <= READ_AT_ONCE_MAX else None
    if written is None:
        return await push.wired.offload.run(known.read, version, body)
    return written


def _version(content_type: str) -> Version | None:
    """None for a type that is not understood here. A sender that names none means version 1."""
    if not content_type:
        return 1
    header = Message()
    header["content-type"] = content_type
    if header.get_content_type() != MEDIA_TYPE:
        return None
    return _VERSIONS.get(str(header.get_param("proto", "")))


def _answer(version: Version, written: Written, done: Appended) -> Response:
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
