"""Passwords: what may be one, and Argon2id on a thread of its own."""

from __future__ import annotations

import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from tocsin.access.attempts import SlowDownError
from tocsin.model.errors import UserError
from tocsin.runtime.log import get_log
from tocsin.runtime.offload import Offload

log = get_log("access")

CHARS_MIN = 8
CHARS_MAX = 1_024
WAITING_MAX = 16
"""Hashes that may wait for the thread; each takes about 50 ms and 64 MiB."""

_GUESSED_FIRST = frozenset(
    """
    password password1 passw0rd 12345678 123456789 1234567890 qwertyui qwertyuiop iloveyou changeme letmein1
    admin123 administrator tocsintocsin
    """.split()  # noqa: SIM905 - a list of words reads better than a column of quotes
)


def check_password(password: str, name: str) -> None:
    """Length, and not what everybody would guess; no rules of composition (NIST SP 800-63B). Raises UserError."""
    plain = _normal(password)
    if len(plain) < CHARS_MIN:
        raise UserError(f"A password needs at least {CHARS_MIN} characters.", field="password")
    if len(plain) > CHARS_MAX:
        raise UserError(f"A password may have at most {CHARS_MAX} characters.", field="password")
    if plain.casefold() in _GUESSED_FIRST or plain.casefold() == name.casefold() or len(set(plain)) == 1:
        raise UserError("This password is among the first that anybody would guess; take another.", field="password")


class Passwords:
    """Argon2id with the library's parameters (RFC 9106, low memory), always through the offload."""

    def __init__(self, hashing: Offload, hasher: PasswordHasher | None = None) -> None:
        self._hashing = hashing
        self._hasher = hasher or PasswordHasher()
        self._nobodys = ""
        self._waiting = 0

    async def hash(self, password: str) -> str:
        return await self._hashing.run(self._hasher.hash, _normal(password))

    async def fits(self, stored: str, password: str) -> bool:
        """Takes the same time for an empty `stored` (no such user, no password). Raises SlowDownError."""
        if self._waiting >= WAITING_MAX:
            raise SlowDownError("Too many people are signing in at once; try again in a moment.", retry_after_s=1.0)
        self._waiting += 1
        try:
            return await self._hashing.run(self._fits, stored, _normal(password[: CHARS_MAX + 1]))
        finally:
            self._waiting -= 1

    def _fits(self, stored: str, password: str) -> bool:
        # Made before it is known whether it is needed, or the first stranger would wait twice as long.
        self._nobodys = self._nobodys or self._hasher.hash("nobody has this password")
        try:
            self._hasher.verify(stored or self._nobodys, password)
        except VerificationError:
            return False
        except InvalidHashError:
            log.warning("a stored password hash cannot be read; its user has to get a new password")
            return False
        return bool(stored)


def _normal(password: str) -> str:
    """The same characters, however the keyboard composed them; what UTF-8 cannot hold is replaced."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "replace").decode()
