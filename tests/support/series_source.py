"""Series in memory for PromQL: gathered plainly, one selector after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tocsin.model.labels import Labels
from tocsin.model.matcher import matches_all
from tocsin.model.series import FloatArray, SeriesBlock, TimeArray
from tocsin.promql import windows
from tocsin.promql.frame import LabelFrame
from tocsin.promql.ports import Answers, Ask, Budget, Gathered, Source
from tocsin.promql.values import Ranges, Vector


class MemorySource:
    """`series`: times int64[n] ms, rising, and values float64[n] by labels."""

    def __init__(self, series: Mapping[Labels, tuple[TimeArray, FloatArray]]) -> None:
        self.series = dict(series)

    async def gather(self, asks: Sequence[Ask], budget: Budget) -> Answers:
        return {ask: self._one(ask) for ask in asks}

    def _one(self, ask: Ask) -> Gathered:
        found = [labels for labels in self.series if matches_all(ask.matchers, labels)]
        columns = [self._cut(labels, ask) for labels in found]
        offsets = np.cumsum([0, *(len(times) for times, _ in columns)])
        block = SeriesBlock(
            tuple(found),
            offsets,
            np.concatenate([np.zeros(0, np.int64), *(times for times, _ in columns)]),
            np.concatenate([np.zeros(0), *(values for _, values in columns)]),
        )
        frame = LabelFrame.of(found)
        source = (Source("memory", len(found), len(block.times), 0.0),)
        if not ask.function:
            return Gathered(Ranges(frame, block, ask.grid, ask.range_ms), source)
        values, present = windows.reduce(ask.function, block, ask.grid, ask.range_ms, ask.params)
        return Gathered(Vector(frame, values, present), source)

    def _cut(self, labels: Labels, ask: Ask) -> tuple[TimeArray, FloatArray]:
        times, values = self.series[labels]
        some = (times > ask.after_ms) & (times <= ask.grid.end_ms)
        return times[some], values[some]
