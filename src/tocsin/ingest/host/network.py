"""Network interfaces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from tocsin.ingest.host.rates import Rates
from tocsin.ingest.host.reading import Figures, Reading, Tags
from tocsin.model.series import MetricInfo

# Each metric and psutil's fields for what comes in and what goes out.
COUNTERS = {
    "system.network.io": ("bytes_recv", "bytes_sent"),
    "system.network.packet.count": ("packets_recv", "packets_sent"),
    "system.network.packet.dropped": ("dropin", "dropout"),
    "system.network.errors": ("errin", "errout"),
}
DIRECTIONS = ("receive", "transmit")


class Network:
    name = "network"
    period_s = 0.0
    metrics = (
        MetricInfo("system.network.io", "By", "counter", "Received and transmitted, since boot."),
        MetricInfo("system.network.rate", "By/s", help="Received and transmitted each second."),
        MetricInfo("system.network.packet.count", "{packet}", "counter", "Packets, since boot."),
        MetricInfo("system.network.packet.dropped", "{packet}", "counter", "Packets dropped, since boot."),
        MetricInfo("system.network.errors", "{error}", "counter", "Errors, since boot."),
    )

    def __init__(self, counters: Callable[[], Mapping[str, Figures]], ignored: Callable[[str], bool]) -> None:
        """`counters` are psutil's, by interface."""
        self._counters = counters
        self._ignored = ignored
        self._rates: Rates[Tags] = Rates()

    def read(self, at_s: float) -> Iterator[Reading]:
        moved: dict[Tags, float] = {}
        for interface, figures in self._counters().items():
            if self._ignored(interface):
                continue
            for at, direction in enumerate(DIRECTIONS):
                tags: Tags = (("direction", direction), ("interface", interface))
                for metric, fields in COUNTERS.items():
                    yield Reading(metric, figures[fields[at]], tags)
                moved[tags] = figures[COUNTERS["system.network.io"][at]]
        for way, rate in self._rates.step(moved, at_s).items():
            yield Reading("system.network.rate", rate, way)
