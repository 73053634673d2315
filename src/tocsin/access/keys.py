"""Keys that were looked up a moment ago: every push carries a token, and the database should not feel it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

from tocsin.access.policy import PERMISSIONS, Permission
from tocsin.model.audit import Actor
from tocsin.model.people import UNHELD, Allowance, Role
from tocsin.runtime.clock import Clock

FRESH_S = 5.0
"""How long a change by another process (the command line) may go unnoticed."""

KEYS_MAX = 4_096

TOKEN_SUFFIX = " (token)"  # noqa: S105 - part of a name, no secret


class PrincipalKind(StrEnum):
    USER = "user"
    TOKEN = "token"  # noqa: S105 - a kind of caller, no secret
    ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling. A token's name ends in `(token)`, which no user's may, so that no log mistakes the two."""

    name: str
    role: Role
    kind: PrincipalKind
    user_id: int | None = None
    token_id: int | None = None
    has_password: bool = False
    allowance: Allowance = UNHELD

    @property
    def permissions(self) -> frozenset[Permission]:
        return PERMISSIONS[self.role]

    def actor(self, address: str) -> Actor:
        return Actor(self.name, address)


@dataclass(frozen=True, slots=True)
class _Known:
    principal: Principal
    until_s: float
    expires_at_ms: int | None


class Keys:
    """At most KEYS_MAX principals by the digest of their key; the oldest look-up makes room."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._generation = 0

    @property
    def generation(self) -> int:
        """Read it before asking the store, and give it to `put`: what was read before a change is not kept."""
        return self._generation

    def get(self, digest: str) -> Principal | None:
        known = self._known.get(digest)
        if known is None or self._clock.monotonic_s() >= known.until_s:
            return None
        if known.expires_at_ms is not None and self._clock.now_ms() >= known.expires_at_ms:
            return None
        return known.principal

    def put(self, digest: str, principal: Principal, expires_at_ms: int | None, generation: int) -> None:
        if generation != self._generation:
            return
        self._known.pop(digest, None)
        self._known[digest] = _Known(principal, self._clock.monotonic_s() + FRESH_S, expires_at_ms)
        if len(self._known) > KEYS_MAX:
            del self._known[next(iter(self._known))]

    def clear(self) -> None:
        """Somebody's key or rights changed: everybody is looked up again, which costs one read each."""
        self._generation += 1
        self._known.clear()

    def __len__(self) -> int:
        return len(self._known)


def digest_of(secret: str) -> str:
    """SHA-256 in hex. The secrets are 256 random bits, so nothing slower is needed."""
    return sha256(secret.encode("utf-8", "replace")).hexdigest()


def storable(text: str) -> str:
    """Without what a database cannot look for; no name that was ever saved is changed by it."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
