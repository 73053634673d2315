from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
from tests.support.virtual_time import run_virtual

from tocsin.runtime.backoff import Backoff
from tocsin.runtime.clock import LoopClock
from tocsin.runtime.tasks import CANCEL_AGAIN_S, HEALTHY_S, Tasks
from tocsin.runtime.telemetry import Telemetry


def now_s() -> float:
    return asyncio.get_running_loop().time()


def supervised(telemetry: Telemetry | None = None, backoff: Backoff | None = None) -> Tasks:
    clock = LoopClock(asyncio.get_running_loop(), 0)
    return Tasks(clock, random.Random(1), telemetry or Telemetry(), backoff)


def crashes(telemetry: Telemetry, name: str) -> float:
    return telemetry.registry.get_sample_value("tocsin_task_crashes_total", {"task": name}) or 0.0


class Crashing:
    """A loop that lives for `life_s` and dies, `times` times; then it waits to be cancelled."""

    def __init__(self, times: int, life_s: float = 0.0) -> None:
        self.times = times
        self.life_s = life_s
        self.began_s: list[float] = []

    async def run(self) -> None:
        self.began_s.append(now_s())
        await asyncio.sleep(self.life_s)
        if len(self.began_s) <= self.times:
            raise ValueError("as planned")
        await asyncio.Event().wait()

    @property
    def waits_s(self) -> list[float]:
        return [later - earlier - self.life_s for earlier, later in zip(self.began_s, self.began_s[1:], strict=False)]


def waiting(told: list[str], name: str) -> Callable[[], Awaitable[None]]:
    async def loop() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            told.append(name)

    return loop


def test_a_loop_that_dies_is_started_again_after_growing_waits() -> None:
    crashing = Crashing(times=12)

    async def main() -> None:
        async with supervised() as tasks:
            tasks.start("loop", crashing.run)
            await asyncio.sleep(3_600)

    run_virtual(main)
    assert len(crashing.began_s) == 13
    for number, wait_s in enumerate(crashing.waits_s):
        whole_s = min(60.0, 0.5 * 2**number)
        assert whole_s / 2 <= wait_s <= whole_s


def test_each_crash_is_counted_under_the_name_of_its_task() -> None:
    telemetry = Telemetry()

    async def main() -> None:
        async with supervised(telemetry) as tasks:
            tasks.start("bad", Crashing(times=3).run)
            tasks.start("good", Crashing(times=0).run)
            await asyncio.sleep(3_600)

    run_virtual(main)
    assert crashes(telemetry, "bad") == 3
    assert crashes(telemetry, "good") == 0


def test_a_crash_is_logged_with_its_cause(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with supervised() as tasks:
            tasks.start("bad", Crashing(times=1).run)
            await asyncio.sleep(10)

    run_virtual(main)
    assert "task crashed and will be started again" in caplog.text
    assert "task=bad" in caplog.text
    assert "ValueError: as planned" in caplog.text


def test_a_loop_that_was_healthy_for_a_while_starts_over_with_short_waits() -> None:
    crashing = Crashing(times=10, life_s=HEALTHY_S + 1)

    async def main() -> None:
        async with supervised() as tasks:
            tasks.start("loop", crashing.run)
            await asyncio.sleep(3_600)

    run_virtual(main)
    assert len(crashing.waits_s) == 10
    assert all(0.25 <= wait_s <= 0.5 + 1e-6 for wait_s in crashing.waits_s)


def test_the_waits_are_those_of_the_given_backoff() -> None:
    crashing = Crashing(times=5)

    async def main() -> None:
        async with supervised(backoff=Backoff(first_s=100, factor=1, max_s=100)) as tasks:
            tasks.start("loop", crashing.run)
            await asyncio.sleep(3_600)

    run_virtual(main)
    assert all(50 <= wait_s <= 100 for wait_s in crashing.waits_s)


def test_one_that_dies_leaves_the_others_alone() -> None:
    steady = Crashing(times=0)

    async def main() -> None:
        async with supervised() as tasks:
            tasks.start("bad", Crashing(times=100).run)
            tasks.start("steady", steady.run)
            await asyncio.sleep(3_600)
            assert tasks.names == ("bad", "steady")

    run_virtual(main)
    assert steady.began_s == [0]


def test_leaving_cancels_in_the_opposite_order_of_the_start_and_waits() -> None:
    told: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(3)
            told.append("slow")

    async def main() -> float:
        async with supervised() as tasks:
            tasks.start("first", waiting(told, "first"))
            tasks.start("slow", slow)
            tasks.start("last", waiting(told, "last"))
            await asyncio.sleep(1)
        return now_s()

    assert run_virtual(main) == 4
    assert told == ["last", "slow", "first"]


def test_leaving_by_an_error_cancels_too_and_raises_it() -> None:
    told: list[str] = []

    async def main() -> None:
        async with supervised() as tasks:
            tasks.start("loop", waiting(told, "loop"))
            await asyncio.sleep(1)
            raise ValueError("as planned")

    with pytest.raises(ValueError, match="as planned"):
        run_virtual(main)
    assert told == ["loop"]


def test_a_loop_is_stopped_while_it_waits_to_be_started_again() -> None:
    crashing = Crashing(times=100)

    async def main() -> float:
        async with supervised(backoff=Backoff(first_s=1_000, max_s=1_000)) as tasks:
            tasks.start("loop", crashing.run)
            await asyncio.sleep(1)
        return now_s()

    assert run_virtual(main) == 1
    assert len(crashing.began_s) == 1


def test_a_loop_that_returns_is_done_and_its_name_is_free() -> None:
    runs: list[float] = []

    async def once() -> None:
        runs.append(now_s())

    async def main() -> None:
        async with supervised() as tasks:
            tasks.start("once", once)
            await asyncio.sleep(5)
            assert tasks.names == ()
            tasks.start("once", once)
            await asyncio.sleep(5)

    run_virtual(main)
    assert runs == [0, 5]


def test_a_name_is_used_once_at_a_time() -> None:
    told: list[str] = []

    async def main() -> None:
        async with supervised() as tasks:
            tasks.start("loop", waiting(told, "loop"))
            with pytest.raises(ValueError, match="'loop' runs already"):
                tasks.start("loop", waiting(told, "other"))
            await asyncio.sleep(1)

    run_virtual(main)
    assert told == ["loop"]


def test_one_loop_can_be_stopped_alone_and_started_again() -> None:
    told: list[str] = []

    async def main() -> None:
        async with supervised() as tasks:
            tasks.start("one", waiting(told, "one"))
            tasks.start("two", waiting(told, "two"))
            await asyncio.sleep(1)
            await tasks.stop("one")
            assert (told, tasks.names) == (["one"], ("two",))
            tasks.start("one", waiting(told, "one again"))
            await asyncio.sleep(1)

    run_virtual(main)
    assert told == ["one", "one again", "two"]


def test_stopping_what_was_never_started_is_a_mistake() -> None:
    async def main() -> None:
        async with supervised() as tasks:
            with pytest.raises(KeyError):
                await tasks.stop("nobody")

    run_virtual(main)


def test_what_it_awaited_being_cancelled_is_a_crash_not_the_end() -> None:
    telemetry = Telemetry()
    rounds: list[float] = []

    async def loop() -> None:
        rounds.append(now_s())
        if len(rounds) == 3:
            await asyncio.Event().wait()
        inner = asyncio.create_task(asyncio.sleep(100))
        asyncio.get_running_loop().call_later(1, inner.cancel)
        await inner

    async def main() -> None:
        async with supervised(telemetry) as tasks:
            tasks.start("loop", loop)
            await asyncio.sleep(100)
            assert tasks.names == ("loop",)

    run_virtual(main)
    assert len(rounds) == 3
    assert crashes(telemetry, "loop") == 2


def test_a_loop_that_swallows_its_cancel_is_cancelled_again() -> None:
    swallowed: list[float] = []

    async def stubborn() -> None:
        while len(swallowed) < 3:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed.append(now_s())

    async def main() -> float:
        async with supervised() as tasks:
            tasks.start("stubborn", stubborn)
            await asyncio.sleep(1)
        return now_s()

    assert run_virtual(main) == 1 + 2 * CANCEL_AGAIN_S
    assert swallowed == [1, 1 + CANCEL_AGAIN_S, 1 + 2 * CANCEL_AGAIN_S]


def test_a_task_stopped_before_it_ever_ran_never_runs() -> None:
    crashing = Crashing(times=0)

    async def main() -> None:
        async with supervised() as tasks:
            tasks.start("loop", crashing.run)

    run_virtual(main)
    assert crashing.began_s == []
