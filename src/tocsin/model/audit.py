"""Who did what: every change carries one of these into its own transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Actor:
    """A person, a token or tocsin itself. `address` is where the request came from, empty for local."""

    name: str
    address: str = ""


SYSTEM = Actor("tocsin")


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """`before` and `after` are JSON objects with secrets masked; None where there is no such side."""

    at_ms: int
    actor: Actor
    action: str
    target: str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
