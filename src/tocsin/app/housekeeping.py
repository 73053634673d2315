"""What has to be tidied up from time to time: samples past their retention, keys that have expired."""

from __future__ import annotations

import asyncio

from tocsin.access.ports import AccessStore
from tocsin.app.world import Samples
from tocsin.model.duration import HOUR_MS
from tocsin.model.errors import StoreError
from tocsin.runtime.clock import Clock
from tocsin.runtime.log import get_log
from tocsin.runtime.telemetry import Telemetry

log = get_log("app")

PERIOD_S = 60.0


class Housekeeping:
    """Every minute expired keys; every hour whole days of samples, and the first time at once."""

    def __init__(self, samples: Samples, access: AccessStore, clock: Clock, telemetry: Telemetry) -> None:
        self._samples = samples
        self._access = access
        self._clock = clock
        self._clean_up_due_ms = 0
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
        await self._access.remove_expired(at_ms)
        if at_ms >= self._clean_up_due_ms:
            self._removed.inc(await self._samples.clean_up(at_ms))
            self._clean_up_due_ms = at_ms + HOUR_MS
        stats = await self._samples.stats()
        self._stored.set(stats.samples)
        self._bytes.set(stats.bytes)
