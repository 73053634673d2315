"""Counters to per-second rates."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Rates(Generic[Key]):
    """Remembers the last round of counters. One that fell was reset, and has no rate until the next round."""

    def __init__(self) -> None:
        self._before: Mapping[Key, float] = {}
        self._at_s = 0.0

    def step(self, counters: Mapping[Key, float], at_s: float) -> dict[Key, float]:
        """Per second since the last call, to one decimal, of those counters that were there then."""
        before, elapsed_s = self._before, at_s - self._at_s
        self._before, self._at_s = counters, at_s
        if elapsed_s <= 0:
            return {}
        return {
            key: round((count - before[key]) / elapsed_s, 1)
            for key, count in counters.items()
            if key in before and count >= before[key]
        }
