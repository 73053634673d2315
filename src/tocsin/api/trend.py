"""The trend of a metric, whose series may be several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tocsin.analysis.trend import Direction, Trend, trend
from tocsin.api.ports import SampleReader
from tocsin.api.times import step_for
from tocsin.model.duration import HOUR_MS
from tocsin.model.matcher import Matcher
from tocsin.model.series import StepBlock
from tocsin.runtime.offload import Offload


@dataclass(frozen=True, slots=True)
class MetricTrend:
    """`series` had samples in that time; where they are several, the trend is that of their average."""

    trend: Trend
    series: int


async def read_trend(
    reader: SampleReader, matchers: Sequence[Matcher], hours: float, now_ms: int, offload: Offload
) -> MetricTrend:
    """Of the last `hours`. One series is judged by its samples; of several the average of each step is judged,
    while min and max are those of all samples. Raises LimitError, StoreError.
    """
    start_ms, end_ms = now_ms - round(hours * HOUR_MS), now_ms + 1
    if await reader.count(matchers) == 1:
        samples = await reader.select(matchers, start_ms, end_ms)
        return MetricTrend(await offload.run(trend, samples.times, samples.values), len(samples))
    block = await reader.steps(matchers, start_ms, end_ms, step_for(end_ms - start_ms))
    return MetricTrend(await offload.run(_of_average, block), len(block.series))


def _of_average(block: StepBlock) -> Trend:
    if not len(block.series):
        return Trend(Direction.NO_DATA)
    filled = ~np.isnan(block.avg)
    with np.errstate(invalid="ignore"):  # a step without any sample has no mean: 0 / 0 is NaN
        average = np.nansum(block.avg, axis=0) / filled.sum(axis=0)
    found = trend(block.times, average)
    if found.direction is Direction.NO_DATA:
        return found
    return replace(found, min=float(np.nanmin(block.min)), max=float(np.nanmax(block.max)))
