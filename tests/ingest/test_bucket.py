from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tocsin.ingest.bucket import Bucket


def test_a_burst_may_come_at_once() -> None:
    bucket = Bucket(10, 5, 0.0)
    bucket.take(49, 0.0)
    assert bucket.wait_s(0.0) == 0


def test_what_is_used_up_comes_back_at_the_rate() -> None:
    bucket = Bucket(10, 5, 0.0)
    bucket.take(50, 0.0)
    assert bucket.wait_s(0.0) == 0.1
    assert bucket.wait_s(0.1) == 0


def test_a_request_larger_than_the_burst_is_taken_and_made_up_for() -> None:
    bucket = Bucket(10, 5, 0.0)
    bucket.take(1_050, 0.0)
    assert bucket.wait_s(0.0) == 100.1
    assert bucket.wait_s(101.0) == 0


def test_what_was_given_back_may_be_taken_again() -> None:
    bucket = Bucket(10, 5, 0.0)
    bucket.take(50, 0.0)
    bucket.give_back(50)
    assert bucket.wait_s(0.0) == 0
    bucket.give_back(1_000)
    bucket.take(50, 0.0)
    assert bucket.wait_s(0.0) > 0


def test_a_clock_that_stands_still_or_goes_back_gives_nothing() -> None:
    bucket = Bucket(10, 5, 100.0)
    bucket.take(50, 100.0)
    assert bucket.wait_s(50.0) == 0.1


@given(st.integers(1, 1_000), st.lists(st.tuples(st.floats(0, 10), st.integers(1, 5_000)), min_size=1, max_size=50))
def test_over_any_time_no_more_than_burst_rate_and_one_request_is_taken(
    rate: int, asked: list[tuple[float, int]]
) -> None:
    bucket, now_s, taken, largest = Bucket(rate, 10, 0.0), 0.0, 0, 0
    for pause_s, count in asked:
        now_s += pause_s
        if bucket.wait_s(now_s) == 0:
            bucket.take(count, now_s)
            taken += count
            largest = max(largest, count)
    assert taken <= rate * (10 + now_s) + largest + 1e-6
