"""Where in a document something stands."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """`path` as in `groups[0].rules[2].expr`; line and column from 1, and 0 where the source has none."""

    path: str = ""
    line: int = 0
    column: int = 0
