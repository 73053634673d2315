"""A query from its text to its answer: parse, plan, gather, evaluate. The only part of promql that waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import ParamSpec, TypeVar

from tocsin.model.errors import LimitError, QueueFullError, TocsinError, TransientError, UserError
from tocsin.promql import ast, plan
from tocsin.promql.evaluate import Evaluation
from tocsin.promql.notes import Notes
from tocsin.promql.parse import parse
from tocsin.promql.ports import Answers, Ask, Budget, SeriesSource, Source, Threads
from tocsin.promql.settings import QuerySettings
from tocsin.promql.values import Grid, Scalar, Value, Vector

P = ParamSpec("P")
T = TypeVar("T")

TREES_REMEMBERED = 4_096
TEXT_REMEMBERED_MAX = 2_000
"""Characters of a text whose tree is remembered."""


class QueryTimeoutError(TransientError):
    """The query took longer than it may."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a caller may ask for; None is what the settings say, and no more than they allow."""

    timeout_s: float | None = None
    lookback_ms: int | None = None
    approximate: bool = False
    """Whether roll-ups may be read where they do not give the same numbers."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A selector of the query, and where its series came from."""

    ask: Ask
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Explain:
    """What became of a query: seconds by stage, and what was read for each selector."""

    waited_s: float
    parse_s: float
    gather_s: float
    evaluate_s: float
    asked: tuple[Asked, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """`value` has a column for each moment of the grid; of a range query it is a Vector or Scalar."""

    value: Value
    grid: Grid
    warnings: tuple[str, ...]
    infos: tuple[str, ...]
    explain: Explain
    ranging: bool = False
    """Whether it answers a range query."""


class Engine:
    """Evaluates queries, so many at a time. Callers whose queries must not wait for others' have an engine each."""

    def __init__(self, settings: QuerySettings, *, monotonic_s: Callable[[], float], threads: Threads) -> None:
        self.settings = settings
        self._monotonic_s = monotonic_s
        self.threads = threads
        self._room = asyncio.Semaphore(settings.concurrency)
        self.waiting = 0

    async def query(self, source: SeriesSource, text: str, at_ms: int, options: Options | None = None) -> Answer:
        """At one moment. Raises ParseError, EvaluationError, LimitError, QueryTimeoutError, what the store raises."""
        return await self._answer(source, text, Grid(at_ms), options or Options())

    async def query_range(self, source: SeriesSource, text: str, grid: Grid, options: Options | None = None) -> Answer:
        """At every moment of the grid. Raises as `query` does, and UserError for what is neither scalar nor vector."""
        if grid.count - 1 > self.settings.steps_max:  # steps between points, as Prometheus counts them
            raise LimitError(too_many_steps(self.settings.steps_max))
        answer = await self._answer(source, text, grid, options or Options(), ranging=True)
        if isinstance(answer.value, Scalar | Vector):
            return answer
        raise AssertionError(answer.value)  # the tree's type was looked at

    async def query_many(
        self, source: SeriesSource, texts: Sequence[str], at_ms: int, options: Options | None = None
    ) -> list[Answer | TocsinError]:
        """Many queries at one moment, as the rules of a group are: read in one go, an answer or an error each."""
        options = options or Options()
        async with self._turn(options) as turn:
            drafts = [_caught(self._draft, text, Grid(at_ms), options) for text in texts]
            asks = dict.fromkeys(ask for draft in drafts if isinstance(draft, _Draft) for ask in draft.asks)
            turn.planned_s = self._monotonic_s()
            try:
                answers = await self._gathered(source, tuple(asks), turn.deadline_s, options)
            except LimitError:  # one of them asks for too much: which, is seen when they are read one by one
                return [await self._alone(source, draft, turn, options) for draft in drafts]
            turn.gathered_s = self._monotonic_s()
            finish = partial(self._finish, answers=answers, turn=turn)
            return await self.threads.run(lambda: [_caught(finish, draft) for draft in drafts])

    async def _alone(
        self, source: SeriesSource, draft: _Draft | TocsinError, turn: _Turn, options: Options
    ) -> Answer | TocsinError:
        if isinstance(draft, TocsinError):
            return draft
        try:
            answers = await self._gathered(source, draft.asks, turn.deadline_s, options)
        except TocsinError as error:
            return error
        turn.gathered_s = self._monotonic_s()
        return await self.threads.run(lambda: _caught(self._finish, draft, answers, turn))

    async def _answer(
        self, source: SeriesSource, text: str, grid: Grid, options: Options, *, ranging: bool = False
    ) -> Answer:
        async with self._turn(options) as turn:
            draft = self._draft(text, grid, options, ranging=ranging)
            if ranging:
                _check_ranging(draft.tree)
            turn.planned_s = self._monotonic_s()
            answers = await self._gathered(source, draft.asks, turn.deadline_s, options)
            turn.gathered_s = self._monotonic_s()
            if _small(draft, answers):  # to hand it to a thread would take longer
                return self._finish(draft, answers, turn)
            return await self.threads.run(lambda: self._finish(draft, answers, turn))

    def _draft(self, text: str, grid: Grid, options: Options, *, ranging: bool = False) -> _Draft:
        tree = parsed(text)
        lookback_ms = options.lookback_ms or int(self.settings.lookback)
        query = plan.Query(grid, lookback_ms, int(self.settings.step), ranging)
        return _Draft(text, tree, query, plan.asks(tree, query))

    async def _gathered(
        self, source: SeriesSource, asks: Sequence[Ask], deadline_s: float, options: Options
    ) -> Answers:
        if not asks:
            return {}
        settings = self.settings
        budget = Budget(
            settings.samples_max, settings.series_max, settings.points_max, deadline_s, approximate=options.approximate
        )
        return await source.gather(asks, budget)

    def _finish(self, draft: _Draft, answers: Answers, turn: _Turn) -> Answer:
        notes = Notes(draft.text)
        for ask in draft.asks:
            for note in answers[ask].notes:
                notes.info(note)
        evaluation = Evaluation(draft.query, answers, notes, partial(self._check, turn.deadline_s))
        value = evaluation.value(draft.tree, draft.query.grid)
        explain = Explain(
            turn.started_s - turn.began_s,
            turn.planned_s - turn.started_s,
            turn.gathered_s - turn.planned_s,
            self._monotonic_s() - turn.gathered_s,
            tuple(Asked(ask, answers[ask].sources) for ask in draft.asks),
        )
        kept = value
        if isinstance(value, Vector):
            kept = value.compacted()
            if draft.query.ranging:
                kept = kept.take(kept.frame.order())
        return Answer(kept, draft.query.grid, notes.warnings, notes.infos, explain, draft.query.ranging)

    def _check(self, deadline_s: float) -> None:
        if self._monotonic_s() > deadline_s:
            raise QueryTimeoutError("query timed out in expression evaluation")

    @asynccontextmanager
    async def _turn(self, options: Options) -> AsyncIterator[_Turn]:
        if self._room.locked() and self.waiting >= self.settings.queue_max:
            raise QueueFullError("Too many queries are waiting. Try again in a moment.")
        began_s = self._monotonic_s()
        timeout_s = min(self.settings.timeout.seconds, options.timeout_s or self.settings.timeout.seconds)
        self.waiting += 1
        try:
            async with asyncio.timeout(timeout_s):
                await self._room.acquire()
        except TimeoutError:
            raise QueryTimeoutError("query timed out in query queue") from None
        finally:
            self.waiting -= 1
        try:
            started_s = self._monotonic_s()
            yield _Turn(began_s, started_s, began_s + timeout_s, started_s, started_s)
        finally:
            self._room.release()


@dataclass(frozen=True, slots=True)
class _Draft:
    """A query before it is read."""

    text: str
    tree: ast.Expr
    query: plan.Query
    asks: tuple[Ask, ...]


@dataclass(slots=True)
class _Turn:
    """When things were done for a caller, on the monotonic clock."""

    began_s: float
    started_s: float
    deadline_s: float
    planned_s: float
    gathered_s: float


INLINE_POINTS_MAX, INLINE_SERIES_MAX = 50_000, 1_000
"""Series times steps, and series, that are evaluated on the event loop, in about a millisecond: to wake a thread may
take half as long."""


def too_many_steps(steps_max: int) -> str:
    return (
        f"exceeded maximum resolution of {steps_max:,} points per timeseries. "
        "Try decreasing the query resolution (?step=XX)"
    )


def parsed(text: str) -> ast.Expr:
    """The tree of a text, remembered. Raises ParseError."""
    return _remembered(text) if len(text) <= TEXT_REMEMBERED_MAX else parse(text)


_remembered = lru_cache(TREES_REMEMBERED)(parse)


def _check_ranging(tree: ast.Expr) -> None:
    kind = ast.type_of(tree)
    if kind not in (ast.ValueType.SCALAR, ast.ValueType.VECTOR):
        word = "range vector" if kind is ast.ValueType.MATRIX else "string"
        raise UserError(f'invalid expression type "{word}" for range query, must be Scalar or instant Vector')


def _small(draft: _Draft, answers: Answers) -> bool:
    found = [gathered.found for gathered in answers.values()]
    if any(not isinstance(one, Vector) for one in found):  # samples themselves may be many more
        return False
    series = sum(len(one.frame) for one in found)
    small = series <= INLINE_SERIES_MAX and draft.query.grid.count * (1 + series) <= INLINE_POINTS_MAX
    return small and not any(isinstance(node, ast.Subquery) for node in ast.walk(draft.tree))


def _caught(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | TocsinError:
    """What work returns, or what it raises on purpose. An error that was given for its argument is passed on."""
    if args and isinstance(args[0], TocsinError):
        return args[0]
    try:
        return work(*args, **kwargs)
    except TocsinError as error:
        return error
