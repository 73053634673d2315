"""How many samples may come now, at a rate and with a burst."""

from __future__ import annotations


class Bucket:
    """Fills with `rate` samples a second, up to `burst_s` seconds' worth, and starts full.

    It may be overdrawn once: a request that is larger than what is left is taken whole where anything is left, and
    those after it wait until that is made up for. So no request is too large for ever, and the rate holds on average.
    """

    def __init__(self, rate: float, burst_s: float, now_s: float) -> None:
        self._rate = rate
        self._most = max(1.0, rate * burst_s)
        self._level = self._most
        self._at_s = now_s

    def wait_s(self, now_s: float) -> float:
        """Seconds until something may be taken; 0 where it may be now."""
        self._fill(now_s)
        return max(0.0, (1.0 - self._level) / self._rate)

    def take(self, count: int, now_s: float) -> None:
        self._fill(now_s)
        self._level -= count

    def give_back(self, count: int) -> None:
        """Of what was taken and could not be stored."""
        self._level = min(self._most, self._level + count)

    def _fill(self, now_s: float) -> None:
        self._level = min(self._most, self._level + self._rate * max(0.0, now_s - self._at_s))
        self._at_s = now_s
