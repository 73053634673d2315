"""CPU time: how busy, doing what, and each core by itself where that is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from tocsin.ingest.host.reading import Figures, Reading, Tags, percent
from tocsin.model.series import MetricInfo

# OpenTelemetry's modes and psutil's fields. The fields guest and guest_nice are left out: Linux counts them
# a second time, in user and nice (man 5 proc_stat).
MODES = {
    "user": ("user",),
    "nice": ("nice",),
    "system": ("system",),
    "interrupt": ("irq", "softirq"),
    "steal": ("steal",),
    "iowait": ("iowait",),
    "idle": ("idle",),
}
NOT_BUSY = ("idle", "iowait")

Times: TypeAlias = dict[str, float]


class Cpu:
    name = "cpu"
    period_s = 0.0
    metrics = (
        MetricInfo("system.cpu.usage", "%", help="Time that the CPUs were busy, of all of them together."),
        MetricInfo("system.cpu.utilization", "1", help="Share of the time of all CPUs that went to each mode."),
        MetricInfo("system.cpu.time", "s", "counter", "Time of all CPUs in each mode, since boot."),
        MetricInfo("system.cpu.logical.count", "{cpu}", help="CPUs that the system schedules on."),
        MetricInfo("system.cpu.core.usage", "%", help="Time that one CPU was busy."),
        MetricInfo("system.cpu.core.time", "s", "counter", "Time of one CPU in each mode, since boot."),
    )

    def __init__(
        self,
        times: Callable[[], Figures],
        count: Callable[[], int],
        cores: Callable[[], Sequence[Figures]] | None = None,
    ) -> None:
        """`times` and `cores` are seconds since boot; without `cores` there are no readings of single CPUs."""
        self._times = times
        self._count = count
        self._cores = cores
        self._before: Times | None = None
        self._cores_before: list[Times] = []

    def read(self, at_s: float) -> Iterator[Reading]:  # noqa: ARG002 - shares need no clock: the counters are time
        now = by_mode(self._times())
        spent, self._before = spent_between(self._before, now), now
        if spent is not None:
            yield Reading("system.cpu.usage", percent(busy_share(spent)))
            total = sum(spent.values())
            for mode, seconds in spent.items():
                yield Reading("system.cpu.utilization", round(seconds / total, 4), (("mode", mode),))
        for mode, seconds in now.items():
            yield Reading("system.cpu.time", seconds, (("mode", mode),))
        yield Reading("system.cpu.logical.count", self._count())
        if self._cores is not None:
            yield from self._read_cores(self._cores())

    def _read_cores(self, cores: Sequence[Figures]) -> Iterator[Reading]:
        now = [by_mode(core) for core in cores]
        # Another number of CPUs means that one went on or off line, and then positions say nothing.
        before = self._cores_before if len(self._cores_before) == len(now) else [None] * len(now)
        self._cores_before = now
        for at, (earlier, later) in enumerate(zip(before, now, strict=True)):
            cpu: Tags = (("cpu", str(at)),)
            spent = spent_between(earlier, later)
            if spent is not None:
                yield Reading("system.cpu.core.usage", percent(busy_share(spent)), cpu)
            for mode, seconds in later.items():
                yield Reading("system.cpu.core.time", seconds, (*cpu, ("mode", mode)))


def by_mode(times: Figures) -> Times:
    """The modes that this machine tells of."""
    return {
        mode: sum(times.get(field, 0.0) for field in fields)
        for mode, fields in MODES.items()
        if any(field in times for field in fields)
    }


def spent_between(before: Times | None, now: Times) -> Times | None:
    """Seconds in each mode, None where none passed.

    A counter that fell counts as unmoved: Linux lets iowait and idle slip back a little (man 5 proc_stat).
    """
    if before is None:
        return None
    spent = {mode: max(0.0, seconds - before.get(mode, seconds)) for mode, seconds in now.items()}
    return spent if sum(spent.values()) > 0 else None


def busy_share(spent: Times) -> float:
    """0 to 1. Time that a hypervisor took away counts as busy: it was wanted and not there."""
    total = sum(spent.values())
    return 1 - sum(spent.get(mode, 0.0) for mode in NOT_BUSY) / total
