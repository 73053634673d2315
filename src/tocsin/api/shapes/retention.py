"""How long series are kept, and what goes where that changes or where series are deleted."""

from __future__ import annotations

from pydantic import Field

from tocsin.api.shapes.base import Asked, Listed, Shape
from tocsin.api.times import rfc3339_or_none
from tocsin.model import retention
from tocsin.model.duration import format_ms

Length = float | str | None

_LENGTH = "seconds, or text such as `2d`; null leaves it to the default"


class RetentionLengths(Shape):
    """How long samples, and the roll-ups of 5 minutes and of hours, are kept, written like `7d`."""

    raw: str
    five_minutes: str
    hours: str

    @classmethod
    def of(cls, lengths: retention.Lengths) -> RetentionLengths:
        return cls(
            raw=format_ms(lengths.raw_ms),
            five_minutes=format_ms(lengths.five_minutes_ms),
            hours=format_ms(lengths.hours_ms),
        )


class RetentionPolicy(Shape):
    """A length that is null is the default's."""

    id: int
    position: int = Field(description="from 0; of all policies that fit a series the first wins")
    name: str
    matchers: list[str] = Field(description='all of them must fit, written like `team="dev"`')
    raw: str | None
    five_minutes: str | None
    hours: str | None
    version: int
    created_at: str | None
    updated_at: str | None

    @classmethod
    def of(cls, policy: retention.Policy, position: int) -> RetentionPolicy:
        lengths = (policy.raw_ms, policy.five_minutes_ms, policy.hours_ms)
        raw, five_minutes, hours = (None if one is None else format_ms(one) for one in lengths)
        return cls(
            id=policy.id,
            position=position,
            name=policy.name,
            matchers=[str(each) for each in policy.matchers],
            raw=raw,
            five_minutes=five_minutes,
            hours=hours,
            version=policy.version,
            created_at=rfc3339_or_none(policy.created_at_ms),
            updated_at=rfc3339_or_none(policy.updated_at_ms),
        )


class RetentionList(Listed[RetentionPolicy]):
    defaults: RetentionLengths = Field(
        description="for every series that no policy fits: `[retention]` of the settings"
    )


class NewRetentionPolicy(Asked):
    name: str
    matchers: list[str] = Field(description='matchers or selectors, such as `team="dev"` or `{__name__=~"slo.*"}`')
    raw: Length = Field(default=None, description=_LENGTH)
    five_minutes: Length = Field(default=None, description=_LENGTH)
    hours: Length = Field(default=None, description=_LENGTH)
    position: int | None = Field(default=None, ge=0, description="where in the list, from 0; the end where absent")


class ListedRetentionPolicy(NewRetentionPolicy):
    id: int | None = Field(default=None, ge=1, description="of the policy that this is; absent for a new one")


class RetentionPolicies(Asked):
    """Their order is that of the list; `position` is not looked at."""

    items: list[ListedRetentionPolicy]


class RetentionPolicyChange(Asked):
    """What to change; a field that is not sent stays as it is."""

    name: str | None = None
    matchers: list[str] | None = None
    raw: Length = Field(default=None, description=_LENGTH)
    five_minutes: Length = Field(default=None, description=_LENGTH)
    hours: Length = Field(default=None, description=_LENGTH)
    position: int | None = Field(default=None, ge=0)
    version: int | None = Field(default=None, description="the version that was read; 409 when it is not the newest")


class SeriesToDelete(Asked):
    match: list[str] = Field(description='selectors such as `{user="42"}`; a series that fits any of them is meant')


class SeriesDeletion(SeriesToDelete):
    series: int = Field(ge=1, description="how many series the preview told")


class RetentionLoss(Shape):
    """What would no longer be kept."""

    samples: int
    buckets: int = Field(description="of roll-ups")
    series: int
    approximate: bool = Field(description="there was no time to count: the figures are estimated")
    text: str = Field(description="the same as a sentence")

    @classmethod
    def of(cls, samples: int, buckets: int, series: int, *, approximate: bool) -> RetentionLoss:
        about = "about " if approximate else ""
        rolled = f" and {buckets} buckets of roll-ups" if buckets else ""
        said = f"This will delete {about}{samples} samples{rolled} of {series} series."
        text = said if samples or buckets or series else "This deletes nothing."
        return cls(samples=samples, buckets=buckets, series=series, approximate=approximate, text=text)
