"""Retention: how long each series is kept, in each resolution, and who says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tocsin.model.duration import MINUTE_MS, format_ms
from tocsin.model.errors import UserError
from tocsin.model.labels import Labels
from tocsin.model.matcher import Matcher, matches_all

POLICIES_MAX = 200
NAME_CHARS_MAX = 255
MATCHERS_MAX = 32
SHORTEST_MS = MINUTE_MS


class Resolution(StrEnum):
    """What is kept, from the finest to the coarsest."""

    RAW = "raw"
    FIVE_MINUTES = "five_minutes"
    HOURS = "hours"


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long samples and roll-ups are kept, in ms."""

    raw_ms: int
    five_minutes_ms: int
    hours_ms: int

    @property
    def longest_ms(self) -> int:
        """After so long nothing is left of a sample."""
        return max(self.raw_ms, self.five_minutes_ms, self.hours_ms)

    def of(self, resolution: Resolution) -> int:
        match resolution:
            case Resolution.RAW:
                return self.raw_ms
            case Resolution.FIVE_MINUTES:
                return self.five_minutes_ms
            case Resolution.HOURS:
                return self.hours_ms


@dataclass(frozen=True, slots=True)
class Policy:
    """The series that fit all matchers are kept so long; None leaves a resolution to the default.

    `id` 0: not yet saved.
    """

    id: int
    name: str
    matchers: tuple[Matcher, ...]
    raw_ms: int | None = None
    five_minutes_ms: int | None = None
    hours_ms: int | None = None
    version: int = 1
    created_at_ms: int = 0
    updated_at_ms: int = 0

    def lengths(self, defaults: Lengths) -> Lengths:
        return Lengths(
            defaults.raw_ms if self.raw_ms is None else self.raw_ms,
            defaults.five_minutes_ms if self.five_minutes_ms is None else self.five_minutes_ms,
            defaults.hours_ms if self.hours_ms is None else self.hours_ms,
        )

    def same_rule(self, other: Policy) -> bool:
        """Whether people have changed nothing between the two."""
        return policy_json(self) == policy_json(other)


@dataclass(frozen=True, slots=True)
class Rules:
    """Policies in order, the first that fits a series wins; `defaults` for series that none fits."""

    defaults: Lengths
    policies: tuple[Policy, ...] = ()

    @property
    def lengths(self) -> tuple[Lengths, ...]:
        """Of the defaults first, then of each policy."""
        return (self.defaults, *(policy.lengths(self.defaults) for policy in self.policies))

    def which(self, labels: Labels) -> int:
        """The place in `lengths` that holds for the series."""
        for at, policy in enumerate(self.policies, 1):
            if matches_all(policy.matchers, labels):
                return at
        return 0


def policy_json(policy: Policy) -> dict[str, Any]:
    """What people may set of a policy, as the audit log keeps it; a length is null where it is the default's."""
    return {
        "name": policy.name,
        "matchers": [str(matcher) for matcher in policy.matchers],
        "raw": _said(policy.raw_ms),
        "five_minutes": _said(policy.five_minutes_ms),
        "hours": _said(policy.hours_ms),
    }


def _said(length_ms: int | None) -> str | None:
    return None if length_ms is None else format_ms(length_ms)


def check_policies(policies: Iterable[Policy]) -> tuple[Policy, ...]:
    """Raises UserError that names the field."""
    checked = tuple(map(check_policy, policies))
    if len(checked) > POLICIES_MAX:
        raise UserError(f"There may be {POLICIES_MAX} policies at most.", field="items")
    seen: dict[str, Policy] = {}
    for policy in checked:
        if policy.name in seen:
            raise UserError(f"There are two policies named {policy.name!r}; rename one.", field="name")
        seen[policy.name] = policy
    return checked


def check_policy(policy: Policy) -> Policy:
    """Raises UserError that names the field."""
    if not policy.name.strip() or len(policy.name) > NAME_CHARS_MAX:
        raise UserError(f"Give the policy a name of 1 to {NAME_CHARS_MAX} characters.", field="name")
    check_selective(policy.matchers, "matchers")
    lengths: Mapping[str, int | None] = {
        "raw": policy.raw_ms,
        "five_minutes": policy.five_minutes_ms,
        "hours": policy.hours_ms,
    }
    if all(length is None for length in lengths.values()):
        raise UserError("Give at least one length: raw, five_minutes or hours.", field="raw")
    for field, length_ms in lengths.items():
        if length_ms is not None and length_ms < SHORTEST_MS:
            raise UserError(f"{field} must be at least {format_ms(SHORTEST_MS)}.", field=field)
    return policy


def check_selective(matchers: tuple[Matcher, ...], field: str) -> None:
    """Raises UserError for matchers that are none, too many, broken, or fit every series."""
    if not matchers:
        raise UserError('Say which series: give at least one matcher, such as team="dev".', field=field)
    if len(matchers) > MATCHERS_MAX:
        raise UserError(f"Give at most {MATCHERS_MAX} matchers.", field=field)
    for matcher in matchers:
        try:
            matcher.check()
        except UserError as error:
            raise UserError(str(error), field=field) from error
    if all(matcher.matches_value("") for matcher in matchers):
        raise UserError(
            "These matchers fit series without any such label, which may be all of them; "
            'add one that asks for a value, such as team="dev".',
            field=field,
        )
