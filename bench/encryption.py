"""What encryption costs: the same samples through a plain and an encrypted store, one after the other.

python -m bench.encryption. Every figure is a median of alternating rounds, so that a noisy machine hits both alike.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from bench.figures import show
from tocsin.model.duration import DAY_MS, HOUR_MS
from tocsin.model.labels import Labels
from tocsin.model.matcher import Matcher, parse_matcher
from tocsin.model.series import SampleBatch
from tocsin.runtime.clock import SystemClock
from tocsin.runtime.offload import ThreadOffload
from tocsin.runtime.telemetry import Telemetry
from tocsin.store.samples.store import SampleStore
from tocsin.store.sealing import Cipher, KeyRing
from tocsin.store.settings import RetentionSettings, StoreSettings
from tocsin.store.vault import Vault

CLOCK = SystemClock()
NOW = CLOCK.now_ms() // DAY_MS * DAY_MS + 12 * HOUR_MS
ROUNDS = 3
SERIES, BATCHES, ROWS = 2_000, 200, 10_000
READS = 5


def main() -> None:
    _sealing()
    figures: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for _ in range(ROUNDS):
        for kind, vault in (("plain", None), ("encrypted", Vault(KeyRing.fresh()))):
            with tempfile.TemporaryDirectory() as folder:
                for what, value in asyncio.run(_round(Path(folder) / "samples", vault)).items():
                    figures[what][kind].append(value)
    for what, kinds in figures.items():
        name, unit = what.split(", ")
        for kind, values in kinds.items():
            show(f"{name}: {kind}", values, unit, digits=2 if unit == "B" else 1)


def _sealing() -> None:
    cipher = Cipher(KeyRing.fresh())
    for size, count in ((100, 5_000), (100_000, 300), (10_000_000, 10)):
        plain = bytes(size)
        sealed = cipher.seal(plain, b"bench")
        began = time.perf_counter()
        for _ in range(count):
            sealed = cipher.seal(plain, b"bench")
        middle = time.perf_counter()
        for _ in range(count):
            cipher.open(sealed, b"bench")
        ended = time.perf_counter()
        show(f"seal {size:,} bytes", [(middle - began) / count * 1e6], "µs")
        show(f"open {size:,} bytes", [(ended - middle) / count * 1e6], "µs")


async def _round(path: Path, vault: Vault | None) -> dict[str, float]:
    settings = StoreSettings()
    threads = [ThreadOffload(name, 1) for name in ("write", "read", "journal")]
    store = await SampleStore.open(
        path,
        settings,
        RetentionSettings(),
        vault=vault,
        clock=CLOCK,
        telemetry=Telemetry(),
        write=threads[0],
        read=threads[1],
        journaling=threads[2],
    )
    async with store:
        ids = np.sort(np.array([store.intern(Labels.metric("cpu", {"n": str(n)})) for n in range(SERIES)], np.uint64))
        chance = np.random.default_rng(1)
        walk = chance.normal(50, 10, SERIES)
        per_batch = ROWS // SERIES
        began, cpu = time.perf_counter(), time.process_time()
        for number in range(BATCHES):
            times = (NOW - (BATCHES * per_batch - number * per_batch - np.arange(per_batch)) * 1_000).repeat(SERIES)
            steps = walk + chance.normal(0, 0.5, (per_batch, SERIES)).cumsum(axis=0)
            walk = steps[-1]
            await store.append(SampleBatch(np.tile(ids, per_batch), times, steps.round(2).ravel()))
        await store.flush()
        took, used = time.perf_counter() - began, time.process_time() - cpu
        total = BATCHES * ROWS
        await store.merge()
        stats = await store.stats()
        one, every = [parse_matcher('n="7"')], [parse_matcher('__name__="cpu"')]
        found = {
            "into the store, k samples/s": total / took / 1e3,
            "CPU a million samples, s": used / total * 1e6,
            "on the disk a sample, B": stats.bytes / stats.samples,
            "read one series, ms": await _took_ms(store, one),
            "read all samples, ms": await _took_ms(store, every),
        }
    for thread in threads:
        thread.close()
    return found


async def _took_ms(store: SampleStore, matchers: list[Matcher]) -> float:
    waits = []
    for _ in range(READS):
        began = time.perf_counter()
        await store.select(matchers, NOW - DAY_MS, NOW)
        waits.append((time.perf_counter() - began) * 1e3)
    return float(np.median(waits))


if __name__ == "__main__":
    main()
