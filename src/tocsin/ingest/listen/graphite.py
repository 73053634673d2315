"""Graphite over TCP: many connections, one stream of batches into the appender."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from tocsin.ingest.appender import Appender
from tocsin.ingest.listen.address import bound_socket
from tocsin.ingest.rows import Rejection, Rows
from tocsin.ingest.settings import GraphiteSettings, IngestSettings
from tocsin.ingest.wire import graphite
from tocsin.model.errors import TransientError
from tocsin.runtime.clock import Clock
from tocsin.runtime.log import get_log
from tocsin.runtime.offload import Offload
from tocsin.runtime.telemetry import Telemetry

log = get_log("ingest")

GATHER_S = 0.1
READ_BYTES = 64 * 1024
PENDING_BYTES_MAX = 512 * 1024
"""Bytes that wait for the appender; with more, the connections are not read, and TCP slows the senders down."""

PARSED_AT_ONCE_MAX = 16 * 1024
RETRY_S = 1.0
SAID_EVERY_S = 60.0


class GraphiteListener:
    """`run` listens until it is cancelled, and hands over what it has by then."""

    def __init__(
        self,
        settings: GraphiteSettings,
        limits: IngestSettings,
        appender: Appender,
        *,
        clock: Clock,
        offload: Offload,
        telemetry: Telemetry,
    ) -> None:
        self._settings = settings
        self._limits = limits
        self._appender = appender
        self._clock = clock
        self._offload = offload
        self._open = telemetry.gauge("graphite_connections", "Graphite connections that are open.")
        self._cut = telemetry.counter("graphite_connections_cut", "Graphite connections closed by us.", ["reason"])
        self._connections: set[asyncio.Task[None]] = set()
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._handing: list[bytes] = []  # kept until it is stored: a stop in the midst of it hands it over again
        self._some = asyncio.Event()
        self._full = asyncio.Event()
        self._room = asyncio.Event()
        self._said_s: float | None = None
        self._bound: socket.socket | None = None
        self.listening: asyncio.Future[tuple[str, int]] = asyncio.get_running_loop().create_future()
        """The address, once there is one: port 0 takes any that is free."""

    def bind(self) -> None:
        """Take the port, so that a start fails where it is taken. `close`, unless it runs. Raises UserError."""
        self._bound = bound_socket(self._settings.listen, socket.SOCK_STREAM, "graphite.listen")

    def close(self) -> None:
        if self._bound is not None:
            self._bound.close()

    async def run(self) -> None:
        self._room.set()
        if self._bound is None:
            self.bind()
        bound, self._bound = self._bound, None
        assert bound is not None
        server = await asyncio.start_server(self._connected, sock=bound, limit=READ_BYTES)
        address = bound.getsockname()[:2]
        log.info("graphite listens", address=f"{address[0]}:{address[1]}")
        if not self.listening.done():
            self.listening.set_result(address)
        try:
            while True:
                await self._some.wait()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(GATHER_S):
                        await self._full.wait()
                await self._hand_over()
        finally:
            server.close()
            for connection in self._connections:
                connection.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)
            await self._hand_over()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._connections) >= self._settings.connections:
            self._cut.labels("too many").inc()
            writer.close()
            return
        self._connections.add(task)
        self._open.set(len(self._connections))
        try:
            await self._read(reader)
        except TimeoutError:
            self._cut.labels("idle").inc()
        except OSError:
            pass  # the sender has gone; what it sent whole is taken
        finally:
            self._connections.discard(task)
            self._open.set(len(self._connections))
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        """Until the sender ends, is silent for too long (TimeoutError) or never ends its line."""
        rest = b""
        while True:
            await self._room.wait()
            async with asyncio.timeout(self._settings.idle.seconds):
                chunk = await reader.read(READ_BYTES)
            lines, line_end, rest = (rest + chunk).rpartition(b"\n")
            if line_end:
                self._take(lines)
            if not chunk:
                if rest:
                    self._take(rest)
                return
            if len(rest) > self._settings.line_bytes:
                self._cut.labels("line too long").inc()
                return

    def _take(self, lines: bytes) -> None:
        self._pending.append(lines)
        self._pending_bytes += len(lines) + 1
        self._some.set()
        if self._pending_bytes >= READ_BYTES:
            self._full.set()
        if self._pending_bytes >= PENDING_BYTES_MAX:
            self._room.clear()

    async def _hand_over(self) -> None:
        """All that waits goes to the appender, which may let us wait: then nobody is read."""
        self._handing += self._pending
        body = b"\n".join(self._handing)
        self._pending.clear()
        self._pending_bytes = 0
        self._some.clear()
        self._full.clear()
        if not body:
            return
        asked = (body, self._clock.now_ms(), self._limits)
        small = len(body) <= PARSED_AT_ONCE_MAX
        rows, rejected = graphite.parse(*asked) if small else await self._offload.run(graphite.parse, *asked)
        await self._append(rows, rejected)
        self._handing.clear()
        self._room.set()

    async def _append(self, rows: Rows, rejected: tuple[Rejection, ...]) -> None:
        while True:
            try:
                await self._appender.append(rows, "graphite", rejected)
            except TransientError as error:
                self._say("graphite samples wait", str(error))
                await asyncio.sleep(error.retry_after_s or RETRY_S)
                continue
            return

    def _say(self, event: str, reason: str) -> None:
        """A sender hears nothing in this protocol, so the log says what is wrong, once a minute."""
        now_s = self._clock.monotonic_s()
        if self._said_s is None or now_s - self._said_s >= SAID_EVERY_S:
            self._said_s = now_s
            log.warning(event, reason=reason)
