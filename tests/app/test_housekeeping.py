from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from tests.support.samples import batch
from tests.support.state import open_kind

from tocsin.app.housekeeping import CROWDED_PERIOD_MS, Housekeeping
from tocsin.model.duration import DAY_MS, HOUR_MS
from tocsin.model.labels import Labels
from tocsin.runtime.clock import FixedClock
from tocsin.runtime.telemetry import Telemetry
from tocsin.store.budget import DiskGuard
from tocsin.store.memory import MemorySampleStore
from tocsin.store.settings import StoreSettings

NOW = 1_800_000_000_000
ROOM = 10


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def samples(clock: FixedClock) -> MemorySampleStore:
    return MemorySampleStore(StoreSettings(series_max=ROOM), clock=clock)


@pytest.fixture
async def housekeeping(samples: MemorySampleStore, clock: FixedClock, tmp_path: Path) -> AsyncIterator[Housekeeping]:
    async def nowhere() -> None:
        return None

    telemetry = Telemetry()
    async with open_kind("sqlite memory", tmp_path) as state:
        guard = DiskGuard(samples, state.settings, StoreSettings(), nowhere, clock=clock, telemetry=telemetry)
        yield Housekeeping(samples, guard, state.access, clock, telemetry)


async def test_samples_are_cleaned_up_at_the_start_and_every_hour(
    housekeeping: Housekeeping, samples: MemorySampleStore, clock: FixedClock
) -> None:
    await housekeeping.round(NOW)
    await samples.append(batch(samples, [(Labels.metric("old"), NOW - 9 * DAY_MS, 1.0)]))
    await housekeeping.round(NOW + HOUR_MS - 1)
    assert (await samples.stats()).samples == 1
    await housekeeping.round(NOW + HOUR_MS)
    assert (await samples.stats()).samples == 0


async def test_a_clock_that_jumps_ahead_takes_nothing_with_it(
    housekeeping: Housekeeping, samples: MemorySampleStore, clock: FixedClock
) -> None:
    await samples.append(batch(samples, [(Labels.metric("m"), NOW, 1.0)]))
    await housekeeping.round(NOW)
    await housekeeping.round(clock.jump(30 * DAY_MS))
    await housekeeping.round(clock.advance(HOUR_MS - 1_000))
    assert (await samples.stats()).samples == 1
    await housekeeping.round(clock.jump(-30 * DAY_MS))
    await housekeeping.round(clock.advance(2 * HOUR_MS))
    assert len((await samples.select([], NOW, NOW + 1)).series) == 1


async def test_a_clock_that_stays_ahead_is_believed_after_an_hour(
    housekeeping: Housekeeping, samples: MemorySampleStore, clock: FixedClock
) -> None:
    await samples.append(batch(samples, [(Labels.metric("m"), NOW, 1.0)]))
    await housekeeping.round(NOW)
    await housekeeping.round(clock.jump(30 * DAY_MS))
    await housekeeping.round(clock.advance(HOUR_MS))
    assert (await samples.stats()).samples == 0


async def test_a_clock_that_is_set_back_stops_no_clean_up(
    housekeeping: Housekeeping, samples: MemorySampleStore, clock: FixedClock
) -> None:
    await housekeeping.round(NOW)
    at_ms = clock.jump(-2 * DAY_MS)
    await housekeeping.round(at_ms)
    await samples.append(batch(samples, [(Labels.metric("old"), at_ms - 9 * DAY_MS, 1.0)]))
    await housekeeping.round(clock.advance(HOUR_MS))
    assert (await samples.stats()).samples == 0


async def test_a_crowd_of_old_series_makes_way_within_minutes(
    housekeeping: Housekeeping, samples: MemorySampleStore, clock: FixedClock
) -> None:
    old = [(Labels.metric("old", {"n": str(number)}), NOW, 1.0) for number in range(ROOM - 1)]
    await samples.append(batch(samples, old))
    clock.advance(8 * DAY_MS)
    at_ms = clock.now_ms() - HOUR_MS + 1
    await housekeeping.round(NOW)
    assert samples.crowded
    await housekeeping.round(NOW + CROWDED_PERIOD_MS - 1)
    assert await samples.count([]) == ROOM - 1
    await housekeeping.round(at_ms)
    assert not samples.crowded
    assert len(await samples.series([], NOW, NOW)) == ROOM * 4 // 5


async def test_series_that_have_samples_do_not_make_way(housekeeping: Housekeeping, samples: MemorySampleStore) -> None:
    alive = [(Labels.metric("alive", {"n": str(number)}), NOW, 1.0) for number in range(ROOM)]
    await samples.append(batch(samples, alive))
    for number in range(3):
        await housekeeping.round(NOW + number * CROWDED_PERIOD_MS)
    ids = np.array([labels.series_id() for labels, _, _ in alive], np.uint64)
    assert len(samples._index.forgotten(ids)) == 0
