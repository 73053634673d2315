from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.access.attempts import (
    ADDRESS_PATIENCE,
    FORGET_S,
    NAME_PATIENCE,
    Attempts,
    Patience,
    SlowDownError,
    Tallies,
    neighbourhood,
)
from tocsin.model.errors import QueueFullError
from tocsin.runtime.clock import FixedClock
from tocsin.runtime.telemetry import Telemetry


def fail(attempts: Attempts, times: int, name: str = "anna", address: str = "192.0.2.7") -> None:
    for _ in range(times):
        attempts.begin(name, address)


def test_the_first_failures_cost_nothing_and_then_each_waits_twice_as_long() -> None:
    patience = Patience(free=3, max_s=5.0)
    assert [patience.wait_s(failures) for failures in range(1, 8)] == [0, 0, 1, 2, 4, 5, 5]


@given(st.integers(0, 10_000))
def test_a_wait_is_never_longer_than_its_limit(failures: int) -> None:
    assert 0 <= NAME_PATIENCE.wait_s(failures) <= 30.0
    assert 0 <= ADDRESS_PATIENCE.wait_s(failures) <= 900.0


def test_a_name_that_failed_too_often_waits_from_every_address() -> None:
    clock = FixedClock()
    attempts = Attempts(clock, Telemetry())
    for last in range(NAME_PATIENCE.free):
        attempts.begin("anna", f"192.0.2.{last}")
    with pytest.raises(SlowDownError) as caught:
        attempts.begin("ANNA", "198.51.100.1")
    assert caught.value.retry_after_s == 1.0
    clock.advance(1_000)
    attempts.begin("anna", "198.51.100.1")


def test_an_address_that_failed_too_often_waits_with_every_name() -> None:
    attempts = Attempts(FixedClock(), Telemetry())
    for number in range(ADDRESS_PATIENCE.free):
        attempts.begin(f"name {number}", "192.0.2.7")
    with pytest.raises(SlowDownError):
        attempts.begin("somebody else", "192.0.2.7")
    attempts.begin("somebody else", "192.0.2.8")


def test_waiting_does_not_make_the_wait_longer() -> None:
    clock = FixedClock()
    attempts = Attempts(clock, Telemetry())
    fail(attempts, NAME_PATIENCE.free)
    for _ in range(10):
        with pytest.raises(SlowDownError):
            attempts.begin("anna", "192.0.2.7")
    clock.advance(1_000)
    attempts.begin("anna", "192.0.2.7")


def test_success_forgives_the_name_but_not_the_address() -> None:
    attempts = Attempts(FixedClock(), Telemetry())
    for _ in range(ADDRESS_PATIENCE.free):
        attempts.begin("anna", "192.0.2.7")
        attempts.succeed("Anna")
    with pytest.raises(SlowDownError):
        attempts.begin("anna", "192.0.2.7")


def test_failures_are_forgotten_after_a_quiet_while() -> None:
    clock = FixedClock()
    attempts = Attempts(clock, Telemetry())
    fail(attempts, NAME_PATIENCE.free)
    clock.advance(round(FORGET_S * 1_000) + 1)
    fail(attempts, NAME_PATIENCE.free - 1)


def test_what_says_nothing_is_not_counted() -> None:
    attempts = Attempts(FixedClock(), Telemetry())
    fail(attempts, 100, name="", address="")


def test_the_counts_are_bounded_and_say_what_they_drop() -> None:
    telemetry = Telemetry()
    dropped = telemetry.counter("dropped", "test")
    tallies = Tallies(Patience(free=1, max_s=30.0), 3, FixedClock(), dropped)
    for key in "abcad":
        tallies.count(key)
    assert len(tallies) == 3
    assert telemetry.registry.get_sample_value("tocsin_dropped_total") == 1
    tallies.check("b")  # the one that was quiet longest is gone
    for key in "acd":
        with pytest.raises(SlowDownError):
            tallies.check(key)


@pytest.mark.parametrize(
    ("address", "held"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_an_ipv6_network_counts_as_one_address(address: str, held: str) -> None:
    assert neighbourhood(address) == held


def test_slowing_down_is_told_as_too_many_requests() -> None:
    assert issubclass(SlowDownError, QueueFullError)
