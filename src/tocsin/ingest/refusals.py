"""What was refused, in the log: a line a minute for each source, with the count of all since the line before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tocsin.ingest.rows import Refusal, Rejection
from tocsin.runtime.clock import Clock
from tocsin.runtime.log import get_log
from tocsin.runtime.telemetry import Telemetry

log = get_log("ingest")

SAID_EVERY_S = 60.0


@dataclass(slots=True)
class _Pending:
    counts: Counter[Refusal] = field(default_factory=Counter)
    said_s: float | None = None


class Refusals:
    """Counts refused samples by source and kind, and says so. A sender that sends nonsense does not fill the log."""

    def __init__(self, clock: Clock, telemetry: Telemetry) -> None:
        self._clock = clock
        self._counter = telemetry.counter("samples_rejected", "Samples refused.", ["source", "reason"])
        self._sources: dict[str, _Pending] = {}

    def note(self, source: str, refused: Sequence[Rejection]) -> None:
        if not refused:
            return
        counts = Counter(one.kind for one in refused)
        for kind, count in counts.items():
            self._counter.labels(source, kind.value).inc(count)
        pending = self._sources.setdefault(source, _Pending())
        pending.counts += counts
        now_s = self._clock.monotonic_s()
        if pending.said_s is None or now_s - pending.said_s >= SAID_EVERY_S:
            kinds = ", ".join(f"{kind.value} {count}" for kind, count in pending.counts.most_common())
            log.warning(
                "samples refused",
                source=source,
                refused=pending.counts.total(),
                kinds=kinds,
                example=refused[0].reason,
            )
            pending.said_s = now_s
            pending.counts = Counter()
