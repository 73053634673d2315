"""OpenTelemetry's door: metrics as SDKs and Collectors export them over HTTP, in protobuf or JSON.

Errors are a google.rpc.Status, answers an ExportMetricsServiceResponse, both in the encoding of the request.
"""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from tocsin.api.errors import problem
from tocsin.api.push import Push
from tocsin.ingest.rows import Appended
from tocsin.ingest.wire import otlp

PARSED_AT_ONCE_MAX = 32 * 1024
"""Bytes that are parsed on the loop: 2 ms, or 5 ms where all series are new; more go to a thread."""

PATHS = ("/v1/metrics", "/api/v1/otlp/v1/metrics")
"""The one that exporters choose by themselves, and Prometheus' own."""

JSON, PROTOBUF = "application/json", "application/x-protobuf"

_GRPC_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 413: 8, 415: 3, 422: 3, 429: 8, 503: 14}
_GRPC_INTERNAL = 13

router = APIRouter(include_in_schema=False)


@router.post(PATHS[0])
@router.post(PATHS[1])
async def export_metrics(request: Request, push: Push) -> Response:
    """200 where anything was stored, with what was not; 400 where all data points were refused."""
    media_type = media_type_of(request.headers)
    if media_type not in (JSON, PROTOBUF):
        raise HTTPException(415, f"Send metrics as {PROTOBUF} or {JSON}.")
    body = await push.body()
    # streams are called by the labels that a sender gives: two tokens' must not be added up
    deltas = push.wired.deltas.of(push.writer.allowance.labels)
    export = await push.parse(
        PARSED_AT_ONCE_MAX, otlp.parse, body, push.now_ms(), push.limits, deltas, as_json=media_type == JSON
    )
    done = await push.append(export.rows, "otlp", export.rejected)
    await push.describe(export.infos)
    return _told(done, export.points, media_type)


def _told(done: Appended, points: int, media_type: str) -> Response:
    """Counted in data points: one of a histogram is many samples."""
    refused = len({one.index for one in done.rejected if one.index != otlp.NO_POINT})
    if not done.rejected:
        return Response(b"{}" if media_type == JSON else b"", media_type=media_type)
    first = next((one for one in done.rejected if one.index != otlp.NO_POINT), done.rejected[0])
    if refused and refused == points:
        return problem(400, f"Nothing was stored. {first.reason}")
    message = f"{refused} of {points} data points refused. {first.reason}"
    return Response(_partial(refused, message, media_type), media_type=media_type)


def _partial(refused: int, message: str, media_type: str) -> bytes:
    if media_type == JSON:
        partial = {"rejectedDataPoints": str(refused), "errorMessage": message}
        return msgspec.json.encode({"partialSuccess": partial})
    # field 1 of ExportMetricsServiceResponse; in it 1 is rejected_data_points, 2 error_message
    return _field(1, _varint_field(1, refused) + _field(2, message.encode()))


def error_form(status: int, detail: str, asked: Headers) -> tuple[bytes, str]:
    """google.rpc.Status: 1 is the code, 2 the message."""
    code = _GRPC_CODES.get(status, _GRPC_INTERNAL)
    if media_type_of(asked) == JSON:
        return msgspec.json.encode({"code": code, "message": detail}), JSON
    return _varint_field(1, code) + _field(2, detail.encode()), PROTOBUF


def media_type_of(headers: Headers) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _field(number: int, content: bytes) -> bytes:
    """Protobuf's length-delimited field. Three such messages do not need its library loaded."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint_field(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
