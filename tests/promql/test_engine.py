"""From a text to an answer: limits, time, turns, and what is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from tests.support.series_source import MemorySource

from tocsin.model.duration import Duration
from tocsin.model.errors import LimitError, QueueFullError, StoreError, UserError
from tocsin.model.labels import Labels
from tocsin.promql.engine import Answer, Engine, Options, QueryTimeoutError
from tocsin.promql.parse import ParseError
from tocsin.promql.ports import Answers, Ask, Budget
from tocsin.promql.settings import QuerySettings
from tocsin.promql.values import Grid, Ranges, Scalar, Text, Vector
from tocsin.runtime.offload import InlineOffload

SERIES = {
    Labels.metric("up", {"job": job}): (np.array([0, 60_000], np.int64), np.array([1.0, 2.0])) for job in ("b", "a")
}


class Seconds:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Watched(MemorySource):
    """Keeps what it was asked, and may wait or fail."""

    def __init__(self) -> None:
        super().__init__(SERIES)
        self.asked: list[tuple[Sequence[Ask], Budget]] = []
        self.gate: asyncio.Event | None = None
        self.fail_above: int | None = None

    async def gather(self, asks: Sequence[Ask], budget: Budget) -> Answers:
        self.asked.append((asks, budget))
        if self.gate is not None:
            await self.gate.wait()
        if self.fail_above is not None and len(asks) > self.fail_above:
            raise LimitError("too much")
        if any(matcher.value == "broken" for ask in asks for matcher in ask.matchers):
            raise StoreError("away")
        return await super().gather(asks, budget)


def engine(settings: QuerySettings | None = None, clock: Seconds | None = None) -> Engine:
    return Engine(settings or QuerySettings(), monotonic_s=clock or Seconds(), threads=InlineOffload())


async def test_an_instant_answer() -> None:
    answer = await engine().query(Watched(), "up + 1", 60_000)
    assert isinstance(answer.value, Vector)
    assert answer.value.values.tolist() == [[3.0], [3.0]]


async def test_scalars_texts_and_range_vectors_are_answers_too() -> None:
    own = engine()
    assert isinstance((await own.query(Watched(), "1 + 1", 0)).value, Scalar)
    assert isinstance((await own.query(Watched(), '"text"', 0)).value, Text)
    assert isinstance((await own.query(Watched(), "up[5m]", 0)).value, Ranges)
    assert isinstance((await own.query(Watched(), "up[5m:1m]", 0)).value, Ranges)


async def test_a_range_answer_has_its_series_in_the_order_of_their_labels() -> None:
    answer = await engine().query_range(Watched(), "up", Grid(0, 60_000, 2))
    assert isinstance(answer.value, Vector)
    assert [labels.get("job") for labels in answer.value.frame] == ["a", "b"]


async def test_equal_selectors_are_read_once() -> None:
    source = Watched()
    await engine().query(source, "up + up + rate(up[5m]) + rate(up[5m])", 0)
    ((asks, _),) = source.asked
    assert [ask.function for ask in asks] == ["newest", "rate"]


async def test_a_text_without_selectors_reads_nothing() -> None:
    source = Watched()
    await engine().query(source, "vector(1) + time()", 0)
    assert source.asked == []


async def test_what_is_no_promql_is_refused_with_its_place() -> None:
    with pytest.raises(ParseError, match=r"^1:5: parse error"):
        await engine().query(Watched(), "up +", 0)


@pytest.mark.parametrize("text", ["up[5m]", '"text"', "up[5m:1m]"])
async def test_a_range_query_is_of_scalars_or_instant_vectors(text: str) -> None:
    with pytest.raises(UserError, match="must be Scalar or instant Vector"):
        await engine().query_range(Watched(), text, Grid(0, 60_000, 2))


async def test_steps_are_limited() -> None:
    with pytest.raises(LimitError, match="exceeded maximum resolution of 11,000 points"):
        await engine().query_range(Watched(), "up", Grid(0, 1, 11_002))


async def test_a_subquery_with_too_many_steps_says_what_to_ask_for() -> None:
    with pytest.raises(LimitError, match="longer step or a shorter range"):
        await engine().query(Watched(), "sum_over_time(up[1y:1s])", 0)


async def test_limits_and_time_are_told_to_the_source() -> None:
    source, clock = Watched(), Seconds()
    clock.now = 100.0
    settings = QuerySettings(samples_max=7, series_max=5, points_max=9, timeout=Duration(10_000))
    await engine(settings, clock).query(source, "up", 0, Options(timeout_s=3.0, approximate=True))
    assert source.asked[0][1] == Budget(7, 5, 9, 103.0, approximate=True)


async def test_nobody_may_take_longer_than_the_settings_say() -> None:
    source = Watched()
    await engine(QuerySettings(timeout=Duration(10_000))).query(source, "up", 0, Options(timeout_s=60.0))
    assert source.asked[0][1].deadline_s == 10.0


async def test_time_that_has_run_out_ends_the_evaluation() -> None:
    clock = Seconds()

    class Slow(Watched):
        async def gather(self, asks: Sequence[Ask], budget: Budget) -> Answers:
            clock.now += 500
            return await super().gather(asks, budget)

    with pytest.raises(QueryTimeoutError, match="query timed out in expression evaluation"):
        await engine(clock=clock).query(Slow(), "up", 0)


async def test_so_many_queries_run_and_so_many_wait() -> None:
    own = engine(QuerySettings(concurrency=1, queue_max=1))
    source = Watched()
    source.gate = asyncio.Event()
    running = asyncio.create_task(own.query(source, "up", 0))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(own.query(source, "up", 0))
    await asyncio.sleep(0)
    with pytest.raises(QueueFullError):
        await own.query(source, "up", 0)
    assert len(source.asked) == 1
    source.gate.set()
    await asyncio.gather(running, waiting)
    assert len(source.asked) == 2


async def test_a_query_gives_its_turn_back_when_it_fails() -> None:
    own = engine(QuerySettings(concurrency=1))
    for _ in range(3):
        with pytest.raises(StoreError):
            await own.query(Watched(), "broken", 0)
    await own.query(Watched(), "up", 0)


async def test_many_queries_are_read_in_one_go_and_fail_alone() -> None:
    source = Watched()
    answers = await engine().query_many(source, ["up", "up + 1", "up +", "sum(up)"], 60_000)
    assert len(source.asked) == 1
    assert isinstance(answers[2], ParseError)
    assert [type(each) for each in answers] == [Answer, Answer, ParseError, Answer]


async def test_of_many_queries_only_the_one_that_asks_for_too_much_is_refused() -> None:
    source = Watched()
    source.fail_above = 1
    answers = await engine().query_many(source, ["up", "up + rate(up[5m])", "sum(up)"], 60_000)
    assert [type(each) for each in answers] == [Answer, LimitError, Answer]


async def test_it_is_told_how_a_query_was_answered() -> None:
    answer = await engine().query(Watched(), "rate(up[5m])", 60_000)
    (asked,) = answer.explain.asked
    assert asked.ask.function == "rate"
    assert [source.how for source in asked.sources] == ["memory"]


async def test_infos_name_the_place() -> None:
    answer = await engine().query(Watched(), "1 + rate(up[5m])", 60_000)
    assert answer.infos == (
        'PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "up" (1:10)',
    )
