"""What a test of rules needs: series that it writes to and asks, and nothing of which stays."""

from __future__ import annotations

from typing import Protocol

from tocsin.model.labels import Labels
from tocsin.model.series import SampleBatch
from tocsin.promql.ports import SeriesSource


class Samples(SeriesSource, Protocol):
    def intern(self, labels: Labels) -> int:
        """The series' id."""
        ...

    async def append(self, batch: SampleBatch) -> None: ...
