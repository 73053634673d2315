"""Samples in and out: what is stored, which metrics and series there are, and how they went."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tocsin.api.shapes.base import Asked, Listed, Shape, Tags


class Rejected(Shape):
    index: int = Field(description="position of the sample in the list that was sent")
    reason: str


class Stored(Shape):
    stored: int
    rejected: list[Rejected]


class Sample(Asked):
    """One sample to store."""

    name: str
    value: float
    tags: Tags = Field(default={})
    timestamp: str | float | None = Field(default=None, description="RFC 3339 or epoch seconds; now where absent")


class Metric(Shape):
    name: str
    unit: str = Field(description="UCUM code, such as `%`, `By` or `s`; empty where unknown")
    kind: str = Field(description="`gauge` or `counter`")
    help: str
    series: int = Field(description="how many series it has")


class MetricList(Listed[Metric]):
    pass


class Series(Shape):
    name: str
    labels: Tags = Field(description="all labels but the metric's name")
    time: int | None = Field(description="ms UTC of the newest sample; null where there was none lately")
    value: float | None


class SeriesList(Listed[Series]):
    pass


class RangeSeries(Shape):
    labels: Tags = Field(description="all labels but the metric's name")
    min: list[float | None]
    avg: list[float | None]
    max: list[float | None]


class Range(Shape):
    step_ms: int
    resolution: Literal["raw", "5m", "1h"] = Field(description="the coarsest of what was read: samples or roll-ups")
    times: list[int] = Field(description="ms UTC, the start of each step")
    series: list[RangeSeries] = Field(description="values in the order of `times`, null where a step is empty")


class Trend(Shape):
    name: str
    hours: float
    trend: Literal["up", "down", "flat", "no_data"]
    avg: float
    min: float
    max: float
    slope_per_hour: float
    change: float = Field(description="end of the fitted line minus its start")
    samples: int
    series: int = Field(description="how many series fit; several are averaged")
