"""tocsin's own metrics, in a registry that is passed in, so that two servers in one process do not mix."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0 as CONTENT_TYPE

__all__ = ["CONTENT_TYPE", "Counter", "Gauge", "Histogram", "Telemetry"]

SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Telemetry:
    """Makes metrics named `tocsin_…`. A name asked for twice gives the same metric."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self._made: dict[str, Counter | Gauge | Histogram] = {}

    def counter(self, name: str, help: str, labels: Sequence[str] = ()) -> Counter:
        made = self._made.get(name)
        if not isinstance(made, Counter):
            made = self._made[name] = Counter(f"tocsin_{name}", help, labels, registry=self.registry)
        return made

    def gauge(self, name: str, help: str, labels: Sequence[str] = ()) -> Gauge:
        made = self._made.get(name)
        if not isinstance(made, Gauge):
            made = self._made[name] = Gauge(f"tocsin_{name}", help, labels, registry=self.registry)
        return made

    def histogram(
        self, name: str, help: str, labels: Sequence[str] = (), buckets: Sequence[float] = SECONDS_BUCKETS
    ) -> Histogram:
        made = self._made.get(name)
        if not isinstance(made, Histogram):
            made = self._made[name] = Histogram(f"tocsin_{name}", help, labels, registry=self.registry, buckets=buckets)
        return made

    def render(self) -> bytes:
        """The Prometheus text form."""
        return generate_latest(self.registry)
