"""Answers in Prometheus' envelope; numbers as it writes them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
from fastapi import Request, Response
from starlette.datastructures import Headers

from tocsin.model.series import STALE
from tocsin.promql import points
from tocsin.promql.engine import Answer, Explain
from tocsin.promql.ports import Threads
from tocsin.promql.values import Ranges, Scalar, Text, Vector

JSON = "application/json"
RENDERED_AT_ONCE_MAX = 20_000
"""Points that are written on the loop, in about a millisecond."""
SERIES_AT_ONCE_MAX = 500
"""Series likewise: their labels take longer than their points."""
PACKED_MIN = 32_768
"""Bytes from which an answer is packed on a thread rather than by the middleware, which is on the loop."""
GZIP_LEVEL = 1
TRUNCATED = "results truncated due to limit"
_STALE_BITS = np.float64(STALE).view(np.uint64)

_ERROR_TYPES = {
    400: "bad_data",
    404: "not_found",
    405: "bad_data",
    413: "bad_data",
    422: "execution",
    429: "unavailable",
    500: "internal",
    503: "unavailable",
}


def error_form(status: int, detail: str, _: Headers) -> tuple[bytes, str]:
    """An error as Prometheus tells it. Time that has run out is 503 too, and of a type of its own."""
    kind = "timeout" if status == 503 and "timed out" in detail else _ERROR_TYPES.get(status, "bad_data")
    return msgspec.json.encode({"status": "error", "errorType": kind, "error": detail}), JSON


def success(data: Any, *, warnings: Sequence[str] = (), infos: Sequence[str] = ()) -> Response:
    """`data` as JSON."""
    return Response(enveloped(msgspec.json.encode(data), warnings, infos), media_type=JSON)


async def answered(
    answer: Answer, request: Request, threads: Threads, *, limit: int = 0, explain: bool = False, stats: bool = False
) -> Response:
    """The answer to a query; large ones are written and packed on a thread."""
    if _points(answer) <= RENDERED_AT_ONCE_MAX and _height(answer) <= SERIES_AT_ONCE_MAX:
        return Response(_body(answer, limit, explain=explain, stats=stats), media_type=JSON)
    return await written(lambda: _body(answer, limit, explain=explain, stats=stats), request, threads)


async def written(write: Callable[[], bytes], request: Request, threads: Threads, media_type: str = JSON) -> Response:
    """What is written, and packed where it is large, on a thread."""
    packing = "gzip" in request.headers.get("accept-encoding", "")

    def work() -> Response:
        body = write()
        if not packing or len(body) < PACKED_MIN:
            return Response(body, media_type=media_type)
        packer = zlib.compressobj(GZIP_LEVEL, wbits=31)
        packed = packer.compress(body) + packer.flush()
        headers = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        return Response(packed, media_type=media_type, headers=headers)

    return await threads.run(work)


def _height(answer: Answer) -> int:
    return len(answer.value.frame) if isinstance(answer.value, Vector | Ranges) else 1


def _points(answer: Answer) -> int:
    match answer.value:
        case Vector():
            return answer.value.values.size
        case Ranges():
            return len(answer.value.block.times)
        case _:
            return answer.grid.count


def _body(answer: Answer, limit: int, *, explain: bool, stats: bool) -> bytes:
    warnings = list(answer.warnings)
    kind, rows = _result(answer)
    if limit and isinstance(rows, list) and len(rows) > limit:
        rows = rows[:limit]
        warnings.append(TRUNCATED)
    result = rows if isinstance(rows, bytes) else b"[" + b",".join(rows) + b"]"
    counted = b',"stats":' + msgspec.json.encode(_stats(answer.explain)) if stats else b""
    data = b'{"resultType":"' + kind + b'","result":' + result + counted + b"}"
    more = b',"explain":' + msgspec.json.encode(explained(answer.explain)) if explain else b""
    return enveloped(data, warnings, answer.infos, more)


def _result(answer: Answer) -> tuple[bytes, bytes | list[bytes]]:
    """The result's type, and it: as a whole, or a series each."""
    value, times = answer.value, answer.grid.times
    match value:
        case Scalar() if answer.ranging:
            row = points.row(times, value.values)
            return b"matrix", [b'{"metric":{},"values":' + row + b"}"]
        case Scalar():
            return b"scalar", points.singles(int(times[0]), value.values)[0]
        case Text():
            moment = points.singles(int(times[0]), np.zeros(1))[0].split(b",")[0]
            return b"string", moment + b"," + msgspec.json.encode(value.value) + b"]"
        case Vector() if answer.ranging:
            values = points.rows(times, value.values, value.present)
            return b"matrix", _series(value.frame.json(), b'"values":', values)
        case Vector():
            singles = points.singles(int(times[0]), value.values[:, 0])
            return b"vector", _series(value.frame.json(), b'"value":', singles)
        case Ranges():
            return b"matrix", _of_ranges(value)


def _series(metrics: Sequence[bytes], name: bytes, values: Sequence[bytes]) -> list[bytes]:
    middle = b"," + name
    return [b'{"metric":' + metric + middle + value + b"}" for metric, value in zip(metrics, values, strict=True)]


def _of_ranges(ranges: Ranges) -> list[bytes]:
    """Sorted by labels; stale markers are no samples."""
    block, found = ranges.block, []
    metrics = ranges.frame.json()
    for at in ranges.frame.order().tolist():
        span = slice(int(block.offsets[at]), int(block.offsets[at + 1]))
        real = block.values[span].view(np.uint64) != _STALE_BITS
        if real.any():
            row = points.row(block.times[span][real], block.values[span][real])
            found.append(b'{"metric":' + metrics[at] + b',"values":' + row + b"}")
    return found


def enveloped(data: bytes, warnings: Sequence[str] = (), infos: Sequence[str] = (), more: bytes = b"") -> bytes:
    """`data` and `more` are JSON already."""
    said = b""
    for name, texts in (("warnings", warnings), ("infos", infos)):
        if texts:
            said += b',"' + name.encode() + b'":' + msgspec.json.encode(list(texts))
    return b'{"status":"success","data":' + data + said + more + b"}"


def _stats(explain: Explain) -> dict[str, Any]:
    """Prometheus' own words for what was done. Samples are those that were looked at; all are held at once."""
    evaluated_s = explain.gather_s + explain.evaluate_s
    total = sum(source.samples for asked in explain.asked for source in asked.sources)
    return {
        "timings": {
            "evalTotalTime": explain.parse_s + evaluated_s,
            "resultSortTime": 0.0,
            "queryPreparationTime": explain.parse_s + explain.gather_s,
            "innerEvalTime": explain.evaluate_s,
            "execQueueTime": explain.waited_s,
            "execTotalTime": explain.waited_s + explain.parse_s + evaluated_s,
        },
        "samples": {"totalQueryableSamples": total, "peakSamples": total},
    }


def explained(explain: Explain) -> dict[str, Any]:
    """Seconds by stage, and for each selector where its series came from."""
    return {
        "stages": {
            "wait": explain.waited_s,
            "parse": explain.parse_s,
            "read": explain.gather_s,
            "evaluate": explain.evaluate_s,
        },
        "selectors": [
            {
                "selector": "{" + ",".join(map(str, asked.ask.matchers)) + "}",
                "function": asked.ask.function or "samples",
                "range": asked.ask.range_ms / 1_000,
                "sources": [
                    {
                        "how": source.how,
                        "series": source.series,
                        "samples": source.samples,
                        "seconds": source.seconds,
                        "resolution": source.resolution,
                    }
                    for source in asked.sources
                ],
            }
            for asked in explain.asked
        ],
    }
