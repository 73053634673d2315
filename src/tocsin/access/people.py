"""People and tokens: making, changing and revoking them; the first start."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tocsin.access.allowance import check_allowance
from tocsin.access.gate import Gate, Principal, SignedIn
from tocsin.access.keys import TOKEN_SUFFIX, digest_of
from tocsin.access.passwords import check_password
from tocsin.access.ports import AccessStore
from tocsin.model.audit import SYSTEM, Actor, AuditEntry
from tocsin.model.errors import AccessError, ConflictError, NotFoundError, UserError
from tocsin.model.people import UNHELD, Allowance, Role, SignInLink, Token, User
from tocsin.runtime.chance import SecretMaker
from tocsin.runtime.clock import Clock
from tocsin.runtime.log import get_log

log = get_log("access")

FIRST_USER = "admin"
TOKEN_PREFIX = "tocsin_"  # noqa: S105 - what secret scanners find a token by, no secret
NAME_CHARS_MAX = 64
TOKEN_NAME_CHARS_MAX = NAME_CHARS_MAX - len(TOKEN_SUFFIX)
_TAKEN = {"anonymous", SYSTEM.name}


class People:
    """One at a time changes people, so that no change is made on what another has just replaced."""

    def __init__(self, store: AccessStore, gate: Gate, *, clock: Clock, secrets: SecretMaker) -> None:
        self._store = store
        self._gate = gate
        self._clock = clock
        self._secrets = secrets
        self._changing = asyncio.Lock()

    async def users(self) -> tuple[User, ...]:
        return await self._store.users()

    async def user(self, user_id: int) -> User:
        """Raises NotFoundError."""
        user = await self._store.user(user_id)
        if user is None:
            raise NotFoundError(f"There is no user {user_id}.")
        return user

    async def add_user(self, name: str, password: str, role: Role, actor: Actor) -> User:
        """Raises UserError for a name or password that will not do, ConflictError for a name that is taken."""
        clean = _user_name(name)
        check_password(password, clean)
        hashed = await self._gate.passwords.hash(password)
        return await self._add(User(0, clean, role, hashed, created_at_ms=self._clock.now_ms()), actor)

    async def change_user(
        self,
        user_id: int,
        actor: Actor,
        *,
        role: Role | None = None,
        password: str | None = None,
        enabled: bool | None = None,
    ) -> User:
        """Ends the user's sessions. Raises NotFoundError, UserError; ConflictError where no admin would be left."""
        async with self._changing:
            before = await self.user(user_id)
            hashed = before.password_hash
            if password is not None:
                check_password(password, before.name)
                hashed = await self._gate.passwords.hash(password)
            after = replace(
                before,
                role=before.role if role is None else role,
                enabled=before.enabled if enabled is None else enabled,
                password_hash=hashed,
            )
            return await self._replace(before, after, actor)

    async def set_password(self, user_id: int, password: str, actor: Actor) -> User:
        """For somebody else, by whoever may manage people; see set_own_password for oneself."""
        return await self.change_user(user_id, actor, password=password)

    async def set_own_password(
        self, principal: Principal, password: str, current: str | None, actor: Actor
    ) -> SignedIn:
        """Ends every session of the user and begins a new one for this browser.

        `current` is needed where a password is set. Raises UserError, AccessError for a token, SlowDownError.
        """
        if principal.user_id is None:
            raise AccessError("Only somebody who has signed in has a password.")
        user = await self.user(principal.user_id)
        if user.password_hash:
            await self._check_current(user, current, actor)
        changed = await self.change_user(user.id, actor, password=password)
        return await self._gate.open_session(changed, actor.address, "new password")

    async def tokens(self) -> tuple[Token, ...]:
        return await self._store.tokens()

    async def create_token(
        self, name: str, role: Role, expires_in: int | None, actor: Actor, allowance: Allowance = UNHELD
    ) -> tuple[Token, str]:
        """The token and its text, which is not kept. `expires_in` is in ms, None: never. Raises UserError."""
        check_allowance(allowance, role)
        clean = _clean(name, TOKEN_NAME_CHARS_MAX)
        if expires_in is not None and expires_in <= 0:
            raise UserError("Let the token live for some time, or give no expiry.", field="expires_in")
        now_ms = self._clock.now_ms()
        text = TOKEN_PREFIX + self._secrets()
        expires_at_ms = None if expires_in is None else now_ms + expires_in
        token = Token(0, clean, role, digest_of(text), actor.name, now_ms, expires_at_ms, allowance=allowance)
        entry = self._entry(actor, "token.create", f"token {clean}", None, _seen_token(token))
        return await self._store.add_token(token, entry), text

    async def hold_token(self, token_id: int, change: Callable[[Allowance], Allowance], actor: Actor) -> Token:
        """Change what a token is held to; it holds at once. Raises NotFoundError, UserError."""
        async with self._changing:
            before = await self._token(token_id)
            allowance = change(before.allowance)
            check_allowance(allowance, before.role)
            after = replace(before, allowance=allowance)
            entry = self._entry(actor, "token.change", f"token {before.name}", _seen_token(before), _seen_token(after))
            try:
                return await self._store.hold_token(token_id, allowance, entry)
            finally:
                self._gate.keys.clear()

    async def delete_token(self, token_id: int, actor: Actor) -> None:
        """Raises NotFoundError."""
        token = await self._token(token_id)
        entry = self._entry(actor, "token.delete", f"token {token.name}", _seen_token(token), None)
        try:
            await self._store.delete_token(token_id, entry)
        finally:
            self._gate.keys.clear()

    async def _token(self, token_id: int) -> Token:
        token = next((token for token in await self._store.tokens() if token.id == token_id), None)
        if token is None:
            raise NotFoundError(f"There is no token {token_id}.")
        return token

    async def first_start(self, password_from_env: str | None) -> str | None:
        """Let the first person in: the secret of a one-time sign-in link, or None where there is a password.

        As long as no enabled admin has a password, a given one is set, and without one every start makes a
        new link. Once there is a password, a given one is ignored: it may be older than what a person chose,
        and whoever can set the environment can run `tocsin user` just as well. Raises UserError for a
        password that will not do.
        """
        users = await self._store.users()
        admins = [user for user in users if user.role is Role.ADMIN and user.enabled]
        if any(user.password_hash for user in admins):
            if password_from_env:
                log.info("TOCSIN_ADMIN_PASSWORD is ignored, because an admin has a password already")
            return None
        if password_from_env:
            _check_given(password_from_env)
        admin = admins[0] if admins else await self._first_admin(users)
        if password_from_env:
            await self.change_user(admin.id, SYSTEM, password=password_from_env)
            return None
        secret = self._secrets()
        expires_at_ms = self._clock.now_ms() + self._gate.settings.sign_in_link
        await self._store.add_link(SignInLink(digest_of(secret), admin.id, expires_at_ms))
        return secret

    async def _first_admin(self, users: tuple[User, ...]) -> User:
        """Two processes may start together: the second takes the user that the first has made."""
        names = {user.name.casefold() for user in users}
        name = next(name for name in (FIRST_USER, *(f"{FIRST_USER}{n}" for n in range(2, 1_000))) if name not in names)
        try:
            return await self._add(User(0, name, Role.ADMIN, "", created_at_ms=self._clock.now_ms()), SYSTEM)
        except ConflictError:
            made = await self._store.user_by_name(name)
            if made is None:
                raise
            return made

    async def _check_current(self, user: User, current: str | None, actor: Actor) -> None:
        if not current:
            raise UserError("Give the current password too.", field="current")
        self._gate.attempts.begin(user.name, actor.address)
        if not await self._gate.passwords.fits(user.password_hash, current):
            raise UserError("That is not the current password.", field="current")
        self._gate.attempts.succeed(user.name)

    async def _add(self, user: User, actor: Actor) -> User:
        entry = self._entry(actor, "user.create", f"user {user.name}", None, _seen_user(user))
        return await self._store.add_user(user, entry)

    async def _replace(self, before: User, after: User, actor: Actor) -> User:
        new_password = before.password_hash != after.password_hash
        seen = _seen_user(after) | ({"password": "changed"} if new_password else {})
        entry = self._entry(actor, "user.change", f"user {before.name}", _seen_user(before), seen)
        try:
            return await self._store.replace_user(after, entry)
        finally:
            self._gate.keys.clear()

    def _entry(
        self, actor: Actor, action: str, target: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
    ) -> AuditEntry:
        return AuditEntry(self._clock.now_ms(), actor, action, target, before, after)


def _seen_user(user: User) -> dict[str, Any]:
    """What the audit log may show of a user."""
    password = "set" if user.password_hash else "none"
    return {"name": user.name, "role": user.role.value, "enabled": user.enabled, "password": password}


def _seen_token(token: Token) -> dict[str, Any]:
    seen: dict[str, Any] = {"name": token.name, "role": token.role.value, "expires_at_ms": token.expires_at_ms}
    held = token.allowance
    if held.reads:
        seen["reads"] = [str(matcher) for matcher in held.reads]
    if replace(held, reads=()) != UNHELD:
        seen |= {"labels": held.labels.as_dict(), "rate": held.rate, "series_max": held.series_max}
    return seen


def _user_name(name: str) -> str:
    clean = _clean(name, NAME_CHARS_MAX)
    if clean.casefold() in _TAKEN or clean.endswith(TOKEN_SUFFIX):
        raise UserError(f"{clean!r} means something else here; take another name.", field="name")
    return clean


def _clean(name: str, chars_max: int) -> str:
    """Without space around it. Raises UserError for what cannot be shown on a line."""
    clean = name.strip()
    if not 1 <= len(clean) <= chars_max:
        raise UserError(f"A name has 1 to {chars_max} characters.", field="name")
    if any(unicodedata.category(char) in _UNSEEN for char in clean):
        raise UserError("A name must not have control or invisible characters.", field="name")
    return clean


_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def _check_given(password: str) -> None:
    try:
        check_password(password, FIRST_USER)
    except UserError as error:
        raise UserError(f"TOCSIN_ADMIN_PASSWORD cannot be used. {error}") from error
