"""Load averages."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tocsin.ingest.host.reading import Reading
from tocsin.model.series import MetricInfo

SPANS = ("1m", "5m", "15m")


class Load:
    name = "load"
    period_s = 0.0
    metrics = tuple(
        MetricInfo(f"system.cpu.load_average.{span}", "{thread}", help=f"Threads that ran or waited, over {span}.")
        for span in SPANS
    )

    def __init__(self, averages: Callable[[], tuple[float, float, float]]) -> None:
        self._averages = averages

    def read(self, at_s: float) -> Iterator[Reading]:  # noqa: ARG002 - a gauge needs no clock
        for info, average in zip(self.metrics, self._averages(), strict=True):
            yield Reading(info.name, average)
