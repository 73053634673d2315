"""People and their keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from tocsin.model.audit import AuditEntry
from tocsin.model.labels import Labels
from tocsin.model.matcher import Matcher


class Role(StrEnum):
    WRITER = "writer"
    VIEWER = "viewer"
    OPERATOR = "operator"
    EDITOR = "editor"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class User:
    """`password_hash` is Argon2id in PHC form, empty for a user who has never set one."""

    id: int
    name: str
    role: Role
    password_hash: str
    enabled: bool = True
    created_at_ms: int = 0


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a token is held to. One that writes: labels on all its series, samples a second, and a number of series,
    where None is as many as there may be. One that reads: `reads` must all hold for a series that it sees.
    """

    labels: Labels = field(default_factory=Labels)
    rate: int | None = None
    series_max: int | None = None
    reads: tuple[Matcher, ...] = ()


UNHELD = Allowance()


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token; only the SHA-256 of its text is kept. `expires_at_ms` None: never."""

    id: int
    name: str
    role: Role
    digest: str
    created_by: str
    created_at_ms: int
    expires_at_ms: int | None = None
    last_used_at_ms: int = 0
    allowance: Allowance = UNHELD


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in browser; only the SHA-256 of its cookie is kept."""

    digest: str
    user_id: int
    created_at_ms: int
    expires_at_ms: int
    address: str = ""


@dataclass(frozen=True, slots=True)
class SignInLink:
    """A link that signs its user in once."""

    digest: str
    user_id: int
    expires_at_ms: int


@dataclass(frozen=True, slots=True)
class AuditRow:
    id: int
    entry: AuditEntry
