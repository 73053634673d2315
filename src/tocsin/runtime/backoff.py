"""How long to wait before the next try."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Doubling waits with jitter: attempt 1 waits about `first_s`, later ones up to `max_s`.

    Half of each wait is certain and half is chance ("equal jitter"), so that callers which failed
    together do not come back together and none comes back at once.
    """

    first_s: float = 1.0
    factor: float = 2.0
    max_s: float = 300.0

    def delay_s(self, attempt: int, chance: random.Random) -> float:
        """`attempt` counts from 1."""
        whole = min(self.max_s, self.first_s * self.factor ** min(attempt - 1, 63))
        return whole / 2 + chance.random() * whole / 2
