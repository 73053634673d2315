"""A small, fast HTTP client for load: the server is what is measured, not the client."""

from __future__ import annotations

import asyncio
from typing import Self
from urllib.parse import urlsplit


class Wire:
    """One keep-alive connection that posts prepared bodies and reads the status."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str) -> None:
        self._reader = reader
        self._writer = writer
        self._head = head

    @classmethod
    async def open(cls, url: str, token: str) -> Self:
        where = urlsplit(url)
        assert where.hostname is not None
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        bearer = f"Authorization: Bearer {token}\r\n" if token else ""
        return cls(reader, writer, f"Host: {where.netloc}\r\n{bearer}")

    async def post(self, path: str, body: bytes, headers: str = "Content-Type: application/json\r\n") -> int:
        """The status code; the body of the answer is read and dropped."""
        head = f"POST {path} HTTP/1.1\r\n{self._head}{headers}Content-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in answer.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        await self._reader.readexactly(length)
        return int(answer[9:12])

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()
