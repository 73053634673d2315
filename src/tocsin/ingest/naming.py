"""What a series may be called: the one check of names and labels, for every door.

Each door says in its own word what a label is (`tag`, `attribute`), so that the sentence fits what was sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from tocsin.ingest.rows import Refusal
from tocsin.ingest.settings import IngestSettings
from tocsin.model.labels import METRIC_NAME, Labels

SHOWN_MAX = 40
"""Characters of a sender's own text that an answer or a log repeats."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Fault(NamedTuple):
    """Why something was refused: a sentence for the sender, and its kind for the counter."""

    reason: str
    kind: Refusal = Refusal.MALFORMED


def series_of(name: str, tags: Mapping[str, str], limits: IngestSettings, word: str = "label") -> Labels | Fault:
    """The labels of a series, or the first thing that is wrong with them. An empty tag is none."""
    return name_fault(name, limits) or tags_fault(tags, limits, word) or Labels.metric(name, tags)


def name_fault(name: str, limits: IngestSettings, what: str = "The metric's name") -> Fault | None:
    if not name:
        return Fault(f"{what} is empty.")
    if len(name) > limits.name_chars_max:
        return Fault(f"{what} {shown(name)} is longer than {limits.name_chars_max} characters.", Refusal.TOO_LONG)
    if has_control(name):
        return Fault(f"{what} {shown(name)} holds a control character.")
    return None


def tags_fault(tags: Mapping[str, str], limits: IngestSettings, word: str = "label") -> Fault | None:
    """`tags` are all labels but the metric's name."""
    if len(tags) > limits.labels_max:
        return Fault(f"There are more than {limits.labels_max} {word}s.", Refusal.TOO_MANY_LABELS)
    if METRIC_NAME in tags:
        return Fault(f"`{METRIC_NAME}` is the metric's own name, and no {word}.")
    for name, value in tags.items():
        fault = name_fault(name, limits, f"The {word}'s name") or value_fault(name, value, limits, word)
        if fault:
            return fault
    return None


def value_fault(name: str, value: str, limits: IngestSettings, word: str = "label") -> Fault | None:
    if len(value) > limits.value_chars_max:
        return Fault(f"The {word} {shown(name)} is longer than {limits.value_chars_max} characters.", Refusal.TOO_LONG)
    if "\0" in value:  # PostgreSQL cannot keep it in an alert's labels
        return Fault(f"The {word} {shown(name)} holds a NUL character.")
    return None


def has_control(text: str) -> bool:
    # nearly every text is printable, which is quicker to see
    return not text.isprintable() and _CONTROL.search(text) is not None


def shown(text: str | bytes) -> str:
    """A sender's own text, short and on one line, for an answer or a log."""
    if isinstance(text, bytes):
        text = text[: 4 * SHOWN_MAX].decode(errors="replace")
    plain = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text[: SHOWN_MAX + 1])
    return f"`{plain}`" if len(plain) <= SHOWN_MAX else f"`{plain[:SHOWN_MAX]}…`"
