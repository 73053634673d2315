"""Time, as an argument: nothing outside runtime asks the system for it."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    def now_ms(self) -> int:
        """Wall time, int ms UTC."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that only ever rise, for measuring spans."""
        ...


class SystemClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()


class LoopClock:
    """Wall time that follows the running event loop: on a virtual-time loop, a week passes in a second."""

    def __init__(self, loop: asyncio.AbstractEventLoop, start_ms: int) -> None:
        self._loop = loop
        self._start_ms = start_ms
        self._loop_start_s = loop.time()

    def now_ms(self) -> int:
        return self._start_ms + round((self._loop.time() - self._loop_start_s) * 1_000)

    def monotonic_s(self) -> float:
        return self._loop.time()


class FixedClock:
    """A clock for tests that moves when it is told to."""

    def __init__(self, at_ms: int = 1_800_000_000_000) -> None:
        self.at_ms = at_ms
        self._jumped_ms = 0

    def now_ms(self) -> int:
        return self.at_ms

    def monotonic_s(self) -> float:
        return (self.at_ms - self._jumped_ms) / 1_000

    def advance(self, ms: int) -> int:
        self.at_ms += ms
        return self.at_ms

    def jump(self, ms: int) -> int:
        """Somebody sets the clock: no time passes."""
        self._jumped_ms += ms
        return self.advance(ms)


async def wait_until(clock: Clock, deadline_ms: int | None, wake: asyncio.Event) -> bool:
    """Wait for `wake` or the deadline (None: for `wake` alone). True, and `wake` cleared, where it was set.

    A deadline is looked at again at least once a minute, so that a jump of the wall clock delays
    nothing by more than that.
    """
    while not wake.is_set():
        left_s = 60.0 if deadline_ms is None else (deadline_ms - clock.now_ms()) / 1_000
        if left_s <= 0:
            return False
        try:
            # not wait_for: before Python 3.12 it forgets a cancel that comes together with the wake
            async with asyncio.timeout(min(left_s, 60.0)):
                await wake.wait()
        except TimeoutError:
            continue
    wake.clear()
    return True
