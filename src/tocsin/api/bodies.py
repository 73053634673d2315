"""Bodies of pushed samples: read whole, and unpacked no further than the limit."""

from __future__ import annotations

import zlib

from starlette.requests import Request

from tocsin.api.envelope import too_large
from tocsin.model.errors import TooLargeError, UserError
from tocsin.runtime.offload import Offload

_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_INLINE_MAX = 8 * 1024
"""Packed bytes up to which unpacking stays on the loop: gzip grows at most 1032-fold, so that is a few ms."""

_MEMBERS_MAX = 64
"""Each further gzip member costs a copy of the rest, so their number has to be bounded too."""


async def read_body(request: Request, body_max: int, offload: Offload) -> bytes:
    """The body as it was before the sender packed it. Raises TooLargeError, UserError.

    The envelope has checked the packed size and the encoding before.
    """
    body = await request.body()
    if request.headers.get("content-encoding", "").strip().lower() != "gzip":
        return body
    if len(body) <= _INLINE_MAX:
        return unpack(body, body_max)
    return await offload.run(unpack, body, body_max)


def unpack(packed: bytes, body_max: int) -> bytes:
    """gzip, also of several members, but never more than `body_max` bytes. Raises TooLargeError, UserError."""
    parts: list[bytes] = []
    left = body_max
    try:
        for _ in range(_MEMBERS_MAX + 1):
            if not packed:
                return b"".join(parts)
            member = zlib.decompressobj(_GZIP_WINDOW)
            part = member.decompress(packed, left + 1)
            left -= len(part)
            if left < 0:
                raise TooLargeError(too_large(body_max))
            if not member.eof:
                raise UserError("The gzip body ends too early.")
            parts.append(part)
            packed = member.unused_data
    except zlib.error as error:
        raise UserError(f"The body is not gzip: {error}.") from error
    raise UserError(f"The gzip body has more than {_MEMBERS_MAX} members; pack it as one.")
