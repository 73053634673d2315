"""What must happen, written as plainly as possible: one pass over the readings of one series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tocsin.model.rule import Rule


@dataclass(frozen=True)
class Episode:
    """An alert from firing to resolved, ms UTC; `resolved_at_ms` 0 while it fires."""

    fired_at_ms: int
    resolved_at_ms: int


def episodes(rule: Rule, readings: Sequence[tuple[int, float]], end_ms: int) -> list[Episode]:
    """For readings that never pause for as long as the look-back, nor for as long as the duration."""
    found: list[Episode] = []
    since: int | None = None
    fired: int | None = None
    for at_ms, value in [*readings, (end_ms, float("nan"))]:
        if since is not None and fired is None and since + rule.duration_ms <= at_ms:
            assert since + rule.duration_ms != at_ms or rule.duration_ms == 0, (
                "a reading at the deadline: choose others"
            )
            fired = since + rule.duration_ms
        if at_ms == end_ms:
            break
        if rule.condition.holds(value, rule.threshold):
            since = at_ms if since is None else since
            if rule.duration_ms == 0 and fired is None:
                fired = at_ms
        else:
            if fired is not None:
                found.append(Episode(fired, at_ms))
            since = fired = None
    if fired is not None:
        found.append(Episode(fired, 0))
    return found
