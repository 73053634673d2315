"""Processes that are killed, and processes that want the same path."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.samples import open_store, rows

from tocsin.model.labels import Labels
from tocsin.runtime.clock import FixedClock
from tocsin.store.sealing import DataKey, KeyRing
from tocsin.store.settings import StoreSettings
from tocsin.store.vault import Vault

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[3]
NOW = 1_800_000_000_000
ROUNDS = 3

CHILD = f"""
import asyncio, itertools, sys
from pathlib import Path
from tests.support.samples import batch, open_store
from tocsin.model.labels import Labels
from tocsin.runtime.clock import FixedClock
from tocsin.runtime.offload import ThreadOffload
from tocsin.store.sealing import DataKey, KeyRing
from tocsin.store.settings import StoreSettings
from tocsin.store.vault import Vault

async def push(store, sender, first):
    series = Labels.metric("m", {{"sender": str(sender)}})
    for number in itertools.count(first):
        # every sample is sent twice, as by a client that heard no answer; the labels change as it goes on
        rows = [(series, {NOW} + number, float(number)), (series.with_(part=str(number // 5)), {NOW}, float(number))]
        await store.append(batch(store, rows))
        print(sender, number, flush=True)
        await store.append(batch(store, rows))

async def main():
    path, clock, thread = Path(sys.argv[1]), FixedClock({NOW}), ThreadOffload("store", 1)
    vault = Vault(KeyRing((DataKey(1, bytes(32)),))) if sys.argv[3:] else None
    async with open_store(path, clock, StoreSettings(), offload=thread, vault=vault) as store:
        print("ready", flush=True)
        await asyncio.gather(*(push(store, sender, int(sys.argv[2])) for sender in range(5)))

asyncio.run(main())
"""


VAULT = Vault(KeyRing((DataKey(1, bytes(32)),)))


def start(path: Path, first: int, *more: str) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), str(first), *more], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def killed_after(child: subprocess.Popen[str], acknowledgements: int) -> set[tuple[int, int]]:
    """What the child had acknowledged when SIGKILL reached it."""
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(acknowledgements)]
    child.kill()
    lines += child.stdout.readlines()
    child.wait()
    child.stdout.close()
    # a last line without its end was cut off by the kill
    return {(int(line.split()[0]), int(line.split()[1])) for line in lines if line.endswith("\n")}


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
async def test_every_acknowledged_sample_survives_sigkill_exactly_once(tmp_path: Path, encrypted: bool) -> None:
    path = tmp_path / "samples"
    chance = random.Random(1)
    acknowledged: set[tuple[int, int]] = set()
    for round_number in range(ROUNDS):
        acknowledged |= killed_after(
            start(path, round_number * 100_000, *(["encrypted"] if encrypted else [])), chance.randint(20, 80)
        )
    async with open_store(path, FixedClock(NOW), StoreSettings(), vault=VAULT if encrypted else None) as store:
        found = rows(await store.select([], 0, 2**62))
    assert len(found) == len({(labels, at) for labels, at, _ in found})
    values = {(labels, at): value for labels, at, value in found}
    for sender, number in acknowledged:
        series = Labels.metric("m", {"sender": str(sender)})
        assert values[series, NOW + number] == float(number)
        assert (series.with_(part=str(number // 5)), NOW) in values
    assert len(acknowledged) >= 20 * ROUNDS


def test_a_path_that_another_process_has_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "samples"
    first = start(path, 0)
    second = subprocess.run(
        [sys.executable, "-c", CHILD, str(path), "0"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert f"is in use by another tocsin (process {first.pid})" in second.stderr
    assert killed_after(first, 1)
    third = start(path, 100_000)  # the kill has released it
    assert killed_after(third, 1)
