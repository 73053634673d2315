from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar

import pytest

from tocsin.runtime.offload import DaemonOffload, InlineOffload, Offload, ThreadOffload

CALLER: ContextVar[str] = ContextVar("caller", default="nobody")


MAKERS: dict[str, Callable[[], Offload]] = {
    "threads": lambda: ThreadOffload("test", 2),
    "daemons": lambda: DaemonOffload("test", 2),
    "inline": InlineOffload,
}


@pytest.fixture(params=list(MAKERS))
def offload(request: pytest.FixtureRequest) -> Iterator[Offload]:
    made = MAKERS[request.param]()
    yield made
    made.close()


async def test_arguments_go_in_and_the_answer_comes_out(offload: Offload) -> None:
    def work(one: int, *, other: int) -> int:
        return one - other

    assert await offload.run(work, 5, other=2) == 3


async def test_work_may_take_any_argument_name(offload: Offload) -> None:
    def work(self: int, work: int) -> int:
        return self + work

    assert await offload.run(work, self=1, work=2) == 3


async def test_an_exception_travels_to_the_caller(offload: Offload) -> None:
    def work() -> None:
        raise ValueError("as planned")

    with pytest.raises(ValueError, match="as planned"):
        await offload.run(work)


async def test_an_iterator_that_ends_does_not_leave_its_caller_waiting(offload: Offload) -> None:
    empty: Iterator[int] = iter(())
    with pytest.raises(RuntimeError, match="StopIteration"):
        await offload.run(next, empty)


async def test_what_is_bound_in_the_context_goes_along(offload: Offload) -> None:
    CALLER.set("us")
    assert await offload.run(CALLER.get) == "us"


async def test_other_tasks_get_a_turn_before_the_answer(offload: Offload) -> None:
    turns: list[str] = []
    other = asyncio.create_task(offload.run(turns.append, "other"))
    asyncio.get_running_loop().call_soon(turns.append, "loop")
    await offload.run(lambda: None)
    await other
    assert sorted(turns) == ["loop", "other"]


async def test_threads_do_the_work_away_from_the_loop_under_their_name() -> None:
    offload = ThreadOffload("store", 1)
    try:
        assert (await offload.run(threading.current_thread)).name.startswith("store")
    finally:
        offload.close()


async def test_one_thread_is_a_queue_in_order() -> None:
    offload = ThreadOffload("store", 1)
    done: list[int] = []
    try:
        await asyncio.gather(*(offload.run(done.append, number) for number in range(100)))
    finally:
        offload.close()
    assert done == list(range(100))


async def test_several_threads_work_at_the_same_time() -> None:
    offload = ThreadOffload("store", 2)
    meeting = threading.Barrier(2, timeout=30)
    try:
        await asyncio.gather(offload.run(meeting.wait), offload.run(meeting.wait))
    finally:
        offload.close()
    assert not meeting.broken


async def test_closing_waits_for_what_runs() -> None:
    offload = ThreadOffload("store", 1)
    done: list[str] = []
    working = asyncio.create_task(offload.run(done.append, "work"))
    await asyncio.sleep(0)
    offload.close()
    assert done == ["work"]
    await working


async def test_a_closed_offload_refuses_work() -> None:
    offload = ThreadOffload("store", 1)
    offload.close()
    with pytest.raises(RuntimeError):
        await offload.run(len, "")


async def test_inline_work_runs_on_the_loops_own_thread() -> None:
    assert await InlineOffload().run(threading.get_ident) == threading.get_ident()


async def test_a_daemon_that_hangs_holds_up_neither_its_cancelled_waiter_nor_the_end() -> None:
    offload, let_go = DaemonOffload("mounts", 2), threading.Event()
    hanging = asyncio.create_task(offload.run(let_go.wait, 30))
    await asyncio.sleep(0)
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    offload.close()
    assert await offload.run(len, "") == 0
    let_go.set()


async def test_a_daemon_that_hangs_keeps_its_place_though_its_waiter_has_gone() -> None:
    offload, let_go = DaemonOffload("mounts", 1), threading.Event()
    hanging = asyncio.create_task(offload.run(let_go.wait, 30))
    await asyncio.sleep(0)
    hanging.cancel()
    following = asyncio.create_task(offload.run(let_go.is_set))
    await asyncio.gather(hanging, return_exceptions=True)
    await asyncio.sleep(0)
    assert not following.done()
    let_go.set()
    assert await following
