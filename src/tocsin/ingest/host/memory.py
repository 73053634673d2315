"""Main memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tocsin.ingest.host.reading import Figures, Reading, percent
from tocsin.model.series import MetricInfo


class Memory:
    name = "memory"
    period_s = 0.0
    metrics = (
        MetricInfo("system.memory.usage", "%", help="Memory that is not available to programs."),
        MetricInfo("system.memory.limit", "By", help="All memory."),
        MetricInfo("system.memory.bytes", "By", help="Memory by state; the states add up to the limit."),
        MetricInfo("system.memory.linux.available", "By", help="Memory that programs can have without swapping."),
    )

    def __init__(self, memory: Callable[[], Figures]) -> None:
        self._memory = memory

    def read(self, at_s: float) -> Iterator[Reading]:  # noqa: ARG002 - a gauge needs no clock
        memory = self._memory()
        total = memory["total"]
        yield Reading("system.memory.usage", percent(1 - memory["available"] / total))
        yield Reading("system.memory.limit", total)
        yield Reading("system.memory.linux.available", memory["available"])
        held = {state: memory.get(state, 0.0) for state in ("free", "cached", "buffers")}
        # Not psutil's `used`, which is all that is not available: the states would not add up.
        held["used"] = max(0.0, total - sum(held.values()))
        for state, amount in held.items():
            yield Reading("system.memory.bytes", amount, (("state", state),))


class Paging:
    """Swap space. A machine without any has only the zero that says so."""

    name = "paging"
    period_s = 0.0
    metrics = (
        MetricInfo("system.swap.usage", "%", help="Swap space in use."),
        MetricInfo("system.paging.usage", "By", help="Swap space by state."),
        MetricInfo("system.paging.io", "By", "counter", "Read from and written to swap space, since boot."),
    )

    def __init__(self, swap: Callable[[], Figures]) -> None:
        self._swap = swap

    def read(self, at_s: float) -> Iterator[Reading]:  # noqa: ARG002 - a gauge needs no clock
        swap = self._swap()
        if swap["total"]:
            yield Reading("system.swap.usage", percent(swap["used"] / swap["total"]))
        for state in ("used", "free"):
            yield Reading("system.paging.usage", swap[state], (("state", state),))
        for direction, field in (("in", "sin"), ("out", "sout")):
            yield Reading("system.paging.io", swap[field], (("direction", direction),))
