"""One group as it runs: what its rules remember between evaluations, and one evaluation of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tocsin.model.alert import Alert, Change, Reason
from tocsin.model.errors import TocsinError, TransientError
from tocsin.model.labels import Labels
from tocsin.model.rule_group import AlertingRule, RecordingRule
from tocsin.model.series import STALE
from tocsin.promql.engine import Answer, Engine
from tocsin.promql.ports import SeriesSource
from tocsin.promql.values import Value, Vector
from tocsin.rules.alerting import series_of
from tocsin.rules.answers import Row, rows
from tocsin.rules.expanding import Site, found_alerts
from tocsin.rules.group import PlacedGroup, PlacedRule, saved_key
from tocsin.rules.lives import Alerts, Lives, active_of, closed, live
from tocsin.rules.ports import AlertSink, AlertStore, Recorder
from tocsin.rules.recording import recorded
from tocsin.rules.settings import RulesSettings
from tocsin.rules.status import GroupStatus, Health, Last, RuleStatus
from tocsin.runtime.clock import Clock
from tocsin.runtime.log import get_log
from tocsin.runtime.offload import Offload

log = get_log("rules")

ROWS_AT_ONCE = 500
"""Rows that are turned into labels on the event loop, some 2 ms; more go to a thread."""


RULES_AT_ONCE = 100
"""Rules that are judged before others have a turn: about 5 ms."""

TOLD_AT_ONCE = 250
"""Changes that are told before others have a turn."""


@dataclass(slots=True)
class RuleState:
    """`written` are the series of the last evaluation, `unsaved` alerts of which only the value has moved.

    `restored` are alerts that were open before the start: nothing is concluded from their absence during the grace.
    """

    placed: PlacedRule
    alerts: Alerts = field(default_factory=dict)
    written: frozenset[Labels] = frozenset()
    unsaved: frozenset[Labels] = frozenset()
    restored: frozenset[Labels] = frozenset()
    last: Last = field(default_factory=Last)

    @classmethod
    def of(cls, placed: PlacedRule, alerts: Iterable[Alert] = ()) -> RuleState:
        """With alerts that were open before the start."""
        state = cls(placed, {alert.labels: alert for alert in alerts})
        state.restored = frozenset(state.alerts)
        state.written = frozenset(labels for labels, _ in series_of(active_of(state.alerts.values())))
        return state


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What an evaluation gave a rule: series to write and, where it is an alerting rule, its alerts; or an error."""

    state: RuleState
    rows: Sequence[Row] = ()
    lives: Lives | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Means:
    """What an evaluation is done with."""

    engine: Engine
    source: SeriesSource
    store: AlertStore
    recorder: Recorder
    sink: AlertSink
    clock: Clock
    offload: Offload
    site: Site
    settings: RulesSettings


class Evaluation:
    """`plan` and `states` belong together, and are changed only while the lock is held."""

    def __init__(self, plan: PlacedGroup, states: Sequence[RuleState], means: Means, *, started_ms: int) -> None:
        self.plan = plan
        self.states = list(states)
        self.leaving: list[tuple[RuleState, Reason]] = []
        self.lock = asyncio.Lock()
        self.due_ms = 0
        self.running: asyncio.Task[None] | None = None
        self.missed = 0
        self.evaluations = 0
        self.evaluated_at_ms = 0
        self.duration_s = 0.0
        self._means = means
        self._started_ms = started_ms
        self._values_saved_ms = started_ms
        self._in_doubt = False

    async def evaluate(self, at_ms: int) -> None:
        """All rules, in order, as of one moment. Raises nothing on purpose: what failed is in each rule's `last`."""
        began_s = self._means.clock.monotonic_s()
        plan, rules = self.plan, tuple(self.states)
        await self.let_go(at_ms)
        await self._recover()
        for stage in plan.stages:
            states = [rules[at] for at in stage]
            outcomes = await self._outcomes(plan, states, at_ms)
            async with self.lock:
                if self.plan is not plan:  # it was changed meanwhile: these are answers to other questions
                    return
                await self._settle(outcomes, at_ms, at_ms - plan.query_offset_ms, began_s)
        if at_ms - self._values_saved_ms >= self._means.settings.value_save_interval:
            await self._save_values(at_ms)
        self.evaluations += 1
        self.evaluated_at_ms, self.duration_s = at_ms, self._means.clock.monotonic_s() - began_s

    def change(self, plan: PlacedGroup, states: Sequence[RuleState], reasons: Mapping[str, Reason]) -> None:
        """Other rules from now on. What is left out is let go of: its alerts are closed, its series end.

        `reasons` by the keys of rules; one that is not there was deleted.
        """
        kept = {id(state) for state in states}
        for state in self.states:
            if id(state) not in kept:
                self.leaving.append((state, reasons.get(state.placed.key, Reason.RULE_DELETED)))
        self.plan, self.states = plan, list(states)

    async def let_go(self, at_ms: int) -> None:
        """Close what belongs to rules that are gone. What cannot be saved now is tried again at the next evaluation."""
        if not self.leaving:
            return
        async with self.lock:
            leaving, self.leaving = self.leaving, []
            changes = [change for state, why in leaving for change in closed(state.alerts.values(), why, at_ms)]
            gone = [(labels, STALE) for state, _ in leaving for labels in state.written]
            try:
                saved = await self._save(changes)
                await self._write(gone, at_ms - self.plan.query_offset_ms)
            except TransientError as error:
                self.leaving = leaving + self.leaving
                log.warning("alerts of a rule that is gone will be closed later", error=str(error))
                return
            await self._tell(saved)

    def status(self) -> GroupStatus:
        plan = self.plan
        return GroupStatus(
            name=plan.group.name,
            file=plan.group.file,
            interval_ms=plan.interval_ms,
            query_offset_ms=plan.query_offset_ms,
            limit=plan.group.limit,
            evaluated_at_ms=self.evaluated_at_ms,
            duration_s=self.duration_s,
            evaluations=self.evaluations,
            missed=self.missed,
            rules=tuple(
                RuleStatus(
                    state.placed.rule,
                    state.placed.labels,
                    state.placed.rule_id,
                    state.last,
                    tuple(state.alerts.values()),
                )
                for state in self.states
            ),
        )

    # What the rules make of the answers

    async def _outcomes(self, plan: PlacedGroup, states: Sequence[RuleState], at_ms: int) -> list[_Outcome]:
        asked_ms = at_ms - plan.query_offset_ms
        texts = [state.placed.rule.expr for state in states]
        try:
            answers = await self._means.engine.query_many(self._means.source, texts, asked_ms)
        except TocsinError as error:
            return [_Outcome(state, error=str(error)) for state in states]
        outcomes: list[_Outcome] = []
        for state, answer in zip(states, answers, strict=True):
            outcomes.append(await self._outcome(plan, state, answer, at_ms))
            if len(outcomes) % RULES_AT_ONCE == 0:
                await asyncio.sleep(0)
        return outcomes

    async def _outcome(self, plan: PlacedGroup, state: RuleState, answer: Answer | TocsinError, at_ms: int) -> _Outcome:
        if isinstance(answer, TocsinError):
            return _Outcome(state, error=str(answer))
        placed, limit = state.placed, plan.group.limit
        try:
            if isinstance(placed.rule, RecordingRule):
                made = await self._worked_out(answer.value, placed.rule, placed, limit)
                return _Outcome(state, made)
            given = await self._worked_out(answer.value)
            if not given and not state.alerts:
                return _Outcome(state, lives=_NONE)
            return await self._alerts(plan, state, given, at_ms)
        except TocsinError as error:
            return _Outcome(state, error=str(error))

    async def _worked_out(
        self, value: Value, rule: RecordingRule | None = None, placed: PlacedRule | None = None, limit: int = 0
    ) -> list[Row]:
        def work() -> list[Row]:
            given = rows(value)
            return given if rule is None or placed is None else recorded(rule, placed.labels, given, limit)

        large = isinstance(value, Vector) and len(value) > ROWS_AT_ONCE
        return await self._means.offload.run(work) if large else work()

    async def _alerts(self, plan: PlacedGroup, state: RuleState, given: Sequence[Row], at_ms: int) -> _Outcome:
        rule = state.placed.rule
        assert isinstance(rule, AlertingRule)
        asked_ms = at_ms - plan.query_offset_ms
        found = await found_alerts(rule, state.placed.labels, given, at_ms, self._means.site, self._query(asked_ms))
        hold = state.restored if at_ms - self._started_ms < self._means.settings.start_grace else frozenset[Labels]()
        placed, alerts, limit = state.placed, state.alerts, plan.group.limit

        def work() -> _Outcome:
            lives = live(placed, alerts, found, at_ms, limit=limit, hold=hold)
            return _Outcome(state, series_of(active_of(lives.alerts.values())), lives)

        large = len(found) + len(alerts) > ROWS_AT_ONCE
        return await self._means.offload.run(work) if large else work()

    def _query(self, asked_ms: int) -> _TemplateQuery:
        return _TemplateQuery(self._means, asked_ms)

    # Saving

    async def _settle(self, outcomes: Sequence[_Outcome], at_ms: int, written_ms: int, began_s: float) -> None:
        saved = await self._saved(outcomes)
        good = [outcome for outcome in saved if not outcome.error]
        ended = [gone for each in good for gone in each.state.written - {labels for labels, _ in each.rows}]
        error = ""
        try:
            refused = await self._write(
                [*(row for each in good for row in each.rows), *((gone, STALE) for gone in ended)], written_ms
            )
            error = f"Some of its series were not stored: {refused[0]}" if refused else ""
            for each in good:
                each.state.written = frozenset(labels for labels, _ in each.rows)
        except TransientError as failure:
            error = f"Its series could not be stored: {failure}"
        duration_s = self._means.clock.monotonic_s() - began_s
        failed: list[tuple[str, str]] = []
        for each in saved:
            wrong = each.error or (error if each.rows else "")
            if wrong and wrong != each.state.last.error:
                failed.append((each.state.placed.rule.name, wrong))
            each.state.last = Last(Health.ERROR if wrong else Health.OK, wrong, at_ms, duration_s)
        if failed:  # one line for all: an outage of the store fails every rule
            rule, wrong = failed[0]
            log.warning("rules failed", group=self.plan.group.name, rules=len(failed), first=rule, error=wrong)

    async def _saved(self, outcomes: Sequence[_Outcome]) -> list[_Outcome]:
        """With what the store could not take as errors. Alerts are remembered, and told, once they are saved."""
        changes = [change for each in outcomes if each.lives for change in each.lives.changes]
        try:
            saved = await self._save(changes)
        except TransientError as error:
            said = f"Its alerts could not be saved: {error}"
            return [
                replace(one, error=said) if one.lives and one.lives.changes else self._kept(one) for one in outcomes
            ]
        alerts = {(key_of(change.alert), change.alert.labels): change.alert for change in saved}
        for each in outcomes:
            self._kept(each, alerts)
        await self._tell(saved)
        return list(outcomes)

    async def _tell(self, saved: Sequence[Change]) -> None:
        for first in range(0, len(saved), TOLD_AT_ONCE):
            if first:
                await asyncio.sleep(0)
            self._means.sink.alerts_changed(saved[first : first + TOLD_AT_ONCE])

    def _kept(self, outcome: _Outcome, saved: dict[tuple[str, Labels], Alert] | None = None) -> _Outcome:
        if outcome.lives is not None:
            state, lives, known = outcome.state, outcome.lives, saved or {}
            key = state.placed.key
            state.alerts = {labels: known.get((key, labels), alert) for labels, alert in lives.alerts.items()}
            told = {change.alert.labels for change in lives.changes}
            state.unsaved = (state.unsaved | lives.moved) & state.alerts.keys() - told
            state.restored &= state.alerts.keys()
        return outcome

    async def _save(self, changes: Sequence[Change]) -> list[Change]:
        """The same with the alerts as they were saved. From here on memory is in doubt where it is broken off."""
        if not changes:
            return []
        self._in_doubt = True
        alerts = await self._means.store.save_changes(changes)
        self._in_doubt = False
        return [Change(alert, change.before) for alert, change in zip(alerts, changes, strict=True)]

    async def _recover(self) -> None:
        """After a failure nobody knows whether the store took the changes: read what it holds."""
        if not self._in_doubt:
            return
        async with self.lock:
            try:
                alerts = [alert for alert in await self._means.store.open_alerts() if alert.expr]
            except TransientError:
                return
            for state in self.states:
                state.alerts = {one.labels: one for one in alerts if key_of(one) == state.placed.key}
            self._in_doubt = False
        self._means.sink.alerts_changed(())

    async def _save_values(self, at_ms: int) -> None:
        async with self.lock:
            self._values_saved_ms = at_ms
            moved = [state.alerts[labels] for state in self.states for labels in state.unsaved]
            try:
                await self._save([Change(replace(alert, notify_at_ms=None), alert.state) for alert in moved])
            except TransientError:
                return
            for state in self.states:
                state.unsaved = frozenset()

    async def _write(self, made: Sequence[Row], at_ms: int) -> tuple[str, ...]:
        if not made:
            return ()
        values = np.array([value for _, value in made], np.float64)
        return await self._means.recorder.record([labels for labels, _ in made], values, at_ms)


_NONE = Lives({})


@dataclass(frozen=True, slots=True)
class _TemplateQuery:
    """What templates ask, of the same moment as the rule's expression."""

    means: Means
    asked_ms: int

    async def __call__(self, text: str, at_ms: int) -> Value:  # noqa: ARG002 - of the moment without the offset
        return (await self.means.engine.query(self.means.source, text, self.asked_ms)).value


def key_of(alert: Alert) -> str:
    """The key of the rule whose alert it is; "" for one whose rule was deleted."""
    if alert.source:
        return alert.source
    return "" if alert.rule_id is None else saved_key(alert.rule_id)
