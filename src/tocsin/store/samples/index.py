"""The index: labels ↔ id and matchers → ids, in memory. The engine keeps the rows, this finds them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from tocsin.model.duration import DAY_MS, MINUTE_MS
from tocsin.model.errors import ConflictError, LimitError, MetricLimitError
from tocsin.model.labels import METRIC_NAME, Labels
from tocsin.model.matcher import Matcher, MatchOp, alternatives, matches_all
from tocsin.model.series import Cardinality, IdArray, TimeArray
from tocsin.promql.frame import LabelFrame
from tocsin.store.samples.journal import NewSeries
from tocsin.store.samples.table import NEVER_FIRST, NEVER_LAST, Ordinals, SeriesTable

FEW = 100
"""Up to so many candidates are looked at one by one."""
PATTERNS_MAX = 64
"""Patterns whose verdicts are remembered; all are forgotten when there are more, rather than kept in order of use."""
VERDICTS_MAX = 16_000_000
"""Bytes for them: one for each pattern and pair."""
REMEMBERED_MAX = 50_000
"""Label sets that are kept as objects, about 300 bytes each; all are forgotten when there are more."""
TOUCHED_AT_ONCE = 20_000
"""Samples whose times are noted under one hold of the lock, in about 1 ms."""
WASTE_MIN = 1_000
"""So many forgotten series are carried along."""
GRACE_MS = 10 * MINUTE_MS
"""How long what is known of a forgotten series is kept, as samples or reads of it may be under way."""
COPIED_AT_ONCE, ADDED_AT_ONCE = 20_000, 200
"""Rows of a new table that are made under one hold of the lock, in about 1 ms."""
PAIRS_MAX = 20_000
"""Up to so many values of a pattern are looked up one by one, 1 µs each; for more every series is looked at."""

Mask: TypeAlias = npt.NDArray[np.bool_]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """Series with the UTC days of their first and last samples: ids uint64[n], int64[n] days since 1970."""

    ids: IdArray
    first: TimeArray
    last: TimeArray

    def __len__(self) -> int:
        return len(self.ids)


class LabelIndex:
    """One thread interns; another notes what is committed; any may look.

    Whatever changes the table holds the lock, for about a millisecond at most. Looking takes none: every step of
    a change leaves a table that can be read, and a table is only ever replaced as a whole.
    """

    waste_min = WASTE_MIN
    grace_ms = GRACE_MS

    def __init__(self, series_max: int, metric_series_max: int = 0) -> None:
        """`metric_series_max` of 0 is no limit."""
        self._series_max = series_max
        self._metric_series_max = metric_series_max
        self._changing = threading.Lock()
        self._table = SeriesTable(min(series_max, 4_000_000))
        self._remembered: dict[Labels, int] = {}
        self._objects: dict[int, Labels] = {}
        self._patterns: dict[Matcher, _Pattern] = {}
        self._doomed: IdArray = np.zeros(0, np.uint64)
        self._doomed_ms = -GRACE_MS
        self._heir: SeriesTable | None = None
        self.generation = 0
        """Changes when series were forgotten: whoever remembers ids must ask for them again."""
        self.version = 0
        """Changes with every series that comes or goes: whoever remembers what was found must look again."""

    def __len__(self) -> int:
        return self._table.living

    def intern(self, labels: Labels) -> int:
        """The id of these labels, remembered from now on.

        Raises LimitError where there is no room (MetricLimitError: for this metric), ConflictError where
        another series has the same id.
        """
        known = self._remembered.get(labels)
        if known is not None:
            return known
        series_id = labels.series_id()
        with self._changing:
            table = self._table
            ordinal = table.ordinal(series_id)
            if ordinal < 0:
                self._check_room(table, labels)
                table.add(series_id, labels.pairs)
                self.version += 1
                return series_id  # remembered when it comes again, as many do not
            self._check_same(table, ordinal, labels)
            if not table.alive.view[ordinal]:
                self._check_room(table, labels)
                self._revive(np.array([series_id], np.uint64))
            if len(self._remembered) >= REMEMBERED_MAX:
                self._remembered = {}
            self._remembered[table.labels_at(ordinal)] = series_id
        return series_id

    def load(self, rows: Iterable[tuple[int, Labels]]) -> None:
        """Add what the engine has kept; its ids are believed."""
        with self._changing:
            for series_id, labels in rows:
                ordinal = self._table.ordinal(series_id)
                if ordinal < 0:
                    ordinal = self._table.add(series_id, labels.pairs)
                    self.version += 1
                self._check_same(self._table, ordinal, labels)
                self._table.saved.view[ordinal] = True

    def load_pairs(self, names: Sequence[str], values: Sequence[str]) -> npt.NDArray[np.uint32]:
        """Labels with values that series will have; returns a number for each, which `load_rows` takes."""
        with self._changing:
            pair = self._table.pair
            return np.array([pair(name, value) for name, value in zip(names, values, strict=True)], np.uint32)

    def load_rows(self, ids: IdArray, lengths: IdArray, pairs: npt.NDArray[np.uint32]) -> None:
        """Saved series that are not known yet: of so many pairs each, whose numbers follow one another in `pairs`."""
        with self._changing:
            start = self._table.size
            self._table.add_all(ids, lengths.astype(np.int64), pairs)
            self._table.saved.data[start : self._table.size] = True
            self.version += 1

    def load_spans(self, spans: Spans) -> None:
        """What the engine has kept of the days of series, each once; those of no series are left out.

        What is known to the millisecond stays so where the engine knows of no other day.
        """
        with self._changing:
            for table in self._tables():
                ordinals = table.ordinals(spans.ids)
                known = ordinals >= 0
                at, first, last = ordinals[known], spans.first[known], spans.last[known]
                table.kept_first.data[at] = np.minimum(table.kept_first.data[at], first)
                table.kept_last.data[at] = np.maximum(table.kept_last.data[at], last)
                before, after = first < table.first.data[at] // DAY_MS, last > table.last.data[at] // DAY_MS
                table.first.data[at[before]] = first[before] * DAY_MS
                table.last.data[at[after]] = (last[after] + 1) * DAY_MS - 1

    def labels(self, series_id: int) -> Labels:
        """Raises KeyError for an id that was never interned, or long forgotten."""
        known = self._objects.get(series_id)
        if known is not None:
            return known
        table = self._table
        ordinal = table.ordinal(series_id)
        if ordinal < 0:
            raise KeyError(series_id)
        labels = table.labels_at(ordinal)
        if len(self._objects) >= REMEMBERED_MAX:
            self._objects = {}
        self._objects[series_id] = labels
        return labels

    def unsaved(self, ids: IdArray) -> NewSeries:
        """Those of these series whose labels must be kept before samples of theirs, each once.

        A series that was forgotten while its samples were under way is alive again.
        """
        table = self._table
        ordinals = table.ordinals(ids)
        at = np.unique(ordinals[(ordinals >= 0) & ~table.saved.data[ordinals]])
        if not table.alive.data[at].all():
            with self._changing:
                self._revive(table.ids.data[at])
        return [(table.ids.view[ordinal], table.text_at(ordinal)) for ordinal in at.tolist()]

    def saved(self, rows: NewSeries) -> None:
        """They are kept now."""
        if not rows:
            return
        ids = np.array([series_id for series_id, _ in rows], np.uint64)
        with self._changing:
            for table in self._tables():
                ordinals = table.ordinals(ids)
                ordinals = ordinals[ordinals >= 0]
                table.saved.data[ordinals] = table.alive.data[ordinals]

    def unkept(self, ids: IdArray, times: TimeArray) -> Spans:
        """New days of these series, of which the engine must be told before it is given their samples."""
        table = self._table
        ordinals = table.ordinals(ids)
        days = times // DAY_MS
        news = (ordinals >= 0) & ((days < table.kept_first.data[ordinals]) | (days > table.kept_last.data[ordinals]))
        at, owner = np.unique(ordinals[news], return_inverse=True)
        days = days[news]
        first, last = table.kept_first.data[at].astype(np.int64), table.kept_last.data[at].astype(np.int64)
        np.minimum.at(first, owner, days)
        np.maximum.at(last, owner, days)
        return Spans(table.ids.data[at], first, last)

    def kept(self, spans: Spans) -> None:
        """The engine was told."""
        with self._changing:
            for table in self._tables():
                ordinals = table.ordinals(spans.ids)
                known = ordinals >= 0
                table.kept_first.data[ordinals[known]] = spans.first[known]
                table.kept_last.data[ordinals[known]] = spans.last[known]

    def touch(self, ids: IdArray, times: TimeArray) -> None:
        """Note that there are samples of these series at these times.

        A series that was forgotten while they were being committed is alive again.
        """
        for at in range(0, len(ids), TOUCHED_AT_ONCE):
            span = slice(at, at + TOUCHED_AT_ONCE)
            with self._changing:
                for table in self._tables():
                    ordinals = table.ordinals(ids[span])
                    known = ordinals >= 0
                    np.minimum.at(table.first.data, ordinals[known], times[span][known])
                    np.maximum.at(table.last.data, ordinals[known], times[span][known])
                table = self._table
                touched = table.ordinals(ids[span])
                touched = touched[touched >= 0]
                if not table.alive.data[touched].all():
                    self._revive(table.ids.data[touched])

    def _revive(self, ids: IdArray) -> None:
        """The lock is held."""
        for table in self._tables():
            ordinals = np.unique(table.ordinals(ids))
            ordinals = ordinals[ordinals >= 0]
            table.revive(ordinals[~table.alive.data[ordinals]])
        self.version += 1  # last, as with every change: who looks before it looks again

    def _tables(self) -> tuple[SeriesTable, ...]:
        """Those that a change to known rows must reach: while a table is being replaced, its heir too."""
        return (self._table,) if self._heir is None else (self._table, self._heir)

    def lasts(self, ids: IdArray) -> TimeArray:
        """int64[n]: the time of the last sample of each of these series, NEVER_FIRST of those that are not known."""
        table = self._table
        ordinals = table.ordinals(ids)
        return np.where(ordinals < 0, NEVER_FIRST, table.last.data[ordinals])

    def forget(self, ids: IdArray, lasts: TimeArray | None = None) -> IdArray:
        """Series that are found no more; returns those of them that were known.

        With the times of their last samples, only those that have had none since.

        The same labels may be interned again, and have the same id. Until then `labels` still tells
        them to whoever has the id.
        """
        with self._changing:
            table = self._table
            if lasts is not None:
                ids = ids[table.last.data[table.ordinals(ids)] == lasts]
            gone = table.ids.data[_living(table, ids)]
            for each in self._tables():
                each.hide(_living(each, gone))
            if len(gone):
                self._remembered = {}
                self._objects = {}
                self.generation += 1
                self.version += 1
            return np.asarray(gone)

    def forgotten(self, ids: IdArray) -> IdArray:
        """Those that are not alive, now."""
        table = self._table
        ordinals = table.ordinals(ids)
        return np.asarray(ids[(ordinals < 0) | ~table.alive.data[ordinals]])

    def silent(self, before_ms: int) -> IdArray:
        """The living series without a sample since then, the one that is silent for longest first."""
        table = self._table
        size = table.size
        last = table.last.data[:size]
        at = np.flatnonzero(table.alive.data[:size] & (last < before_ms))
        return np.asarray(table.ids.data[at[np.argsort(last[at], kind="stable")]])

    def crowd(self) -> int:
        """How many series ought to be forgotten, where the index is nearly full."""
        living = self._table.living
        return living - self._series_max * 4 // 5 if living >= self._series_max * 9 // 10 else 0

    def compact(self, at_ms: int) -> int:
        """Let go of what forgotten series take, where it is much; returns of how many.

        Only of those that were forgotten `grace_ms` before and did not come back: samples of the others may be
        under way. Takes a second or two for a million series, and may run beside everything else but itself.
        """
        if at_ms - self._doomed_ms < self.grace_ms:
            return 0
        table = self._table
        dead = np.flatnonzero(~table.alive.data[: table.size])
        doomed, self._doomed, self._doomed_ms = self._doomed, np.asarray(table.ids.data[dead]), at_ms
        gone = dead[np.isin(table.ids.data[dead], doomed)]
        if len(gone) < max(self.waste_min, table.living // 8):
            return 0
        made, kept = table.without(gone)
        try:
            with self._changing:
                self._heir = made
            for at in range(0, len(kept), COPIED_AT_ONCE):
                with self._changing:
                    made.follow(table, kept[at : at + COPIED_AT_ONCE], at)
            return self._replace(table, gone, made, len(kept) + len(gone))
        finally:
            self._heir = None

    def _replace(self, table: SeriesTable, gone: Ordinals, made: SeriesTable, copied: int) -> int:
        """Once it has what came since it was made, `made` is the table."""
        while True:
            with self._changing:
                came = np.arange(copied, min(copied + ADDED_AT_ONCE, table.size))
                made.take(table, came)
                copied += len(came)
                if copied == table.size:
                    back = gone[table.alive.data[gone]]
                    made.take(table, back)
                    self._table = made
                    self.version += 1
                    self._heir = None
                    self._patterns = {}
                    self._objects = {}
                    return len(gone) - len(back)

    def find(self, matchers: Sequence[Matcher], start_ms: int | None = None, end_ms: int | None = None) -> IdArray:
        """The ids of the series that fit all matchers, rising.

        With times, only those that may have a sample with start ≤ time ≤ end: the span from their first
        to their last sample, known to the day after a restart, overlaps it.
        """
        table = self._table
        return np.asarray(np.sort(table.ids.data[self._find(table, matchers, start_ms, end_ms)]))

    def labelled(self, matchers: Sequence[Matcher], series_max: int) -> tuple[IdArray, LabelFrame]:
        """The ids of `find`, and their labels in the same order. Raises LimitError where they are more."""
        table = self._table
        ordinals = self._find(table, matchers, None, None)
        if len(ordinals) > series_max:
            raise LimitError(
                f"{len(ordinals):,} series fit, and a query may read {series_max:,}. Ask for fewer with more matchers."
            )
        ids = table.ids.data[ordinals]
        order = np.argsort(ids)
        return np.asarray(ids[order]), table.frame(ordinals[order])

    def frame(
        self,
        selectors: Sequence[Sequence[Matcher]],
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 0,
    ) -> LabelFrame:
        """The labels of the series that fit any of the selectors, in their order; with a limit, only so many."""
        table = self._table
        found = [self._find(table, matchers, start_ms, end_ms) for matchers in selectors]
        frame = table.frame(np.unique(np.concatenate([np.zeros(0, np.int64), *found])))
        order = frame.order()
        return frame.take(order[:limit] if limit else order)

    def find_any(self, selectors: Sequence[Sequence[Matcher]]) -> IdArray:
        """The ids of the series that fit any of the selectors, rising."""
        return np.unique(np.concatenate([np.zeros(0, np.uint64), *(self.find(one) for one in selectors)]))

    def series(
        self,
        matchers: Sequence[Matcher],
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 0,
        after: int | None = None,
    ) -> tuple[Labels, ...]:
        """Those of `find`, in the same order; only ids larger than `after`, and with a limit only so many."""
        table = self._table
        ordinals = self._find(table, matchers, start_ms, end_ms)
        ids = table.ids.data[ordinals]
        order = np.argsort(ids)
        first = 0 if after is None else int(np.searchsorted(ids[order], np.uint64(after), "right"))
        return tuple(table.labels_at(ordinal) for ordinal in _first(ordinals[order[first:]].tolist(), limit))

    def names(
        self, matchers: Sequence[Matcher] = (), start_ms: int | None = None, end_ms: int | None = None, limit: int = 0
    ) -> tuple[str, ...]:
        """The names of the labels of the series of `find`, sorted; with a limit, only so many."""
        table = self._table
        used = self._used(table, matchers, start_ms, end_ms)
        found = sorted(table.names[number] for number in np.unique(table.label_of.data[used]).tolist())
        return tuple(_first(found, limit))

    def values(
        self,
        label: str,
        matchers: Sequence[Matcher] = (),
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 0,
    ) -> tuple[str, ...]:
        """Every value that the label has among the series of `find`, sorted; with a limit, only so many."""
        table = self._table
        known = table.labels.get(label)
        if known is None:
            return ()
        if not matchers and start_ms is None and end_ms is None:
            used = known.numbers()
            used = used[table.counts.data[used] > 0]
        else:
            used = np.unique(table.pairs_of(known.number, self._find(table, matchers, start_ms, end_ms)))
            used = used[used >= 0]
        return tuple(_first(sorted(table.pairs[number][1] for number in used.tolist()), limit))

    def count(self, matchers: Sequence[Matcher]) -> int:
        """How many series fit; at once where one label is asked for by its value."""
        table = self._table
        if len(matchers) == 1 and matchers[0].op is MatchOp.EQUAL and matchers[0].value:
            number = _number(table, matchers[0])
            return 0 if number is None else int(table.counts.view[number])
        return len(self._find(table, matchers, None, None))

    def cardinality(self, most: int, matchers: Sequence[Matcher] = ()) -> Cardinality:
        """What has the most series and values among the series that fit; the limits are those of all."""
        table = self._table
        counts, living = table.counts.array, table.living
        fitting = self._find(table, matchers, None, None)
        if matchers:
            counts, living = np.bincount(table.pairs_in(fitting), minlength=len(counts)), len(fitting)
        seen = fitting[table.last.data[fitting] != NEVER_LAST]
        labels = np.asarray(table.label_of.data[: len(counts)])
        values = np.bincount(labels[counts > 0], minlength=len(table.names))
        name = table.labels.get(METRIC_NAME)
        of_names = np.flatnonzero(labels == name.number) if name is not None else np.zeros(0, np.int64)
        return Cardinality(
            series=living,
            series_max=self._series_max,
            metric_series_max=self._metric_series_max,
            label_pairs=int((counts > 0).sum()),
            metrics=tuple((table.pairs[number][1], count) for number, count in _top(counts[of_names], most, of_names)),
            labels=tuple((table.names[number], count) for number, count in _top(values, most)),
            pairs=tuple((*table.pairs[number], count) for number, count in _top(counts, most)),
            first_ms=int(table.first.data[seen].min()) if len(seen) else None,
            last_ms=int(table.last.data[seen].max()) if len(seen) else None,
        )

    def _used(
        self, table: SeriesTable, matchers: Sequence[Matcher], start_ms: int | None, end_ms: int | None
    ) -> Ordinals:
        """The pairs of the series of `find`."""
        if not matchers and start_ms is None and end_ms is None:
            return np.flatnonzero(table.counts.array > 0)
        seen = np.zeros(table.counts.size, np.bool_)
        seen[table.pairs_in(self._find(table, matchers, start_ms, end_ms))] = True
        return np.flatnonzero(seen)

    def _check_room(self, table: SeriesTable, labels: Labels) -> None:
        if table.living >= self._series_max:
            raise LimitError(
                f"There are {self._series_max} series already. Send fewer different labels or raise store.series_max."
            )
        name = labels.name
        if not name or not self._metric_series_max or METRIC_NAME not in table.labels:
            return
        number = table.labels[METRIC_NAME].values.get(name)
        if number is not None and table.counts.view[number] >= self._metric_series_max:
            raise MetricLimitError(
                f"{name} has {self._metric_series_max} series already. "
                "Send it with fewer different labels or raise store.metric_series_max."
            )

    @staticmethod
    def _check_same(table: SeriesTable, ordinal: int, labels: Labels) -> None:
        other = table.labels_at(ordinal)
        if other.pairs != labels.pairs:
            series_id = table.ids.view[ordinal]
            raise ConflictError(f"{labels} and {other} have the same id {series_id}. Change a label of one of them.")

    def _find(
        self, table: SeriesTable, matchers: Sequence[Matcher], start_ms: int | None, end_ms: int | None
    ) -> Ordinals:
        """Rising ordinals."""
        size = table.size
        found, rest = self._candidates(table, matchers, size)
        found = np.asarray(found[table.alive.data[found]])
        if start_ms is not None:
            found = found[table.last.data[found] >= start_ms]
        if end_ms is not None:
            found = found[table.first.data[found] <= end_ms]
        if len(found) <= FEW:
            fitting = [at for at in found.tolist() if matches_all(rest, table.labels_at(at))]
            return np.array(fitting, np.int64)
        for matcher in rest:
            found = found[self._fits(table, matcher, found)]
        return found

    def _candidates(self, table: SeriesTable, matchers: Sequence[Matcher], size: int) -> tuple[Ordinals, list[Matcher]]:
        """Ordinals of what the matchers with the fewest series let through, and the matchers that are left to apply."""
        rest = list(matchers)
        best: Ordinals | None = None
        for matcher in matchers:
            posting = _posting(table, matcher, size)
            if posting is not None:
                rest.remove(matcher)
                best = posting if best is None else _common(best, posting, size)
        if best is not None:
            return best, rest
        for matcher in matchers:
            if not matcher.matches_value(""):
                numbers = self._fitting_pairs(table, matcher)
                if len(numbers) <= PAIRS_MAX:
                    rest.remove(matcher)
                    return _together(table, numbers, size), rest
        return np.arange(size), rest

    def _fitting_pairs(self, table: SeriesTable, matcher: Matcher) -> Ordinals:
        """The pairs that the matcher fits."""
        label = table.labels.get(matcher.label)
        if label is None:
            return np.zeros(0, np.int64)
        numbers = label.numbers()
        if matcher.op in (MatchOp.EQUAL, MatchOp.NOT_EQUAL) and not matcher.value:
            return numbers  # label!="": every value there is
        return numbers[self._pattern(table, matcher).judge(table, numbers)]

    def _fits(self, table: SeriesTable, matcher: Matcher, ordinals: Ordinals) -> Mask:
        absent_fits = matcher.matches_value("")
        label = table.labels.get(matcher.label)
        if label is None:
            return np.full(len(ordinals), absent_fits)
        pairs = table.pairs_of(label.number, ordinals)
        match matcher.op:
            case MatchOp.EQUAL | MatchOp.NOT_EQUAL:
                same = pairs == (label.values.get(matcher.value, -2) if matcher.value else -1)
                return np.asarray(same if matcher.op is MatchOp.EQUAL else ~same)
            case MatchOp.REGEX | MatchOp.NOT_REGEX:
                fits = np.full(len(ordinals), absent_fits)
                present = pairs >= 0
                fits[present] = self._pattern(table, matcher).judge(table, pairs[present])
                return fits

    def _pattern(self, table: SeriesTable, matcher: Matcher) -> _Pattern:
        pattern = self._patterns.get(matcher)
        if pattern is None or pattern.table is not table:
            if len(self._patterns) >= max(2, min(PATTERNS_MAX, VERDICTS_MAX // (table.counts.size + 1))):
                self._patterns = {}
            pattern = self._patterns[matcher] = _Pattern(table, matcher)
        return pattern


def _first(found: list[T], limit: int) -> list[T]:
    return found[:limit] if limit else found


class _Pattern:
    """What a regular expression says of each pair, found out when it is first asked."""

    def __init__(self, table: SeriesTable, matcher: Matcher) -> None:
        self.table = table
        self._matcher = matcher
        self._verdicts = np.zeros(0, np.int8)  # 0: not known, 1: fits, -1: does not

    def judge(self, table: SeriesTable, pairs: Ordinals) -> Mask:
        """bool[pairs]; all pairs are of the matcher's label."""
        verdicts = self._verdicts
        if len(verdicts) < table.counts.size:
            grown = np.zeros(table.counts.size * 5 // 4, np.int8)
            grown[: len(verdicts)] = verdicts
            self._verdicts = verdicts = grown
        for number in np.unique(pairs[verdicts[pairs] == 0]).tolist():
            verdicts[number] = 1 if self._matcher.matches_value(table.pairs[number][1]) else -1
        return np.asarray(verdicts[pairs] > 0)


def _living(table: SeriesTable, ids: IdArray) -> Ordinals:
    """Ordinals of those that are known and alive, each once."""
    ordinals = np.unique(table.ordinals(ids))
    ordinals = ordinals[ordinals >= 0]
    return np.asarray(ordinals[table.alive.data[ordinals]])


def _number(table: SeriesTable, matcher: Matcher) -> int | None:
    label = table.labels.get(matcher.label)
    return None if label is None else label.values.get(matcher.value)


def _posting(table: SeriesTable, matcher: Matcher, size: int) -> Ordinals | None:
    """What fits a matcher that names its values, rising; None for any other."""
    texts: tuple[str, ...] | None = None
    if matcher.op is MatchOp.EQUAL and matcher.value:
        texts = (matcher.value,)
    elif matcher.op is MatchOp.REGEX:
        texts = alternatives(matcher.value)
    if texts is None:
        return None
    label = table.labels.get(matcher.label)
    numbers = [] if label is None else [label.values[text] for text in texts if text in label.values]
    if len(numbers) > 1:
        return _together(table, np.array(numbers), size)
    found = table.posting(numbers[0]) if numbers else np.zeros(0, np.int64)
    return found[found < size]


def _common(one: Ordinals, other: Ordinals, size: int) -> Ordinals:
    """What is in both, rising."""
    few, many = (one, other) if len(one) <= len(other) else (other, one)
    mask = np.zeros(size, np.bool_)
    mask[many] = True
    return few[mask[few]]


def _together(table: SeriesTable, numbers: Ordinals, size: int) -> Ordinals:
    """The ordinals of series with any of these pairs, rising."""
    mask = np.zeros(size, np.bool_)
    for number in numbers.tolist():
        found = table.posting(number)
        mask[found[found < size]] = True
    return np.flatnonzero(mask)


def _top(counts: Ordinals, most: int, numbers: Ordinals | None = None) -> list[tuple[int, int]]:
    """The largest counts above 0, with the numbers of what they count; of equals the older first."""
    order = np.argsort(-counts, kind="stable")[:most]
    order = order[counts[order] > 0]
    named = order if numbers is None else numbers[order]
    return list(zip(named.tolist(), counts[order].tolist(), strict=True))
