"""Bodies of pushed samples: read whole, and unpacked no further than the limit."""

from __future__ import annotations

import cramjam
import numpy as np
from starlette.requests import Request

from tocsin.api.envelope import too_large
from tocsin.model.errors import TooLargeError, UserError
from tocsin.runtime.inflate import inflate
from tocsin.runtime.offload import Offload

_INLINE_MAX = 8 * 1024
"""Packed bytes up to which unpacking stays on the loop: gzip grows at most 1032-fold, so that is a few ms."""

_SNAPPY_INLINE_MAX = 256 * 1024
"""Packed bytes of snappy, which is faster and grows at most 22-fold; 256 KiB of samples take 1 ms."""

_ZSTD_FULL = "failed to write whole buffer"
"""What cramjam says when the output does not fit; it has no error of its own for that."""


async def read_body(request: Request, body_max: int, offload: Offload, *, unnamed: str = "identity") -> bytes:
    """The body as it was before the sender packed it. Raises TooLargeError, UserError.

    `unnamed` is the encoding of senders that name none. The envelope has checked the packed size and the
    encoding before.
    """
    body = await request.body()
    encoding = request.headers.get("content-encoding", "").strip().lower() or unnamed
    if encoding == "identity":
        return body
    # zstd has no bound on its growth that would help
    inline_max = {"snappy": _SNAPPY_INLINE_MAX, "zstd": 0}.get(encoding, _INLINE_MAX)
    if len(body) <= inline_max:
        return unpack(body, body_max, encoding)
    return await offload.run(unpack, body, body_max, encoding)


def unpack(packed: bytes, body_max: int, encoding: str = "gzip") -> bytes:
    """gzip, deflate, snappy (block format) or zstd; never more than `body_max` bytes.

    An empty body is empty in every encoding. Raises TooLargeError, UserError.
    """
    if not packed:
        return b""
    try:
        if encoding == "snappy":
            return _unsnap(packed, body_max)
        if encoding == "zstd":
            return _unzstd(packed, body_max)
        return inflate(packed, body_max, encoding)
    except cramjam.DecompressionError as error:
        raise UserError(f"The body is not {encoding}: {error}.") from error


def _unsnap(packed: bytes, body_max: int) -> bytes:
    """The length stands before the data, and unpacking fails where it lied."""
    if cramjam.snappy.decompress_raw_len(packed) > body_max:
        raise TooLargeError(too_large(body_max))
    return bytes(cramjam.snappy.decompress_raw(packed))


def _unzstd(packed: bytes, body_max: int) -> bytes:
    room = np.empty(body_max, np.uint8)  # memory is taken only as far as it is written
    try:
        size = cramjam.zstd.decompress_into(packed, room.data)
    except cramjam.DecompressionError as error:
        if _ZSTD_FULL in str(error):
            raise TooLargeError(too_large(body_max)) from error
        raise
    return room[:size].tobytes()
