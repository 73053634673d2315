"""The gate: who is calling, and may they? Signing in and out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from argon2 import PasswordHasher

from tocsin.access.attempts import Attempts, SlowDownError
from tocsin.access.keys import TOKEN_SUFFIX, Keys, Principal, PrincipalKind, digest_of, storable
from tocsin.access.passwords import Passwords
from tocsin.access.policy import Permission, allows, roles_with
from tocsin.access.ports import AccessStore
from tocsin.access.settings import AuthSettings
from tocsin.model.audit import Actor, AuditEntry
from tocsin.model.duration import MINUTE_MS, SECOND_MS
from tocsin.model.errors import AccessError, NotSignedInError, StoreError, UserError
from tocsin.model.people import Role, Session, Token, User
from tocsin.runtime.chance import SecretMaker
from tocsin.runtime.clock import Clock
from tocsin.runtime.log import get_log
from tocsin.runtime.offload import Offload
from tocsin.runtime.telemetry import Telemetry

__all__ = ["Gate", "Permission", "Principal", "PrincipalKind", "SignedIn", "SlowDownError"]

log = get_log("access")

TOUCH_MS = MINUTE_MS
KEY_CHARS_MAX = 256
NAMED_CHARS_MAX = 64


@dataclass(frozen=True, slots=True)
class SignedIn:
    """`cookie` is the secret for the browser, good for `max_age_s`; only its digest is kept."""

    cookie: str
    max_age_s: int
    user: User
    principal: Principal


class Gate:
    """`hashing` runs Argon2: one thread, so that sign-ins never take more than 64 MiB at a time."""

    def __init__(
        self,
        store: AccessStore,
        *,
        clock: Clock,
        secrets: SecretMaker,
        hashing: Offload,
        telemetry: Telemetry,
        settings: AuthSettings,
        hasher: PasswordHasher | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._secrets = secrets
        self._anonymous = _anonymous(settings.anonymous_role)
        self._sign_ins = telemetry.counter("sign_ins", "Sign-ins: accepted, refused or told to wait.", ["outcome"])
        self.settings = settings
        self.passwords = Passwords(hashing, hasher)
        self.attempts = Attempts(clock, telemetry)
        self.keys = Keys(clock)

    async def identify(self, *, bearer: str | None = None, cookie: str | None = None) -> Principal:
        """Whoever the token or else the cookie names, or the anonymous one. Raises NotSignedInError, StoreError.

        A token that is not good is refused even where anonymous callers may do the same.
        """
        if bearer is not None:
            return await self.authenticate_bearer(bearer)
        if cookie is not None:
            try:
                return await self.authenticate_cookie(cookie)
            except NotSignedInError:
                if self._anonymous is None:
                    raise
        if self._anonymous is None:
            raise NotSignedInError("Sign in, or send a token.")
        return self._anonymous

    async def authenticate_bearer(self, text: str) -> Principal:
        digest = _digest(text)
        known = self.keys.get(digest)
        if known is not None:
            return known
        generation = self.keys.generation
        token = await self._store.token(digest)
        now_ms = self._clock.now_ms()
        if token is None or (token.expires_at_ms is not None and token.expires_at_ms <= now_ms):
            raise NotSignedInError("This token is not known, or it was deleted or has expired.")
        principal = Principal(
            token.name + TOKEN_SUFFIX, token.role, PrincipalKind.TOKEN, token_id=token.id, allowance=token.allowance
        )
        self.keys.put(digest, principal, token.expires_at_ms, generation)
        await self._touch(token, now_ms)
        return principal

    async def authenticate_cookie(self, text: str) -> Principal:
        digest = _digest(text)
        known = self.keys.get(digest)
        if known is not None:
            return known
        generation = self.keys.generation
        session = await self._store.session(digest)
        if session is None or session.expires_at_ms <= self._clock.now_ms():
            raise NotSignedInError("Your session has ended; sign in again.")
        user = await self._store.user(session.user_id)
        if user is None or not user.enabled:
            raise NotSignedInError("Your session has ended; sign in again.")
        principal = _principal(user)
        self.keys.put(digest, principal, session.expires_at_ms, generation)
        return principal

    def require(self, principal: Principal, permission: Permission) -> None:
        self.check(principal, (permission,))

    def check(self, principal: Principal, any_of: Sequence[Permission]) -> None:
        """One of the permissions is enough; none named: anybody who was identified. Raises AccessError.

        Somebody without a name is told to sign in (NotSignedInError) rather than turned away.
        """
        if not any_of or any(allows(principal.role, permission) for permission in any_of):
            return
        needed = " or ".join(role for role in Role if any(role in roles_with(permission) for permission in any_of))
        if principal.kind is PrincipalKind.ANONYMOUS:
            raise NotSignedInError(f"Sign in: this needs the role {needed}.")
        raise AccessError(f"This needs the role {needed}; {principal.name} is {principal.role}.")

    async def sign_in(self, username: str, password: str, address: str) -> SignedIn:
        """Raises NotSignedInError, the same whatever was wrong, and SlowDownError after too many of them."""
        name = storable(username.strip())
        self._begin(name[:NAMED_CHARS_MAX], address)
        user = await self._store.user_by_name(name) if len(name) <= NAMED_CHARS_MAX else None
        known = user is not None and user.enabled
        fits = await self.passwords.fits(user.password_hash if user is not None and known else "", password)
        if user is None or not known or not fits:
            await self._refuse(name, address)
            raise NotSignedInError("The name or the password is not right.")
        self.attempts.succeed(name)
        return await self.open_session(user, address, "password")

    async def redeem_link(self, text: str, address: str) -> SignedIn:
        """Raises NotSignedInError for a link that is used up, expired or none, and SlowDownError."""
        self._begin("", address)
        link = await self._store.redeem_link(_digest(text), self._clock.now_ms())
        user = None if link is None else await self._store.user(link.user_id)
        if user is None or not user.enabled:
            await self._refuse("sign-in link", address)
            raise NotSignedInError("This link has been used, has expired or never was one. A restart prints a new one.")
        return await self.open_session(user, address, "link")

    async def open_session(self, user: User, address: str, by: str) -> SignedIn:
        """A new session for somebody who has just shown who they are, `by` password or link."""
        now_ms = self._clock.now_ms()
        cookie = self._secrets()
        session = Session(digest_of(cookie), user.id, now_ms, now_ms + self.settings.session, address)
        entry = AuditEntry(now_ms, Actor(user.name, address), "session.start", f"user {user.name}", None, {"by": by})
        await self._store.add_session(session, entry)
        self._sign_ins.labels("accepted").inc()
        return SignedIn(cookie, self.settings.session // SECOND_MS, user, _principal(user))

    async def sign_out(self, cookie: str, actor: Actor) -> None:
        """Nothing happens where there is no such session."""
        entry = AuditEntry(self._clock.now_ms(), actor, "session.end", f"user {actor.name}")
        try:
            await self._store.end_session(digest_of(cookie), entry)
        finally:
            self.keys.clear()

    def _begin(self, name: str, address: str) -> None:
        try:
            self.attempts.begin(name, address)
        except SlowDownError:
            self._sign_ins.labels("told to wait").inc()
            raise

    async def _refuse(self, name: str, address: str) -> None:
        self._sign_ins.labels("refused").inc()
        log.warning("sign-in refused", name=name[:NAMED_CHARS_MAX], address=address)
        actor = Actor(name[:NAMED_CHARS_MAX], address)
        await self._store.record(AuditEntry(self._clock.now_ms(), actor, "session.refuse", f"user {actor.name}"))

    async def _touch(self, token: Token, now_ms: int) -> None:
        """Remember the use, at most once a minute. It must not keep a push from being taken."""
        if now_ms - token.last_used_at_ms < TOUCH_MS:
            return
        try:
            await self._store.touch_token(token.id, now_ms)
        except StoreError as error:
            log.warning("the last use of a token was not written", token=token.name, reason=str(error))


def _anonymous(role: str) -> Principal | None:
    if not role:
        return None
    if role not in set(Role):
        raise UserError(f"{role!r} is no role; take one of {', '.join(Role)}, or none.", field="auth.anonymous_role")
    return Principal("anonymous", Role(role), PrincipalKind.ANONYMOUS)


def _principal(user: User) -> Principal:
    return Principal(user.name, user.role, PrincipalKind.USER, user_id=user.id, has_password=bool(user.password_hash))


def _digest(text: str) -> str:
    """Raises NotSignedInError for what is too long to be a key of ours."""
    if len(text) > KEY_CHARS_MAX:
        raise NotSignedInError("This is no token, session or link of tocsin.")
    return digest_of(text)
