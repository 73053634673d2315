"""Group commit in virtual time: every wait here is exact."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest
from tests.support.virtual_time import run_virtual

from tocsin.model.duration import Duration
from tocsin.model.errors import QueueFullError, StoreError
from tocsin.model.series import SampleBatch
from tocsin.runtime.clock import LoopClock
from tocsin.runtime.offload import InlineOffload
from tocsin.runtime.telemetry import Telemetry
from tocsin.store.samples.writer import GroupCommit


class SlowOffload(InlineOffload):
    """Work takes a second of virtual time."""

    async def run(self, work, /, *args, **kwargs):  # type: ignore[no-untyped-def] # the same as what it overrides
        await asyncio.sleep(1)
        return work(*args, **kwargs)


class Table:
    """What was committed: the start and the ids of each insert."""

    def __init__(self) -> None:
        self.inserts: list[tuple[float, list[int]]] = []
        self.failure: Exception | None = None

    def commit(self, batch: SampleBatch) -> None:
        if self.failure is not None:
            raise self.failure
        self.inserts.append((round(asyncio.get_running_loop().time(), 3), batch.ids.tolist()))


def one(*ids: int) -> SampleBatch:
    return SampleBatch(np.array(ids, np.uint64), np.zeros(len(ids), np.int64), np.zeros(len(ids)))


def play(
    story: Callable[[GroupCommit, Table], Awaitable[None]],
    *,
    batch_rows_max: int = 100,
    queue_rows_max: int = 1_000,
    offload: InlineOffload | None = None,
    telemetry: Telemetry | None = None,
) -> Table:
    table = Table()

    async def main() -> None:
        writer = GroupCommit(
            table.commit,
            wait=Duration(50),
            batch_rows_max=batch_rows_max,
            queue_rows_max=queue_rows_max,
            clock=LoopClock(asyncio.get_running_loop(), 0),
            offload=offload or InlineOffload(),
            telemetry=telemetry or Telemetry(),
        )
        await story(writer, table)
        await writer.close()

    run_virtual(main)
    return table


def test_an_idle_writer_commits_at_once() -> None:
    async def story(writer: GroupCommit, table: Table) -> None:
        await writer.append(one(1))
        await asyncio.sleep(1)
        await writer.append(one(2))

    assert play(story).inserts == [(0, [1]), (1, [2])]


def test_a_busy_writer_waits_between_its_inserts() -> None:
    async def story(writer: GroupCommit, table: Table) -> None:
        for number in range(4):
            await writer.append(one(number))

    assert [at for at, _ in play(story).inserts] == [0, 0.05, 0.1, 0.15]


def test_callers_of_the_same_moment_share_an_insert_in_their_order() -> None:
    async def story(writer: GroupCommit, table: Table) -> None:
        await asyncio.gather(*(writer.append(one(number)) for number in range(50)))

    assert play(story).inserts == [(0, list(range(50)))]


def test_callers_who_come_during_the_wait_share_the_next_insert() -> None:
    async def story(writer: GroupCommit, table: Table) -> None:
        async def later(after_s: float, number: int) -> None:
            await asyncio.sleep(after_s)
            await writer.append(one(number))

        await asyncio.gather(*(later(number / 100, number) for number in range(8)))

    assert play(story).inserts == [(0, [0]), (0.05, [1, 2, 3, 4, 5]), (0.1, [6, 7])]


def test_a_full_batch_does_not_wait() -> None:
    async def story(writer: GroupCommit, table: Table) -> None:
        await writer.append(one(0))
        waiting = asyncio.create_task(writer.append(one(1)))
        await asyncio.sleep(0.01)
        await writer.append(one(2, 3))
        await waiting

    assert play(story, batch_rows_max=3).inserts == [(0, [0]), (0.01, [1, 2, 3])]


def test_an_insert_takes_no_more_than_a_batch() -> None:
    async def story(writer: GroupCommit, table: Table) -> None:
        await asyncio.gather(*(writer.append(one(number, number)) for number in range(5)))

    assert [ids for _, ids in play(story, batch_rows_max=4).inserts] == [[0, 0, 1, 1], [2, 2, 3, 3], [4, 4]]


def test_a_batch_that_is_larger_than_the_queue_passes_when_it_is_empty() -> None:
    async def story(writer: GroupCommit, table: Table) -> None:
        await writer.append(one(*range(20)))

    assert play(story, batch_rows_max=4, queue_rows_max=10).inserts == [(0, list(range(20)))]


def test_a_full_queue_refuses_counts_and_says_when_to_come_back() -> None:
    telemetry = Telemetry()

    async def story(writer: GroupCommit, table: Table) -> None:
        first = asyncio.create_task(writer.append(one(1, 2, 3)))
        await asyncio.sleep(0.5)
        with pytest.raises(QueueFullError) as refused:
            await writer.append(one(4, 5))
        assert refused.value.retry_after_s is not None
        await writer.append(one(6))
        await first
        await writer.append(one(7, 8, 9))

    table = play(story, queue_rows_max=4, offload=SlowOffload(), telemetry=telemetry)
    assert [ids for _, ids in table.inserts] == [[1, 2, 3], [6], [7, 8, 9]]
    assert b"tocsin_store_samples_refused_total 2.0" in telemetry.render()
    assert b"tocsin_store_queue_samples 0.0" in telemetry.render()


def test_a_failure_reaches_exactly_the_callers_of_that_insert() -> None:
    telemetry = Telemetry()

    async def story(writer: GroupCommit, table: Table) -> None:
        table.failure = StoreError("no disk", retry_after_s=3)
        failed = await asyncio.gather(writer.append(one(1)), writer.append(one(2)), return_exceptions=True)
        table.failure = None
        await writer.append(one(3))
        assert [str(error) for error in failed] == ["no disk", "no disk"]
        assert failed[0] is not failed[1]
        assert isinstance(failed[0], StoreError)
        assert failed[0].retry_after_s == 3

    assert [ids for _, ids in play(story, telemetry=telemetry).inserts] == [[3]]
    assert b'tocsin_store_commits_total{result="failed"} 1.0' in telemetry.render()
    assert b'tocsin_store_commits_total{result="committed"} 1.0' in telemetry.render()
    assert b"tocsin_store_samples_total 1.0" in telemetry.render()


def test_a_failure_that_nobody_expected_is_a_store_error_too() -> None:
    async def story(writer: GroupCommit, table: Table) -> None:
        table.failure = ZeroDivisionError("a bug")
        with pytest.raises(StoreError, match="a bug") as raised:
            await writer.append(one(1))
        assert isinstance(raised.value.__cause__, ZeroDivisionError)
        table.failure = None
        await writer.append(one(2))

    assert [ids for _, ids in play(story).inserts] == [[2]]


def test_a_cancelled_caller_does_not_break_the_others() -> None:
    async def story(writer: GroupCommit, table: Table) -> None:
        callers = [asyncio.create_task(writer.append(one(number))) for number in range(3)]
        await asyncio.sleep(0.5)
        callers[1].cancel()
        done = await asyncio.gather(*callers, return_exceptions=True)
        assert done[0] is done[2] is None
        assert isinstance(done[1], asyncio.CancelledError)
        await writer.append(one(9))

    assert [ids for _, ids in play(story, offload=SlowOffload()).inserts] == [[0, 1, 2], [9]]


def test_closing_commits_what_was_accepted_and_accepts_no_more() -> None:
    async def story(writer: GroupCommit, table: Table) -> None:
        callers = [asyncio.create_task(writer.append(one(number))) for number in range(2)]
        await asyncio.sleep(0)
        late = asyncio.create_task(writer.append(one(2)))
        await asyncio.sleep(0.01)
        await writer.close()
        await asyncio.gather(*callers, late)
        with pytest.raises(StoreError, match="closing"):
            await writer.append(one(3))

    assert sorted(number for _, ids in play(story).inserts for number in ids) == [0, 1, 2]


def test_a_writer_that_is_torn_down_tells_everybody_who_waits() -> None:
    async def story(writer: GroupCommit, table: Table) -> None:
        callers = [asyncio.create_task(writer.append(one(number, number))) for number in range(2)]
        await asyncio.sleep(0.5)
        next(task for task in asyncio.all_tasks() if task.get_name() == "store commit").cancel()
        done = await asyncio.gather(*callers, return_exceptions=True)
        assert [str(error) for error in done] == ["The sample store was stopped before the commit."] * 2
        await writer.append(one(9))

    assert [ids for _, ids in play(story, batch_rows_max=2, offload=SlowOffload()).inserts] == [[9]]
