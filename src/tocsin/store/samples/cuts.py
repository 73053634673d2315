"""Which series are kept how long: the retention's rules resolved against the index, at array speed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from tocsin.model.labels import Labels
from tocsin.model.matcher import Matcher
from tocsin.model.retention import Lengths, Policy, Resolution, Rules
from tocsin.model.series import IdArray, TimeArray
from tocsin.store.samples.blocks import LabelsOf

PlaceArray: TypeAlias = npt.NDArray[np.uint16]
"""Places in `Rules.lengths`: 0 for the defaults, 1 for the first policy."""

BoolArray: TypeAlias = npt.NDArray[np.bool_]
Find = Callable[[Sequence[Matcher]], IdArray]
K = TypeVar("K", bound=Hashable)

LATE_SERIES_MAX = 100_000
"""Series with late samples whose place is remembered by their labels; then all are forgotten."""


class Places:
    """The first policy that fits each series. Any thread may ask.

    A series' place follows from its labels alone and its id from them too, so that nothing that is remembered
    here ever becomes wrong: series that are new are looked at when they are first asked for.
    """

    def __init__(self, policies: tuple[Policy, ...], labels_of: LabelsOf, find: Find) -> None:
        self.policies = policies
        self._rules = Rules(Lengths(0, 0, 0), policies)
        self._labels_of = labels_of
        self._lock = threading.Lock()
        ids = find(())
        places = np.zeros(len(ids), np.uint16)
        for at in range(len(policies), 0, -1):  # the first is written last
            places[np.searchsorted(ids, _within(ids, find(policies[at - 1].matchers)))] = at
        self._known: tuple[IdArray, PlaceArray] = (ids, places)

    def of(self, ids: IdArray) -> PlaceArray:
        """uint16[n], in the order of `ids`."""
        known, places = self._known
        at = np.searchsorted(known, ids)
        at[at == len(known)] = 0
        new = known[at] != ids if len(known) else np.ones(len(ids), np.bool_)
        if not new.any():
            return places[at]
        self._learn(np.unique(ids[new]))
        return self.of(ids)

    def _learn(self, ids: IdArray) -> None:
        fresh = np.array([self._place(series_id) for series_id in ids.tolist()], np.uint16)
        with self._lock:
            known, places = self._known
            missing = ~np.isin(ids, known)
            ids, fresh = ids[missing], fresh[missing]
            at = np.searchsorted(known, ids)
            self._known = (np.insert(known, at, ids), np.insert(places, at, fresh))

    def _place(self, series_id: int) -> int:
        try:
            return self._rules.which(self._labels_of(series_id))
        except KeyError:  # forgotten since it was asked for
            return 0


@dataclass(frozen=True, slots=True)
class InForce:
    """Rules and the places that they give, of one moment."""

    rules: Rules
    places: Places

    def lengths_ms(self, ids: IdArray, resolution: Resolution) -> TimeArray:
        """int64[n]: how long each of these series is kept in that resolution."""
        table = np.array([lengths.of(resolution) for lengths in self.rules.lengths], np.int64)
        return table[self.places.of(ids)]


class Cuts:
    """The rules in force. `keep` is for threads: it looks at every series once.

    Without policies nothing is looked up at all.
    """

    def __init__(self, defaults: Lengths, labels_of: LabelsOf, find: Find) -> None:
        self._labels_of = labels_of
        self._find = find
        nobody = Places((), labels_of, lambda _: np.zeros(0, np.uint64))
        self._now = InForce(Rules(defaults), nobody)
        self._late: dict[Labels, int] = {}

    @property
    def in_force(self) -> InForce:
        return self._now

    @property
    def rules(self) -> Rules:
        return self._now.rules

    @property
    def defaults(self) -> Lengths:
        return self._now.rules.defaults

    @defaults.setter
    def defaults(self, defaults: Lengths) -> None:
        self._now = InForce(replace(self._now.rules, defaults=defaults), self._now.places)

    def keep(self, policies: tuple[Policy, ...]) -> None:
        places = self.resolved(policies)
        self._now = InForce(replace(self._now.rules, policies=policies), places)
        self._late = {}

    def resolved(self, policies: tuple[Policy, ...]) -> Places:
        """For policies that are not, or no longer, in force."""
        return Places(policies, self._labels_of, self._find)

    # what the appender asks

    @property
    def raw_shortest_ms(self) -> int:
        return min(lengths.raw_ms for lengths in self.rules.lengths)

    @property
    def raw_longest_ms(self) -> int:
        return max(lengths.raw_ms for lengths in self.rules.lengths)

    def raw_ms(self, series: Sequence[Labels]) -> TimeArray:
        """int64[n]: how long samples of each of these series are kept."""
        if len(self._late) > LATE_SERIES_MAX:
            self._late = {}
        late, rules = self._late, self.rules
        lengths = rules.lengths
        found = np.empty(len(series), np.int64)
        for at, labels in enumerate(series):
            place = late.get(labels)
            if place is None:
                place = late[labels] = rules.which(labels)
            found[at] = lengths[place].raw_ms
        return found

    # what reads ask

    def parts(self, ids: IdArray, key: Callable[[Lengths], K]) -> list[tuple[K, IdArray]]:
        """The series by what `key` makes of their lengths: one part where it makes the same of all."""
        now = self._now
        keys = [key(lengths) for lengths in now.rules.lengths]
        if all(one == keys[0] for one in keys):
            return [(keys[0], ids)]
        distinct = list(dict.fromkeys(keys))
        numbers = np.array([distinct.index(one) for one in keys])[now.places.of(ids)]
        split = [(one, ids[numbers == number]) for number, one in enumerate(distinct)]
        return [(one, part) for one, part in split if len(part)] or [(keys[0], ids)]

    def silent(self, at_ms: int, kept: Callable[[Lengths], int], silent: Callable[[int], IdArray]) -> IdArray:
        """The series whose last sample is longer ago than `kept` says of them, the longest silent first.

        `silent` gives, in that order, the series without a sample since a time.
        """
        longest_first = silent(at_ms - min(map(kept, self.rules.lengths)))
        past = [ids[np.isin(ids, silent(at_ms - kept_ms))] for kept_ms, ids in self.parts(longest_first, kept)]
        return longest_first[np.isin(longest_first, np.concatenate(past))]


def _within(ids: IdArray, found: IdArray) -> IdArray:
    """Those of `found` that are in `ids`: a series may have come between the two looks."""
    return found[np.isin(found, ids)]
