"""Judges every sample as it arrives, and what must happen when none does.

What a batch changes is saved in one transaction before anything remembers it or acts on it. Where saving
fails, `observe` raises and the sender sends the batch again: it is then judged as if for the first time.
"""

from __future__ import annotations

import asyncio
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tocsin.model.alert import Alert, AlertState, Change, Reason
from tocsin.model.errors import TransientError
from tocsin.model.labels import Labels
from tocsin.model.rule import Rule
from tocsin.model.series import IdArray, SampleBatch
from tocsin.rules.deadlines import Deadlines, Key
from tocsin.rules.ports import AlertSink, AlertStore, SeriesLookup
from tocsin.rules.selection import Selection
from tocsin.rules.settings import RulesSettings
from tocsin.rules.step import NEVER, Step, Window, carry, close, look_at_ms, step
from tocsin.rules.watches import Ints, Readings, Verdicts, Watches
from tocsin.runtime.clock import Clock, wait_until
from tocsin.runtime.log import get_log
from tocsin.runtime.telemetry import Telemetry

log = get_log("rules")

PIECE = 250
"""How many alerts are worked through before the event loop may do something else: about 5 ms."""

CHECKS_AT_ONCE = 50_000
"""How many samples are compared with thresholds before the event loop may do something else: the same."""

SAVE_PAGE = 250
"""How many moved values are saved in one transaction; samples wait for it, some 30 ms."""

_NO_TIMES = np.zeros(0, np.int64)
_NO_VALUES = np.zeros(0)


@dataclass(frozen=True, slots=True)
class _Planned:
    """A step that is not saved yet, for the alert of `key`, whose series has this slot."""

    key: Key
    slot: int
    step: Step


class Arrival:
    """Rules against samples. Every method but `summary` waits for its turn: one round at a time."""

    def __init__(
        self,
        store: AlertStore,
        series: SeriesLookup,
        sink: AlertSink,
        *,
        clock: Clock,
        telemetry: Telemetry,
        settings: RulesSettings | None = None,
    ) -> None:
        self._store = store
        self._series = series
        self._sink = sink
        self._clock = clock
        self._settings = settings or RulesSettings()
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._rules: dict[int, Rule] = {}
        self._selection = Selection()
        self._watches = Watches()
        self._slots_by_metric: dict[str, array[int]] = {}
        self._open: dict[int, dict[int, Alert]] = {}
        self._deadlines = Deadlines()
        self._unsettled: set[int] = set()
        self._in_doubt = False
        self._refused = False
        self._values_due_ms: int | None = None
        self._checks = telemetry.counter("rule_checks", "Samples compared with a rule's threshold.")
        self._late = telemetry.counter("rule_late_samples", "Samples that came too late to be judged.")
        self._errors = telemetry.counter("rule_errors", "Rules that failed on a series and were passed over.")
        self._changes = telemetry.counter("alert_changes", "Alerts that changed their state.", ["state"])
        gauge = telemetry.gauge("alerts_open", "Alerts that are open now.", ["state"])
        gauge.labels("pending").set_function(lambda: sum(pending for pending, _ in self.summary().values()))
        gauge.labels("firing").set_function(lambda: sum(firing for _, firing in self.summary().values()))

    async def load(self, rules: Iterable[Rule]) -> None:
        """At start: take the rules and the open alerts. Alerts whose rule is gone, disabled or changed are settled."""
        async with self._lock:
            for rule in rules:
                self._take(rule)
            await self._restore()
            self._unsettled.update(self._open)
            await self._settle(self._clock.now_ms())

    async def observe(self, batch: SampleBatch, at_ms: int) -> None:
        """Raises StoreError where a change could not be saved; the same batch may then be given again."""
        async with self._lock:
            await self._recover()
            slots = await self._resolve(batch.ids)
            readings = self._watches.readings(slots, batch.times, batch.values)
            self._late.inc(readings.late)
            if not len(readings):
                return
            planned: list[_Planned] = []
            seen: list[Verdicts] = []
            for part in self._watches.parts(readings, CHECKS_AT_ONCE):
                if seen:
                    await asyncio.sleep(0)
                verdicts = self._watches.judge(part, at_ms, self._settings.stale_after)
                self._checks.inc(verdicts.checks)
                planned += await self._plan(part, verdicts, at_ms)
                seen.append(verdicts)
            saved = await self._save(planned)
            if self._watches.advance(readings, seen, at_ms):
                self._value_moved()
            await self._apply(saved, at_ms)

    async def run(self) -> None:
        """The timers: what held long enough, what fell silent, what was left over, values to write down."""
        while True:
            await self.look(self._clock.now_ms())
            await wait_until(self._clock, self._next_ms(), self._wake)

    async def look(self, at_ms: int) -> None:
        """Do all that is due."""
        async with self._lock:
            await self._recover()
            await self._settle(at_ms)
        while await self._look_at_some(at_ms):
            pass
        if self._values_due_ms is not None and at_ms >= self._values_due_ms:
            await self._save_values(at_ms)

    async def set_rule(self, rule: Rule) -> None:
        """Judge by this rule from now on: a new one, or one that has been edited, enabled or disabled.

        The rule is saved already, so this does not fail: open alerts that cannot be settled with the store
        now are settled by `run`.
        """
        async with self._lock:
            for name in {rule.metric_name, self._rules.get(rule.id, rule).metric_name}:
                await self._forget_metric(name)
            self._selection.remove(rule.id)
            self._take(rule)
            self._unsettled.add(rule.id)
            try:
                await self._recover()
                await self._settle(self._clock.now_ms())
            except TransientError as error:
                log.warning("alerts of a changed rule will be settled later", rule_id=rule.id, error=str(error))
            self._wake.set()

    async def remove_rule(self, rule_id: int, reason: Reason = Reason.RULE_DELETED) -> None:
        """Close the rule's alerts and judge by it no more. Raises StoreError, and then nothing has changed."""
        async with self._lock:
            await self._recover()
            rule = self._rules.get(rule_id)
            if rule is None:
                return
            await self._forget_metric(rule.metric_name)
            at_ms = self._clock.now_ms()
            alerts = list(self._open.get(rule_id, {}).items())
            planned = [self._planned((rule_id, series), close(alert, reason, at_ms)) for series, alert in alerts]
            await self._apply(await self._save(planned), at_ms)
            self._selection.remove(rule_id)
            self._unsettled.discard(rule_id)
            del self._rules[rule_id]

    def summary(self) -> Mapping[int, tuple[int, int]]:
        """Rule id → how many of its alerts are pending and how many firing; rules without any are left out."""
        counts: dict[int, tuple[int, int]] = {}
        for rule_id, alerts in self._open.items():
            firing = sum(alert.state is AlertState.FIRING for alert in alerts.values())
            counts[rule_id] = len(alerts) - firing, firing
        return counts

    # Rules and series

    def _take(self, rule: Rule) -> None:
        self._rules[rule.id] = rule
        if rule.enabled:
            self._selection.add(rule)

    async def _resolve(self, ids: IdArray) -> Ints:
        """The slots of these series, once the rules have been asked about those that are new."""
        slots = self._watches.slots(ids)
        waiting = self._watches.unresolved(slots)
        for first in range(0, len(waiting), PIECE):
            self._place([int(slot) for slot in waiting[first : first + PIECE]])
            if first + PIECE < len(waiting):
                await asyncio.sleep(0)
        return slots

    def _place(self, slots: Sequence[int]) -> None:
        found: dict[int, list[Rule]] = {}
        for slot in slots:
            series_id = int(self._watches.series["id"][slot])
            try:
                labels = self._series.labels(series_id)
            except KeyError:  # its labels were not interned: it stays unresolved and is asked about again
                log.warning("a sample of an unknown series cannot be judged", series=series_id)
                continue
            if not self._watches.series["named"][slot]:
                self._watches.series["named"][slot] = True
                self._slots_by_metric.setdefault(labels.name, array("q")).append(slot)
            found[slot] = self._selection.select(labels)
        if not found:
            return
        self._watches.place(list(found), list(found.values()))
        for slot, rules in found.items():
            series_id = int(self._watches.series["id"][slot])
            for rule in rules:
                alert = self._open.get(rule.id, {}).get(series_id)
                row = self._watches.row(slot, rule.id) if alert is not None else None
                if row is not None:
                    self._watches.put(row, alert)

    async def _forget_metric(self, name: str) -> None:
        """Have the rules asked again for every series of this metric. Values of its alerts go to where they stay."""
        count = 0
        for rule_id, alerts in self._open.items():
            for series_id, alert in alerts.items():
                if alert.metric_name == name:
                    alerts[series_id] = self._current((rule_id, series_id), alert)
                    count += 1
                    if count % PIECE == 0:
                        await asyncio.sleep(0)
        slots = self._slots_by_metric.get(name)
        if slots is not None:
            self._watches.forget(np.array(slots, np.int64))

    def _slot(self, series_id: int) -> int:
        return int(self._watches.slots(np.array([series_id], np.uint64))[0])

    def _labels(self, series_id: int, alert: Alert | None) -> Labels:
        return self._series.labels(series_id) if alert is None else alert.labels

    def _current(self, key: Key, alert: Alert) -> Alert:
        """The alert with the value that the watches hold."""
        row = self._watches.row(self._slot(key[1]), key[0])
        if row is None:
            return alert
        value, peak = self._watches.value(row)
        return alert if alert.value == value and alert.peak == peak else replace(alert, value=value, peak=peak)

    def _open_alert(self, key: Key) -> Alert | None:
        alert = self._open.get(key[0], {}).get(key[1])
        return None if alert is None else self._current(key, alert)

    # A round: plan, save, apply

    async def _plan(self, readings: Readings, verdicts: Verdicts, at_ms: int) -> list[_Planned]:
        planned: list[_Planned] = []
        for number, (row, group) in enumerate(zip(verdicts.rows, verdicts.groups, strict=True)):
            slot = int(readings.slots[group])
            key = int(self._watches.watches["rule"][row]), int(self._watches.series["id"][slot])
            span = slice(int(readings.offsets[group]), int(readings.offsets[group + 1]))
            made = self._step(key, self._window(slot, span, readings), at_ms)
            if made is not None:
                planned.append(_Planned(key, slot, made))
            if number % PIECE == PIECE - 1:
                await asyncio.sleep(0)
        return planned

    def _window(self, slot: int, span: slice = slice(0), readings: Readings | None = None) -> Window:
        known = self._watches.series[slot]
        times = _NO_TIMES if readings is None else readings.times[span]
        values = _NO_VALUES if readings is None else readings.values[span]
        return Window(times, values, int(known["newest"]), int(known["heard"]))

    def _step(self, key: Key, window: Window, at_ms: int) -> Step | None:
        """None where the rule fails, which must not stop the others."""
        rule = self._rules[key[0]]
        try:
            alert = self._open_alert(key)
            return step(rule, self._labels(key[1], alert), alert, window, at_ms=at_ms, settings=self._settings)
        except Exception:  # a rule that fails must not stop the others
            self._errors.inc()
            log.exception("rule failed on a series", rule_id=rule.id, rule=rule.name, series=key[1])
            return None

    def _planned(self, key: Key, made: Step) -> _Planned:
        return _Planned(key, self._slot(key[1]), made)

    async def _save(self, planned: Sequence[_Planned]) -> list[_Planned]:
        """The same with the alerts as they were saved. Raises StoreError where nothing was.

        From here until all is remembered the memory is in doubt: whatever breaks the round off, also a
        cancellation, makes the next one read the open alerts from the store.
        """
        changes = [change for each in planned for change in each.step.changes]
        if not changes:
            return list(planned)
        self._in_doubt, self._refused = True, False
        try:
            saved = await self._store.save_changes(changes)
        except TransientError:
            raise
        except Exception:
            log.exception("alerts cannot be saved together; trying rule by rule", changes=len(changes))
            return await self._save_by_rule(planned)
        return await _with_saved(planned, saved)

    async def _save_by_rule(self, planned: Sequence[_Planned]) -> list[_Planned]:
        """A rule whose alerts the store refuses is passed over."""
        by_rule: dict[int, list[_Planned]] = {}
        for each in planned:
            by_rule.setdefault(each.key[0], []).append(each)
        kept: list[_Planned] = []
        for rule_id, mine in by_rule.items():
            try:
                saved = await self._store.save_changes([change for each in mine for change in each.step.changes])
            except TransientError:
                raise
            except Exception:  # a rule that fails must not stop the others
                self._refused = True
                self._errors.inc()
                log.exception("alerts of a rule cannot be saved", rule_id=rule_id)
                continue
            kept += await _with_saved(mine, saved)
        return kept

    async def _apply(self, planned: Sequence[_Planned], at_ms: int, *, tell: bool = True) -> None:
        """Remember what was saved, then let it be known."""
        for first in range(0, len(planned), PIECE):
            if first:
                await asyncio.sleep(0)
            piece = planned[first : first + PIECE]
            for each in piece:
                self._remember(each, at_ms)
            if tell:
                self._tell([change for each in piece for change in each.step.changes])
        self._in_doubt, self._refused = self._refused, False

    def _tell(self, changes: Sequence[Change]) -> None:
        for state, count in Counter(change.alert.state for change in changes).items():
            self._changes.labels(state.value).inc(count)
        if changes:
            self._sink.alerts_changed(changes)

    def _remember(self, planned: _Planned, at_ms: int) -> None:
        rule_id, series_id = planned.key
        alert = planned.step.alert
        row = self._watches.row(planned.slot, rule_id)
        moved = alert is not None and not planned.step.changes
        if row is not None:
            self._watches.put(row, alert, moved=moved)
        if moved:
            self._value_moved()
        if alert is not None:
            self._open.setdefault(rule_id, {})[series_id] = alert
            self._arm(planned.key, planned.slot, alert, at_ms)
        elif rule_id in self._open:
            self._open[rule_id].pop(series_id, None)
            if not self._open[rule_id]:
                del self._open[rule_id]

    # Timers

    def _arm(self, key: Key, slot: int, alert: Alert, at_ms: int) -> None:
        rule = self._rules.get(key[0])
        if rule is None:
            return
        heard_ms = int(self._watches.series["heard"][slot])
        deadline_ms = look_at_ms(rule, alert, heard_ms=heard_ms, at_ms=at_ms, settings=self._settings)
        before = self._deadlines.next_ms()
        self._deadlines.arm(key, deadline_ms)
        if before is None or deadline_ms < before:
            self._wake.set()

    def _next_ms(self) -> int | None:
        if self._in_doubt or self._unsettled:
            return self._clock.now_ms()
        deadlines = self._deadlines.next_ms(), self._values_due_ms
        return min((each for each in deadlines if each is not None), default=None)

    async def _look_at_some(self, at_ms: int) -> bool:
        """Work through a piece of the alerts whose deadline has come. False where there were none."""
        async with self._lock:
            await self._recover()
            keys = self._deadlines.due(at_ms, PIECE)
            try:
                planned = [each for key in keys if (each := self._look_at(key, at_ms)) is not None]
                await self._apply(await self._save(planned), at_ms)
            except BaseException:
                for key in keys:
                    self._deadlines.arm(key, at_ms)
                raise
        return bool(keys)

    def _look_at(self, key: Key, at_ms: int) -> _Planned | None:
        alert = self._open_alert(key)
        if alert is None or key[0] not in self._rules:
            return None
        slot = self._slot(key[1])
        made = self._step(key, self._window(slot), at_ms)
        if made is not None and made.changes:
            return _Planned(key, slot, made)
        if made is None:
            self._deadlines.arm(key, at_ms + self._settings.stale_after)
        else:
            self._arm(key, slot, alert, at_ms)
        return None

    # Values that move while the state stays

    def _value_moved(self) -> None:
        if self._values_due_ms is None:
            self._values_due_ms = self._clock.now_ms() + self._settings.value_save_interval
            self._wake.set()

    async def _save_values(self, at_ms: int) -> None:
        """In transactions of a page each; rows are looked up anew, as they may move while the lock is free."""
        pages = -(-len(self._watches.moved()) // SAVE_PAGE)
        for _ in range(pages):
            async with self._lock:
                await self._recover()
                planned = [each for row in self._watches.moved()[:SAVE_PAGE] if (each := self._moved(int(row)))]
                await self._apply(await self._save(planned), at_ms, tell=False)
        self._values_due_ms = at_ms + self._settings.value_save_interval if len(self._watches.moved()) else None

    def _moved(self, row: int) -> _Planned | None:
        slot = int(self._watches.watches["slot"][row])
        key = int(self._watches.watches["rule"][row]), int(self._watches.series["id"][slot])
        alert = self._open_alert(key)
        if alert is None:
            return None
        return _Planned(key, slot, Step(alert, (Change(replace(alert, notify_at_ms=None), alert.state),)))

    # After a start, an edit or a failure

    async def _settle(self, at_ms: int) -> None:
        """Bring open alerts in line with rules that have changed."""
        for rule_id in list(self._unsettled):
            planned = await self._carried(rule_id, at_ms)
            await self._apply(await self._save(planned), at_ms)
            self._unsettled.discard(rule_id)

    async def _carried(self, rule_id: int, at_ms: int) -> list[_Planned]:
        planned: list[_Planned] = []
        for number, (series_id, alert) in enumerate(list(self._open.get(rule_id, {}).items())):
            slot = self._slot(series_id)
            newest_ms = int(self._watches.series["newest"][slot])
            current = self._current((rule_id, series_id), alert)
            made = carry(self._rules.get(rule_id), current, newest_ms=newest_ms, at_ms=at_ms, settings=self._settings)
            if made.changes:
                planned.append(_Planned((rule_id, series_id), slot, made))
            else:
                self._arm((rule_id, series_id), slot, alert, at_ms)
            if number % PIECE == PIECE - 1:
                await asyncio.sleep(0)
        return planned

    async def _recover(self) -> None:
        """After a failure nobody knows whether the store took the changes: read what it holds."""
        if self._in_doubt:
            await self._restore()
            self._in_doubt = False
            self._wake.set()
            self._sink.alerts_changed(())

    async def _restore(self) -> None:
        alerts = [alert for alert in await self._store.open_alerts() if not alert.expr]
        at_ms = self._clock.now_ms()
        self._watches.forget_all()
        self._open = {}
        for number, alert in enumerate(alerts):
            # The alerts of deleted rules are told apart until they are closed.
            rule_id = alert.rule_id if alert.rule_id is not None else -alert.id
            key = rule_id, alert.labels.series_id()
            slot = self._slot(key[1])
            known = self._watches.series[slot]
            known["newest"] = max(int(known["newest"]), alert.since_ms)
            if known["heard"] == NEVER:
                known["heard"] = at_ms
            self._open.setdefault(rule_id, {})[key[1]] = alert
            self._arm(key, slot, alert, at_ms)
            if rule_id not in self._rules:
                self._unsettled.add(rule_id)
            if number % PIECE == PIECE - 1:
                await asyncio.sleep(0)


async def _with_saved(planned: Sequence[_Planned], saved: Sequence[Alert]) -> list[_Planned]:
    """Changes as the store saved them: with ids, and with what people did to the alerts meanwhile."""
    alerts = iter(saved)
    done: list[_Planned] = []
    for each in planned:
        if len(done) % PIECE == PIECE - 1:
            await asyncio.sleep(0)
        if not each.step.changes:
            done.append(each)
            continue
        changes = tuple(Change(next(alerts), change.before) for change in each.step.changes)
        alert = changes[-1].alert
        done.append(_Planned(each.key, each.slot, Step(alert if alert.open else None, changes)))
    return done
