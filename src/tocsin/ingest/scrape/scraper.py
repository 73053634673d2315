"""The loop that scrapes: each target at its own moment, none waiting for another."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial

from tocsin.ingest.appender import Appender
from tocsin.ingest.rows import Rejection, Rows, SeriesBook
from tocsin.ingest.scrape import digest
from tocsin.ingest.scrape.digest import Shown
from tocsin.ingest.scrape.door import Caller, Door
from tocsin.ingest.scrape.fetch import Page, fetch
from tocsin.ingest.scrape.job import ScrapeJob
from tocsin.ingest.scrape.memory import ScrapeMemory
from tocsin.ingest.scrape.target import Target
from tocsin.ingest.settings import IngestSettings, ScrapeSettings
from tocsin.model.duration import format_ms
from tocsin.model.errors import TocsinError, TransientError
from tocsin.model.labels import Labels
from tocsin.model.series import MetricInfo
from tocsin.runtime.clock import Clock
from tocsin.runtime.log import get_log
from tocsin.runtime.offload import Offload
from tocsin.runtime.telemetry import Telemetry

log = get_log("ingest")

SOURCE = "scrape"
INLINE_BYTES_MAX = 8 * 1024
"""Unpacked bytes that are read on the loop; more go to a thread."""

ROWS_AT_ONCE = 2_000
"""Rows that are handed to the store together: finding the ids of so many takes some 5 ms of the loop."""

KNOWN_ROWS_AT_ONCE = 10_000
"""The same for a target that shows what it showed before, so that its ids are known."""

ADDED_AT_ONCE = 100
"""New targets before others get a turn: 5 ms."""

ENDS_TRIED = 60
ENDS_PAUSE_S = 1.0

ALIGN_MS_MAX = 10
ALIGN_PART = 100
"""A scrape that begins up to 10 ms late (and 1 % of its interval) is dated at its planned moment: even times take
less room. Source: Prometheus' scrape timestamp tolerance."""


class Health(StrEnum):
    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Last:
    """The last scrape of a target. `error` says why it failed, `warning` what of it was refused."""

    health: Health = Health.UNKNOWN
    at_ms: int = 0
    duration_s: float = 0.0
    samples: int = 0
    kept: int = 0
    error: str = ""
    warning: str = ""


@dataclass(slots=True)
class Watched:
    """A target that is scraped, and what is remembered of it from one scrape to the next.

    `seen` are the series of the last answer that could end, `live` while they have not ended; `line_up` are all that
    were stored together, and `book` knows their ids. `order` is its place in a list of the job's targets.
    """

    target: Target
    job: ScrapeJob
    caller: Caller
    memory: ScrapeMemory
    order: str
    refusal: str = ""
    report: tuple[Labels, ...] = ()
    seen: tuple[Labels, ...] = ()
    line_up: tuple[Labels, ...] = ()
    book: SeriesBook | None = None
    live: bool = False
    reported: bool = False
    infos: dict[str, MetricInfo] = field(default_factory=dict)
    last: Last = field(default_factory=Last)
    missed: int = 0
    offset_ms: int = 0
    planned: bool = False
    due_s: float = 0.0
    running: asyncio.Task[None] | None = None

    @property
    def stale_series(self) -> tuple[Labels, ...]:
        """What has to be marked as ended when the target goes."""
        return (*(self.seen if self.live else ()), *(self.report if self.reported else ()))


@dataclass(frozen=True, slots=True)
class Wanted:
    """A target that is to be scraped. `refusal` is why it fails without being asked: its job broke a limit."""

    target: Target
    job: ScrapeJob
    refusal: str = ""


class Scraper:
    """`apply` says what is scraped; `run` does it for ever."""

    def __init__(
        self,
        settings: ScrapeSettings,
        limits: IngestSettings,
        appender: Appender,
        door: Door,
        *,
        clock: Clock,
        offload: Offload,
        telemetry: Telemetry,
    ) -> None:
        self._settings = settings
        self._limits = limits
        self._appender = appender
        self._door = door
        self._clock = clock
        self._offload = offload
        self._watched: dict[tuple[str, Labels], Watched] = {}
        self._leaving: list[Watched] = []
        self._letting_go: asyncio.Task[None] | None = None
        self._queue: list[tuple[float, int, Watched]] = []
        self._turn = 0
        self._room = asyncio.Semaphore(settings.concurrency)
        self._wake = asyncio.Event()
        self._scrapes = telemetry.counter("scrapes", "Scrapes of targets.", ["result"])
        self._missed = telemetry.counter("scrapes_missed", "Scrapes left out because the one before took too long.")
        self._seconds = telemetry.histogram("scrape_seconds", "Time to ask a target and to read its answer.")
        self._targets = telemetry.gauge("scrape_targets", "Targets that are scraped.")
        self._targets.set_function(lambda: len(self._watched))

    async def apply(self, wanted: Iterable[Wanted]) -> None:
        """From now on these and no others. A target that is as it was keeps its moment, its series and its health.

        One call at a time.
        """
        kept: dict[tuple[str, Labels], Watched] = {}
        for at, one in enumerate(wanted):
            watched = self._watched.get(one.target.key)
            kept[one.target.key] = self._added(one) if watched is None else self._changed(watched, one)
            if at % ADDED_AT_ONCE == ADDED_AT_ONCE - 1:
                await asyncio.sleep(0)
        self._leaving += [watched for key, watched in self._watched.items() if key not in kept]
        self._watched = kept
        for watched in kept.values():
            if not watched.planned:
                self._plan(watched)
        self._wake.set()

    def watched(self) -> Sequence[Watched]:
        """In the order in which they were wanted."""
        return tuple(self._watched.values())

    async def run(self) -> None:
        try:
            while True:
                self._start_letting_go()
                self._start_due(self._clock.monotonic_s())
                await self._pause()
        finally:
            tasks = [self._letting_go, *(one.running for one in (*self._watched.values(), *self._leaving))]
            running = [task for task in tasks if task is not None]
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _added(self, one: Wanted) -> Watched:
        caller, order = Caller(self._door, one.job.http), f"{one.target.url} {one.target.identity.series_id():016x}"
        watched = Watched(one.target, one.job, caller, self._memory(one), order, one.refusal)
        watched.report = digest.report_labels(one.target.labels)
        watched.offset_ms = one.target.offset_ms()
        return watched

    def _changed(self, watched: Watched, one: Wanted) -> Watched:
        """Where only the list of targets differs, nothing does."""
        before, moved = watched.job, one.target.interval_ms != watched.target.interval_ms
        watched.refusal, watched.target, watched.job = one.refusal, one.target, one.job
        watched.caller.options = one.job.http
        if _how(before) != _how(one.job):
            watched.memory = self._memory(one)
        if moved:
            watched.offset_ms, watched.planned = one.target.offset_ms(), False
        return watched

    def _memory(self, one: Wanted) -> ScrapeMemory:
        job = one.job
        return ScrapeMemory(
            one.target.labels, job.metric_relabels, job.limits, self._limits, honor_labels=job.honor_labels
        )

    def _plan(self, watched: Watched) -> None:
        """The first scrape, at the target's own moment of its interval."""
        watched.planned = True
        wait_ms = (watched.offset_ms - self._clock.now_ms()) % watched.target.interval_ms
        self._enqueue(watched, self._clock.monotonic_s() + wait_ms / 1_000)

    def _enqueue(self, watched: Watched, due_s: float) -> None:
        watched.due_s = due_s
        self._turn += 1
        heapq.heappush(self._queue, (due_s, self._turn, watched))

    def _start_due(self, now_s: float) -> None:
        while self._queue and self._queue[0][0] <= now_s:
            due_s, _, watched = heapq.heappop(self._queue)
            if due_s != watched.due_s or self._watched.get(watched.target.key) is not watched:
                continue  # it was planned anew, or went
            interval_s = watched.target.interval_ms / 1_000
            late = int((now_s - due_s) / interval_s)
            following_s = due_s + (late + 1) * interval_s
            self._enqueue(watched, following_s - self._astray_s(watched, following_s - now_s))
            if watched.running is not None:
                late += 1
            else:
                watched.running = asyncio.create_task(self._take_turn(watched), name=f"scrape {watched.target.url}")
                watched.running.add_done_callback(partial(self._ended, watched))
            if late:
                watched.missed += late
                self._missed.inc(late)

    def _astray_s(self, watched: Watched, wait_s: float) -> float:
        """How far behind its own moment of the wall clock the target would be after so long: the clock may be set."""
        interval_ms = watched.target.interval_ms
        moment_ms = self._clock.now_ms() + wait_s * 1_000 - watched.offset_ms
        return ((moment_ms + interval_ms / 2) % interval_ms - interval_ms / 2) / 1_000

    def _ended(self, watched: Watched, task: asyncio.Task[None]) -> None:
        watched.running = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._scrapes.labels("crashed").inc()
            log.error("a scrape crashed", target=watched.target.url, exc_info=error)

    async def _pause(self) -> None:
        """Until the next target is due, or something has changed."""
        left_s = self._queue[0][0] - self._clock.monotonic_s() if self._queue else None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(left_s):
                await self._wake.wait()
        self._wake.clear()

    async def _take_turn(self, watched: Watched) -> None:
        async with self._room:
            await self.scrape(watched)

    async def scrape(self, watched: Watched) -> None:
        """Once, now: the answer, or the lack of one, is stored when it returns."""
        target = watched.target
        at_ms = aligned(self._clock.now_ms(), watched.offset_ms, target.interval_ms)
        began_s = self._clock.monotonic_s()
        shown, error = Shown(), watched.refusal
        if not error:
            try:
                shown = await self._read(watched, at_ms)
            except TocsinError as failed:
                error = str(failed)
        duration_s = self._clock.monotonic_s() - began_s
        self._seconds.observe(duration_s)
        await self._store(watched, shown, error, at_ms, duration_s)

    async def _read(self, watched: Watched, at_ms: int) -> Shown:
        """Raises UserError, LimitError, TransientError."""
        job, memory, limit_ms = watched.job, watched.memory, watched.target.timeout_ms
        bytes_max = job.limits.body_bytes or self._settings.body_max
        try:
            async with asyncio.timeout(limit_ms / 1_000):
                page = await fetch(watched.caller, watched.target, job, bytes_max)
        except TimeoutError as error:
            raise TransientError(f"No complete answer within {format_ms(limit_ms)}.") from error
        if len(page.body) <= INLINE_BYTES_MAX and not page.encoding:
            return _read_page(page, at_ms, bytes_max, job, memory, self._limits)
        return await self._offload.run(_read_page, page, at_ms, bytes_max, job, memory, self._limits)

    async def _store(self, watched: Watched, shown: Shown, error: str, at_ms: int, duration_s: float) -> None:
        before = watched.seen if watched.live else ()
        change = digest.Change(0, before) if error else digest.compare(watched.seen, shown.tracked)
        gone = change.gone if watched.live else ()
        values = (float(not error), duration_s, shown.scraped, shown.kept, change.added)
        rows = _recognised(watched, digest.with_extras(shown.rows, gone, watched.report, values, at_ms))
        last = Last(
            Health.DOWN if error else Health.UP, at_ms, duration_s, shown.scraped, shown.kept, error, _warning(shown)
        )
        try:
            await self._describe(watched, shown.infos)
            await self._append(rows, shown.rejected)
        except TransientError as lost:
            self._scrapes.labels("lost").inc()
            watched.last = replace(last, warning=f"The samples were not stored: {lost}")
            return
        self._scrapes.labels("failed" if error else "ok").inc()
        watched.reported = True
        watched.live = not error
        if not error:
            watched.seen = shown.tracked
        watched.last = last

    async def _describe(self, watched: Watched, infos: Sequence[MetricInfo]) -> None:
        """What this target has not said before: two that tell different stories must not write for ever."""
        new = [info for info in infos if watched.infos.get(info.name) != info]
        if new:
            await self._appender.describe(new)
            told = {info.name for info in infos}
            watched.infos = {name: info for name, info in watched.infos.items() if name in told}
            watched.infos.update((info.name, info) for info in new)

    async def _append(self, rows: Rows, refused: Sequence[Rejection]) -> None:
        known = isinstance(rows.series, SeriesBook)
        for part in digest.chunks(rows, KNOWN_ROWS_AT_ONCE if known else ROWS_AT_ONCE):
            await self._appender.append(part, SOURCE, refused)
            refused = ()

    async def close(self) -> None:
        """Let go of the connections. Series are not ended: the next start goes on with them."""
        for watched in (*self._watched.values(), *self._leaving):
            await watched.caller.close()

    def _start_letting_go(self) -> None:
        """Beside the scrapes, which must not wait for the store."""
        if self._leaving and self._letting_go is None:
            self._letting_go = asyncio.create_task(self._let_go(), name="end of targets")
            self._letting_go.add_done_callback(self._let_go_ended)

    def _let_go_ended(self, task: asyncio.Task[None]) -> None:
        self._letting_go = None
        self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the end of targets crashed", exc_info=error)

    async def _let_go(self) -> None:
        """End the series of targets that are scraped no longer, all together."""
        leaving, self._leaving = self._leaving, []
        running = [watched.running for watched in leaving if watched.running is not None]
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        gone: list[Labels] = []
        for watched in leaving:
            await watched.caller.close()
            gone += watched.stale_series
        at_ms = self._clock.now_ms()
        for start in range(0, len(gone), ROWS_AT_ONCE):
            await self._store_ends(gone[start : start + ROWS_AT_ONCE], at_ms)

    async def _store_ends(self, gone: Sequence[Labels], at_ms: int) -> None:
        """Tried for a minute: no later scrape would make it good."""
        rows, why = digest.with_extras(digest.EMPTY, gone, (), (), at_ms), ""
        for _ in range(ENDS_TRIED):
            try:
                await self._appender.append(rows, SOURCE)
            except TransientError as error:
                why = str(error)
                await asyncio.sleep(ENDS_PAUSE_S)
            else:
                return
        log.warning("the end of series was not stored", series=len(gone), why=why)


def aligned(now_ms: int, offset_ms: int, interval_ms: int) -> int:
    """The planned moment where it is only just over, else now."""
    late_ms = (now_ms - offset_ms) % interval_ms
    return now_ms - late_ms if late_ms <= min(ALIGN_MS_MAX, interval_ms // ALIGN_PART) else now_ms


def _how(job: ScrapeJob) -> ScrapeJob:
    """The job without what only says which targets it has."""
    return replace(job, groups=(), discoveries=(), relabels=())


def _read_page(
    page: Page, at_ms: int, bytes_max: int, job: ScrapeJob, memory: ScrapeMemory, limits: IngestSettings
) -> Shown:
    body = page.unpacked(bytes_max)
    return digest.read(body, at_ms, job, memory, limits, openmetrics=page.openmetrics)


def _recognised(watched: Watched, rows: Rows) -> Rows:
    """With the book of the scrape before where the series are the same, in the same order: it knows their ids."""
    if watched.book is not None and rows.series == watched.line_up:
        return replace(rows, series=watched.book)
    watched.line_up = line_up = tuple(rows.series)
    watched.book = SeriesBook(line_up.__getitem__, line_up.__len__)
    return rows


def _warning(shown: Shown) -> str:
    if not shown.rejected:
        return ""
    first = shown.rejected[0]
    return f"{len(shown.rejected)} of {shown.lines} lines refused. Line {first.index + 1}: {first.reason}"
