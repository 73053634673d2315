"""Supervised tasks: a loop that dies is logged, counted and started again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from tocsin.runtime.backoff import Backoff
from tocsin.runtime.clock import Clock
from tocsin.runtime.log import get_log
from tocsin.runtime.telemetry import Telemetry

log = get_log("tasks")

HEALTHY_S = 60.0
CANCEL_AGAIN_S = 5.0


class Tasks:
    """Owns the loops of a server. Leaving the context cancels them, last started first, and waits."""

    def __init__(
        self, clock: Clock, chance: random.Random, telemetry: Telemetry, backoff: Backoff | None = None
    ) -> None:
        self._clock = clock
        self._chance = chance
        self._backoff = backoff or Backoff(first_s=0.5, max_s=60.0)
        self._crashes = telemetry.counter("task_crashes", "Loops that died and were started again.", ["task"])
        self._running: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, loop: Callable[[], Awaitable[None]]) -> None:
        """Run `loop` until it returns. When it raises, run it again after a growing wait.

        Raises ValueError while a task of this name runs.
        """
        if name in self.names:
            raise ValueError(f"a task named {name!r} runs already")
        self._running[name] = asyncio.create_task(self._supervise(name, loop), name=name)

    async def stop(self, name: str) -> None:
        """Cancel it and wait until it is gone. Raises KeyError for a name that was never started."""
        task = self._running.pop(name)
        task.cancel()
        while not (await asyncio.wait([task], timeout=CANCEL_AGAIN_S))[0]:
            log.warning("task does not stop; cancelling it again", task=name)
            task.cancel()

    @property
    def names(self) -> tuple[str, ...]:
        """Those that run, in the order of their start."""
        return tuple(name for name, task in self._running.items() if not task.done())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in reversed(list(self._running)):
            await self.stop(name)

    async def _supervise(self, name: str, loop: Callable[[], Awaitable[None]]) -> None:
        attempt = 0
        while True:
            began_s = self._clock.monotonic_s()
            try:
                return await loop()
            except asyncio.CancelledError as error:
                if _being_cancelled():
                    raise
                self._crashed(name, error)  # something that it awaited was cancelled by somebody else
            except Exception as error:  # the one broad except: a loop must survive whatever happens in a round
                self._crashed(name, error)
            attempt = 1 if self._clock.monotonic_s() - began_s > HEALTHY_S else attempt + 1
            await asyncio.sleep(self._backoff.delay_s(attempt, self._chance))

    def _crashed(self, name: str, error: BaseException) -> None:
        self._crashes.labels(name).inc()
        log.error("task crashed and will be started again", task=name, exc_info=error)


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
