"""Sample stores for tests: the real one on a folder, the memory twin, and batches to put into them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import numpy as np

from tocsin.model.duration import Duration
from tocsin.model.labels import Labels
from tocsin.model.series import FloatArray, SampleBatch, SeriesBlock
from tocsin.runtime.clock import Clock
from tocsin.runtime.offload import InlineOffload, Offload
from tocsin.runtime.telemetry import Telemetry
from tocsin.store.memory import MemorySampleStore
from tocsin.store.samples.store import SampleStore
from tocsin.store.sealing import KeyRing
from tocsin.store.settings import RetentionSettings, StoreSettings
from tocsin.store.vault import Vault

AnyStore: TypeAlias = SampleStore | MemorySampleStore
Row: TypeAlias = tuple[Labels, int, float]

UNSYNCED = StoreSettings(fsync=False, commit_wait=Duration(0))
"""Tests need no power cut, and their clocks often stand still."""


@asynccontextmanager
async def open_store(
    path: Path,
    clock: Clock,
    settings: StoreSettings = UNSYNCED,
    kept: RetentionSettings | None = None,
    *,
    telemetry: Telemetry | None = None,
    offload: Offload | None = None,
    vault: Vault | None = None,
) -> AsyncIterator[SampleStore]:
    """A real store on the loop's own thread, unless an offload is given. One path at a time in a process."""
    threads = offload or InlineOffload()
    store = await SampleStore.open(
        path,
        settings,
        kept or RetentionSettings(),
        vault=vault,
        clock=clock,
        telemetry=telemetry or Telemetry(),
        write=threads,
        read=threads,
        journaling=threads,
    )
    try:
        yield store
    finally:
        await store.close()


def vault_for(kind: str) -> Vault | None:
    """Keys for a kind of store that is encrypted."""
    return Vault(KeyRing.fresh()) if kind.startswith("encrypted ") else None


def batch(store: AnyStore, rows: Sequence[Row]) -> SampleBatch:
    """Rows as columns, their labels interned."""
    return SampleBatch(
        np.array([store.intern(labels) for labels, _, _ in rows], np.uint64),
        np.array([at_ms for _, at_ms, _ in rows], np.int64),
        np.array([value for _, _, value in rows], np.float64),
    )


def rows(block: SeriesBlock) -> list[Row]:
    """The block's samples one by one."""
    return [
        (labels, at_ms, value)
        for labels, times, values in block
        for at_ms, value in zip(times.tolist(), values.tolist(), strict=True)
    ]


def floats(*bits: int) -> FloatArray:
    """Floats with these bits: 0x7FF0000000000002 is Prometheus' stale marker."""
    return np.array(bits, np.uint64).view(np.float64)
