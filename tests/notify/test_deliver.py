from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
from structlog.testing import capture_logs
from tests.notify.letters import FIRED_MS, MemoryOutbox, a_letter, an_alert
from tests.support.virtual_time import run_virtual

from tocsin.model.duration import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, Duration
from tocsin.model.errors import UserError
from tocsin.model.outbox import Letter, LetterState
from tocsin.notify.deliver import LEASE_MARGIN_MS, Again, Delivery, settle
from tocsin.notify.ports import Delivered, Outcome, Rejected, Retry
from tocsin.notify.settings import DeliverySettings
from tocsin.runtime.clock import Clock, LoopClock
from tocsin.runtime.telemetry import Telemetry

SETTINGS = DeliverySettings()
SENT, QUEUED, DEAD = LetterState.SENT, LetterState.QUEUED, LetterState.DEAD
TAKEN = Delivered("250 ok")


@dataclass
class Post:
    """A receiver that answers what `answer` says of the letter and the time, after `takes_s`."""

    clock: Clock
    answer: Callable[[Letter, int], Outcome] = lambda letter, at_ms: TAKEN
    takes_s: float = 0.01
    hangs: str = ""
    sent: list[tuple[int, Letter]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    async def send(self, letter: Letter) -> Outcome:
        self.sent.append((self.clock.now_ms(), letter))
        if letter.target.receiver == self.hangs:
            await asyncio.Event().wait()
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(self.takes_s)
        self.at_once -= 1
        return self.answer(letter, self.clock.now_ms())

    async def close(self) -> None:
        pass


@dataclass
class Scene:
    clock: LoopClock
    outbox: MemoryOutbox
    post: Post
    telemetry: Telemetry
    settings: DeliverySettings = SETTINGS

    def delivery(self) -> Delivery:
        return Delivery(
            self.outbox,
            self.post,
            self.clock,
            chance=random.Random(7),
            telemetry=self.telemetry,
            settings=self.settings,
            worker="node-1",
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Delivery]:
        delivery = self.delivery()
        task = asyncio.create_task(delivery.run())
        try:
            yield delivery
        finally:
            task.cancel()
            await asyncio.wait([task])

    def count(self, name: str) -> float:
        value = self.telemetry.registry.get_sample_value(f"tocsin_{name}", {"receiver": "email", "kind": "firing"})
        return value or 0.0


def a_scene(*letters: Letter, settings: DeliverySettings = SETTINGS) -> Scene:
    """For the running loop, at FIRED_MS."""
    clock = LoopClock(asyncio.get_running_loop(), FIRED_MS)
    return Scene(clock, MemoryOutbox(*letters), Post(clock), Telemetry(), settings)


def letters(count: int, receiver: str = "email", first_id: int = 1) -> list[Letter]:
    return [a_letter(an_alert(id=number), id=number, receiver=receiver) for number in range(first_id, first_id + count)]


def test_a_letter_leaves_when_the_bell_rings() -> None:
    async def main() -> None:
        scene = a_scene()
        async with scene.running() as delivery:
            await asyncio.sleep(10)
            scene.outbox.rows[1] = a_letter()
            delivery.ring()
            sent = await scene.outbox.until(1, SENT)
        assert sent.answer == "250 ok"
        assert sent.attempts == 1
        assert [at_ms - FIRED_MS for at_ms, _ in scene.post.sent] == [10_000]
        assert scene.count("notifications_sent_total") == 1

    run_virtual(main)


def test_a_letter_that_came_without_a_bell_leaves_within_a_minute() -> None:
    async def main() -> None:
        scene = a_scene()
        async with scene.running():
            await asyncio.sleep(10)
            scene.outbox.rows[1] = a_letter()
            await scene.outbox.until(1, SENT)
        assert scene.clock.now_ms() - FIRED_MS <= MINUTE_MS + SECOND_MS

    run_virtual(main)


def test_an_hour_without_a_server_costs_few_attempts_and_no_letter() -> None:
    async def main() -> None:
        scene = a_scene(a_letter())
        up_ms = FIRED_MS + HOUR_MS
        scene.post.answer = lambda letter, at_ms: TAKEN if at_ms >= up_ms else Retry("nobody answers")
        async with scene.running():
            sent = await scene.outbox.until(1, SENT)
        times = [at_ms for at_ms, _ in scene.post.sent]
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert 2_500 <= gaps[0] <= 6_000
        assert all(gap <= 5 * MINUTE_MS + SECOND_MS for gap in gaps)
        assert sent.sent_at_ms < up_ms + 5 * MINUTE_MS + SECOND_MS
        assert len(times) < 30
        assert scene.count("notifications_failed_total") == len(times) - 1

    run_virtual(main)


def test_a_receiver_that_says_when_is_not_asked_before() -> None:
    async def main() -> None:
        scene = a_scene(a_letter())
        scene.post.answer = lambda letter, at_ms: TAKEN if letter.attempts > 1 else Retry("slow down", 600.0)
        async with scene.running():
            await scene.outbox.until(1, SENT)
        first, second = (at_ms for at_ms, _ in scene.post.sent)
        assert second - first >= 600 * SECOND_MS

    run_virtual(main)


def test_a_rejected_letter_is_dead_at_once() -> None:
    async def main() -> None:
        scene = a_scene(a_letter())
        scene.post.answer = lambda letter, at_ms: Rejected("550 no such user")
        async with scene.running():
            dead = await scene.outbox.until(1, DEAD)
        assert dead.last_error == "550 no such user"
        assert dead.attempts == 1
        assert scene.count("notifications_dead_total") == 1

    run_virtual(main)


def test_a_letter_is_given_up_at_its_deadline() -> None:
    async def main() -> None:
        scene = a_scene(a_letter(expires_ms=FIRED_MS + HOUR_MS))
        scene.post.answer = lambda letter, at_ms: Retry("nobody answers")
        async with scene.running():
            dead = await scene.outbox.until(1, DEAD)
        assert scene.clock.now_ms() <= FIRED_MS + HOUR_MS
        assert dead.last_error.startswith("Given up after")
        assert dead.last_error.endswith("nobody answers")

    run_virtual(main)


def test_a_letter_whose_deadline_passed_while_nobody_ran_is_not_sent() -> None:
    async def main() -> None:
        old = replace(a_letter(created_ms=FIRED_MS - 2 * DAY_MS), last_error="nobody answers")
        scene = a_scene(old)
        async with scene.running():
            dead = await scene.outbox.until(1, DEAD)
        assert dead.last_error == "Given up after 2 d: nobody answers"
        assert scene.post.sent == []

    run_virtual(main)


def test_a_receiver_that_hangs_delays_nobody_else() -> None:
    async def main() -> None:
        scene = a_scene(*letters(100, "pager"), *letters(50, "email", 101))
        scene.post.hangs = "pager"
        async with scene.running():
            for number in range(101, 151):
                await scene.outbox.until(number, SENT)
            assert scene.clock.now_ms() - FIRED_MS < 5 * SECOND_MS
            hanging = [letter for _, letter in scene.post.sent if letter.target.receiver == "pager"]
            assert len(hanging) == SETTINGS.at_once_each

    run_virtual(main)


def test_no_more_letters_are_under_way_than_allowed() -> None:
    async def main() -> None:
        settings = DeliverySettings(at_once=6, at_once_each=4)
        scene = a_scene(*letters(20, "email"), *letters(20, "pager", 21), settings=settings)
        async with scene.running():
            for number in range(1, 41):
                await scene.outbox.until(number, SENT)
        assert scene.post.most_at_once == 6
        assert len(scene.post.sent) == 40

    run_virtual(main)


def test_a_send_that_takes_too_long_is_tried_again() -> None:
    async def main() -> None:
        scene = a_scene(a_letter())
        scene.post.hangs = "email"
        async with scene.running():
            waiting = await scene.outbox.until(1, QUEUED, attempts=1)
            assert waiting.last_error == "The receiver email took longer than 1m."
            scene.post.hangs = ""
            await scene.outbox.until(1, SENT)

    run_virtual(main)


def test_a_receiver_that_raises_stops_nobody_else() -> None:
    def broken(letter: Letter, at_ms: int) -> Outcome:
        if letter.id == 1 and letter.attempts == 1:
            raise ZeroDivisionError
        return TAKEN

    async def main() -> None:
        scene = a_scene(*letters(2))
        scene.post.answer = broken
        async with scene.running():
            await scene.outbox.until(2, SENT)
            waiting = await scene.outbox.until(1, QUEUED, attempts=1)
            assert waiting.last_error == "tocsin failed to send this: ZeroDivisionError; its log says more."
            await scene.outbox.until(1, SENT)

    with capture_logs() as logs:
        run_virtual(main)
    assert "a receiver failed in a way of its own" in [entry["event"] for entry in logs]


def test_a_sent_letter_that_cannot_be_recorded_for_long_is_not_sent_twice() -> None:
    async def main() -> None:
        scene = a_scene(a_letter())
        scene.outbox.away_marks = 40
        async with scene.running():
            sent = await scene.outbox.until(1, SENT)
        lease_ms = SETTINGS.send_timeout + LEASE_MARGIN_MS
        assert sent.sent_at_ms - FIRED_MS > 2 * lease_ms
        assert len(scene.post.sent) == 1

    run_virtual(main)


def test_a_crash_after_the_send_costs_one_copy_with_the_same_key() -> None:
    async def main() -> None:
        scene = a_scene(a_letter())
        scene.outbox.away_marks = 1_000_000
        async with scene.running():
            await asyncio.sleep(1)
        scene.outbox.away_marks = 0
        async with scene.running():
            await scene.outbox.until(1, SENT)
        (first_ms, first), (second_ms, second) = scene.post.sent
        assert first.key == second.key
        assert second_ms - first_ms < SETTINGS.send_timeout  # the next start does not wait for the lease

    run_virtual(main)


def test_an_outbox_that_is_away_is_asked_again() -> None:
    async def main() -> None:
        scene = a_scene(a_letter())
        scene.outbox.away = 5
        async with scene.running():
            await scene.outbox.until(1, SENT)
        assert scene.clock.now_ms() - FIRED_MS < MINUTE_MS

    run_virtual(main)


def test_what_is_under_way_at_shutdown_may_finish() -> None:
    async def main() -> None:
        scene = a_scene(a_letter())
        scene.post.takes_s = 2.0
        async with scene.running():
            await asyncio.sleep(1)
        assert scene.outbox.rows[1].state is SENT

    run_virtual(main)


def test_what_hangs_at_shutdown_is_left_to_its_lease() -> None:
    async def main() -> None:
        scene = a_scene(a_letter())
        scene.post.hangs = "email"
        async with scene.running():
            await asyncio.sleep(1)
        assert scene.clock.now_ms() - FIRED_MS == SECOND_MS + SETTINGS.grace
        assert scene.outbox.rows[1].state is LetterState.SENDING

    run_virtual(main)


def test_the_delay_of_each_letter_is_measured() -> None:
    async def main() -> None:
        scene = a_scene(a_letter(created_ms=FIRED_MS - 10 * SECOND_MS))
        async with scene.running():
            await scene.outbox.until(1, SENT)
        total = scene.telemetry.registry.get_sample_value(
            "tocsin_notification_delay_seconds_sum", {"receiver": "email"}
        )
        assert total == pytest.approx(10.01)

    run_virtual(main)


def test_settings_that_cannot_work_are_refused() -> None:
    async def main() -> None:
        with pytest.raises(UserError, match="retry_first"):
            a_scene(settings=DeliverySettings(retry_first=Duration(0))).delivery()

    run_virtual(main)


@pytest.mark.parametrize(
    ("outcome", "end"),
    [
        (TAKEN, TAKEN),
        (Rejected("no"), Rejected("no")),
        (Retry("later"), Again("later", FIRED_MS + 5_000)),
        (Retry("later", 60.0), Again("later", FIRED_MS + 60_000)),
        (Retry("later", 1.0), Again("later", FIRED_MS + 5_000)),
        (Retry("later", 7_200.0), Rejected("Given up after 0 s: later")),
    ],
)
def test_an_attempt_settles_what_becomes_of_the_letter(outcome: Outcome, end: object) -> None:
    assert settle(a_letter(expires_ms=FIRED_MS + HOUR_MS), outcome, FIRED_MS, wait_s=5.0) == end
