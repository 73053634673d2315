"""Time since boot."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tocsin.ingest.host.reading import Reading
from tocsin.model.series import MetricInfo


class Uptime:
    name = "uptime"
    period_s = 0.0
    metrics = (MetricInfo("system.uptime", "s", help="Time since boot."),)

    def __init__(self, uptime_s: Callable[[], float]) -> None:
        self._uptime_s = uptime_s

    def read(self, at_s: float) -> Iterator[Reading]:  # noqa: ARG002 - the machine knows by itself
        yield Reading("system.uptime", round(self._uptime_s(), 2))
