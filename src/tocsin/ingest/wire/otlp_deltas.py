"""Deltas become running totals: a sample store keeps totals, from which any rate can be computed later.

A total begins at 0 when its stream is first heard of, and again after a restart of this server, as a counter does
that was reset; rates see through that.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field

from tocsin.runtime.telemetry import Telemetry

STREAMS_MAX = 100_000
"""About 1 KB each for numbers, more for histograms."""

REMEMBERED_MAX = 64
"""Times of one stream in one request that a sender's retry gets the same totals for."""

Parts = tuple[float, ...]
"""What a point counts: a number, or the buckets, count and sum of a histogram."""


@dataclass(slots=True)
class _Stream:
    shape: Hashable
    last_ms: int
    total: Parts
    request: object
    told: dict[int, Parts] = field(default_factory=dict)


class DeltaStreams:
    """The totals of the streams heard of last; any thread may add to them.

    Past `streams_max` the stream that was silent for longest is forgotten and counted: should it speak again,
    it begins at 0 as a new one.
    """

    def __init__(self, telemetry: Telemetry, streams_max: int = STREAMS_MAX) -> None:
        self._streams: OrderedDict[Hashable, _Stream] = OrderedDict()
        self._streams_max = streams_max
        self._lock = threading.Lock()
        self._forgotten = telemetry.counter(
            "otlp_delta_streams_forgotten", "Streams of OTLP deltas whose running totals were dropped for others."
        )

    def __len__(self) -> int:
        return len(self._streams)

    def add(self, stream: Hashable, time_ms: int, delta: Parts, shape: Hashable, request: object) -> Parts | None:
        """The total at that time, or None for a delta that is older than one already added.

        `request` is any object that is the same for all points of one request. A request that is sent again
        (its answer was lost, or the store was away) gets the totals that it got before: nothing counts twice.
        Another `shape` (the bounds of a histogram) begins at 0.
        """
        with self._lock:
            known = self._streams.get(stream)
            if known is None or known.shape != shape:
                self._streams[stream] = _Stream(shape, time_ms, delta, request, {time_ms: delta})
                self._streams.move_to_end(stream)
                self._forget()
                return delta
            if time_ms <= known.last_ms:
                return known.told.get(time_ms)
            self._streams.move_to_end(stream)
            if known.request is not request or len(known.told) >= REMEMBERED_MAX:
                known.told.clear()
                known.request = request
            known.last_ms = time_ms
            known.total = known.told[time_ms] = tuple(map(sum, zip(known.total, delta, strict=True)))
            return known.total

    def of(self, sender: Hashable) -> SenderDeltas:
        """The streams of one sender, apart from those of the others that it calls the same."""
        return SenderDeltas(self, sender)

    def _forget(self) -> None:
        while len(self._streams) > self._streams_max:
            self._streams.popitem(last=False)
            self._forgotten.inc()


@dataclass(frozen=True, slots=True)
class SenderDeltas:
    streams: DeltaStreams
    sender: Hashable

    def add(self, stream: Hashable, time_ms: int, delta: Parts, shape: Hashable, request: object) -> Parts | None:
        """As `DeltaStreams.add`."""
        return self.streams.add((self.sender, stream), time_ms, delta, shape, request)
