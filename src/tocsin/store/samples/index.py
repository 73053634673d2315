"""The index: labels ↔ id and matchers → ids, in memory. The engine keeps the rows, this finds them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from tocsin.model.errors import ConflictError, LimitError
from tocsin.model.labels import Labels
from tocsin.model.matcher import Matcher, MatchOp, matches_all
from tocsin.model.series import IdArray

FEW = 1_000
"""Up to so many candidates are looked at one by one; more are found by the values of each label."""
PATTERNS_MAX = 64
"""Patterns that are remembered; all are forgotten when there are more, rather than kept in order of use."""


class LabelIndex:
    """Only grows. One thread adds; any thread may look, as every step of adding is atomic to readers.

    Each series has an ordinal, the order in which it came; postings list the ordinals of each
    label's values, in rising order.
    """

    def __init__(self, series_max: int) -> None:
        self._series_max = series_max
        self._ids: list[int] = []
        self._labels: list[Labels] = []
        self._by_labels: dict[Labels, int] = {}
        self._by_id: dict[int, Labels] = {}
        self._postings: dict[str, dict[str, list[int]]] = {}
        self._unsaved: dict[int, Labels] = {}
        self._patterns: dict[Matcher, tuple[int, list[list[int]]]] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def intern(self, labels: Labels) -> int:
        """The id of these labels. New ones wait in `unsaved` until `saved` is told of them.

        Raises LimitError where there is no room, ConflictError where another series has the same id.
        """
        known = self._by_labels.get(labels)
        if known is not None:
            return known
        if len(self._ids) >= self._series_max:
            raise LimitError(
                f"There are {self._series_max} series already. Send fewer different labels or raise store.series_max."
            )
        series_id = labels.series_id()
        self._add(series_id, labels)
        self._unsaved[series_id] = labels
        return series_id

    def load(self, rows: Iterable[tuple[int, Labels]]) -> None:
        """Add what the engine has kept; its ids are believed."""
        for series_id, labels in rows:
            if self._by_id.get(series_id) != labels:
                self._add(series_id, labels)

    def labels(self, series_id: int) -> Labels:
        """Raises KeyError for an id that was never interned."""
        return self._by_id[series_id]

    def unsaved(self) -> tuple[tuple[int, Labels], ...]:
        return tuple(self._unsaved.items())

    def saved(self, rows: Iterable[tuple[int, Labels]]) -> None:
        for series_id, _ in rows:
            self._unsaved.pop(series_id, None)

    def find(self, matchers: Sequence[Matcher]) -> IdArray:
        """The ids of the series that fit all matchers, rising."""
        count = len(self._ids)
        candidates, rest = self._equal(matchers, count)
        if candidates is not None and len(candidates) <= FEW:
            found = [at for at in candidates if matches_all(rest, self._labels[at])]
        else:
            mask = _mask(candidates, count)
            for matcher in rest:
                mask &= self._fitting(matcher, count)
            found = np.flatnonzero(mask).tolist()
        return np.sort(np.array([self._ids[at] for at in found], np.uint64))

    def series(self, matchers: Sequence[Matcher]) -> tuple[Labels, ...]:
        return tuple(self._by_id[series_id] for series_id in self.find(matchers).tolist())

    def values(self, label: str) -> tuple[str, ...]:
        """Every value that the label has, sorted."""
        return tuple(sorted(self._postings.get(label, {})))

    def _add(self, series_id: int, labels: Labels) -> None:
        other = self._by_id.get(series_id)
        if other is not None:
            raise ConflictError(f"{labels} and {other} have the same id {series_id}. Change a label of one of them.")
        ordinal = len(self._ids)
        self._by_id[series_id] = labels
        self._by_labels[labels] = series_id
        self._labels.append(labels)
        for name, value in labels:
            self._postings.setdefault(name, {}).setdefault(value, []).append(ordinal)
        self._ids.append(series_id)  # last: readers look at no ordinal beyond it

    def _equal(self, matchers: Sequence[Matcher], count: int) -> tuple[list[int] | None, list[Matcher]]:
        """Ordinals of the rarest label value that is asked for (None: nothing is), and the other matchers."""
        rest = list(matchers)
        best: list[int] | None = None
        chosen: Matcher | None = None
        for matcher in matchers:
            if matcher.op is MatchOp.EQUAL and matcher.value:
                posting = self._postings.get(matcher.label, {}).get(matcher.value, [])
                if best is None or len(posting) < len(best):
                    best, chosen = posting, matcher
        if best is None or chosen is None:
            return None, rest
        rest.remove(chosen)
        return [at for at in best if at < count], rest

    def _fitting(self, matcher: Matcher, count: int) -> npt.NDArray[np.bool_]:
        """bool[count]: which series the matcher fits."""
        absent_fits = matcher.matches_value("")
        mask = np.full(count, absent_fits)
        for posting in self._unlike_absent(matcher, absent_fits=absent_fits):
            ordinals = np.array(posting, np.int64)
            mask[ordinals[ordinals < count]] = not absent_fits
        return mask

    def _unlike_absent(self, matcher: Matcher, *, absent_fits: bool) -> list[list[int]]:
        """Postings of the values with which the matcher does otherwise than without the label.

        Patterns are remembered with the values that they have seen, as values only ever come: 40,000 of
        them take 80 ms to look at, and charts and rules ask the same again and again.
        """
        postings = self._postings.get(matcher.label, {})
        if matcher.op in (MatchOp.EQUAL, MatchOp.NOT_EQUAL) and matcher.value:
            return [postings.get(matcher.value, [])]
        seen, unlike = self._patterns.get(matcher, (0, []))
        fresh = list(postings.items())[seen:] if len(postings) > seen else []
        unlike = unlike + [posting for value, posting in fresh if matcher.matches_value(value) != absent_fits]
        if len(self._patterns) >= PATTERNS_MAX:
            self._patterns.clear()
        self._patterns[matcher] = (seen + len(fresh), unlike)
        return unlike


def _mask(candidates: list[int] | None, count: int) -> npt.NDArray[np.bool_]:
    if candidates is None:
        return np.ones(count, np.bool_)
    mask = np.zeros(count, np.bool_)
    mask[candidates] = True
    return mask
