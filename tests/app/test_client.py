"""How the command line asks."""

from __future__ import annotations

import subprocess
import sys

import httpx
import pytest

from tocsin.app.client import detail_of

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
