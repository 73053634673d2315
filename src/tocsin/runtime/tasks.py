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
        """Run `loop` until it returns. When it raises, run it again after a growing wait."""
        if name in self._running:
            raise ValueError(f"a task named {name!r} runs already")
        self._running[name] = asyncio.create_task(self._supervise(name, loop), name=name)

    async def stop(self, name: str) -> None:
        task = self._running.pop(name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._running)

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
            except Exception:  # the one broad except: a loop must survive whatever happens in a round
                self._crashes.labels(name).inc()
                log.exception("task crashed and will be started again", task=name)
            attempt = 1 if self._clock.monotonic_s() - began_s > HEALTHY_S else attempt + 1
            await asyncio.sleep(self._backoff.delay_s(attempt, self._chance))
