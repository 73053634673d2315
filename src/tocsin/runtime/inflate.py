"""gzip and deflate, unpacked no further than a limit: a few KB may hide gigabytes."""

from __future__ import annotations

import zlib

from tocsin.model.errors import TooLargeError, UserError

ENCODINGS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
"""As Content-Encoding names them: deflate is zlib's format (RFC 9110)."""

_MEMBERS_MAX = 64
"""Each further gzip member costs a copy of the rest, so their number has to be bounded too."""


def inflate(packed: bytes, bytes_max: int, encoding: str = "gzip") -> bytes:
    """Also of several members, as gzip may have. Raises TooLargeError, UserError."""
    parts: list[bytes] = []
    left = bytes_max
    for _ in range(_MEMBERS_MAX + 1):
        if not packed:
            return b"".join(parts)
        member = zlib.decompressobj(ENCODINGS[encoding])
        try:
            part = member.decompress(packed, left + 1)
        except zlib.error as error:
            raise UserError(f"The body is not {encoding}: {error}.") from error
        left -= len(part)
        if left < 0:
            raise TooLargeError(f"The body is larger than {bytes_max} bytes when it is unpacked.")
        if not member.eof:
            raise UserError(f"The {encoding} body ends too early.")
        parts.append(part)
        packed = member.unused_data
    raise UserError(f"The {encoding} body has more than {_MEMBERS_MAX} members; pack it as one.")
