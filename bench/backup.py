"""A backup of both stores into a folder, a second one, reading it back, and restoring it: samples a second, and bytes.

python -m bench.backup. 2,000 series of random walks with two decimals, a sample every 15 s; the backup does not rest.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from bench.figures import resident_mb, show
from tocsin.app.config import Settings
from tocsin.app.restore import restore_into
from tocsin.app.wiring import Engine, open_engine
from tocsin.app.world import real_world
from tocsin.model.labels import Labels
from tocsin.model.series import SampleBatch
from tocsin.runtime.offload import ThreadOffload
from tocsin.store.backup.manifest import Manifest
from tocsin.store.backup.place import Folder
from tocsin.store.backup.write import Circumstances, Progress, Stores, back_up, read, verify

SERIES = 2_000
POINTS = 2_000
EVERY_MS = 15_000


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_run(Path(folder)))


async def _run(folder: Path) -> None:
    world = real_world()
    saving = ThreadOffload("backup", 1)
    place = Folder(folder / "place")
    samples = SERIES * POINTS
    async with open_engine(Settings(), folder / "data", world) as engine:
        await _fill(engine)
        about = Circumstances(world.clock, world.secrets, saving)
        made = await _backed_up("backup", engine, place, about)
        await _backed_up("a second one, nothing new", engine, place, about)
        assert made.rows_of("samples") == samples
        show("bytes a sample in the backup", [made.stored / samples], "B", digits=2)
        stats = await engine.samples.stats()
        show("bytes a sample in the store", [stats.bytes / samples], "B", digits=2)
    saving.close()
    began = time.perf_counter()
    assert verify(place, *read(place, made.id, None)) == ()
    show("verify", [samples / (time.perf_counter() - began)], "samples/s", digits=0)
    began = time.perf_counter()
    where = str(folder / "place")
    await restore_into(Settings(), world, folder / "new", where, None, overwrite=False, watch=lambda *_: lambda _: None)
    show("restore, synced", [samples / (time.perf_counter() - began)], "samples/s", digits=0)
    show("resident memory afterwards", [resident_mb(os.getpid())], "MB", digits=0)


async def _backed_up(name: str, engine: Engine, place: Folder, about: Circumstances) -> Manifest:
    began, progress = time.perf_counter(), Progress()
    made = await back_up(Stores(engine.samples, engine.state), place, about, progress)
    show(f"{name}, read back", [made.rows_of("samples") / (time.perf_counter() - began)], "samples/s", digits=0)
    show("  written", [progress.written / 1e6], "MB")
    return made


async def _fill(engine: Engine) -> None:
    chance = np.random.default_rng(1)
    end_ms = engine.world.clock.now_ms() // EVERY_MS * EVERY_MS
    times = end_ms - np.arange(POINTS, 0, -1) * EVERY_MS
    ids = [engine.samples.intern(Labels.metric("walk", {"n": str(n)})) for n in range(SERIES)]
    for at in range(0, SERIES, 100):
        some = np.array(ids[at : at + 100], np.uint64)
        values = np.round(50 + np.cumsum(chance.normal(0, 0.5, (len(some), POINTS)), axis=1), 2)
        await engine.samples.append(SampleBatch(np.repeat(some, POINTS), np.tile(times, len(some)), values.ravel()))
        await engine.samples.flush()


if __name__ == "__main__":
    main()
