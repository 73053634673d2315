from __future__ import annotations

import numpy as np

from tocsin.model.labels import Labels
from tocsin.model.series import SampleBatch
from tocsin.runtime.clock import FixedClock
from tocsin.store.memory import MemorySampleStore

NOW = 1_800_000_000_000


async def test_many_small_batches_with_reads_between_them() -> None:
    store = MemorySampleStore(clock=FixedClock(NOW))
    ids = np.array([store.intern(Labels.metric("m", {"n": str(n)})) for n in range(200)], np.uint64)
    for tick in range(2_000):
        await store.append(SampleBatch(ids, np.full(200, NOW + tick * 5_000), np.full(200, float(tick))))
        if tick % 500 == 0:
            assert (await store.latest([], NOW)).values.tolist() == [float(tick)] * 200
    block = await store.select([], NOW, NOW + 10_000_000)
    assert len(block) == 200
    assert all(values.tolist() == [float(tick) for tick in range(2_000)] for _, _, values in block)


async def test_cleaning_up_leaves_room_for_what_comes_next() -> None:
    clock = FixedClock(NOW)
    store = MemorySampleStore(clock=clock)
    series = np.array([store.intern(Labels.metric("m"))], np.uint64)
    for _ in range(30):
        at_ms = clock.advance(86_400_000)
        await store.append(SampleBatch(series, np.array([at_ms]), np.array([1.0])))
        await store.clean_up(at_ms)
    assert (await store.stats()).samples == len((await store.select([], 0, 2**62)).times) == 8
