"""What promql asks of others: series, with what is to be computed beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ParamSpec, Protocol, TypeAlias, TypeVar

from tocsin.model.matcher import Matcher
from tocsin.promql.values import Grid, Ranges, Vector


@dataclass(frozen=True, slots=True)
class Ask:
    """One selector of a query, and what is to be made of its samples. Equal asks are read once.

    `grid` holds the moments at which it is evaluated, moved by offset and `@`. Each moment t sees the samples with
    t - range < time ≤ t. `function` is a window function of `windows.FUNCTIONS`; "newest" is the instant selector
    (range_ms is its look-back), and "" asks for the samples themselves. `params` are the function's other arguments.
    """

    matchers: tuple[Matcher, ...]
    grid: Grid
    range_ms: int
    function: str = "newest"
    params: tuple[float, ...] = ()

    @property
    def after_ms(self) -> int:
        """Samples after this moment are needed, and up to `grid.end_ms`."""
        return self.grid.start_ms - self.range_ms


@dataclass(frozen=True, slots=True)
class Source:
    """Where an answer came from: for `explain`. Times in seconds; `resolution` is "raw", "5m" or "1h"."""

    how: str
    """`memory`, `engine` (samples were read from it) or `pushed down` (it computed the windows)."""
    series: int
    samples: int
    """How many were looked at."""
    seconds: float
    resolution: str = "raw"


@dataclass(frozen=True, slots=True)
class Budget:
    """What one query may take; counted before it is fetched.

    `approximate` allows roll-ups where they do not give the same numbers.
    """

    samples_max: int = 50_000_000
    series_max: int = 200_000
    points_max: int = 20_000_000
    """Series times moments of one ask."""
    deadline_s: float | None = None
    """On the monotonic clock; a read that is under way then is stopped."""
    approximate: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """The answer to an ask: Ranges where `function` is "", a Vector with a column for each moment otherwise."""

    found: Vector | Ranges
    sources: tuple[Source, ...] = ()
    notes: tuple[str, ...] = ()
    """What the asker should be told: an approximation that was made."""


Answers: TypeAlias = dict[Ask, Gathered]


class SeriesSource(Protocol):
    """The sample store, or its memory twin."""

    async def gather(self, asks: Sequence[Ask], budget: Budget) -> Answers:
        """All asks, answered of one moment.

        Raises LimitError where it would be more than the budget allows, TransientError where time ran out or the store
        is away, UserError for matchers that cannot be understood.
        """
        ...


P = ParamSpec("P")
T = TypeVar("T")


class Threads(Protocol):
    """Where long evaluations run, so that nothing else waits for them."""

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
