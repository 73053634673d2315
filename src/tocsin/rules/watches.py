"""Which rule watches which series and how that stands, as columns, so that a steady world costs only NumPy.

Two tables. A *series* is a place for what is known of a series; its number is its slot. A *watch* is one rule
on one series; the watches of a series are one block of rows. Samples are judged for all watches at once, and
only the few whose state may have to change are handed out to be stepped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from tocsin.model.alert import Alert, AlertState
from tocsin.model.rule import Condition, Rule
from tocsin.model.series import FloatArray, IdArray, TimeArray
from tocsin.rules.step import NEVER, Bools

Ints = npt.NDArray[np.int64]

INACTIVE, PENDING, FIRING = 0, 1, 2
_CODES = {AlertState.PENDING: PENDING, AlertState.FIRING: FIRING}

_GREATER, _LESS, _EQUAL = 1, 2, 4
_OPS = {
    Condition.ABOVE: _GREATER,
    Condition.AT_LEAST: _GREATER | _EQUAL,
    Condition.BELOW: _LESS,
    Condition.AT_MOST: _LESS | _EQUAL,
    Condition.EQUAL: _EQUAL,
    Condition.NOT_EQUAL: _GREATER | _LESS,
}

_UNRESOLVED = -1

_SERIES = np.dtype(
    [
        ("id", np.uint64),
        ("newest", np.int64),  # time of the newest reading that was judged
        ("heard", np.int64),  # when that was, by the server's clock
        ("start", np.int64),  # its block of watches
        ("count", np.int64),  # _UNRESOLVED until the rules were asked
        ("mark", np.int64),  # scratch
        ("named", np.bool_),  # whether its metric is known
    ]
)
_WATCH = np.dtype(
    [
        ("slot", np.int64),
        ("rule", np.int64),
        ("threshold", np.float64),
        ("duration", np.int64),
        ("since", np.int64),
        ("value", np.float64),
        ("peak", np.float64),
        ("op", np.int8),
        ("state", np.int8),
        ("moved", np.bool_),  # value or peak differ from what is saved
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """New readings by series: group g is series slots[g] and owns times and values [offsets[g]:offsets[g+1]].

    Rising in time within a group, free of NaN and of duplicates. `late` counts readings that were not newer than
    what their series was judged by before, and were left out.
    """

    slots: Ints
    offsets: Ints
    times: TimeArray
    values: FloatArray
    late: int

    def __len__(self) -> int:
        return len(self.slots)

    @property
    def last_times(self) -> TimeArray:
        return self.times[self.offsets[1:] - 1]

    @property
    def last_values(self) -> FloatArray:
        return self.values[self.offsets[1:] - 1]

    def part(self, first: int, end: int) -> Readings:
        """Groups first ≤ g < end."""
        start, stop = int(self.offsets[first]), int(self.offsets[end])
        offsets = self.offsets[first : end + 1] - start
        return Readings(self.slots[first:end], offsets, self.times[start:stop], self.values[start:stop], 0)


@dataclass(frozen=True, slots=True, eq=False)
class Verdicts:
    """What the watches make of readings. `checks` is how many watches were asked.

    rows and groups int64[n]: the watches whose state may change, and the group of each. seen int64[m]: open
    alerts that go on, with their value and peak float64[m].
    """

    checks: int
    rows: Ints
    groups: Ints
    seen: Ints
    values: FloatArray
    peaks: FloatArray


class Watches:
    def __init__(self) -> None:
        self.series = np.zeros(1024, _SERIES)
        self.watches = np.zeros(1024, _WATCH)
        self._series_count = 0
        self._watch_count = 0
        self._dropped = 0
        self._ids: IdArray = np.zeros(0, np.uint64)
        self._slots: Ints = np.zeros(0, np.int64)

    def __len__(self) -> int:
        """How many watches there are."""
        return self._watch_count - self._dropped

    def slots(self, ids: IdArray) -> Ints:
        """The slot of each id; ids that are new get one."""
        slots, known = self._find(ids)
        if known.all():
            return slots
        new = np.unique(ids[~known])
        first, self._series_count = self._series_count, self._series_count + len(new)
        self.series = _grown(self.series, self._series_count)
        added = self.series[first : self._series_count]
        added["id"], added["newest"], added["heard"], added["count"] = new, NEVER, NEVER, _UNRESOLVED
        places = np.searchsorted(self._ids, new)
        self._ids = np.insert(self._ids, places, new)
        self._slots = np.insert(self._slots, places, np.arange(first, self._series_count))
        return self._find(ids)[0]

    def unresolved(self, slots: Ints) -> Ints:
        """Those whose rules have to be asked for, once each."""
        return np.unique(slots[self.series["count"][slots] == _UNRESOLVED])

    def place(self, slots: Sequence[int], rules: Sequence[Sequence[Rule]]) -> None:
        """Say which rules watch these series; a watch begins without an alert."""
        counts = [len(each) for each in rules]
        flat = [rule for each in rules for rule in each]
        first, self._watch_count = self._watch_count, self._watch_count + len(flat)
        self.watches = _grown(self.watches, self._watch_count)
        added = self.watches[first : self._watch_count]
        added[:] = np.zeros(1, _WATCH)
        added["slot"] = np.repeat(np.asarray(slots, np.int64), counts)
        added["rule"] = [rule.id for rule in flat]
        added["threshold"] = [rule.threshold for rule in flat]
        added["duration"] = [rule.duration_ms for rule in flat]
        added["op"] = [_OPS[rule.condition] for rule in flat]
        self.series["start"][slots] = first + np.cumsum(counts) - counts
        self.series["count"][slots] = counts

    def forget(self, slots: Ints) -> None:
        """Drop the watches of these series; the rules will be asked again."""
        resolved = slots[self.series["count"][slots] != _UNRESOLVED]
        self._dropped += int(self.series["count"][resolved].sum())
        self.series["count"][resolved] = _UNRESOLVED
        if self._dropped > self._watch_count // 2:
            self._compact()

    def forget_all(self) -> None:
        self.series["count"][: self._series_count] = _UNRESOLVED
        self._watch_count = self._dropped = 0

    def row(self, slot: int, rule_id: int) -> int | None:
        """The watch of this rule on this series; None where there is none or the series is not resolved."""
        start, count = int(self.series["start"][slot]), int(self.series["count"][slot])
        found = np.flatnonzero(self.watches["rule"][start : start + max(count, 0)] == rule_id)
        return start + int(found[0]) if len(found) else None

    def moved(self) -> Ints:
        """The watches of open alerts whose value or peak is not saved yet."""
        rows = np.flatnonzero(self.watches["moved"][: self._watch_count])
        owners = self.watches["slot"][rows]
        starts = self.series["start"][owners]
        live = (rows >= starts) & (rows < starts + self.series["count"][owners])
        found: Ints = rows[live]
        return found

    def readings(self, slots: Ints, times: TimeArray, values: FloatArray) -> Readings:
        """Of a batch, what is new to the series that somebody watches."""
        watched = (self.series["count"][slots] > 0) & ~np.isnan(values)
        if not watched.all():
            slots, times, values = slots[watched], times[watched], values[watched]
        newer = times > self.series["newest"][slots]
        late = len(newer) - int(newer.sum())
        if late:
            slots, times, values = slots[newer], times[newer], values[newer]
        if not self._repeats(slots):
            return Readings(slots, np.arange(len(slots) + 1), times, values, late)
        order = np.lexsort((times, slots))  # stable: of two with the same time the later row stays behind
        slots, times, values = slots[order], times[order], values[order]
        last = np.append((slots[1:] != slots[:-1]) | (times[1:] != times[:-1]), True)
        slots, times, values = slots[last], times[last], values[last]
        starts = np.flatnonzero(np.append(True, slots[1:] != slots[:-1]))
        return Readings(slots[starts], np.append(starts, len(slots)), times, values, late)

    def judge(self, readings: Readings, at_ms: int, stale_ms: int) -> Verdicts:
        rows, groups = self._rows(readings.slots)
        last = readings.last_values[groups]
        bad = _met(self.watches["op"][rows], last, self.watches["threshold"][rows])
        busy = np.flatnonzero(bad | (self.watches["state"][rows] != INACTIVE))
        checks = len(rows)
        rows, groups, last, bad = rows[busy], groups[busy], last[busy], bad[busy]
        newest = readings.last_times[groups]
        single = readings.offsets[groups + 1] - readings.offsets[groups] == 1
        held_ms = np.maximum(newest, at_ms) - self.watches["since"][rows]
        ask = self._may_change(rows, bad=bad, fresh=newest >= at_ms - stale_ms, held_ms=held_ms, single=single)
        on = np.flatnonzero(~ask)
        peaks = self._peaks(rows[on], groups[on], bad[on], last[on], readings)
        return Verdicts(checks, rows[ask], groups[ask], rows[on], last[on], peaks)

    def parts(self, readings: Readings, checks_max: int) -> Iterator[Readings]:
        """The same readings in parts that hold about so many checks each; a series is never parted."""
        done = np.cumsum(self.series["count"][readings.slots])
        cuts = np.flatnonzero(np.diff(done // checks_max, prepend=0)) + 1
        edges = [0, *cuts.tolist(), len(readings)]
        for first, end in pairwise(edges):
            if first < end:
                yield readings.part(first, end)

    def advance(self, readings: Readings, verdicts: Iterable[Verdicts], at_ms: int) -> bool:
        """Remember the readings as judged. True where an open alert's value or peak has moved."""
        self.series["newest"][readings.slots] = readings.last_times
        self.series["heard"][readings.slots] = at_ms
        moved = [self._see(each) for each in verdicts]
        return any(moved)

    def value(self, row: int) -> tuple[float, float]:
        """The newest value and the peak of an open alert."""
        watch = self.watches[row]
        return float(watch["value"]), float(watch["peak"])

    def put(self, row: int, alert: Alert | None, *, moved: bool = False) -> None:
        """Remember the open alert of a watch, or that it has none."""
        watch = self.watches[row]
        watch["moved"] = moved
        if alert is None:
            watch["state"] = INACTIVE
            return
        watch["state"] = _CODES[alert.state]
        watch["since"], watch["value"], watch["peak"] = alert.since_ms, alert.value, alert.peak

    def _see(self, verdicts: Verdicts) -> bool:
        rows = verdicts.seen
        moved = (self.watches["value"][rows] != verdicts.values) | (self.watches["peak"][rows] != verdicts.peaks)
        self.watches["value"][rows] = verdicts.values
        self.watches["peak"][rows] = verdicts.peaks
        self.watches["moved"][rows[moved]] = True
        return bool(moved.any())

    def _find(self, ids: IdArray) -> tuple[Ints, Bools]:
        """The slot of each id, and whether it has one."""
        if not len(self._ids):
            return np.zeros(len(ids), np.int64), np.zeros(len(ids), np.bool_)
        places = np.minimum(np.searchsorted(self._ids, ids), len(self._ids) - 1)
        return self._slots[places], self._ids[places] == ids

    def _repeats(self, slots: Ints) -> bool:
        """Whether a series comes more than once: it does where a later row has overwritten its mark."""
        numbers = np.arange(len(slots))
        self.series["mark"][slots] = numbers
        return not np.array_equal(self.series["mark"][slots], numbers)

    def _rows(self, slots: Ints) -> tuple[Ints, Ints]:
        """The watches of these series, and for each the index of its series in `slots`."""
        counts = self.series["count"][slots]
        ends = np.cumsum(counts)
        groups = np.repeat(np.arange(len(slots)), counts)
        shift = self.series["start"][slots] - (ends - counts)
        return np.arange(len(groups)) + shift[groups], groups

    def _may_change(self, rows: Ints, *, bad: Bools, fresh: Bools, held_ms: Ints, single: Bools) -> Bools:
        """bool[n]: watches that `step` has to see; the others stay as they are, but for their value."""
        states = self.watches["state"][rows]
        held = fresh & (held_ms >= self.watches["duration"][rows])
        pending = ~bad | held | ~single  # among several readings may be a good one
        return np.where(states == INACTIVE, bad, np.where(states == PENDING, pending, ~bad & fresh))

    def _peaks(self, rows: Ints, groups: Ints, bad: Bools, last: FloatArray, readings: Readings) -> FloatArray:
        """float64[n]: the worst value yet of each of these open alerts, as `model.alert.worse` tells it."""
        if not len(rows):
            return np.zeros(0)
        watches = self.watches[rows]
        highest = np.maximum.reduceat(readings.values, readings.offsets[:-1])[groups]
        lowest = np.minimum.reduceat(readings.values, readings.offsets[:-1])[groups]
        rising = (watches["op"] & (_GREATER | _LESS)) == _GREATER
        falling = (watches["op"] & (_GREATER | _LESS)) == _LESS
        sided = np.where(falling, np.minimum(watches["peak"], lowest), last)
        worst: FloatArray = np.where(rising, np.maximum(watches["peak"], highest), sided)
        return np.where(bad, worst, watches["peak"])

    def _compact(self) -> None:
        resolved = np.flatnonzero(self.series["count"][: self._series_count] > 0)
        rows, _ = self._rows(resolved)
        self.watches[: len(rows)] = self.watches[rows]
        counts = self.series["count"][resolved]
        self.series["start"][resolved] = np.cumsum(counts) - counts
        self._watch_count, self._dropped = len(rows), 0


def _met(ops: npt.NDArray[np.int8], values: FloatArray, thresholds: FloatArray) -> Bools:
    """bool[n]: each value against its own condition and threshold."""
    relation = (values > thresholds) * np.int8(_GREATER)
    relation |= (values < thresholds) * np.int8(_LESS)
    relation |= (values == thresholds) * np.int8(_EQUAL)
    met: Bools = (relation & ops) != 0
    return met


def _grown(table: npt.NDArray[np.void], size: int) -> npt.NDArray[np.void]:
    if size <= len(table):
        return table
    grown = np.zeros(max(size, 2 * len(table)), table.dtype)
    grown[: len(table)] = table
    return grown
