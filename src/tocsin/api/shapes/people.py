"""People who sign in, and who the caller is."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tocsin.api.shapes.base import Asked, Listed, Shape
from tocsin.api.times import rfc3339_or_none
from tocsin.model import people
from tocsin.model.people import Role


class SignIn(Asked):
    username: str = Field(max_length=255)
    password: str = Field(max_length=1_024)


class SignInLink(Asked):
    link: str = Field(max_length=1_024)


class SignedIn(Shape):
    name: str
    role: Role


class Session(Shape):
    """Who the caller is, and what they may do."""

    name: str
    role: Role
    kind: Literal["user", "token", "anonymous"]
    permissions: list[str]
    has_password: bool = Field(description="false after a sign-in by link, until a password is set")


class NewPassword(Asked):
    password: str = Field(max_length=1_024)
    current: str | None = Field(default=None, max_length=1_024, description="needed where a password is set")


class User(Shape):
    id: int
    name: str
    role: Role
    enabled: bool
    has_password: bool
    created_at: str | None

    @classmethod
    def of(cls, user: people.User) -> User:
        return cls(
            id=user.id,
            name=user.name,
            role=user.role,
            enabled=user.enabled,
            has_password=bool(user.password_hash),
            created_at=rfc3339_or_none(user.created_at_ms),
        )


class UserList(Listed[User]):
    pass


class NewUser(Asked):
    name: str = Field(max_length=255)
    password: str = Field(max_length=1_024)
    role: Role


class UserChange(Asked):
    role: Role | None = None
    password: str | None = Field(default=None, max_length=1_024)
    enabled: bool | None = None
