"""Which series and labels there are, and what there are many of."""

from __future__ import annotations

from pydantic import Field

from tocsin.api.shapes.base import Listed, Shape, Tags


class SeriesName(Shape):
    name: str
    labels: Tags = Field(description="all labels but the metric's name")


class SeriesNames(Listed[SeriesName]):
    pass


class Texts(Listed[str]):
    pass


class CountedMetric(Shape):
    name: str
    series: int


class CountedLabel(Shape):
    name: str
    values: int = Field(description="how many different values it has")


class CountedPair(Shape):
    name: str
    value: str
    series: int


class SeriesStats(Shape):
    """How many series there are, and of what; the largest come first."""

    series: int
    series_max: int = Field(description="beyond it, new series are refused")
    metric_series_max: int = Field(description="the same for each metric; 0 is no limit")
    label_pairs: int = Field(description="different labels with their values")
    metrics: list[CountedMetric]
    labels: list[CountedLabel]
    pairs: list[CountedPair]
