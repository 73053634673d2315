from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from tests.support.virtual_time import run_virtual

from tocsin.runtime.clock import Clock, FixedClock, LoopClock, SystemClock, wait_until

START_MS = 1_800_000_000_000


def loop_clock() -> LoopClock:
    return LoopClock(asyncio.get_running_loop(), START_MS)


class JumpingClock:
    """Follows the loop, until its wall time is set forward."""

    def __init__(self) -> None:
        self._clock = loop_clock()
        self.ahead_ms = 0

    def now_ms(self) -> int:
        return self._clock.now_ms() + self.ahead_ms

    def monotonic_s(self) -> float:
        return self._clock.monotonic_s()


def elapsed_s() -> float:
    return asyncio.get_running_loop().time()


def test_the_system_clock_is_in_utc_milliseconds() -> None:
    before = datetime.now(UTC)
    now_ms = SystemClock().now_ms()
    after = datetime.now(UTC)
    assert int(before.timestamp() * 1_000) <= now_ms <= after.timestamp() * 1_000


def test_monotonic_time_does_not_fall() -> None:
    clock = SystemClock()
    seen = [clock.monotonic_s() for _ in range(100)]
    assert seen == sorted(seen)


def test_a_fixed_clock_moves_when_it_is_told_to() -> None:
    clock = FixedClock(1_000)
    assert (clock.now_ms(), clock.monotonic_s()) == (1_000, 1.0)
    assert clock.advance(500) == 1_500
    assert (clock.now_ms(), clock.monotonic_s()) == (1_500, 1.5)


def test_a_loop_clock_starts_where_it_is_told_on_a_loop_that_already_ran() -> None:
    async def main() -> tuple[int, int]:
        await asyncio.sleep(100)
        clock = loop_clock()
        await asyncio.sleep(2.5)
        return START_MS, clock.now_ms()

    assert run_virtual(main) == (START_MS, START_MS + 2_500)


def test_waiting_ends_at_the_deadline() -> None:
    async def main() -> tuple[bool, float]:
        return await wait_until(loop_clock(), START_MS + 250_000, asyncio.Event()), elapsed_s()

    assert run_virtual(main) == (False, 250)


def test_waiting_ends_when_woken_and_the_wake_is_cleared() -> None:
    async def main() -> tuple[bool, float, bool]:
        wake = asyncio.Event()
        asyncio.get_running_loop().call_later(90, wake.set)
        return await wait_until(loop_clock(), START_MS + 250_000, wake), elapsed_s(), wake.is_set()

    assert run_virtual(main) == (True, 90, False)


def test_without_a_deadline_only_the_wake_ends_the_wait() -> None:
    async def main() -> tuple[bool, float]:
        wake = asyncio.Event()
        asyncio.get_running_loop().call_later(86_400, wake.set)
        return await wait_until(loop_clock(), None, wake), elapsed_s()

    assert run_virtual(main) == (True, 86_400)


def test_a_wake_that_came_before_is_not_lost() -> None:
    async def main() -> tuple[bool, bool, float]:
        wake = asyncio.Event()
        wake.set()
        clock = loop_clock()
        return await wait_until(clock, START_MS, wake), await wait_until(clock, START_MS + 1, wake), elapsed_s()

    assert run_virtual(main) == (True, False, 0.001)


def test_a_deadline_in_the_past_costs_no_time() -> None:
    async def main() -> tuple[bool, float]:
        return await wait_until(loop_clock(), START_MS - 1, asyncio.Event()), elapsed_s()

    assert run_virtual(main) == (False, 0)


def test_a_clock_set_forward_is_noticed_within_a_minute() -> None:
    async def main() -> tuple[bool, float]:
        clock = JumpingClock()

        def jump() -> None:
            clock.ahead_ms = 3_600_000

        asyncio.get_running_loop().call_later(30, jump)
        asked: Clock = clock
        return await wait_until(asked, START_MS + 3_600_000, asyncio.Event()), elapsed_s()

    assert run_virtual(main) == (False, 60)


def test_a_clock_set_back_makes_the_wait_longer_not_the_deadline_wrong() -> None:
    async def main() -> tuple[bool, float]:
        clock = JumpingClock()
        clock.ahead_ms = -10_000
        return await wait_until(clock, START_MS + 20_000, asyncio.Event()), elapsed_s()

    assert run_virtual(main) == (False, 30)


def test_a_cancel_that_comes_together_with_the_wake_is_not_lost() -> None:
    async def main() -> tuple[bool, float]:
        wake = asyncio.Event()
        clock = loop_clock()

        async def serve() -> None:
            while True:
                await wait_until(clock, None, wake)

        task = asyncio.create_task(serve())
        await asyncio.sleep(1)
        wake.set()
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task], timeout=3_600)
        return task.cancelled(), elapsed_s()

    assert run_virtual(main) == (True, 1)
