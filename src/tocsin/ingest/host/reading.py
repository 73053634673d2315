"""What a family of readings is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import translate
from typing import NamedTuple, Protocol, TypeAlias

from tocsin.model.series import MetricInfo

Tags: TypeAlias = tuple[tuple[str, str], ...]
Figures: TypeAlias = Mapping[str, float]
"""One of psutil's tuples as a mapping: which fields there are depends on the machine."""


class Reading(NamedTuple):
    """A value without its time and its `host`, which all readings of a round share."""

    name: str
    value: float
    tags: Tags = ()


class Failure(NamedTuple):
    """`subject` is what failed of a family whose parts can fail alone."""

    family: str
    why: str
    subject: str = ""


class Family(Protocol):
    """Readings that succeed or fail together. It may keep what it read last, and may block."""

    @property
    def name(self) -> str: ...

    @property
    def metrics(self) -> tuple[MetricInfo, ...]: ...

    @property
    def period_s(self) -> float:
        """The least time between two reads, 0 for every round."""
        ...

    def read(self, at_s: float) -> Iterable[Reading]:
        """`at_s` is monotonic. Raises whatever the machine raises."""
        ...


def percent(share: float) -> float:
    """With two decimals: finer ones are noise of the counters' ticks, and cost the store several times the bytes."""
    return round(100 * share, 2)


def any_of(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Whether a name fits one of these globs."""
    joined = "|".join(translate(pattern) for pattern in patterns)
    compiled = re.compile(joined or r"(?!)")
    return lambda name: compiled.match(name) is not None
