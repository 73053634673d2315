"""StatsD over UDP and a Unix socket: datagrams into a bounded inbox, added up, and stored at each flush."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable
from pathlib import Path

from tocsin.ingest.appender import Appender
from tocsin.ingest.listen.address import bound_path, bound_socket
from tocsin.ingest.listen.aggregate import Aggregates
from tocsin.ingest.refusals import Refusals
from tocsin.ingest.settings import IngestSettings, StatsdSettings
from tocsin.ingest.wire import statsd
from tocsin.model.errors import TransientError
from tocsin.runtime.clock import Clock, wait_until
from tocsin.runtime.log import get_log
from tocsin.runtime.telemetry import Telemetry

log = get_log("ingest")

INBOX_BYTES_MAX = 16 * 1024 * 1024
DATAGRAM_BYTES = 256
"""What a datagram costs besides its own bytes, so that many empty ones count too."""
RECEIVE_BYTES = 4 * 1024 * 1024
"""Asked of the kernel, which holds datagrams while the loop is busy; it may give less."""

READ_BYTES = 16 * 1024
"""Bytes, with those costs, that are read before others get a turn: a few ms."""

SAID_EVERY_S = 60.0


class StatsdListener:
    """`run` listens until it is cancelled, and stores what it has by then."""

    def __init__(
        self,
        settings: StatsdSettings,
        limits: IngestSettings,
        appender: Appender,
        *,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._settings = settings
        self._appender = appender
        self._clock = clock
        self._aggregates = Aggregates(limits, series_max=settings.series_max, idle_flushes=settings.idle_flushes)
        self._inbox: deque[bytes] = deque()
        self._inbox_bytes = 0
        self._wake = asyncio.Event()
        self._said_s: float | None = None
        self._received = telemetry.counter("statsd_datagrams", "Datagrams received.")
        self._dropped = telemetry.counter("statsd_datagrams_dropped", "Datagrams for which there was no room.")
        self._passed_over = telemetry.counter("statsd_passed_over", "What is not understood yet.", ["kind"])
        self._refusals = Refusals(clock, telemetry)
        self._lost = telemetry.counter("statsd_flushes_lost", "Flushes that the store did not take.")
        self._series = telemetry.gauge("statsd_series", "StatsD series that are aggregated.")
        self._bound: list[socket.socket] = []
        self.listening: asyncio.Future[tuple[str, int] | str] = asyncio.get_running_loop().create_future()
        """The first address, once there is one: port 0 takes any that is free."""

    def bind(self) -> None:
        """Take the port and the path, so that a start fails where one is taken. `close`, unless it runs.

        Raises UserError.
        """
        if self._settings.listen:
            self._bound.append(bound_socket(self._settings.listen, socket.SOCK_DGRAM, "statsd.listen"))
        if self._settings.socket:
            self._bound.append(bound_path(self._settings.socket, "statsd.socket"))
        for bound in self._bound:
            with contextlib.suppress(OSError):
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)

    def close(self) -> None:
        for bound in self._bound:
            bound.close()
        self._bound.clear()

    async def run(self) -> None:
        if not self._bound:
            self.bind()
        bound, self._bound = self._bound, []
        transports = [await self._receive_from(one) for one in bound]
        if not self.listening.done():
            self.listening.set_result(bound[0].getsockname())
        flush_ms = int(self._settings.flush)
        deadline_ms = self._clock.now_ms() + flush_ms
        try:
            while True:
                if await wait_until(self._clock, deadline_ms, self._wake):
                    self._read(READ_BYTES)
                    await asyncio.sleep(0)
                now_ms = self._clock.now_ms()
                if not deadline_ms - flush_ms <= now_ms < deadline_ms:  # it has come, or the clock was set back
                    await self._flush(now_ms)
                    deadline_ms = now_ms + flush_ms
        finally:
            for transport in transports:
                transport.close()
            self._remove_path()
            self._read(self._inbox_bytes)
            await self._flush(self._clock.now_ms())

    def _remove_path(self) -> None:
        if self._settings.socket:
            Path(self._settings.socket).unlink(missing_ok=True)

    async def _receive_from(self, bound: socket.socket) -> asyncio.DatagramTransport:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Inbox(self.receive), sock=bound)
        address = bound.getsockname()
        log.info("statsd listens", address=address if isinstance(address, str) else f"{address[0]}:{address[1]}")
        return transport

    def receive(self, datagram: bytes) -> None:
        self._received.inc()
        cost = len(datagram) + DATAGRAM_BYTES
        if self._inbox_bytes + cost > INBOX_BYTES_MAX:
            self._dropped.inc()
            return
        self._inbox.append(datagram)
        self._inbox_bytes += cost
        self._wake.set()

    def _read(self, most_bytes: int) -> None:
        until = self._inbox_bytes - most_bytes
        while self._inbox and self._inbox_bytes > until:
            datagram = self._inbox.popleft()
            self._inbox_bytes -= len(datagram) + DATAGRAM_BYTES
            read = statsd.parse(datagram)
            refused = read.rejected + [why for each in read.readings if (why := self._aggregates.add(each))]
            self._refusals.note("statsd", refused)
            if read.events:
                self._passed_over.labels("event").inc(read.events)
            if read.checks:
                self._passed_over.labels("service check").inc(read.checks)
        if self._inbox:
            self._wake.set()

    async def _flush(self, at_ms: int) -> None:
        """What the store does not take is lost for quantiles and sets; counters and gauges come again."""
        try:
            if self._aggregates.news:
                await self._appender.describe(self._aggregates.news)
                self._aggregates.news.clear()
            for rows in self._aggregates.flush(at_ms):
                await self._appender.append(rows, "statsd")
        except TransientError as error:
            self._lost.inc()
            self._say("a statsd flush was lost", str(error))
        self._series.set(len(self._aggregates))

    def _say(self, event: str, reason: str) -> None:
        """A sender hears nothing in this protocol, so the log says what is wrong, once a minute."""
        now_s = self._clock.monotonic_s()
        if self._said_s is None or now_s - self._said_s >= SAID_EVERY_S:
            self._said_s = now_s
            log.warning(event, reason=reason)


class _Inbox(asyncio.DatagramProtocol):
    def __init__(self, receive: Callable[[bytes], None]) -> None:
        self._receive = receive

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002 - asyncio gives it
        self._receive(data)
