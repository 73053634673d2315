"""Processes by state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from tocsin.ingest.host.reading import Reading
from tocsin.model.series import MetricInfo

# psutil's states as OpenTelemetry names them. A process in the "disk-sleep" of psutil waits for I/O and cannot
# even be killed; many of these mean a sick disk or network file system, so they have a name of their own.
STATES = {
    "running": "running",
    "disk-sleep": "blocked",
    "stopped": "stopped",
    "tracing-stop": "stopped",
    "zombie": "defunct",
    "dead": "defunct",
}
SLEEPING = "sleeping"
SHOWN = ("running", SLEEPING, "blocked", "stopped", "defunct")


class Processes:
    """Asks every process for its state, which is dear on a machine with thousands; so only once a minute."""

    name = "process"
    period_s = 60.0
    metrics = (MetricInfo("system.process.count", "{process}", help="Processes by state."),)

    def __init__(self, states: Callable[[], Iterable[str]]) -> None:
        """`states` gives psutil's word for the state of each process."""
        self._states = states

    def read(self, at_s: float) -> Iterator[Reading]:  # noqa: ARG002 - a gauge needs no clock
        counts = Counter(STATES.get(state, SLEEPING) for state in self._states())
        for state in SHOWN:
            yield Reading("system.process.count", counts[state], (("status", state),))
