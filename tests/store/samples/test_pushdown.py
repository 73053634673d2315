"""What the engine computes is what is computed here, on random samples."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tests.support.samples import UNSYNCED, batch, floats, open_store

from tocsin.model.labels import Labels
from tocsin.model.matcher import parse_selector
from tocsin.promql.ports import Ask, Budget, Gathered
from tocsin.promql.values import Grid, Vector
from tocsin.runtime.clock import FixedClock
from tocsin.store.samples import pushdown
from tocsin.store.samples.engine import Connection
from tocsin.store.samples.gathering import gather
from tocsin.store.samples.reader import EngineSampler
from tocsin.store.samples.store import SampleStore

NOW = 1_800_000_000_000
STALE = float(floats(0x7FF0000000000002)[0])
ASKS = parse_selector("m")


def some_series(chance: random.Random) -> Iterator[tuple[int, float]]:
    """Regular or not, rising with resets or wandering, with gaps, NaN, infinities and stale markers."""
    regular, rising = chance.random() < 0.5, chance.random() < 0.5
    at_ms, value = NOW - 3_600_000 + chance.randrange(60_000), float(chance.randrange(1_000))
    while at_ms < NOW:
        if chance.random() < 0.95:
            odd = chance.random()
            yield at_ms, STALE if odd < 0.02 else float("nan") if odd < 0.03 else value
        at_ms += 15_000 if regular else chance.randrange(1, 40_000)
        at_ms += chance.randrange(400_000) if chance.random() < 0.02 else 0
        if rising:
            value = 0.0 if chance.random() < 0.03 else value + chance.randrange(5)
        else:
            value += chance.gauss(0, 3)


@pytest.mark.parametrize("seed", range(4))
async def test_the_engine_comes_to_the_same_numbers(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    async with open_store(tmp_path / "samples", FixedClock(NOW), UNSYNCED) as store:
        for number in range(40):  # fewer are read as fast
            labels = Labels.metric("m", {"n": str(number)})
            await store.append(batch(store, [(labels, at_ms, value) for at_ms, value in some_series(chance)]))
        await store.append(batch(store, [(Labels.metric("m", {"n": "silent"}), NOW - 86_400_000, 1.0)]))
        await store.flush()
        grids = (
            Grid(NOW - 3_000_000 + chance.randrange(1_000), 60_000, 50),
            Grid(NOW - 3_000_000, 15_001, 150),
            Grid(NOW - 3_400_000, 600_000, 6),
            Grid(NOW - 1_000_000),
        )
        for function in pushdown.FUNCTIONS:
            for grid in grids:
                ask = Ask(ASKS, grid, chance.choice((60_000, 300_000, 777_123)), function)
                assert pushdown.fits(ask)
                here = (await store.gather([ask], Budget()))[ask].found
                there = store._parts.pool.use(partial(pushed_down, store, ask))
                assert isinstance(here, Vector)
                assert isinstance(there.found, Vector)
                assert [source.how for source in there.sources] == ["pushed down"]
                assert np.array_equal(there.found.present, here.present), ask
                seen = here.present
                np.testing.assert_allclose(there.found.values[seen], here.values[seen], rtol=1e-9, err_msg=str(ask))


def pushed_down(store: SampleStore, ask: Ask, connection: Connection) -> Gathered:
    sampler = EngineSampler(connection, lambda: None, computes_from=1)
    return gather([ask], store._selections, store.cuts, sampler, Budget(), now_ms=NOW, monotonic_s=lambda: 0.0)[ask]


async def test_the_engine_inside_has_the_functions(tmp_path: Path) -> None:
    async with open_store(tmp_path / "samples", FixedClock(NOW), UNSYNCED) as store:
        assert store._parts.computes_from == pushdown.SAMPLES_MIN


def test_only_what_the_engine_can_tell_is_asked_of_it() -> None:
    assert not pushdown.fits(Ask(ASKS, Grid(NOW), 1, "sum_over_time"))
    assert not pushdown.fits(Ask(ASKS, Grid(NOW), 1, "newest"))
    assert not pushdown.fits(Ask(ASKS, Grid(-5), 1, "rate"))
    assert not pushdown.fits(Ask(ASKS, Grid(10 * NOW), 1, "rate"))
