"""A ClickHouse server that is away, slow, full or not ours: nothing acknowledged is lost, nothing counts twice."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.support.certificates import Authority
from tests.support.clickhouse import PASSWORD, Front, running_front
from tests.support.clickhouse_front import Fault
from tests.support.samples import UNSYNCED, AnyStore, batch, open_store, rows

from tocsin.model.duration import Duration
from tocsin.model.errors import LimitError, StoreError, UserError
from tocsin.model.labels import Labels
from tocsin.model.matcher import parse_selector
from tocsin.model.series import SampleBatch
from tocsin.runtime.clock import FixedClock
from tocsin.runtime.offload import ThreadOffload
from tocsin.store.samples.address import parse_address
from tocsin.store.samples.native import Shape
from tocsin.store.samples.opening import open_parts
from tocsin.store.samples.schema import MIGRATIONS, migrate
from tocsin.store.samples.served import Codecs, ServedEngine, check_version
from tocsin.store.settings import StoreSettings

NOW = 1_800_000_000_000
CPU = Labels.metric("system.cpu.usage")
CPU_SELECTOR = '{__name__="system.cpu.usage"}'
NOWHERE = Path("nowhere")
CLOCK = FixedClock(NOW)
SAMPLES_INSERT = "insert into samples"


@pytest.fixture
def front(clickhouse_server: Front) -> Iterator[Front]:
    yield clickhouse_server
    clickhouse_server.forgive()


def at(url: str, settings: StoreSettings = UNSYNCED) -> StoreSettings:
    return replace(settings, url=url)


async def put(store: AnyStore, value: float, at_ms: int = NOW) -> None:
    await store.append(batch(store, [(CPU, at_ms, value)]))


async def values(store: AnyStore) -> list[float]:
    return [value for _, _, value in rows(await store.select([], 0, 2**62))]


async def test_what_one_process_stored_another_finds(front: Front, tmp_path: Path) -> None:
    settings = at(front.url())
    async with open_store(tmp_path / "samples", CLOCK, settings) as store:
        await put(store, 1.0)
    async with open_store(tmp_path / "samples", CLOCK, settings) as store:
        assert rows(await store.select([], 0, 2**62)) == [(CPU, NOW, 1.0)]
    assert not os.listdir(tmp_path)  # noqa: PTH208 - nothing of it is here


async def test_rows_go_and_come_without_compression_too(front: Front) -> None:
    async with open_store(NOWHERE, CLOCK, at(front.url(options="?compress=0"))) as store:
        await put(store, 1.0)
        assert await values(store) == [1.0]


async def test_forty_thousand_ids_go_beside_the_statement(front: Front) -> None:
    async with open_store(NOWHERE, CLOCK, at(front.url())) as store:
        ids = np.array([store.intern(Labels.metric("m", {"n": str(n)})) for n in range(40_000)], np.uint64)
        await store.append(SampleBatch(ids, np.full(40_000, NOW), np.arange(40_000.0)))
        assert sorted(await values(store)) == list(range(40_000))
        assert (await store.steps([], NOW, NOW + 1, 1)).avg.shape == (40_000, 1)


async def test_an_insert_that_was_done_before_the_connection_broke_is_there_once(front: Front) -> None:
    async with open_store(NOWHERE, CLOCK, at(front.url())) as store:
        front.fault(Fault("drop_after", SAMPLES_INSERT))
        await put(store, 1.0)
        assert await values(store) == [1.0]
        assert (await store.stats()).samples == 1  # the server knew the second one by its mark


async def test_an_insert_that_never_came_to_the_server_is_sent_again(front: Front) -> None:
    async with open_store(NOWHERE, CLOCK, at(front.url())) as store:
        front.fault(Fault("drop_before", SAMPLES_INSERT))
        await put(store, 1.0)
        assert await values(store) == [1.0]


async def test_equal_rows_in_two_inserts_are_two_inserts(front: Front) -> None:
    async with open_store(NOWHERE, CLOCK, at(front.url())) as store:
        for value in (1.0, 2.0, 1.0):
            await put(store, value)
        assert await values(store) == [1.0]


@pytest.mark.parametrize("kind", ["drop_before", "drop_after"])
async def test_an_insert_whose_connection_breaks_twice_is_not_acknowledged_and_can_be_sent_again(
    front: Front, kind: str
) -> None:
    async with open_store(NOWHERE, CLOCK, at(front.url())) as store:
        front.fault(Fault(kind, SAMPLES_INSERT, times=2))
        with pytest.raises(StoreError, match=r"does not answer: .*connection") as caught:
            await put(store, 1.0)
        assert caught.value.retry_after_s is not None
        await put(store, 1.0)
        assert await values(store) == [1.0]


async def test_a_read_whose_connection_breaks_is_asked_again(front: Front) -> None:
    async with open_store(NOWHERE, CLOCK, at(front.url())) as store:
        await put(store, 1.0)
        front.fault(Fault("drop_before", "from samples final"))
        assert await values(store) == [1.0]


async def test_an_insert_that_the_server_refuses_is_refused_and_the_next_one_works(front: Front) -> None:
    async with open_store(NOWHERE, CLOCK, at(front.url())) as store:
        front.fault(Fault("error", SAMPLES_INSERT, code=252))
        with pytest.raises(StoreError, match="could not write: A fault was asked for") as caught:
            await put(store, 1.0)
        assert caught.value.retry_after_s is not None
        assert await values(store) == []
        await put(store, 2.0)
        assert await values(store) == [2.0]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (243, "disk of the sample store is full"),
        (242, "could not write"),
        (319, "could not write"),
        (497, "does not allow this to tocsin"),
        (516, "does not let tocsin in"),
    ],
)
async def test_why_a_server_refuses_to_write_is_said(front: Front, code: int, said: str) -> None:
    async with open_store(NOWHERE, CLOCK, at(front.url())) as store:
        front.fault(Fault("error", SAMPLES_INSERT, code=code))
        with pytest.raises(StoreError, match=said):
            await put(store, 1.0)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (159, "took too long"),
        (241, "too much memory"),
        (158, "more than ClickHouse allows our user"),
        (201, "more than ClickHouse allows our user"),
        (396, "more than ClickHouse allows our user"),
    ],
)
async def test_a_read_past_the_limits_of_the_server_is_told_to_ask_for_less(front: Front, code: int, said: str) -> None:
    async with open_store(NOWHERE, CLOCK, at(front.url())) as store:
        await put(store, 1.0)
        front.fault(Fault("error", "from samples final", code=code))
        with pytest.raises(LimitError, match=said):
            await values(store)
        assert await values(store) == [1.0]


async def test_the_limits_of_the_settings_hold_on_a_server(front: Front) -> None:
    url = front.url()
    async with open_store(NOWHERE, CLOCK, at(url)) as store:
        ids = np.full(1_000_000, store.intern(CPU), np.uint64)
        values_ = np.random.default_rng(1).normal(size=len(ids))
        await store.append(SampleBatch(ids, NOW - np.arange(len(ids)), values_))
    for limits, said in (
        ({"read_timeout": Duration(1)}, "took too long"),
        ({"read_memory_max_mb": 4}, "too much memory"),
    ):
        async with open_store(NOWHERE, CLOCK, at(url, replace(UNSYNCED, **limits))) as store:
            with pytest.raises(LimitError, match=said):
                await values(store)


async def test_a_server_that_is_slower_than_its_time_does_not_answer(front: Front) -> None:
    engine = ServedEngine(parse_address(front.url()), UNSYNCED)
    connection = engine.connect(reading=False)
    connection._client.timeout = 0.05
    front.fault(Fault("slow", "select 42", seconds=20))
    with pytest.raises(StoreError, match="no word within the time"):
        connection.read("select 42 as n", Shape({"n": "UInt8"}))
    engine.close()


async def test_a_server_that_goes_and_comes_back_is_found_again(tmp_path: Path) -> None:
    with running_front(tmp_path / "data") as front:
        async with open_store(NOWHERE, CLOCK, at(front.url("m"))) as store:
            await put(store, 1.0)
            front.kill()
            with pytest.raises(StoreError, match="does not answer: connection refused"):
                await put(store, 2.0)
            with pytest.raises(StoreError, match="does not answer: connection refused"):
                await values(store)
            with pytest.raises(StoreError):
                await store.check()
            front.start()
            assert await values(store) == [1.0]
            await put(store, 3.0)
            assert await values(store) == [3.0]
            await store.check()


async def test_a_start_without_the_server_says_where_it_was_sought(unused_port: int) -> None:
    with pytest.raises(StoreError, match=rf"ClickHouse at 127.0.0.1:{unused_port}/m does not answer: connection ref"):
        async with open_store(NOWHERE, CLOCK, at(f"clickhouse://127.0.0.1:{unused_port}/m")):
            pass


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


async def test_a_wrong_password_is_said_without_it(front: Front, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    url = front.url().replace("s%3Acr", "wrong-one")
    with pytest.raises(UserError, match="does not let tocsin in: check user and password") as caught:
        async with open_store(NOWHERE, CLOCK, at(url)):
            pass
    assert "wrong-one" not in str(caught.value) + caplog.text


async def test_the_password_is_in_no_log_and_no_error(front: Front, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    settings = at(front.url())
    async with open_store(NOWHERE, CLOCK, settings) as store:
        front.fault(Fault("drop_before", SAMPLES_INSERT, times=2))
        with pytest.raises(StoreError) as caught:
            await put(store, 1.0)
    told = str(caught.value) + caplog.text + repr(settings)
    assert "sample store opened" in told
    assert PASSWORD not in told
    assert "s%3Acr%40t" not in told


async def test_a_user_that_may_not_make_the_database_is_told_how_to(front: Front) -> None:
    front.fault(Fault("error", "create database", code=497))
    with pytest.raises(UserError, match=r"has no database \w+, and tocsin may not make one. Make it \(create database"):
        async with open_store(NOWHERE, CLOCK, at(front.url())):
            pass


@pytest.mark.parametrize("version", ["24.7.1.2", "9.1", "whatever"])
def test_a_server_that_is_too_old_is_refused(version: str) -> None:
    with pytest.raises(UserError, match=f"is {version}; tocsin needs 24.8 or newer"):
        check_version(version, parse_address("clickhouse://db/m"))
    check_version("24.8.14.10459", parse_address("clickhouse://db/m"))
    check_version("26.3.1.1", parse_address("clickhouse://db/m"))


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")  # as the operator has said; the client keeps it quiet
async def test_a_server_with_tls_is_trusted_by_its_authority_or_when_told_so(tmp_path: Path) -> None:
    authority = Authority()
    ca_cert, _ = authority.pem.write(tmp_path, "ca")
    with running_front(tmp_path / "data", authority.issue("127.0.0.1").write(tmp_path, "server")) as front:
        for options in (f"?ca_cert={ca_cert}", "?verify=0"):
            async with open_store(NOWHERE, CLOCK, at(front.url("m", options))) as store:
                await put(store, 1.0)
                assert await values(store) == [1.0]
        with pytest.raises(StoreError, match=r"does not answer: its certificate is not trusted \(unable to get"):
            async with open_store(NOWHERE, CLOCK, at(front.url("m"))):
                pass
        with pytest.raises(StoreError, match="does not answer"):  # plain HTTP to a port that wants TLS
            async with open_store(NOWHERE, CLOCK, at(front.url("m").replace("clickhouses", "clickhouse"))):
                pass


async def test_a_server_may_want_a_certificate_of_its_client_beside_the_password(tmp_path: Path) -> None:
    authority = Authority()
    ca_cert, _ = authority.pem.write(tmp_path, "ca")
    tls = authority.issue("127.0.0.1").write(tmp_path, "server")
    cert, key = authority.issue("tocsin").write(tmp_path, "client")
    with running_front(tmp_path / "data", tls, ca_cert) as front:
        url = front.url("m", f"?ca_cert={ca_cert}")
        async with open_store(NOWHERE, CLOCK, at(f"{url}&client_cert={cert}&client_key={key}")) as store:
            await put(store, 1.0)
            assert await values(store) == [1.0]
        with pytest.raises(StoreError, match="does not answer: "):
            async with open_store(NOWHERE, CLOCK, at(url)):
                pass


async def test_a_file_of_certificates_that_is_not_there_is_named(front: Front) -> None:
    url = front.url(options="?secure=1&ca_cert=nowhere.pem")
    with pytest.raises(UserError, match=r"ca_cert: cannot read nowhere\.pem"):
        async with open_store(NOWHERE, CLOCK, at(url)):
            pass


@pytest.mark.parametrize("options", ["", "?cluster=one"])
async def test_series_are_erased_from_a_server(front: Front, options: str) -> None:
    settings = at(front.url(options=options))
    threads = ThreadOffload("erase", 1)
    async with open_store(NOWHERE, CLOCK, settings, offload=threads) as store:
        await store.append(batch(store, [(CPU, NOW, 1.0), (Labels.metric("other"), NOW, 2.0)]))
        assert await store.erase([parse_selector(CPU_SELECTOR)]) == 1
        assert await values(store) == [2.0]
    threads.close()
    async with open_store(NOWHERE, CLOCK, settings) as store:
        assert [str(labels) for labels in await store.series([])] == [str(Labels.metric("other"))]
        assert (await store.stats()).samples == 1


async def test_a_cluster_that_the_server_does_not_know_is_named_with_those_it_knows(front: Front) -> None:
    with pytest.raises(UserError, match="knows no cluster two; it knows one"):
        async with open_store(NOWHERE, CLOCK, at(front.url(options="?cluster=two"))):
            pass


@pytest.mark.parametrize("options", ["", "?cluster=one"])
async def test_two_that_start_at_once_make_the_tables_once(front: Front, options: str) -> None:
    settings = at(front.url(options=options))
    front.fault(Fault("slow", "create table if not exists metrics_local" if options else "metrics (name", seconds=0.3))
    threads = ThreadOffload("open", 2)
    both = await asyncio.gather(*(threads.run(open_parts, NOWHERE, settings) for _ in range(2)))
    rows_ = both[0].writing.read("select version from schema_version order by version", Shape({"version": "UInt64"}))
    assert rows_["version"].tolist() == [len(MIGRATIONS)]
    for parts in both:
        parts.close()
    threads.close()


def test_who_waits_too_long_for_another_one_says_which_table_is_in_the_way(front: Front) -> None:
    engine = ServedEngine(parse_address(front.url()), UNSYNCED)
    connection = engine.connect(reading=False)
    said = r"drop the table t\d+\.schema_changing"
    with connection.alone(), pytest.raises(StoreError, match=said), connection.alone(patience_s=1):
        pass
    engine.close()


def test_who_died_while_it_changed_tables_is_not_waited_for(front: Front) -> None:
    engine = ServedEngine(parse_address(front.url()), UNSYNCED)
    connection = engine.connect(reading=False)
    with connection.alone(), connection.alone(stale_s=0):
        pass
    with connection.alone(patience_s=0):
        pass
    engine.close()


async def test_a_second_start_changes_no_table(front: Front) -> None:
    settings = at(front.url())
    for _ in range(2):
        async with open_store(NOWHERE, CLOCK, settings):
            pass
        front.fault(Fault("error", "alter table"))
        front.fault(Fault("error", "create table"))


def test_a_server_without_our_codecs_gets_others(front: Front) -> None:
    engine = ServedEngine(parse_address(front.url()), UNSYNCED)
    engine._codecs = Codecs(alp=False, turned=False)
    connection = engine.connect(reading=False)
    migrate(connection, fsync=False)
    found = connection.read(
        "select compression_codec as codec from system.columns "
        "where database = currentDatabase() and compression_codec != ''",
        Shape({"codec": "String"}),
    )
    assert "CODEC(T64('bit'), ZSTD(1))" in found["codec"]
    assert not [codec for codec in found["codec"] if "ALP" in codec or "Delta(8), T64" in codec]
    engine.close()


@pytest.mark.parametrize("seed", range(2))
async def test_whatever_breaks_all_that_was_acknowledged_is_there_once_and_in_order(front: Front, seed: int) -> None:
    """Each sample is sent until it is acknowledged, as senders do; every third one is written over again at once."""
    chance = random.Random(seed)
    kinds = ("drop_before", "drop_after", "error", "slow")
    matches = ("insert into samples", "insert into series", "insert into rollup_hours", "select")
    acknowledged: dict[tuple[Labels, int], float] = {}
    refused = 0
    async with open_store(NOWHERE, CLOCK, at(front.url())) as store:
        for number in range(120):
            if chance.random() < 0.4:
                kind, match = chance.choice(kinds), chance.choice(matches)
                front.fault(
                    Fault(kind, match, times=chance.randint(1, 3), code=chance.choice((252, 319, 999)), seconds=0.01)
                )
            labels, at_ms = Labels.metric("m", {"n": str(number // 7)}), NOW - chance.randrange(40) * 3_600_000
            for value in (float(number), -float(number)) if number % 3 == 0 else (float(number),):
                while True:
                    try:
                        await store.append(batch(store, [(labels, at_ms, value)]))
                    except StoreError:
                        refused += 1
                    else:
                        acknowledged[labels, at_ms] = value
                        break
        front.forgive()
        found = rows(await store.select([], 0, 2**62))
    assert refused > 10
    assert len(found) == len(acknowledged)
    assert {(labels, at_ms): value for labels, at_ms, value in found} == acknowledged
