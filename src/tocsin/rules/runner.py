"""Groups of rules on their schedule: each at its own moment, none waiting for another.

Three origins: the rules that people save one by one, which are a group of their own, rule files on the disk, and rule
files that were uploaded.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from tocsin.model.alert import Alert, AlertState, Change, Reason
from tocsin.model.errors import TransientError
from tocsin.model.rule import Rule
from tocsin.model.rule_group import RuleGroup
from tocsin.rules.evaluation import Evaluation, Means, RuleState, key_of
from tocsin.rules.group import SAVED, PlacedGroup, PlacedRule, group_of_saved, placed, rules_of, saved_key, source_of
from tocsin.rules.lives import closed
from tocsin.rules.status import GroupStatus
from tocsin.runtime.clock import wait_until
from tocsin.runtime.log import get_log
from tocsin.runtime.telemetry import Telemetry

log = get_log("rules")

LOOK_AGAIN_MS = 60_000
"""The wall clock may be set back: then the next moments are too far away, and are planned anew."""

GroupKey = tuple[str, str]


class Runner:
    """`judge` and `take` say what is evaluated; `run` does it for ever."""

    def __init__(self, means: Means, telemetry: Telemetry) -> None:
        self._means = means
        self._started_ms = means.clock.now_ms()
        self._groups: dict[GroupKey, Evaluation] = {}
        self._left: list[Evaluation] = []
        self._orphans: dict[str, list[Alert]] = {}
        self._queue: list[tuple[int, GroupKey]] = []
        self._wake = asyncio.Event()
        self._changing = asyncio.Lock()
        self._evaluations = telemetry.counter("rule_group_evaluations", "Groups of rules that were evaluated.")
        self._missed = telemetry.counter(
            "rule_group_evaluations_missed", "Evaluations left out because the one before took too long."
        )
        self._failed = telemetry.counter("rule_failures", "Rules whose evaluation failed.")
        self._crashes = telemetry.counter("rule_group_crashes", "Evaluations of groups that broke off.")
        self._seconds = telemetry.histogram("rule_group_seconds", "Time to evaluate a group of rules.")
        telemetry.gauge("rule_groups", "Groups of rules.").set_function(lambda: len(self._groups))

    async def load(self) -> None:
        """At start, before any rule is told: the alerts that are open."""
        for alert in await self._means.store.open_alerts():
            if alert.expr:
                self._orphans.setdefault(key_of(alert), []).append(alert)

    async def judge(self, rules: Sequence[Rule]) -> None:
        """The saved rules that are expressions: those that are enabled, and no others, from now on."""
        reasons = {saved_key(rule.id): Reason.RULE_DISABLED for rule in rules if not rule.enabled}
        group, made = group_of_saved(rule for rule in rules if rule.enabled and rule.expr)
        reasons |= {saved_key(rule.id): Reason.RULE_EDITED for rule in rules if not rule.expr}
        async with self._changing:
            await self._apply([self._placed(group, made)] if made else [], {("", SAVED)}, reasons)
            await self._close_orphans(lambda key: not key or key.startswith("#"), reasons)

    async def take(self, groups: Sequence[RuleGroup], keeping: Collection[str] = ()) -> None:
        """The groups of all rule files, and no others, from now on; those of the files `keeping` stay as they are."""
        async with self._changing:
            kept = [run.plan for key, run in self._groups.items() if key[0] in keeping]
            plans = [*(self._placed(group, rules_of(group)) for group in groups), *kept]
            await self._apply(plans, {key for key in self._groups if key[0]}, {})
            sources = tuple(map(source_of, keeping))
            await self._close_orphans(lambda key: not key.startswith(("#", *sources)) and key != "", {})

    def groups(self) -> tuple[GroupStatus, ...]:
        """By file and name; the saved rules come first."""
        return tuple(run.status() for _, run in sorted(self._groups.items()))

    def summary(self) -> Mapping[int, tuple[int, int]]:
        """Rule id → how many of its alerts are pending and how many firing; rules without any are left out."""
        counts: dict[int, tuple[int, int]] = {}
        saved = self._groups.get(("", SAVED))
        for state in saved.states if saved else ():
            if state.placed.rule_id is not None and state.alerts:
                firing = sum(alert.state is AlertState.FIRING for alert in state.alerts.values())
                counts[state.placed.rule_id] = len(state.alerts) - firing, firing
        return counts

    async def run(self) -> None:
        try:
            while True:
                self._start_due(self._means.clock.now_ms())
                await wait_until(self._means.clock, self._next_ms(), self._wake)
        finally:
            running = [run.running for run in self._groups.values() if run.running is not None]
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def look(self, at_ms: int) -> None:
        """Evaluate what is due, and wait for it."""
        self._start_due(at_ms)
        running = [run.running for run in self._groups.values() if run.running is not None]
        await asyncio.gather(*running)

    # What is evaluated

    def _placed(self, group: RuleGroup, rules: Sequence[PlacedRule]) -> PlacedGroup:
        settings = self._means.settings
        return placed(group, rules, interval_ms=settings.interval, query_offset_ms=settings.query_offset)

    async def _apply(
        self, plans: Iterable[PlacedGroup], replacing: set[GroupKey], reasons: Mapping[str, Reason]
    ) -> None:
        """In place of the groups `replacing`. A rule that goes on keeps its alerts."""
        wanted = {plan.key: plan for plan in plans}
        for key in replacing - wanted.keys():
            run = self._groups.pop(key, None)
            if run is not None:
                async with run.lock:
                    run.change(
                        placed(run.plan.group, (), interval_ms=run.plan.interval_ms, query_offset_ms=0), (), reasons
                    )
                await self._let_go(run)
        for key, plan in wanted.items():
            await self._change(key, plan, reasons)
        self._wake.set()

    async def _change(self, key: GroupKey, plan: PlacedGroup, reasons: Mapping[str, Reason]) -> None:
        run = self._groups.get(key)
        if run is None:
            states = [self._state(rule) for rule in plan.rules]
            run = self._groups[key] = Evaluation(plan, states, self._means, started_ms=self._started_ms)
            self._plan(run, self._means.clock.now_ms())
            return
        if run.plan == plan:
            return
        moved = (run.plan.interval_ms, run.plan.offset_ms) != (plan.interval_ms, plan.offset_ms)
        async with run.lock:
            known = {state.placed.key: state for state in run.states}
            states = []
            for rule in plan.rules:
                state = known.get(rule.key)
                if state is None or type(state.placed.rule) is not type(rule.rule):
                    state = self._state(rule)
                state.placed = rule
                states.append(state)
            run.change(plan, states, reasons)
        await self._let_go(run)
        if moved:
            self._plan(run, self._means.clock.now_ms())

    def _state(self, rule: PlacedRule) -> RuleState:
        return RuleState.of(rule, self._orphans.pop(rule.key, ()))

    async def _let_go(self, run: Evaluation) -> None:
        await run.let_go(self._means.clock.now_ms())
        if run.leaving and run not in self._groups.values():
            self._left.append(run)

    async def _close_orphans(self, mine: Callable[[str], bool], reasons: Mapping[str, Reason]) -> None:
        """Alerts that were open at the start, whose rule is gone."""
        for key in [key for key in self._orphans if mine(key)]:
            changes = closed(self._orphans[key], reasons.get(key, Reason.RULE_DELETED), self._means.clock.now_ms())
            try:
                alerts = await self._means.store.save_changes(changes)
            except TransientError as error:
                log.warning("alerts of a rule that is gone stay open until the next start", error=str(error))
                return
            del self._orphans[key]
            saved = [Change(alert, change.before) for alert, change in zip(alerts, changes, strict=True)]
            self._means.sink.alerts_changed(saved)

    # When

    def _plan(self, run: Evaluation, at_ms: int) -> None:
        run.due_ms = run.plan.last_ms(at_ms) + run.plan.interval_ms
        heapq.heappush(self._queue, (run.due_ms, run.plan.key))

    def _next_ms(self) -> int:
        soon_ms = self._means.clock.now_ms() + LOOK_AGAIN_MS
        return min(self._queue[0][0], soon_ms) if self._queue else soon_ms

    def _start_due(self, at_ms: int) -> None:
        while self._queue:
            due_ms, key = self._queue[0]
            run = self._groups.get(key)
            if run is None or run.due_ms != due_ms:
                heapq.heappop(self._queue)
                continue
            if due_ms > at_ms + run.plan.interval_ms:
                self._plan_all(at_ms)
                continue
            if due_ms > at_ms:
                return
            heapq.heappop(self._queue)
            moment_ms = run.plan.last_ms(at_ms)
            self._miss(run, (moment_ms - due_ms) // run.plan.interval_ms)
            if run.running is None:
                run.running = asyncio.create_task(self._evaluate(run, moment_ms))
            else:
                self._miss(run, 1)
            self._plan(run, at_ms)

    def _plan_all(self, at_ms: int) -> None:
        """The clock was set back."""
        self._queue = []
        for run in self._groups.values():
            self._plan(run, at_ms)

    def _miss(self, run: Evaluation, count: int) -> None:
        run.missed += count
        self._missed.inc(count)

    async def _evaluate(self, run: Evaluation, at_ms: int) -> None:
        try:
            for left in self._left:
                await left.let_go(at_ms)
            self._left = [left for left in self._left if left.leaving]
            await run.evaluate(at_ms)
            self._evaluations.inc()
            self._failed.inc(sum(bool(state.last.error) for state in run.states))
            self._seconds.observe(run.duration_s)
        except Exception:  # a group that breaks off must not stop the others, nor its own next evaluation
            self._crashes.inc()
            log.exception("a group of rules broke off", group=run.plan.group.name, file=run.plan.group.file)
        finally:
            run.running = None
