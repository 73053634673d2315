"""Runs a test: series go in, groups are evaluated step by step, and what comes out is held against what should.

Source: Prometheus cmd/promtool/unittest.go.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from operator import eq
from typing import TypeVar

import numpy as np

from tocsin.model.alert import AlertState
from tocsin.model.errors import TocsinError
from tocsin.model.labels import Labels, label_name, quote
from tocsin.model.rule import exact
from tocsin.model.rule_group import AlertingRule, GroupRule, Pairs, RuleGroup
from tocsin.model.series import STALE, SampleBatch
from tocsin.promql.engine import Engine
from tocsin.promql.values import Value
from tocsin.rules.alerting import Active, series_of, step
from tocsin.rules.answers import Row, rows
from tocsin.rules.expanding import Site, found_alerts
from tocsin.rules.recording import recorded
from tocsin.rules.testing.ports import Samples
from tocsin.rules.testing.suite import AlertCase, ExpectedSample, QueryCase, RuleTest, Suite

T = TypeVar("T")

FAILURES_MAX = 100
"""As many of a test are told."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What did not come out as it should. One of `alert`, `expr` and `rule` says what was looked at.

    `missing` and `unexpected` are alerts or samples, written out; `error` is why there is nothing to compare.
    """

    at_ms: int
    alert: str = ""
    expr: str = ""
    rule: str = ""
    error: str = ""
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()


async def play(
    suite: Suite, test: RuleTest, groups: Iterable[RuleGroup], engine: Engine, samples: Samples
) -> list[Failure]:
    """Everything that is wrong; nothing where the test passes. `samples` is empty, and belongs to the test."""
    order = {name: at for at, name in enumerate(suite.order)}
    played = _Play(test, sorted(groups, key=lambda group: order.get(group.name, 0)), engine, samples)
    await played.feed()
    failures = await played.evaluate(suite.interval_ms)
    if not any(failure.rule for failure in failures):
        for case in test.queries:
            failures += await played.check_query(case, fuzzy=suite.fuzzy)
    return failures[:FAILURES_MAX]


@dataclass(slots=True)
class _Running:
    """A rule with what it left behind at its last evaluation."""

    group: RuleGroup
    rule: GroupRule
    active: Active = field(default_factory=dict)
    written: frozenset[Labels] = frozenset()


class _Play:
    def __init__(self, test: RuleTest, groups: Sequence[RuleGroup], engine: Engine, samples: Samples) -> None:
        self._test = test
        self._engine = engine
        self._samples = samples
        self._rules = [_Running(group, rule) for group in groups for rule in group.rules]
        self._site = Site(test.external_labels, test.external_url)

    async def feed(self) -> None:
        for series in self._test.series:
            steps = np.flatnonzero(series.present)
            if len(steps):
                ids = np.full(len(steps), self._samples.intern(series.labels), np.uint64)
                times = steps.astype(np.int64) * self._test.interval_ms
                await self._samples.append(SampleBatch(ids, times, series.values[steps]))

    async def evaluate(self, interval_ms: int) -> list[Failure]:
        """All groups, from the start to the last case, and the cases of each moment after it. Ends at an error."""
        failures: list[Failure] = []
        for at_ms in range(0, self._test.length_ms + 1, interval_ms):
            errors = [await self._error(running, at_ms) for running in self._rules]
            if any(errors):
                return failures + [each for each in errors if each is not None]
            for case in self._test.alerts:
                if at_ms <= case.at_ms < at_ms + interval_ms:
                    failures += self._check_alerts(case)
        return failures

    async def _error(self, running: _Running, at_ms: int) -> Failure | None:
        try:
            await self._evaluate(running, at_ms)
        except TocsinError as error:
            return Failure(at_ms, rule=running.rule.name, error=str(error))
        return None

    async def _evaluate(self, running: _Running, at_ms: int) -> None:
        group, rule = running.group, running.rule
        asked_ms = at_ms - (group.query_offset_ms or 0)
        given = rows(await self._query(rule.expr, asked_ms))
        labels = group.labels_of(rule)
        if isinstance(rule, AlertingRule):
            found = await found_alerts(rule, labels, given, at_ms, self._site, self._query)
            running.active = step(rule, running.active, found, at_ms, group.limit).active
            made = series_of(running.active.values())
        else:
            made = recorded(rule, labels, given, group.limit)
        written = frozenset(each for each, _ in made)
        await self._write([*made, *((gone, STALE) for gone in running.written - written)], asked_ms)
        running.written = written

    async def _query(self, text: str, at_ms: int) -> Value:
        return (await self._engine.query(self._samples, text, at_ms)).value

    async def _write(self, made: Sequence[Row], at_ms: int) -> None:
        if not made:
            return
        ids = np.array([self._samples.intern(labels) for labels, _ in made], np.uint64)
        values = np.array([value for _, value in made], np.float64)
        await self._samples.append(SampleBatch(ids, np.full(len(made), at_ms, np.int64), values))

    def _check_alerts(self, case: AlertCase) -> list[Failure]:
        got = [
            _alert_text(alert.labels, alert.annotations)
            for running in self._rules
            if isinstance(running.rule, AlertingRule) and running.rule.alert == case.alert
            for alert in running.active.values()
            if alert.state is AlertState.FIRING
        ]
        expected = [_alert_text(each.labels, each.annotations) for each in case.expected]
        missing, unexpected = _difference(expected, got, eq)
        if not missing and not unexpected:
            return []
        return [Failure(case.at_ms, alert=case.alert, missing=tuple(missing), unexpected=tuple(unexpected))]

    async def check_query(self, case: QueryCase, *, fuzzy: bool) -> list[Failure]:
        try:
            given = rows(await self._query(case.expr, case.at_ms))
        except TocsinError as error:
            return [Failure(case.at_ms, expr=case.expr, error=str(error))]
        got = [ExpectedSample(labels, number) for labels, number in given]
        missing, unexpected = _difference(case.expected, got, lambda one, other: _alike(one, other, fuzzy=fuzzy))
        if not missing and not unexpected:
            return []
        told = (tuple(map(_sample_text, missing)), tuple(map(_sample_text, unexpected)))
        return [Failure(case.at_ms, expr=case.expr, missing=told[0], unexpected=told[1])]


def _difference(expected: Sequence[T], got: Sequence[T], same: Callable[[T, T], bool]) -> tuple[list[T], list[T]]:
    """What is expected and not there, and the other way round; each counts once."""
    missing: list[T] = []
    unexpected = list(got)
    for each in expected:
        at = next((at for at, other in enumerate(unexpected) if same(each, other)), None)
        if at is None:
            missing.append(each)
        else:
            del unexpected[at]
    return missing, unexpected


def _alike(expected: ExpectedSample, got: ExpectedSample, *, fuzzy: bool) -> bool:
    if expected.labels != got.labels:
        return False
    if math.isnan(expected.value) or math.isnan(got.value):
        return math.isnan(expected.value) and math.isnan(got.value)
    if fuzzy:
        low, high = math.nextafter(expected.value, -math.inf), math.nextafter(expected.value, math.inf)
        return low <= got.value <= high
    return expected.value == got.value


def _alert_text(labels: Labels, annotations: Pairs) -> str:
    """Labels, and annotations in the order of their names."""
    told = ", ".join(f"{label_name(name)}={quote(text)}" for name, text in sorted(annotations))
    return f"{labels} {{{told}}}" if told else str(labels)


def _sample_text(sample: ExpectedSample) -> str:
    return f"{sample.labels} {exact(sample.value)}"
