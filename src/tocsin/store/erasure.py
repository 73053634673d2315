"""The right to be forgotten: series by matcher, with everything that is kept of them, until their bytes are gone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Protocol

from tocsin.model.audit import Actor, AuditEntry
from tocsin.model.errors import ConflictError, NotFoundError, UserError
from tocsin.model.labels import METRIC_NAME
from tocsin.model.matcher import Matcher
from tocsin.model.retention import check_selective
from tocsin.runtime.clock import Clock
from tocsin.runtime.log import get_log
from tocsin.store.samples.enforcement import Loss

log = get_log("store")

Selectors = Sequence[tuple[Matcher, ...]]
SELECTORS_MAX = 100
MASK = "•••"


class Erasable(Protocol):
    async def fitting(self, selectors: Selectors) -> Loss:
        """What is kept of the series that fit any of the selectors."""
        ...

    async def erase(self, selectors: Selectors) -> int:
        """Returns how many series there were, when nothing of them is left on the disk. Raises StoreError."""
        ...


class Erasure:
    """`record` keeps an entry of the audit log."""

    def __init__(self, samples: Erasable, record: Callable[[AuditEntry], Awaitable[None]], clock: Clock) -> None:
        self._samples = samples
        self._record = record
        self._clock = clock

    async def preview(self, selectors: Selectors) -> Loss:
        """Raises UserError."""
        check_selectors(selectors)
        return await self._samples.fitting(selectors)

    async def delete(self, selectors: Selectors, series: int, actor: Actor) -> Loss:
        """What is deleted then. `series` is how many the caller was told there are.

        Raises UserError, NotFoundError where none fits, ConflictError where there are more or fewer by now, StoreError.
        """
        lost = await self.preview(selectors)
        if not lost.series:
            raise NotFoundError("No series fits; nothing was deleted.")
        if lost.series != series:
            raise ConflictError(
                f"{lost.series} series fit by now, not {series}: look again at what would be deleted.", field="series"
            )
        asked = " or ".join(masked(selector) for selector in selectors)
        seen = {"series": lost.series, "samples": lost.samples, "buckets": lost.buckets}
        began = AuditEntry(self._clock.now_ms(), actor, "series.delete", asked, seen, None)
        await self._record(began)
        log.warning("series are being deleted", **seen, by=actor.name)
        gone = await self._samples.erase(selectors)
        await self._record(
            replace(began, at_ms=self._clock.now_ms(), action="series.deleted", before=None, after={"series": gone})
        )
        log.warning("series deleted", series=gone, by=actor.name)
        return lost


def check_selectors(selectors: Selectors) -> None:
    """Raises UserError where one of them fits everything, or there are none."""
    if not 0 < len(selectors) <= SELECTORS_MAX:
        raise UserError(f"Give 1 to {SELECTORS_MAX} selectors.", field="match")
    for selector in selectors:
        check_selective(selector, "match")


def masked(selector: Sequence[Matcher]) -> str:
    """Without the values of labels, as these may be what is to be forgotten; the metric's name stays."""
    shown = (one if one.label == METRIC_NAME else replace(one, value=MASK) for one in selector)
    return "{" + ", ".join(map(str, shown)) + "}"
