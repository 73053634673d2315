"""The delivery loop: claims due letters, sends them, and writes down what became of each."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from tocsin.model.duration import MINUTE_MS, SECOND_MS, Duration
from tocsin.model.errors import StoreError
from tocsin.model.outbox import Letter
from tocsin.notify.plain import span_text
from tocsin.notify.ports import Delivered, Outbox, Outcome, Receiver, Rejected, Retry
from tocsin.notify.settings import DeliverySettings, check_delivery
from tocsin.runtime.backoff import Backoff
from tocsin.runtime.clock import Clock, wait_until
from tocsin.runtime.log import get_log
from tocsin.runtime.telemetry import Telemetry

log = get_log("notify")

LEASE_MARGIN_MS = 30 * SECOND_MS
LOOK_AGAIN_MS = SECOND_MS
LOOK_ANYWAY_MS = MINUTE_MS
RECORD_TRIES = 120
STORE_BACKOFF = Backoff(first_s=0.1, max_s=10.0)
DELAY_BUCKETS = (0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1_800.0, 7_200.0, 43_200.0, 172_800.0)


@dataclass(frozen=True, slots=True)
class Again:
    """The letter is to be tried once more at `at_ms`."""

    why: str
    at_ms: int


def settle(letter: Letter, outcome: Outcome, at_ms: int, wait_s: float) -> Delivered | Again | Rejected:
    """What becomes of a letter after an attempt that ended at `at_ms`; `wait_s` is its backoff.

    A letter is given up when its next attempt would come after its deadline.
    """
    if not isinstance(outcome, Retry):
        return outcome
    next_ms = at_ms + round(max(wait_s, outcome.after_s or 0.0) * SECOND_MS)
    return Again(outcome.why, next_ms) if next_ms < letter.expires_at_ms else given_up(letter, outcome.why, at_ms)


def given_up(letter: Letter, why: str, at_ms: int) -> Rejected:
    """A letter whose deadline has come, or comes before it could be tried again."""
    return Rejected(f"Given up after {span_text(at_ms - letter.created_at_ms)}: {why}")


class Delivery:
    """Sends what is in the outbox. Holds at most `settings.at_once` letters, all of them being sent or recorded.

    `worker` names this server across its restarts; two that run at once have different names.

    No letter waits in here: only as many are claimed as can start at once, and none for a receiver that
    has its share under way, so that one which hangs delays nobody else. Raises UserError for settings that
    cannot work.
    """

    def __init__(
        self,
        outbox: Outbox,
        receivers: Receiver,
        clock: Clock,
        *,
        chance: random.Random,
        telemetry: Telemetry,
        settings: DeliverySettings,
        worker: str,
        store_backoff: Backoff = STORE_BACKOFF,
    ) -> None:
        self._outbox = outbox
        self._receivers = receivers
        self._clock = clock
        self._worker = worker
        self._chance = chance
        self._settings = check_delivery(settings)
        self._backoff = Backoff(first_s=settings.retry_first.seconds, max_s=settings.retry_max.seconds)
        self._store_backoff = store_backoff
        self._bell = asyncio.Event()
        self._held: dict[int, Letter] = {}
        self._shares: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        labels = ("receiver", "kind")
        self._sent = telemetry.counter("notifications_sent", "Messages that a receiver has taken.", labels)
        self._failed = telemetry.counter("notifications_failed", "Attempts that failed.", labels)
        self._dead = telemetry.counter("notifications_dead", "Messages that were given up.", labels)
        self._under_way = telemetry.gauge("notifications_under_way", "Messages being sent now.")
        self._delay = telemetry.histogram(
            "notification_delay_seconds",
            "From the decision to notify to the receiver's answer.",
            ("receiver",),
            DELAY_BUCKETS,
        )

    def ring(self) -> None:
        """There is something new in the outbox."""
        self._bell.set()

    async def run(self) -> None:
        """Until cancelled; what is under way then has `settings.grace` to finish.

        What this worker had claimed when it died is due at once: a crash must not delay a page by its lease.
        """
        failures = 0
        released = False
        try:
            while True:
                try:
                    if not released:
                        await self._release()
                        released = True
                    wake_ms = await self._round()
                    failures = 0
                except StoreError as error:
                    failures += 1
                    wait_s = self._store_backoff.delay_s(failures, self._chance)
                    wake_ms = self._clock.now_ms() + round(wait_s * SECOND_MS)
                    log.warning("the outbox cannot be read", reason=str(error), again_in_s=round(wait_s, 1))
                await wait_until(self._clock, wake_ms, self._bell)
        finally:
            await self._finish()

    async def _release(self) -> None:
        count = await self._outbox.release(self._worker, self._clock.now_ms())
        if count:
            log.info("messages that were under way when the server ended are sent now", messages=count)

    async def _round(self) -> int | None:
        """Start all that is due and has room. When to look again, ms UTC; None for when the bell rings."""
        while True:
            busy = [name for name, share in self._shares.items() if share >= self._settings.at_once_each]
            room = self._room(busy)
            if room <= 0:
                return None
            now_ms = self._clock.now_ms()
            letters = await self._outbox.claim(now_ms, self._lease_ms, room, self._worker, busy)
            for letter in letters:
                self._begin(letter)
            if len(letters) < room:
                break
        next_ms = await self._outbox.next_attempt_ms()
        if next_ms is not None and next_ms <= now_ms:
            return now_ms + LOOK_AGAIN_MS  # due, but it waits for an older letter or a busy receiver
        anyway_ms = now_ms + LOOK_ANYWAY_MS  # for letters that another process queued without ringing here
        return anyway_ms if next_ms is None else min(next_ms, anyway_ms)

    def _room(self, busy: Collection[str]) -> int:
        """How many letters can start at once, whichever receivers they turn out to be for."""
        fullest = max((share for name, share in self._shares.items() if name not in busy), default=0)
        return min(self._settings.at_once - len(self._tasks), self._settings.at_once_each - fullest)

    def _begin(self, letter: Letter) -> None:
        if letter.id in self._held:
            # Its lease ran out while the store could not record what became of it: that is still being tried.
            self._held[letter.id] = letter
            return
        self._held[letter.id] = letter
        self._shares[letter.target.receiver] += 1
        task = asyncio.create_task(self._attend(letter))
        self._tasks.add(task)
        self._under_way.set(len(self._tasks))
        task.add_done_callback(self._done)

    async def _attend(self, letter: Letter) -> None:
        try:
            await self._record(letter.id, await self._end(letter))
        finally:
            del self._held[letter.id]
            self._shares[letter.target.receiver] -= 1

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._under_way.set(len(self._tasks))
        self._bell.set()  # there is room for another
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a letter stays as it is until its lease ends", exc_info=error)

    async def _end(self, letter: Letter) -> Delivered | Again | Rejected:
        now_ms = self._clock.now_ms()
        if now_ms >= letter.expires_at_ms:
            return given_up(letter, letter.last_error or "its time was over before it could be tried.", now_ms)
        outcome = await self._attempt(letter)
        self._count(letter, outcome)
        return settle(letter, outcome, self._clock.now_ms(), self._backoff.delay_s(letter.attempts, self._chance))

    async def _attempt(self, letter: Letter) -> Outcome:
        limit: Duration = self._settings.send_timeout
        try:
            async with asyncio.timeout(limit.seconds):
                return await self._receivers.send(letter)
        except TimeoutError:
            return Retry(f"The receiver {letter.target.receiver} took longer than {limit}.")
        except Exception as error:  # one letter that cannot be rendered must not stop the others
            log.exception("a receiver failed in a way of its own", receiver=letter.target.receiver, letter_id=letter.id)
            return Retry(f"tocsin failed to send this: {type(error).__name__}; its log says more.")

    async def _record(self, letter_id: int, end: Delivered | Again | Rejected) -> None:
        """Write it down. While the store is away, try for long: a sent letter that nobody knows of is sent twice."""
        for attempt in range(1, RECORD_TRIES + 1):
            try:
                await self._mark(self._held[letter_id], end)
            except StoreError as error:
                reason = str(error)
                log.warning("what became of a letter cannot be recorded yet", letter_id=letter_id, reason=reason)
                await asyncio.sleep(self._store_backoff.delay_s(attempt, self._chance))
            else:
                return
        log.error("what became of a letter was not recorded; it will be sent again", letter_id=letter_id)

    async def _mark(self, letter: Letter, end: Delivered | Again | Rejected) -> None:
        now_ms = self._clock.now_ms()
        about = {"letter_id": letter.id, "alert_id": letter.alert.id, "kind": letter.kind.value}
        match end:
            case Delivered(answer):
                await self._outbox.mark_sent(letter, answer, now_ms)
                log.info("notified", **about, recipient=letter.target.recipient, attempts=letter.attempts)
            case Again(why, at_ms):
                await self._outbox.mark_retry(letter, why, at_ms)
                log.warning("not notified yet", **about, reason=why, again_in_s=(at_ms - now_ms) // SECOND_MS)
            case Rejected(why):
                await self._outbox.mark_dead(letter, why, now_ms)
                self._dead.labels(letter.target.receiver, letter.kind.value).inc()
                log.error("not notified, given up", **about, recipient=letter.target.recipient, reason=why)

    def _count(self, letter: Letter, outcome: Outcome) -> None:
        receiver = letter.target.receiver
        if isinstance(outcome, Delivered):
            self._sent.labels(receiver, letter.kind.value).inc()
            self._delay.labels(receiver).observe((self._clock.now_ms() - letter.created_at_ms) / SECOND_MS)
        else:
            self._failed.labels(receiver, letter.kind.value).inc()

    async def _finish(self) -> None:
        """Let what is under way end; what does not is sent again when its lease has run out."""
        try:
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=self._settings.grace.seconds)
        finally:
            late = tuple(self._tasks)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    @property
    def _lease_ms(self) -> int:
        return self._settings.send_timeout + LEASE_MARGIN_MS
