"""Guessing is slow: each failed sign-in makes the next one of the same name or address wait longer."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

from tocsin.model.errors import QueueFullError
from tocsin.runtime.clock import Clock
from tocsin.runtime.telemetry import Counter, Telemetry

FORGET_S = 900.0
NAMES_MAX = ADDRESSES_MAX = 10_000


class SlowDownError(QueueFullError):
    """Too many sign-ins failed or wait; the next one is looked at after `retry_after_s`."""


@dataclass(frozen=True, slots=True)
class Patience:
    """`free` failures cost nothing; the waits after them double from one second up to `max_s`."""

    free: int
    max_s: float

    def wait_s(self, failures: int) -> float:
        return 0.0 if failures < self.free else min(self.max_s, 2.0 ** min(failures - self.free, 30))


NAME_PATIENCE = Patience(free=5, max_s=30.0)
"""A short longest wait: a stranger who keeps guessing must not lock the owner of the name out."""

ADDRESS_PATIENCE = Patience(free=20, max_s=900.0)
"""More of them for free: a whole office may come from one address."""


@dataclass(frozen=True, slots=True)
class _Tally:
    failures: int
    last_s: float
    next_s: float


class Tallies:
    """Failures by key, at most `keys_max` of them: the one that has been quiet longest is dropped and counted."""

    def __init__(self, patience: Patience, keys_max: int, clock: Clock, dropped: Counter) -> None:
        self._patience = patience
        self._keys_max = keys_max
        self._clock = clock
        self._dropped = dropped
        self._by_key: dict[str, _Tally] = {}

    def check(self, key: str) -> None:
        """Raises SlowDownError while the key has to wait."""
        left_s = self._tally(key).next_s - self._clock.monotonic_s()
        if left_s > 0:
            raise SlowDownError("Too many sign-ins have failed; wait a little and try again.", retry_after_s=left_s)

    def count(self, key: str) -> None:
        now_s = self._clock.monotonic_s()
        failures = self._tally(key).failures + 1
        self._by_key.pop(key, None)  # the newest stands last
        self._by_key[key] = _Tally(failures, now_s, now_s + self._patience.wait_s(failures))
        if len(self._by_key) > self._keys_max:
            del self._by_key[next(iter(self._by_key))]
            self._dropped.inc()

    def forget(self, key: str) -> None:
        self._by_key.pop(key, None)

    def __len__(self) -> int:
        return len(self._by_key)

    def _tally(self, key: str) -> _Tally:
        tally = self._by_key.get(key)
        if tally is None or self._clock.monotonic_s() - tally.last_s > FORGET_S:
            return _Tally(0, 0.0, 0.0)
        return tally


class Attempts:
    """Counts an attempt as failed when it begins, so that a thousand at once do not all slip through."""

    def __init__(self, clock: Clock, telemetry: Telemetry) -> None:
        dropped = telemetry.counter("sign_in_tallies_dropped", "Counts of failed sign-ins that had to make room.")
        self._names = Tallies(NAME_PATIENCE, NAMES_MAX, clock, dropped)
        self._addresses = Tallies(ADDRESS_PATIENCE, ADDRESSES_MAX, clock, dropped)

    def begin(self, name: str, address: str) -> None:
        """Either may be empty, where it says nothing. Raises SlowDownError."""
        tallies = [(self._names, name.casefold()), (self._addresses, neighbourhood(address))]
        counted = [(tally, key) for tally, key in tallies if key]
        for tally, key in counted:
            tally.check(key)
        for tally, key in counted:
            tally.count(key)

    def succeed(self, name: str) -> None:
        """The address is not forgiven: it could sign in to an account of its own between two guesses."""
        self._names.forget(name.casefold())


def neighbourhood(address: str) -> str:
    """What one attacker holds: an IPv4 address, or the /64 that an IPv6 address is in."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return str(ip_network((parsed, 64), strict=False)) if isinstance(parsed, IPv6Address) else str(parsed)
