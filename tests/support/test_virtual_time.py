from __future__ import annotations

import asyncio
import gc
import socket
import threading

import pytest
from tests.support.virtual_time import DAY_S, Stuck, VirtualLoop, run_virtual

from tocsin.runtime.clock import LoopClock, wait_until
from tocsin.runtime.offload import InlineOffload


def test_sleep_takes_the_time_it_names_and_no_more() -> None:
    async def main() -> float:
        await asyncio.sleep(3_600)
        return asyncio.get_running_loop().time()

    assert run_virtual(main) == 3_600


def test_the_clock_starts_at_zero_and_stands_while_code_runs() -> None:
    async def main() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        before = loop.time()
        for _ in range(1_000):
            await asyncio.sleep(0)
        return before, loop.time()

    assert run_virtual(main) == (0, 0)


def test_a_week_of_two_loops_that_tick_every_five_seconds() -> None:
    ticks = {"a": 0, "b": 0}

    async def tick(name: str) -> None:
        while True:
            await asyncio.sleep(5)
            ticks[name] += 1

    async def main() -> None:
        loops = [asyncio.create_task(tick(name)) for name in ticks]
        await asyncio.sleep(7 * DAY_S + 1)
        for task in loops:
            task.cancel()

    run_virtual(main)
    assert ticks == {"a": 120_960, "b": 120_960}


def test_fractions_of_a_second_do_not_drift_over_a_day() -> None:
    async def main() -> tuple[int, float]:
        loop = asyncio.get_running_loop()
        ticks = 0
        while loop.time() < DAY_S - 1:
            await asyncio.sleep(0.7)
            ticks += 1
        return ticks, loop.time()

    ticks, now_s = run_virtual(main)
    assert now_s == pytest.approx(ticks * 0.7, abs=1e-6)


def test_wait_for_runs_out_at_its_deadline() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 90)
        return asyncio.get_running_loop().time()

    assert run_virtual(main) == 90


def test_a_timeout_that_is_met_costs_no_time() -> None:
    async def main() -> float:
        async with asyncio.timeout(90):
            await asyncio.sleep(1)
        return asyncio.get_running_loop().time()

    assert run_virtual(main) == 1


def test_a_task_group_ends_with_its_slowest_task() -> None:
    async def main() -> float:
        async with asyncio.TaskGroup() as group:
            for span_s in (10, 500, 20):
                group.create_task(asyncio.sleep(span_s))
        return asyncio.get_running_loop().time()

    assert run_virtual(main) == 500


def test_a_task_group_that_fails_cancels_the_others_at_once() -> None:
    async def fail() -> None:
        await asyncio.sleep(10)
        raise ValueError("as planned")

    async def main() -> float:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(500))
                group.create_task(fail())
        except* ValueError:
            pass
        return asyncio.get_running_loop().time()

    assert run_virtual(main) == 10


def test_calls_come_in_the_order_of_their_times() -> None:
    async def main() -> list[tuple[str, float]]:
        loop = asyncio.get_running_loop()
        seen: list[tuple[str, float]] = []

        def see(name: str) -> None:
            seen.append((name, loop.time()))

        loop.call_later(30, see, "third")
        loop.call_later(10, see, "first")
        loop.call_later(20, see, "second")
        loop.call_at(25, see, "by the clock")
        loop.call_later(15, see, "never").cancel()
        await asyncio.sleep(31)
        return seen

    assert run_virtual(main) == [("first", 10), ("second", 20), ("by the clock", 25), ("third", 30)]


def test_a_timer_further_away_than_one_select_may_wait_is_reached() -> None:
    async def main() -> float:
        await asyncio.sleep(30 * DAY_S)
        return asyncio.get_running_loop().time()

    assert run_virtual(main) == 30 * DAY_S


def test_the_answer_of_main_is_returned_and_its_error_raised() -> None:
    async def fail() -> None:
        await asyncio.sleep(1)
        raise ValueError("as planned")

    with pytest.raises(ValueError, match="as planned"):
        run_virtual(fail)


def test_tasks_left_behind_are_cancelled_and_may_take_their_time() -> None:
    ended: list[float] = []

    async def linger() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(5)
            ended.append(asyncio.get_running_loop().time())

    async def main() -> None:
        task = asyncio.create_task(linger())
        await asyncio.sleep(1)
        assert not task.done()

    run_virtual(main)
    assert ended == [6]


def test_the_self_pipe_wakes_the_loop_before_time_jumps() -> None:
    async def main() -> tuple[float, str]:
        loop = asyncio.get_running_loop()
        heard: asyncio.Future[str] = loop.create_future()
        thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(heard.set_result, "from a thread"))
        thread.start()
        thread.join()
        async with asyncio.timeout(1_000):
            said = await heard
        return loop.time(), said

    assert run_virtual(main) == (0, "from a thread")


def test_real_sockets_that_are_ready_are_served_before_time_jumps() -> None:
    async def main() -> tuple[bytes, float]:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.settimeout(0)
        with ours, theirs:
            loop.call_later(60, theirs.send, b"ding")
            async with asyncio.timeout(1_000):
                return await loop.sock_recv(ours, 16), loop.time()

    assert run_virtual(main) == (b"ding", 60)


def test_a_server_and_a_client_on_one_loop_talk_over_loopback() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        await asyncio.sleep(30)
        writer.write(line.upper())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def main() -> tuple[bytes, float]:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"tocsin\n")
            said = await reader.read()
            writer.close()
            await writer.wait_closed()
        return said, asyncio.get_running_loop().time()

    assert run_virtual(main) == (b"TOCSIN\n", 30)


def test_a_deadlock_is_an_error_that_names_who_waits_and_where() -> None:
    async def wait_for_godot() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        await asyncio.sleep(7)
        await asyncio.create_task(wait_for_godot(), name="estragon")

    with pytest.raises(Stuck, match=r"(?s)nothing is ready after 7 s.*estragon: .*locks\.py:\d+ in wait"):
        run_virtual(main)


def test_a_wait_without_end_beside_a_loop_that_ticks_is_an_error_too() -> None:
    async def tick() -> None:
        for _ in range(1_000):
            await asyncio.sleep(3_600)

    async def main() -> None:
        ticking = asyncio.create_task(tick(), name="ticking")
        await asyncio.Event().wait()
        ticking.cancel()

    with pytest.raises(Stuck, match=r"(?s)has not ended after 262800 s.*ticking: "):
        run_virtual(main, limit_s=3 * DAY_S)


def test_two_tasks_that_keep_each_other_busy_are_an_error() -> None:
    async def main() -> None:
        for _ in range(2_000):
            await asyncio.sleep(0)

    with pytest.raises(Stuck, match="has not moved for 1000 rounds"):
        run_virtual(main, rounds_max=1_000)


def test_a_stuck_simulation_still_cleans_up() -> None:
    ended: list[str] = []

    async def main() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(60)
            ended.append("main")

    with pytest.raises(Stuck):
        run_virtual(main)
    gc.collect()
    assert ended == ["main"]


def test_wall_time_follows_the_loop() -> None:
    async def main() -> tuple[int, bool, float]:
        clock = LoopClock(asyncio.get_running_loop(), start_ms=1_800_000_000_000)
        woken = await wait_until(clock, 1_800_000_000_000 + 3_600_500, asyncio.Event())
        return clock.now_ms(), woken, clock.monotonic_s()

    assert run_virtual(main) == (1_800_003_600_500, False, 3_600.5)


def test_offloaded_work_runs_inline() -> None:
    async def main() -> tuple[int, float]:
        return await InlineOffload().run(threading.get_ident), asyncio.get_running_loop().time()

    assert run_virtual(main) == (threading.get_ident(), 0)


def test_two_runs_give_the_same_order() -> None:
    def play() -> list[tuple[float, int]]:
        seen: list[tuple[float, int]] = []

        async def walk(number: int) -> None:
            for step in range(20):
                await asyncio.sleep(number + step * 0.5)
                seen.append((asyncio.get_running_loop().time(), number))

        async def main() -> None:
            await asyncio.gather(*(walk(number) for number in range(5)))

        run_virtual(main)
        return seen

    assert play() == play()


def test_a_loop_may_be_made_by_hand() -> None:
    loop = VirtualLoop()
    try:
        assert loop.run_until_complete(asyncio.sleep(10, "done")) == "done"
        assert loop.time() == 10
    finally:
        loop.close()
