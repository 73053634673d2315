from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.ingest.fakes import MemoryIndex, MemorySink, Seen, appender_into

from tocsin.ingest.listen.aggregate import TIMED_MAX, VALUES_MAX, Aggregates
from tocsin.ingest.listen.statsd import INBOX_BYTES_MAX, StatsdListener
from tocsin.ingest.rows import Refusal
from tocsin.ingest.settings import IngestSettings, StatsdSettings
from tocsin.ingest.wire import statsd
from tocsin.model.errors import StoreError, UserError
from tocsin.model.series import SampleBatch
from tocsin.runtime.clock import FixedClock
from tocsin.runtime.telemetry import Telemetry

NOW = 1_800_000_000_000


class Sums:
    """Aggregates, told lines and asked for values."""

    def __init__(self, series_max: int = 100, idle_flushes: int = 3) -> None:
        self.aggregates = Aggregates(IngestSettings(), series_max=series_max, idle_flushes=idle_flushes)

    def add(self, *lines: bytes) -> list[str]:
        read = statsd.parse(b"\n".join(lines))
        assert read.rejected == []
        return [why.reason for each in read.readings if (why := self.aggregates.add(each))]

    def flush(self) -> dict[str, float]:
        return {
            str(rows.series[which]): value
            for rows in self.aggregates.flush(NOW)
            for which, value in zip(rows.which.tolist(), rows.values.tolist(), strict=True)
        }


def test_a_counter_only_rises_and_weighs_its_sample_rate() -> None:
    sums = Sums()
    sums.add(b"a:1|c", b"a:2|c|@0.1")
    assert sums.flush() == {"a": 21.0}
    sums.add(b"a:1:1|c")
    assert sums.flush() == {"a": 23.0}
    assert sums.flush() == {"a": 23.0}
    assert [(info.name, info.kind) for info in sums.aggregates.news] == [("a", "counter")]


def test_a_counter_that_falls_is_refused() -> None:
    sums = Sums()
    assert sums.add(b"a:-1|c") == ["A counter cannot fall; use a gauge for what can."]
    assert sums.flush() == {}


def test_a_gauge_is_set_or_changed() -> None:
    sums = Sums()
    sums.add(b"a:5|g", b"a:+2|g", b"a:-10|g")
    assert sums.flush() == {"a": -3.0}
    assert sums.flush() == {"a": -3.0}


def test_a_gauge_with_a_time_is_a_sample_of_that_time() -> None:
    sums = Sums()
    sums.add(b"a:5|g|T1799999990")
    first, *_ = sums.aggregates.flush(NOW)
    assert (str(first.series[0]), first.times.tolist(), first.values.tolist()) == ("a", [1_799_999_990_000], [5.0])


def test_gauges_with_a_time_are_bounded() -> None:
    sums = Sums()
    line = b"a:" + b":".join([b"1"] * TIMED_MAX) + b"|g|T1799999990"
    assert sums.add(line, b"a:1|g|T1799999990") == [
        f"More than {TIMED_MAX} gauges with a time came between two flushes."
    ]


def test_a_set_counts_what_is_different_in_one_interval() -> None:
    sums = Sums()
    sums.add(b"a:x|s", b"a:y|s", b"a:x|s")
    assert sums.flush() == {"a": 2.0}
    assert sums.flush() == {"a": 0.0}


def test_a_timer_is_a_count_a_sum_and_what_one_interval_saw() -> None:
    sums = Sums()
    sums.add(b"a:%s|ms|#h:x" % b":".join(b"%d" % each for each in range(1, 102)))
    assert sums.flush() == {
        'a_count{h="x"}': 101.0,
        'a_sum{h="x"}': 5_151.0,
        'a_min{h="x"}': 1.0,
        'a_max{h="x"}': 101.0,
        'a{h="x", quantile="0.5"}': 51.0,
        'a{h="x", quantile="0.9"}': 91.0,
        'a{h="x", quantile="0.95"}': 96.0,
        'a{h="x", quantile="0.99"}': 100.0,
    }
    assert sums.flush() == {'a_count{h="x"}': 101.0, 'a_sum{h="x"}': 5_151.0}
    sums.add(b"a:7|h|@0.5|#h:x")
    assert sums.flush()['a_count{h="x"}'] == 103.0


def test_a_busy_timer_keeps_a_bounded_choice_of_its_values() -> None:
    sums = Sums()
    for value in range(20_000):
        sums.add(b"a:%d|ms" % value)
    (known,) = sums.aggregates._known.values()
    assert len(known.values) < VALUES_MAX
    flushed = sums.flush()
    assert (flushed["a_count"], flushed["a_max"]) == (20_000.0, 19_999.0)
    assert flushed['a{quantile="0.9"}'] == pytest.approx(18_000, rel=0.01)


def test_series_without_news_are_forgotten() -> None:
    sums = Sums(idle_flushes=2)
    sums.add(b"a:1|c")
    assert [sums.flush() for _ in range(3)] == [{"a": 1.0}, {"a": 1.0}, {}]
    assert len(sums.aggregates) == 0
    sums.add(b"a:1|c")
    assert sums.flush() == {"a": 1.0}


def test_there_is_room_for_so_many_series_and_the_known_go_on() -> None:
    sums = Sums(series_max=2)
    assert sums.add(b"a:1|c", b"b:1|c") == []
    (why,) = sums.add(b"c:1|c", b"a:1|c")
    assert "statsd.series_max" in why
    assert sums.flush() == {"a": 2.0, "b": 1.0}


def test_many_series_come_in_several_batches() -> None:
    sums = Sums(series_max=1_000)
    sums.add(*(b"a:1|c|#n:%d" % each for each in range(1_000)))
    assert [len(rows) for rows in sums.aggregates.flush(NOW)] == [200] * 5


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
        self.sent = 0
        self.clock = FixedClock(NOW)
        self.listener = StatsdListener(
            StatsdSettings(**({"listen": "127.0.0.1:0"} | settings)),
            IngestSettings(),
            appender_into(self.sink, observers=[self.arrivals], clock=self.clock, telemetry=self.telemetry),
            clock=self.clock,
            telemetry=self.telemetry,
        )

    def count(self, name: str, **labels: str) -> float:
        return self.telemetry.registry.get_sample_value(f"tocsin_{name}", labels) or 0.0

    async def send(self, *datagrams: bytes) -> None:
        address = await self.listener.listening
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            for datagram in datagrams:
                sender.sendto(datagram, address)
        self.sent += len(datagrams)
        # nobody is told of a datagram, so this asks
        while self.count("statsd_datagrams_total") < self.sent or self.listener._inbox:  # noqa: ASYNC110
            await asyncio.sleep(0)


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


async def test_datagrams_of_a_client_are_stored_at_the_flush() -> None:
    """As the `statsd` package of Python sends them, alone and from its pipeline."""
    async with listening() as world:
        await world.send(b"app.jobs:1|c", b"app.jobs:4|c|@0.5\napp.queue:7|g\napp.took:320.000000|ms\napp.users:x|s")
        world.clock.advance(10_000)
        await world.send(b"later:1|c")  # it makes the listener look at the clock
        batch = await world.arrivals.came.get()
        stored = {name: (time, value) for name, time, value in world.sink.samples()}
        assert set(batch.times.tolist()) == {NOW + 10_000}
        assert stored["app.queue"] == (NOW + 10_000, 7.0)
        assert stored["app.took_sum"] == (NOW + 10_000, 320.0)
        assert stored["app.users"] == (NOW + 10_000, 1.0)
        assert stored["app.jobs"] == (NOW + 10_000, 9.0)
    assert world.sink.infos["app.jobs"].kind == "counter"


async def test_what_was_received_is_stored_when_the_listener_stops() -> None:
    async with listening() as world:
        world.listener.receive(b"a:1|c\nb:2|g")
    assert world.sink.samples() == [("a", NOW, 1.0), ("b", NOW, 2.0)]


async def test_a_wrong_line_is_counted_and_loses_no_other() -> None:
    async with listening() as world:
        world.listener.receive(b"wrong\na:1|c\na:-1|c\n_e{1,1}:a|b\n_sc|a|0")
    assert world.sink.samples() == [("a", NOW, 1.0)]
    assert world.count("samples_rejected_total", source="statsd", reason=Refusal.MALFORMED.value) == 2
    assert world.count("statsd_passed_over_total", kind="event") == 1
    assert world.count("statsd_passed_over_total", kind="service check") == 1
    assert world.count("statsd_series") == 1


async def test_datagrams_without_room_are_dropped_and_counted() -> None:
    world = World()
    datagram = b"a:1|c\n" * 10_000
    for _ in range(INBOX_BYTES_MAX // len(datagram) + 1):
        world.listener.receive(datagram)
    assert world.count("statsd_datagrams_dropped_total") >= 1
    assert world.listener._inbox_bytes <= INBOX_BYTES_MAX


async def test_a_store_that_is_away_loses_no_count() -> None:
    async with listening() as world:
        world.sink.error = StoreError("The sample store is away.")
        world.listener.receive(b"a:1|c")
        world.listener._read(1_000)
        await world.listener._flush(NOW)
        assert world.count("statsd_flushes_lost_total") == 1
        world.sink.error = None
        world.listener.receive(b"a:1|c")
    assert world.sink.samples() == [("a", NOW, 2.0)]


async def test_datagrams_come_by_a_unix_socket_too(tmp_path: Path) -> None:
    path = tmp_path / "statsd.sock"
    async with listening(listen="", socket=str(path)) as world:
        await world.send(b"a:1|c", b"b:2|g")
    assert world.sink.samples() == [("a", NOW, 1.0), ("b", NOW, 2.0)]
    assert not path.exists()


async def test_a_socket_that_an_earlier_run_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "statsd.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as earlier:
        earlier.bind(str(path))
    async with listening(listen="", socket=str(path)) as world:
        await world.send(b"a:1|c")
    assert world.sink.samples() == [("a", NOW, 1.0)]


async def test_a_socket_that_is_in_use_and_a_file_are_left_alone(tmp_path: Path) -> None:
    used, file = tmp_path / "used", tmp_path / "file"
    file.write_text("dear")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(used))
        for path in (used, file):
            with pytest.raises(UserError, match=r"something else listens there\. Change statsd\.socket"):
                World(listen="", socket=str(path)).listener.bind()
        assert used.exists()
    assert file.read_text() == "dear"


async def test_a_port_that_is_taken_is_told_in_one_sentence() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(UserError, match=rf"Cannot listen on {address}: something else listens there"):
            World(listen=address).listener.bind()


async def test_a_listener_that_was_bound_and_never_ran_gives_its_port_back() -> None:
    world = World()
    world.listener.bind()
    world.listener.close()


@pytest.mark.parametrize(
    "settings", [{"listen": "8125"}, {"socket": "/" + "x" * 200}, {"flush": 0}, {"series_max": 0}, {"idle_flushes": 0}]
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        StatsdSettings(**settings)
