"""Keys for programs, and what they are held to."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from tocsin.api.shapes.base import Asked, Listed, Shape, Tags
from tocsin.api.times import rfc3339_or_none
from tocsin.model import people
from tocsin.model.people import Role


class Token(Shape):
    id: int
    name: str
    role: Role
    created_by: str
    created_at: str | None
    expires_at: str | None = Field(description="null: never")
    last_used_at: str | None
    labels: dict[str, str] = Field(description="put on every series that it writes, in place of the sender's own")
    rate: int | None = Field(description="samples a second; null: as many as there may be")
    series_max: int | None = Field(description="series with these labels; null: as many as there may be")
    reads: list[str] = Field(description="matchers that hold for every series that it sees; empty: it sees all")

    @classmethod
    def of(cls, token: people.Token) -> Token:
        return cls(**_token_fields(token))


def _token_fields(token: people.Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "role": token.role,
        "created_by": token.created_by,
        "created_at": rfc3339_or_none(token.created_at_ms),
        "expires_at": rfc3339_or_none(token.expires_at_ms),
        "last_used_at": rfc3339_or_none(token.last_used_at_ms),
        "labels": token.allowance.labels.as_dict(),
        "rate": token.allowance.rate,
        "series_max": token.allowance.series_max,
        "reads": [str(matcher) for matcher in token.allowance.reads],
    }


class TokenList(Listed[Token]):
    pass


class NewToken(Asked):
    name: str = Field(max_length=255)
    role: Role
    expires_in: float | str | None = Field(default=None, description="seconds, or text such as `30d`; absent: never")
    labels: Tags = Field(default_factory=dict, description="put on every series that it writes; for the role writer")
    rate: int | None = Field(default=None, description="samples a second that it may write; for the role writer")
    series_max: int | None = Field(default=None, description="series with its labels; for the role writer")
    reads: list[str] = Field(
        default_factory=list,
        description='matchers such as `team="web"` that hold for every series that it sees; for the role viewer',
    )


class TokenChange(Asked):
    """What to change; a field that is not sent stays as it is, and null lifts the bound."""

    labels: Tags | None = None
    rate: int | None = None
    series_max: int | None = None
    reads: list[str] | None = None


class MadeToken(Token):
    token: str = Field(description="the token itself, shown this once")

    @classmethod
    def with_text(cls, token: people.Token, text: str) -> MadeToken:
        return cls(**_token_fields(token), token=text)
