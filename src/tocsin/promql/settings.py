"""What can be set about queries."""

from __future__ import annotations

from dataclasses import dataclass, field

from tocsin.model.duration import MINUTE_MS, Duration


@dataclass(frozen=True, slots=True)
class QuerySettings:
    """PromQL: what a query may take, and what it assumes where it does not say."""

    lookback: Duration = field(
        default=Duration(5 * MINUTE_MS),
        metadata={"doc": "How long a sample is a series' current value; a query may ask for another length."},
    )
    timeout: Duration = field(
        default=Duration(2 * MINUTE_MS),
        metadata={"doc": "How long a query may take, waiting included; a query may ask for less."},
    )
    step: Duration = field(
        default=Duration(MINUTE_MS), metadata={"doc": "The step of subqueries that name none, as in `[1h:]`."}
    )
    samples_max: int = field(default=50_000_000, metadata={"doc": "Samples that one query may look at."})
    series_max: int = field(default=200_000, metadata={"doc": "Series that one selector may find."})
    steps_max: int = field(default=11_000, metadata={"doc": "Steps that a range query may have."})
    points_max: int = field(
        default=20_000_000,
        metadata={"doc": "Series times steps that one part of a query may come to (9 bytes each)."},
    )
    concurrency: int = field(
        default=4, metadata={"doc": "Queries of people and dashboards that run side by side; further ones wait."}
    )
    queue_max: int = field(
        default=200, metadata={"doc": "Queries that may wait; beyond it the server says that it is busy (503)."}
    )
