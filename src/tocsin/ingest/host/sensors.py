"""Temperatures and fans, where the machine has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from tocsin.ingest.host.reading import Reading
from tocsin.model.series import MetricInfo


class Sensors:
    """Some chips take tens of milliseconds to answer, and nothing here changes fast; so twice a minute."""

    name = "sensors"
    period_s = 30.0
    metrics = (
        MetricInfo("hw.temperature", "Cel", help="Temperature at a sensor."),
        MetricInfo("hw.fan.speed", "rpm", help="Speed of a fan."),
    )

    def __init__(
        self,
        temperatures: Callable[[], Mapping[str, Sequence[tuple[str, float]]]],
        fans: Callable[[], Mapping[str, Sequence[tuple[str, float]]]],
    ) -> None:
        """Both give (label, value) of the sensors of each chip."""
        self._temperatures = temperatures
        self._fans = fans

    def read(self, at_s: float) -> Iterator[Reading]:  # noqa: ARG002 - a gauge needs no clock
        yield from _by_sensor("hw.temperature", self._temperatures())
        yield from _by_sensor("hw.fan.speed", self._fans())


def _by_sensor(metric: str, chips: Mapping[str, Sequence[tuple[str, float]]]) -> Iterator[Reading]:
    """Sensors without a label are numbered, and so are those that share one: two disks of a kind do."""
    for chip, sensors in chips.items():
        seen: Counter[str] = Counter()
        for at, (label, value) in enumerate(sensors, start=1):
            seen[label] += 1
            name = label or f"sensor {at}"
            sensor = name if seen[label] == 1 or not label else f"{name} {seen[label]}"
            yield Reading(metric, value, (("chip", chip), ("sensor", sensor)))
