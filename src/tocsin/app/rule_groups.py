"""Groups of rules, joined to what they ask and to where they write."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tocsin.ingest.appender import Appender
from tocsin.ingest.rows import Rows
from tocsin.model.labels import Labels
from tocsin.model.series import FloatArray
from tocsin.promql.engine import Engine as QueryEngine
from tocsin.rules.evaluation import Means
from tocsin.rules.expanding import Site
from tocsin.rules.files import RuleFiles, reading
from tocsin.rules.ports import AlertSink
from tocsin.rules.runner import Runner

if TYPE_CHECKING:
    from tocsin.app.wiring import Engine

SOURCE = "rules"
RULE_THREADS = 2
WAITING_MAX = 100_000
"""Groups are bounded by what people have written, and each waits at most once."""


class AppenderRecorder:
    """Rules write through the door that everybody writes through: the same limits, the same observers."""

    def __init__(self, appender: Appender) -> None:
        self._appender = appender

    async def record(self, series: Sequence[Labels], values: FloatArray, at_ms: int) -> tuple[str, ...]:
        places = np.arange(len(series), dtype=np.int64)
        rows = Rows(tuple(series), places, np.full(len(series), at_ms, np.int64), values, places)
        appended = await self._appender.append(rows, SOURCE)
        return tuple(one.reason for one in appended.rejected)


def open_runner(
    engine: Engine, stack: AsyncExitStack, appender: Appender, sink: AlertSink, external_url: str
) -> Runner:
    """With an engine of its own, so that no dashboard keeps a rule waiting."""
    world, settings = engine.world, engine.settings
    evaluating = world.offload("rules", RULE_THREADS)
    stack.callback(evaluating.close)
    query = replace(settings.query, concurrency=settings.rules.concurrency, queue_max=WAITING_MAX)
    means = Means(
        engine=QueryEngine(query, monotonic_s=world.clock.monotonic_s, threads=evaluating),
        source=engine.samples,
        store=engine.state.alerts,
        recorder=AppenderRecorder(appender),
        sink=sink,
        clock=world.clock,
        offload=evaluating,
        site=Site(external_url=external_url),
        settings=settings.rules,
    )
    return Runner(means, engine.telemetry)


def open_files(engine: Engine, stack: AsyncExitStack, runner: Runner) -> RuleFiles:
    """Read on a thread of their own: a network file system may take its time."""
    world = engine.world
    thread = world.offload("rule-files", 1)
    stack.callback(thread.close)
    patterns = engine.settings.rules.files
    return RuleFiles(
        engine.state.rule_files,
        runner,
        reading(thread),
        patterns,
        clock=world.clock,
        offload=thread,
        telemetry=engine.telemetry,
    )
