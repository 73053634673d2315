from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from tests.ingest.fakes import MemoryIndex, MemorySink, Seen, appender_into

from tocsin.ingest.listen.graphite import PENDING_BYTES_MAX, GraphiteListener
from tocsin.ingest.settings import GraphiteSettings, IngestSettings
from tocsin.model.duration import Duration
from tocsin.model.errors import StoreError, UserError
from tocsin.model.series import SampleBatch
from tocsin.runtime.clock import FixedClock
from tocsin.runtime.offload import InlineOffload
from tocsin.runtime.telemetry import Telemetry

NOW = 1_800_000_000_000


class Arrivals(Seen):
    """Lets a test wait for the next batch."""

    def __init__(self) -> None:
        super().__init__()
        self.came: asyncio.Queue[SampleBatch] = asyncio.Queue()

    async def observe(self, batch: SampleBatch, at_ms: int) -> None:
        await super().observe(batch, at_ms)
        self.came.put_nowait(batch)


class World:
    def __init__(self, **settings: Any) -> None:
        self.sink = MemorySink(MemoryIndex())
        self.arrivals = Arrivals()
        self.telemetry = Telemetry()
        self.clock = FixedClock(NOW)
        self.listener = GraphiteListener(
            GraphiteSettings(**({"listen": "127.0.0.1:0"} | settings)),
            IngestSettings(),
            appender_into(self.sink, observers=[self.arrivals], clock=self.clock, telemetry=self.telemetry),
            clock=self.clock,
            offload=InlineOffload(),
            telemetry=self.telemetry,
        )

    def count(self, name: str, **labels: str) -> float:
        return self.telemetry.registry.get_sample_value(f"tocsin_{name}", labels) or 0.0


@asynccontextmanager
async def listening(**settings: Any) -> AsyncIterator[World]:
    world = World(**settings)
    task = asyncio.create_task(world.listener.run())
    await world.listener.listening
    try:
        yield world
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def connect(world: World) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(*await world.listener.listening)


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def test_lines_are_stored_without_an_end_of_the_connection() -> None:
    async with listening() as world:
        _, writer = await connect(world)
        writer.write(b"a 1 1799999990\nb;host=x 2\nhalf a li")
        await world.arrivals.came.get()
        assert world.sink.samples() == [("a", 1_799_999_990_000, 1.0), ('b{host="x"}', NOW, 2.0)]
        writer.write(b"ne\nhalf 3\n")
        await world.arrivals.came.get()
        assert world.sink.samples()[2:] == [("half", NOW, 3.0)]
        assert world.count("samples_rejected_total", source="graphite", reason="malformed") == 1
        await close(writer)


async def test_a_last_line_without_an_end_is_taken_when_the_sender_ends() -> None:
    async with listening() as world:
        reader, writer = await connect(world)
        writer.write(b"a 1")
        writer.write_eof()
        assert await reader.read() == b""
        await world.arrivals.came.get()
        assert world.sink.samples() == [("a", NOW, 1.0)]
        await close(writer)


async def test_many_senders_become_few_batches() -> None:
    async with listening() as world:
        writers = [(await connect(world))[1] for _ in range(20)]
        for at, writer in enumerate(writers):
            writer.write(b"a;n=%d 1\n" % at)
        while len(world.sink.samples()) < 20:
            await world.arrivals.came.get()
        assert len(world.sink.batches) < 20
        for writer in writers:
            await close(writer)


async def test_what_was_read_is_stored_when_the_listener_stops() -> None:
    async with listening() as world:
        reader, writer = await connect(world)
        writer.write(b"a 1\n")
        writer.write_eof()
        assert await reader.read() == b""  # it has been read whole
    assert world.sink.samples() == [("a", NOW, 1.0)]
    await close(writer)


async def test_a_line_that_never_ends_cuts_the_connection() -> None:
    async with listening(line_bytes=100) as world:
        reader, writer = await connect(world)
        writer.write(b"x" * 200)
        assert await reader.read() == b""
        assert world.count("graphite_connections_cut_total", reason="line too long") == 1
        await close(writer)


async def test_one_connection_too_many_is_closed() -> None:
    async with listening(connections=1) as world:
        _, first = await connect(world)
        first.write(b"a 1\n")
        await world.arrivals.came.get()
        reader, second = await connect(world)
        assert await reader.read() == b""
        assert world.count("graphite_connections_cut_total", reason="too many") == 1
        assert world.count("graphite_connections") == 1
        await close(second)
        await close(first)


async def test_a_silent_connection_is_closed() -> None:
    async with listening(idle=Duration(20)) as world:
        reader, writer = await connect(world)
        assert await reader.read() == b""
        assert world.count("graphite_connections_cut_total", reason="idle") == 1
        await close(writer)


class Gate(Arrivals):
    """A store that takes nothing until it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()

    async def observe(self, batch: SampleBatch, at_ms: int) -> None:
        self.came.put_nowait(batch)
        await self.open.wait()


async def test_senders_are_not_read_while_the_store_is_slow() -> None:
    world = World()
    gate = Gate()
    world.listener._appender = appender_into(world.sink, observers=[gate], clock=world.clock)
    task = asyncio.create_task(world.listener.run())
    _, writer = await connect(world)
    sent = 0
    line = b"a.long.name;of=a;series=that;repeats=itself 1 1799999990\n" * 1_000

    async def send() -> None:
        nonlocal sent
        for _ in range(600):
            writer.write(line)
            await writer.drain()
            sent += 1_000

    sending = asyncio.create_task(send())
    await gate.came.get()
    while world.listener._room.is_set():  # noqa: ASYNC110 - nobody is told when the listener stops reading
        await asyncio.sleep(0)
    assert world.listener._pending_bytes < 2 * PENDING_BYTES_MAX
    assert not sending.done()
    gate.open.set()
    await sending
    writer.close()
    stored = 0
    while stored < 600_000:
        stored = sum(len(batch) for batch in world.sink.batches)
        await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert (sent, stored) == (600_000, 600_000)


async def test_samples_wait_for_a_store_that_is_away() -> None:
    async with listening() as world:
        world.sink.error = StoreError("The sample store is away.", retry_after_s=0.001)
        _, writer = await connect(world)
        writer.write(b"a 1\n")
        while not world.listener._handing:  # noqa: ASYNC110 - nobody is told when it waits
            await asyncio.sleep(0)
        world.sink.error = None
        await world.arrivals.came.get()
        assert world.sink.samples() == [("a", NOW, 1.0)]
        await close(writer)


async def test_a_port_that_is_taken_is_told_in_one_sentence() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(UserError, match=rf"Cannot listen on {address}: .* Change graphite\.listen"):
            World(listen=address).listener.bind()


async def test_a_port_that_was_bound_at_the_start_is_listened_on() -> None:
    world = World()
    world.listener.bind()
    task = asyncio.create_task(world.listener.run())
    _, writer = await connect(world)
    writer.write(b"a 1\n")
    await world.arrivals.came.get()
    await close(writer)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("listen", ["2003", ":2003", "host:", "host:port", "host:70000"])
def test_an_address_that_is_none_is_refused(listen: str) -> None:
    with pytest.raises(UserError, match="HOST:PORT"):
        GraphiteSettings(listen=listen)
