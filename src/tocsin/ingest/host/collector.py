"""The loop that reads this machine, every `interval`, into the appender."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

import numpy as np

from tocsin.ingest.appender import Appender
from tocsin.ingest.host.filesystem import FileSystems
from tocsin.ingest.host.reading import Failure, Family, Reading, Tags
from tocsin.ingest.rows import Rows
from tocsin.model.errors import TransientError
from tocsin.model.labels import Labels
from tocsin.runtime.clock import Clock
from tocsin.runtime.log import get_log
from tocsin.runtime.offload import Offload
from tocsin.runtime.telemetry import Telemetry

log = get_log("ingest")

SOURCE = "host"
FIRST_ROUND_S = 1.0
LOG_EVERY_S = 60.0


class HostCollector:
    """Reads families and file systems, gives all readings of a round one time, and appends them as one.

    A reading that fails is counted and left out; a round that comes late is counted and left out too.
    """

    def __init__(
        self,
        families: Sequence[Family],
        file_systems: FileSystems | None,
        appender: Appender,
        *,
        host: str,
        interval_s: float,
        offload: Offload,
        clock: Clock,
        telemetry: Telemetry,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._families = families
        self._file_systems = file_systems
        self._appender = appender
        self._host = host
        self._interval_s = interval_s
        self._offload = offload
        self._clock = clock
        self._sleep = sleep
        self._due_s: dict[str, float] = {}
        self._labels: dict[tuple[str, Tags], Labels] = {}
        self._logged_s: dict[str, float] = {}
        self._failed = telemetry.counter("host_readings_failed", "Readings of this machine that failed.", ["family"])
        self._skipped = telemetry.counter("host_rounds_skipped", "Rounds left out because the last took too long.")
        self._lost = telemetry.counter("host_rounds_lost", "Rounds that the store did not take.")

    async def run(self) -> None:
        """For ever. The first round comes a second after the start, so that rates and shares have a before."""
        start_s = self._clock.monotonic_s()
        first_s = min(FIRST_ROUND_S, self._interval_s)
        number = int(first_s / self._interval_s)
        try:
            await self._offload.run(self._read, [one for one in self._families if not one.period_s], start_s)
            await self._sleep(first_s)
            while True:
                await self.round()
                now_s = self._clock.monotonic_s()
                following = max(number + 1, int((now_s - start_s) / self._interval_s) + 1)
                self._skipped.inc(following - number - 1)
                number = following
                await self._sleep(start_s + number * self._interval_s - now_s)
        finally:
            if self._file_systems is not None:
                await self._file_systems.close()

    async def round(self) -> int:
        """How many samples were stored."""
        at_ms, at_s = self._clock.now_ms(), self._clock.monotonic_s()
        readings, failed = await self._offload.run(self._read, self._due(at_s), at_s)
        if self._file_systems is not None:
            found, silent = await self._file_systems.read()
            readings += found
            failed += silent
        for one in failed:
            self._failed.labels(one.family).inc()
            self._log("a reading of this machine failed", f"{one.family} {one.subject}".strip(), one.why, at_s)
        try:
            await self._appender.describe([info for one in self._everything() for info in one.metrics])
            return (await self._appender.append(self._rows(readings, at_ms), SOURCE)).stored
        except TransientError as error:
            self._lost.inc()
            self._log("the readings of this machine were not stored", "store", str(error), at_s)
            return 0

    def _everything(self) -> Iterable[Family | FileSystems]:
        return self._families if self._file_systems is None else (*self._families, self._file_systems)

    def _due(self, at_s: float) -> list[Family]:
        slack_s = self._interval_s / 2  # a round is never quite on time
        due = [one for one in self._families if at_s >= self._due_s.get(one.name, at_s) - slack_s]
        self._due_s.update((one.name, at_s + one.period_s) for one in due)
        return due

    def _read(self, families: Sequence[Family], at_s: float) -> tuple[list[Reading], list[Failure]]:
        """What was read and what was not; runs off the loop."""
        readings: list[Reading] = []
        failed: list[Failure] = []
        for family in families:
            try:
                readings += list(family.read(at_s))
            except Exception as error:  # a machine can fail in any way, and the other readings must go on
                failed.append(Failure(family.name, f"{type(error).__name__}: {error}"))
        return readings, failed

    def _rows(self, readings: Sequence[Reading], at_ms: int) -> Rows:
        known = self._labels
        # Only what this round used is remembered, so that devices which went leave nothing behind.
        self._labels = {
            (one.name, one.tags): known.get((one.name, one.tags))
            or Labels.metric(one.name, {**dict(one.tags), "host": self._host})
            for one in readings
        }
        which = np.arange(len(self._labels))
        values = {(one.name, one.tags): one.value for one in readings}
        return Rows(
            tuple(self._labels.values()),
            which,
            np.full(len(which), at_ms, np.int64),
            np.fromiter(values.values(), np.float64, len(values)),
            which,
        )

    def _log(self, event: str, what: str, why: str, at_s: float) -> None:
        """Once a minute at most for each thing that is wrong."""
        self._logged_s = {one: then for one, then in self._logged_s.items() if at_s - then < LOG_EVERY_S}
        if what not in self._logged_s:
            self._logged_s[what] = at_s
            log.warning(event, what=what, why=why)
