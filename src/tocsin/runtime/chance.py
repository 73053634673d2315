"""Chance, as an argument: seeded for what may repeat, from the system for what must not be guessed."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable
from typing import TypeAlias

SecretMaker: TypeAlias = Callable[[], str]
ByteMaker: TypeAlias = Callable[[int], bytes]


def new_secret() -> str:
    """256 bits from the system as 43 URL-safe characters."""
    return secrets.token_urlsafe(32)


def fresh_chance() -> random.Random:
    """A generator that nobody has seeded, for jitter."""
    return random.Random(secrets.randbits(64))  # noqa: S311 - jitter is no secret


def fresh_bytes(count: int) -> bytes:
    """From the system, for keys and nonces."""
    return secrets.token_bytes(count)
