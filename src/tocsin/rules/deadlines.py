"""When which open alert has to be looked at though no sample came."""

from __future__ import annotations

from heapq import heapify, heappop, heappush

Key = tuple[int, int]
"""An alert while it is open: the rule's id and the series' id."""

_SLACK = 1_000


class Deadlines:
    """The earliest deadline of each key. One that turns out to be too early is looked at and armed again.

    That saves a heap operation for each sample that moves a deadline on.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, Key]] = []
        self._armed: dict[Key, int] = {}

    def __len__(self) -> int:
        return len(self._armed)

    def arm(self, key: Key, at_ms: int) -> None:
        """Look at `key` then, or earlier if that was asked for before."""
        if self._armed.get(key, at_ms + 1) <= at_ms:
            return
        self._armed[key] = at_ms
        heappush(self._heap, (at_ms, key))
        if len(self._heap) > 2 * len(self._armed) + _SLACK:
            self._heap = [(deadline, one) for one, deadline in self._armed.items()]
            heapify(self._heap)

    def next_ms(self) -> int | None:
        while self._heap and self._armed.get(self._heap[0][1]) != self._heap[0][0]:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, at_ms: int, limit: int) -> list[Key]:
        """Take out at most `limit` keys whose deadline has come."""
        keys: list[Key] = []
        while len(keys) < limit and (next_ms := self.next_ms()) is not None and next_ms <= at_ms:
            key = heappop(self._heap)[1]
            del self._armed[key]
            keys.append(key)
        return keys
