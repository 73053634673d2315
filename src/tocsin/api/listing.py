"""What the lists of series and labels are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Query

from tocsin.api.samples import selector
from tocsin.api.times import parse_time
from tocsin.model.errors import UserError
from tocsin.model.matcher import Matcher

SINCE = "RFC 3339 or epoch seconds; only series that may have a sample since then"
UNTIL = "RFC 3339 or epoch seconds; only series that may have a sample until then"


@dataclass(frozen=True, slots=True)
class Listing:
    """All series unless told otherwise. When a series has samples is known to the UTC day, or better."""

    name: Annotated[str | None, Query(description="the metric's name")] = None
    match: Annotated[
        list[str] | None, Query(description='a matcher such as `mount="/"` or `device=~"sd.*"`; may be repeated')
    ] = None
    start: Annotated[str | None, Query(description=SINCE)] = None
    end: Annotated[str | None, Query(description=UNTIL)] = None

    def selection(self) -> tuple[tuple[Matcher, ...], int | None, int | None]:
        """Matchers, start and end in ms UTC. Raises UserError."""
        matchers = selector(self.name, self.match or ()) if self.name or self.match else ()
        start_ms = None if self.start is None else parse_time(self.start, "start")
        end_ms = None if self.end is None else parse_time(self.end, "end")
        if start_ms is not None and end_ms is not None and start_ms > end_ms:
            raise UserError("start must not be after end.", field="start")
        return matchers, start_ms, end_ms
