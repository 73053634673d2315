"""What every kind of discovery is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tocsin.ingest.scrape.job import TargetGroup


@dataclass(frozen=True, slots=True)
class Found:
    """`error` says what of it is from before, because it could not be read now."""

    groups: tuple[TargetGroup, ...] = ()
    error: str = ""


class Source(Protocol):
    @property
    def period_ms(self) -> int: ...

    async def find(self) -> Found:
        """Raises TocsinError where nothing could be found out; what was found before then stays."""
        ...

    async def close(self) -> None: ...
