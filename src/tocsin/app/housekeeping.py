"""What has to be tidied up from time to time: samples past their retention, keys that have expired."""

from __future__ import annotations

import asyncio

from tocsin.access.ports import AccessStore
from tocsin.app.world import Samples
from tocsin.model.duration import HOUR_MS, MINUTE_MS, Duration
from tocsin.model.errors import StoreError
from tocsin.runtime.clock import Clock
from tocsin.runtime.log import get_log
from tocsin.runtime.telemetry import Telemetry
from tocsin.store.budget import DiskGuard
from tocsin.store.samples.cuts import InForce

log = get_log("app")

PERIOD_S = 60.0
CROWDED_PERIOD_MS = 5 * MINUTE_MS
"""How often there is a clean-up while the room for series is nearly used up."""

JUMP_MS = 10 * MINUTE_MS
DOUBT_S = 3_600.0
"""So long nothing is removed after the clock has jumped ahead: a clock that is wrong would take everything with it."""


class Housekeeping:
    """Every minute the disk budget and expired keys; samples every hour, at the start, on a changed retention, and
    every 5 minutes while the room for series is nearly used up.

    What must be rewritten for its policy is done in rounds, one a minute, until nothing is left.
    """

    def __init__(
        self, samples: Samples, guard: DiskGuard, access: AccessStore, clock: Clock, telemetry: Telemetry
    ) -> None:
        self._samples = samples
        self._guard = guard
        self._access = access
        self._clock = clock
        self._cleaned_up_ms = 0
        self._seen = (clock.now_ms(), clock.monotonic_s())
        self._in_doubt_until_s = -float("inf")
        self._kept: InForce | None = None
        self._behind = True
        self._removed = telemetry.counter("samples_removed", "Samples removed because they were past their retention.")
        self._stored = telemetry.gauge("store_kept_samples", "Samples in the store.")
        self._bytes = telemetry.gauge("store_kept_bytes", "Bytes that samples take on the disk.")

    async def run(self) -> None:
        while True:
            try:
                await self.round(self._clock.now_ms())
            except StoreError as error:
                log.warning("housekeeping is put off", reason=str(error))
            await asyncio.sleep(PERIOD_S)

    async def round(self, at_ms: int) -> None:
        """Raises StoreError where a store is away."""
        await self._guard.check(at_ms)  # first: on a full disk nothing else may work
        await self._access.remove_expired(at_ms)
        self._look_at_the_clock()
        if self._clock.monotonic_s() >= self._in_doubt_until_s:
            await self._remove(at_ms)
        stats = await self._samples.stats()
        self._stored.set(stats.samples)
        self._bytes.set(stats.bytes)

    async def _remove(self, at_ms: int) -> None:
        kept = self._samples.cuts.in_force
        crowded = self._samples.crowded and at_ms >= self._cleaned_up_ms + CROWDED_PERIOD_MS
        if at_ms >= self._cleaned_up_ms + HOUR_MS or kept is not self._kept or crowded:
            self._removed.inc(await self._samples.clean_up(at_ms))
            self._cleaned_up_ms, self._kept, self._behind = at_ms, kept, True
        if self._behind:
            done = await self._samples.enforce(at_ms)
            self._removed.inc(done.samples)
            self._behind = done.more

    def _look_at_the_clock(self) -> None:
        now_ms, now_s = self._clock.now_ms(), self._clock.monotonic_s()
        seen_ms, seen_s = self._seen
        jump_ms = now_ms - seen_ms - round((now_s - seen_s) * 1_000)
        self._seen = (now_ms, now_s)
        if jump_ms > JUMP_MS:
            self._in_doubt_until_s = now_s + DOUBT_S
            log.warning(
                "the clock jumped ahead: check it, as nothing is removed for an hour and everything may be after that",
                ahead=str(Duration(jump_ms)),
            )
        elif jump_ms < -JUMP_MS:
            self._in_doubt_until_s = -float("inf")  # whatever it was, it has been put right
            self._cleaned_up_ms = min(self._cleaned_up_ms, now_ms)
            log.warning("the clock was set back", back=str(Duration(-jump_ms)))
