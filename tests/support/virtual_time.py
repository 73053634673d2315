"""Virtual time: an event loop that never waits, so that a simulated week passes in about a second.

Real sockets are served as long as they are ready at once; what threads do later is not waited for, so
give the code under test `runtime.offload.InlineOffload` and `runtime.clock.LoopClock(loop, start_ms)`.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

DAY_S = 86_400.0
ROUNDS_MAX = 1_000_000

_Ready = list[tuple[selectors.SelectorKey, int]]


class Stuck(AssertionError):
    """The simulation would never end; the text says which tasks wait, and where."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock starts at 0 and jumps to the next timer whenever nothing is ready.

    Raises Stuck out of `run_until_complete` when every task waits for ever, when the clock passes `limit_s`
    (a test waits for what never happens while some other loop ticks on), and when `rounds_max` rounds
    pass without the clock moving (two tasks keep each other busy).
    """

    def __init__(self, limit_s: float = 100 * DAY_S, rounds_max: int = ROUNDS_MAX) -> None:
        self._jumper = _Jumper(limit_s, rounds_max, self._give_up)
        super().__init__(self._jumper)

    def time(self) -> float:
        return self._jumper.now_s

    def _give_up(self, why: str) -> NoReturn:
        tasks = sorted(asyncio.all_tasks(self), key=lambda task: task.get_name())
        raise Stuck(
            "\n  ".join([f"{why} after {self.time():g} s; what the tasks wait for:", *map(_whereabouts, tasks)])
        )


def run_virtual(
    main: Callable[[], Coroutine[Any, Any, T]], *, limit_s: float = 100 * DAY_S, rounds_max: int = ROUNDS_MAX
) -> T:
    """What `main()` returns, run to its end on a loop of its own. Tasks that it left behind are cancelled."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(limit_s, rounds_max)) as runner:
        return runner.run(main())


class _Jumper(selectors.DefaultSelector):
    """Looks at what is ready and returns at once; the time it should have waited is added to `now_s`."""

    def __init__(self, limit_s: float, rounds_max: int, give_up: Callable[[str], NoReturn]) -> None:
        super().__init__()
        self.now_s = 0.0
        self._limit_s = limit_s
        self._rounds_max = rounds_max
        self._rounds = 0
        self._give_up = give_up

    def select(self, timeout: float | None = None) -> _Ready:
        """`timeout` None means that the loop has neither a timer nor anything to run."""
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            self._stand_still()
        elif timeout is None:
            self._give_up("nothing is scheduled and nothing is ready")
        else:
            self._jump(timeout)
        return ready

    def _jump(self, span_s: float) -> None:
        self._rounds = 0
        self.now_s += span_s
        if self.now_s > self._limit_s:
            self._limit_s = self.now_s + DAY_S  # for what the cancelled tasks do before they end
            self._give_up("the simulation has not ended")

    def _stand_still(self) -> None:
        self._rounds += 1
        if self._rounds > self._rounds_max:
            self._rounds = 0
            self._give_up(f"the clock has not moved for {self._rounds_max} rounds")


def _whereabouts(task: asyncio.Task[Any]) -> str:
    """The task's name and the innermost line of ours or the library's where it is suspended."""
    waiting: Any = task.get_coro()
    frame = None
    while waiting is not None and getattr(waiting, "cr_frame", None) is not None:
        frame = waiting.cr_frame
        waiting = waiting.cr_await
    place = f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}" if frame else "no frame"
    return f"{task.get_name()}: {place}"
