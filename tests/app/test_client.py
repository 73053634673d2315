"""How the command line asks."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tocsin.app.client import detail_of, request, write_address
from tocsin.model.errors import TransientError

HEAVY = ("tocsin.app.wiring", "tocsin.app.world", "fastapi", "numpy", "chdb", "psutil")


def test_beside_a_running_server_a_command_does_not_load_the_server() -> None:
    code = f"import sys, tocsin.app.client; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b'{"detail": "There is no rule 7."}', "There is no rule 7."),
        (b'{"status": "error", "errorType": "bad_data", "error": "1:1: parse error: no"}', "1:1: parse error: no"),
        (b'{"title": "?"}', "the server answered 502 Bad Gateway"),
        (b"[1]", "the server answered 502 Bad Gateway"),
        (b"<html>", "the server answered 502 Bad Gateway"),
    ],
)
def test_the_servers_own_sentence_is_told_where_there_is_one(body: bytes, sentence: str) -> None:
    assert detail_of(httpx.Response(502, content=body)) == sentence


async def _healthy_alone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    asked = await reader.readuntil(b"\r\n\r\n")
    if asked.startswith(b"GET /healthz "):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    elif asked.startswith(b"GET /slow "):
        await reader.read()
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(("path", "sentence"), [("/gone", "went away"), ("/slow", "did not answer in time")])
def test_a_server_that_does_not_answer_is_told_in_one_sentence(tmp_path: Path, path: str, sentence: str) -> None:
    async def ask() -> None:
        async with await asyncio.start_server(_healthy_alone, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            write_address(tmp_path, f"http://127.0.0.1:{port}")
            with pytest.raises(TransientError, match=sentence):
                await request(None, tmp_path, "GET", path, timeout=0.2)

    asyncio.run(ask())
