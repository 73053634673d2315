"""What a token may be held to."""

from __future__ import annotations

from dataclasses import replace

from tocsin.model.errors import UserError
from tocsin.model.labels import METRIC_NAME, Labels
from tocsin.model.matcher import Matcher
from tocsin.model.people import UNHELD, Allowance, Role

LABELS_MAX = 16
READS_MAX = 16
LABEL_NAME_CHARS_MAX = 64
LABEL_VALUE_CHARS_MAX = 255
NUMBER_MAX = 1_000_000_000


def check_allowance(allowance: Allowance, role: Role) -> None:
    """Raises UserError that names the field."""
    if allowance.reads:
        _check_reads(allowance.reads, role)
    if replace(allowance, reads=()) == UNHELD:
        return
    if role is not Role.WRITER:
        reason = f"Only a token with the role {Role.WRITER} can be held to labels, a rate or a number of series."
        raise UserError(reason, field="role")
    _check_labels(allowance.labels)
    for field, number in (("rate", allowance.rate), ("series_max", allowance.series_max)):
        if number is not None and not 1 <= number <= NUMBER_MAX:
            raise UserError(f"{field} must be from 1 to {NUMBER_MAX}.", field=field)
    if allowance.series_max is not None and not allowance.labels.pairs:
        reason = "Give the token a label too: its series are counted by the labels that it puts on them."
        raise UserError(reason, field="series_max")


def _check_reads(reads: tuple[Matcher, ...], role: Role) -> None:
    """Whoever may do more than look could reach other series in other ways: by a rule, or with another token."""
    if role is not Role.VIEWER:
        raise UserError(f"Only a token with the role {Role.VIEWER} can be held to what it reads.", field="role")
    if len(reads) > READS_MAX:
        raise UserError(f"A token may have {READS_MAX} matchers for what it reads.", field="reads")
    for matcher in reads:
        if len(matcher.label) > LABEL_NAME_CHARS_MAX:
            raise UserError(f"A label's name has 1 to {LABEL_NAME_CHARS_MAX} characters.", field="reads")
        try:
            matcher.check()
        except UserError as error:
            raise UserError(str(error), field="reads") from error
    if all(matcher.matches_value("") for matcher in reads):
        reason = "One of the matchers must ask for a label: all of these hold for series without any."
        raise UserError(reason, field="reads")


def _check_labels(labels: Labels) -> None:
    if len(labels.pairs) > LABELS_MAX:
        raise UserError(f"A token may have {LABELS_MAX} labels.", field="labels")
    for name, value in labels:
        if name == METRIC_NAME:
            raise UserError(f"`{METRIC_NAME}` is the metric's own name, and no label.", field="labels")
        if not 1 <= len(name) <= LABEL_NAME_CHARS_MAX or not name.isprintable():
            raise UserError(
                f"A label's name has 1 to {LABEL_NAME_CHARS_MAX} characters that can be seen.", field="labels"
            )
        if len(value) > LABEL_VALUE_CHARS_MAX or not value.isprintable():
            raise UserError(
                f"A label's value has 1 to {LABEL_VALUE_CHARS_MAX} characters that can be seen.", field="labels"
            )
