"""Over real sockets on loopback."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.certificates import Authority

from tocsin.ingest.scrape.config import parse_job
from tocsin.ingest.scrape.door import Caller, Door
from tocsin.ingest.scrape.fetch import fetch
from tocsin.ingest.scrape.job import Authorization, BasicAuth, HttpOptions, ScrapeJob, Secret
from tocsin.ingest.scrape.target import populate
from tocsin.model.errors import TooLargeError, TransientError, UserError
from tocsin.runtime.clock import FixedClock
from tocsin.runtime.http import Answer
from tocsin.runtime.offload import InlineOffload
from tocsin.runtime.tls import Tls

Reply = Callable[[str, asyncio.StreamWriter], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nx 1\n"


@asynccontextmanager
async def serving(reply: Reply, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server whose connections each get what `reply` writes for the request's head; its port."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                await reply(head, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def started(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_server(started, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def fine(head: str, writer: asyncio.StreamWriter) -> None:
    writer.write(OK)


async def ask(url: str, options: HttpOptions | None = None, bytes_max: int = 1_000) -> Answer:
    caller = Caller(Door(FixedClock(), InlineOffload()), options or HttpOptions())
    try:
        return await caller.get(url, {}, bytes_max)
    finally:
        await caller.close()


async def test_one_connection_serves_many_scrapes() -> None:
    ports = set()

    async def reply(head: str, writer: asyncio.StreamWriter) -> None:
        ports.add(writer.get_extra_info("peername"))
        writer.write(OK)

    async with serving(reply) as port:
        caller = Caller(Door(FixedClock(), InlineOffload()), HttpOptions())
        for _ in range(3):
            assert (await caller.get(f"http://127.0.0.1:{port}/", {}, 100)).body == b"x 1\n"
        await caller.close()
    assert len(ports) == 1


async def test_a_whole_scrape_over_a_socket() -> None:
    heads: list[str] = []

    async def reply(head: str, writer: asyncio.StreamWriter) -> None:
        heads.append(head)
        writer.write(OK)

    async with serving(reply) as port:
        job = parse_job({"job_name": "a", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]})
        (target,), _ = populate(job, job.groups)
        caller = Caller(Door(FixedClock(), InlineOffload()), job.http)
        page = await fetch(caller, target, job, 100)
        await caller.close()
    assert page.body == b"x 1\n"
    (head,) = heads
    assert head.startswith("GET /metrics HTTP/1.1\r\n")
    assert "X-Prometheus-Scrape-Timeout-Seconds: 10\r\n" in head
    assert "User-Agent: tocsin/" in head


async def test_nobody_there_is_said() -> None:
    async with serving(fine) as port:
        pass
    with pytest.raises(TransientError, match="Cannot connect: Connection refused"):
        await ask(f"http://127.0.0.1:{port}/")


async def test_an_endless_answer_is_cut_off() -> None:
    async def reply(head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
            await writer.drain()

    async with serving(reply) as port:
        with pytest.raises(TooLargeError):
            await ask(f"http://127.0.0.1:{port}/", bytes_max=1_000_000)


async def test_an_answer_that_ends_too_early_is_none() -> None:
    async def reply(head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(OK.replace(b"Length: 4", b"Length: 9"))
        writer.close()

    async with serving(reply) as port:
        with pytest.raises(TransientError, match="ended too early"):
            await ask(f"http://127.0.0.1:{port}/")


async def test_what_is_not_http_is_said() -> None:
    async def reply(head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    async with serving(reply) as port:
        with pytest.raises(TransientError, match="not HTTP"):
            await ask(f"http://127.0.0.1:{port}/")


async def test_a_redirect_is_followed_unless_the_job_says_no() -> None:
    async def reply(head: str, writer: asyncio.StreamWriter) -> None:
        if head.startswith("GET /end"):
            writer.write(OK)
        else:
            writer.write(b"HTTP/1.1 301 Moved\r\nLocation: /end\r\nContent-Length: 0\r\n\r\n")

    async with serving(reply) as port:
        assert (await ask(f"http://127.0.0.1:{port}/")).status == 200
        assert (await ask(f"http://127.0.0.1:{port}/", HttpOptions(follow_redirects=False))).status == 301


@pytest.mark.parametrize(
    "auth", [BasicAuth(Secret("u"), Secret("hunter2")), Authorization(Secret("hunter2")), None], ids=repr
)
async def test_a_redirect_takes_no_secret_to_another_server(auth: BasicAuth | Authorization | None) -> None:
    heads: list[str] = []

    async def end(head: str, writer: asyncio.StreamWriter) -> None:
        heads.append(head.lower())
        writer.write(OK)

    async def reply(head: str, writer: asyncio.StreamWriter) -> None:
        heads.append(head.lower())
        writer.write(f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{other}/\r\nContent-Length: 0\r\n\r\n".encode())

    options = HttpOptions(auth=auth, headers=(("X-Token", Secret("hunter3")),))
    async with serving(end) as other, serving(reply) as port:
        assert (await ask(f"http://127.0.0.1:{port}/", options)).status == 200
    first, second = heads
    assert ("authorization:" in first, "x-token: hunter3" in first) == (auth is not None, True)
    assert "authorization" not in second
    assert "x-token" not in second


async def test_a_proxy_is_asked_for_the_whole_url() -> None:
    heads: list[str] = []

    async def reply(head: str, writer: asyncio.StreamWriter) -> None:
        heads.append(head)
        writer.write(OK)

    async with serving(reply) as port:
        await ask("http://elsewhere.example/metrics", HttpOptions(proxy_url=f"http://127.0.0.1:{port}"))
    assert heads[0].startswith("GET http://elsewhere.example/metrics HTTP/1.1\r\n")


AUTHORITY = Authority()


def server_context(folder: Path, *names: str, clients: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*AUTHORITY.issue(*names).write(folder, "server"))
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=AUTHORITY.pem.cert.decode())
    return context


CA = AUTHORITY.pem.cert.decode()


async def test_a_certificate_of_the_jobs_own_authority_is_trusted(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(CA)
    async with serving(fine, server_context(tmp_path, "127.0.0.1")) as port:
        url = f"https://127.0.0.1:{port}/"
        assert (await ask(url, HttpOptions(tls=Tls(ca=CA)))).status == 200
        assert (await ask(url, HttpOptions(tls=Tls(ca_file=str(tmp_path / "ca.pem"))))).status == 200
        assert (await ask(url, HttpOptions(tls=Tls(insecure_skip_verify=True)))).status == 200
        with pytest.raises(TransientError, match=r"(?i)certificate verify failed"):
            await ask(url)


async def test_a_certificate_for_another_name_is_refused_unless_the_job_expects_it(tmp_path: Path) -> None:
    async with serving(fine, server_context(tmp_path, "inside.example")) as port:
        url = f"https://127.0.0.1:{port}/"
        with pytest.raises(TransientError, match=r"(?i)certificate verify failed"):
            await ask(url, HttpOptions(tls=Tls(ca=CA)))
        assert (await ask(url, HttpOptions(tls=Tls(ca=CA, server_name="inside.example")))).status == 200


async def test_a_job_shows_its_own_certificate(tmp_path: Path) -> None:
    client = AUTHORITY.issue("scraper")
    async with serving(fine, server_context(tmp_path, "127.0.0.1", clients=True)) as port:
        url = f"https://127.0.0.1:{port}/"
        told = Tls(ca=CA, cert=client.cert.decode(), key=client.key.decode())
        assert (await ask(url, HttpOptions(tls=told))).status == 200
        with pytest.raises(TransientError):
            await ask(url, HttpOptions(tls=Tls(ca=CA)))


@pytest.mark.parametrize(
    ("tls", "said"),
    [
        (Tls(ca="junk"), "ca cannot be used"),
        (Tls(ca_file="/nowhere/ca.pem"), r"ca cannot be used \(/nowhere/ca.pem\): No such file"),
        (Tls(cert="junk", key="junk"), "cert and key cannot be used"),
    ],
)
async def test_a_certificate_that_cannot_be_read_is_said(tls: Tls, said: str) -> None:
    with pytest.raises(UserError, match=said):
        await ask("https://127.0.0.1:1/", HttpOptions(tls=tls))


async def test_a_secrets_file_is_read_again_after_a_while(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("one\n")
    clock = FixedClock()
    door = Door(clock, InlineOffload())
    options = HttpOptions(auth=Authorization(Secret(file=str(path))))
    assert await door.headers(options) == {"Authorization": "Bearer one"}
    path.write_text("two\n")
    assert await door.headers(options) == {"Authorization": "Bearer one"}
    clock.advance(11_000)
    assert await door.headers(options) == {"Authorization": "Bearer two"}


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        (Secret(file="/nowhere/token"), "Cannot read /nowhere/token: No such file"),
        (Secret("a\r\nX-Admin: true"), "characters that a header cannot"),
    ],
)
async def test_a_secret_that_cannot_be_sent_is_said(secret: Secret, said: str) -> None:
    with pytest.raises(UserError, match=said):
        await Door(FixedClock(), InlineOffload()).headers(HttpOptions(auth=Authorization(secret)))


def test_no_secret_is_in_the_text_of_a_job() -> None:
    job: Any = parse_job(
        {
            "job_name": "a",
            "basic_auth": {"username": "u", "password": "hidden1"},
            "tls_config": {"cert": "c", "key": "hidden2"},
            "http_headers": {"X": {"secrets": ["hidden3"]}},
            "proxy_url": "http://u:hidden4@proxy:1",
        }
    )
    assert isinstance(job, ScrapeJob)
    assert "hidden" not in repr(job)
