"""Disk I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from tocsin.ingest.host.rates import Rates
from tocsin.ingest.host.reading import Figures, Reading, Tags, percent
from tocsin.model.series import MetricInfo


class Disk:
    name = "disk"
    period_s = 0.0
    metrics = (
        MetricInfo("system.disk.io", "By", "counter", "Read and written, since boot."),
        MetricInfo("system.disk.rate", "By/s", help="Read and written each second."),
        MetricInfo("system.disk.operations", "{operation}", "counter", "Reads and writes, since boot."),
        MetricInfo("system.disk.operation_time", "s", "counter", "Time that reads and writes took, added up."),
        MetricInfo("system.disk.io_time", "s", "counter", "Time that the disk was at work, since boot."),
        MetricInfo("system.disk.busy", "%", help="Time that the disk was at work."),
    )

    def __init__(
        self,
        counters: Callable[[], Mapping[str, Figures]],
        whole_disks: Callable[[], frozenset[str] | None],
        ignored: Callable[[str], bool],
    ) -> None:
        """`counters` are psutil's, by device and with their times in ms.

        `whole_disks` tells disks from partitions, whose I/O is the disk's again; None where nobody knows.
        """
        self._counters = counters
        self._whole_disks = whole_disks
        self._ignored = ignored
        self._byte_rates: Rates[tuple[str, str]] = Rates()
        self._busy_rates: Rates[str] = Rates()

    def read(self, at_s: float) -> Iterator[Reading]:
        whole = self._whole_disks()
        disks = {
            device: figures
            for device, figures in self._counters().items()
            if (whole is None or device in whole) and not self._ignored(device)
        }
        for device, figures in disks.items():
            yield from _totals(device, figures)
        moved = {(device, way): figures[f"{way}_bytes"] for device, figures in disks.items() for way in WAYS}
        for (device, way), rate in self._byte_rates.step(moved, at_s).items():
            yield Reading("system.disk.rate", rate, _tags(device, way))
        busy = {device: figures["busy_time"] for device, figures in disks.items() if "busy_time" in figures}
        for device, ms_per_s in self._busy_rates.step(busy, at_s).items():
            yield Reading("system.disk.busy", percent(min(1.0, ms_per_s / 1_000)), (("device", device),))


WAYS = ("read", "write")


def _tags(device: str, way: str) -> Tags:
    return (("device", device), ("direction", way))


def _totals(device: str, figures: Figures) -> Iterator[Reading]:
    for way in WAYS:
        tags = _tags(device, way)
        yield Reading("system.disk.io", figures[f"{way}_bytes"], tags)
        yield Reading("system.disk.operations", figures[f"{way}_count"], tags)
        if f"{way}_time" in figures:
            yield Reading("system.disk.operation_time", figures[f"{way}_time"] / 1_000, tags)
    if "busy_time" in figures:
        yield Reading("system.disk.io_time", figures["busy_time"] / 1_000, (("device", device),))
