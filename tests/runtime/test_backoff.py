from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.runtime.backoff import Backoff

BACKOFF = st.builds(Backoff, st.floats(0.001, 10), st.floats(1, 10), st.floats(10, 86_400))


@given(BACKOFF, st.integers(1, 10**9), st.integers())
def test_a_wait_is_at_least_half_of_its_whole_and_never_past_the_longest(
    backoff: Backoff, attempt: int, seed: int
) -> None:
    whole_s = min(backoff.max_s, backoff.first_s * backoff.factor ** min(attempt - 1, 63))
    delay_s = backoff.delay_s(attempt, random.Random(seed))
    assert whole_s / 2 <= delay_s <= whole_s <= backoff.max_s


@pytest.mark.parametrize(("attempt", "whole_s"), [(1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (1_000_000, 300)])
def test_waits_double_up_to_five_minutes(attempt: int, whole_s: float) -> None:
    delays_s = [Backoff().delay_s(attempt, random.Random(seed)) for seed in range(200)]
    assert whole_s / 2 <= min(delays_s) < whole_s * 0.55
    assert whole_s * 0.95 < max(delays_s) <= whole_s


def test_callers_that_failed_together_come_back_apart() -> None:
    chance = random.Random(1)
    assert len({Backoff().delay_s(5, chance) for _ in range(100)}) == 100


def test_the_same_chance_gives_the_same_wait() -> None:
    assert Backoff().delay_s(3, random.Random(7)) == Backoff().delay_s(3, random.Random(7))
