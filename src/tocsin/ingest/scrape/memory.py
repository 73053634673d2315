"""What a target has shown before: the text of each series → the labels that it is stored under.

Reading labels, relabelling and checking cost a hundred times what a look into a dict does, and nearly every line
of a scrape is the line of the scrape before with another number.
"""

from __future__ import annotations

from collections.abc import Sequence

from tocsin.ingest import naming
from tocsin.ingest.naming import Fault
from tocsin.ingest.scrape import relabel
from tocsin.ingest.scrape.job import Limits
from tocsin.ingest.scrape.relabel import Relabel
from tocsin.ingest.settings import IngestSettings
from tocsin.ingest.wire.exposition import Known, Passed, read_series
from tocsin.model.errors import LimitError
from tocsin.model.labels import METRIC_NAME, Labels

SPARE = 1_000
"""So many texts more than a scrape has may stay; targets that change their series all the time leave them behind."""


class ScrapeMemory:
    """Of one target. What is no longer shown is forgotten, a scrape or two later."""

    def __init__(
        self, target: Labels, rules: Sequence[Relabel], limits: Limits, ours: IngestSettings, *, honor_labels: bool
    ) -> None:
        self._target = target
        self._rules = tuple(rules)
        self._limits = limits
        self._ours = ours
        self._honor_labels = honor_labels
        self._before: dict[bytes, Known] = {}
        self.known: dict[bytes, Known] = {}

    def begin(self, expected: int) -> None:
        """Before a scrape of about so many lines: one that has grown far beyond it starts anew, from what is used."""
        self._before = {}
        if len(self.known) > 2 * expected + SPARE:
            self._before, self.known = self.known, {}

    def labels(self, raw: bytes) -> Known:
        """Raises LimitError where the job's limits say that the whole scrape is to fail."""
        labels = self.known.get(raw)
        if labels is None:
            labels = self._before.get(raw)
            if labels is None:
                labels = self._labels(raw)
            self.known[raw] = labels
        return labels

    def _labels(self, raw: bytes) -> Known:
        shown = read_series(raw, self._ours)
        if not isinstance(shown, Labels):
            return shown
        changed = relabel.apply(self._rules, joined(shown, self._target, honor_labels=self._honor_labels))
        if changed is None:
            return Passed.OVER
        name = changed.pop(METRIC_NAME, "")
        check(name, changed, self._limits)
        if not name:
            return Fault("metric_relabel_configs took the metric's name away.")
        return naming.series_of(name, changed, self._ours)


def joined(shown: Labels, target: Labels, *, honor_labels: bool) -> dict[str, str]:
    """The series' own labels and its target's. Where both have one, the target's wins, and the other is kept
    behind `exported_`; with `honor_labels` the series' own wins. Source: Prometheus scrape/scrape.go.
    """
    if honor_labels:
        return dict(target.pairs) | dict(shown.pairs)
    labels = dict(shown.pairs)
    conflicts = [(name, labels[name]) for name, _ in target.pairs if name in labels]
    labels.update(target.pairs)
    for name, value in sorted(conflicts, key=lambda pair: len(pair[0])):
        free = f"exported_{name}"
        while free in labels:
            free = f"exported_{free}"
        labels[free] = value
    return labels


def check(name: str, tags: dict[str, str], limits: Limits) -> None:
    """Raises LimitError; the metric's name counts as a label, as in Prometheus."""
    if limits.labels and len(tags) + 1 > limits.labels:
        raise LimitError(f"{naming.shown(name)} has {len(tags) + 1} labels; label_limit is {limits.labels}.")
    if not limits.name_chars and not limits.value_chars:
        return
    for label, value in ((METRIC_NAME, name), *tags.items()):
        if limits.name_chars and len(label.encode()) > limits.name_chars:
            raise LimitError(
                f"The label name {naming.shown(label)} of {naming.shown(name)} is longer than "
                f"label_name_length_limit, {limits.name_chars}."
            )
        if limits.value_chars and len(value.encode()) > limits.value_chars:
            raise LimitError(
                f"The label {naming.shown(label)} of {naming.shown(name)} is longer than "
                f"label_value_length_limit, {limits.value_chars}."
            )
