"""What access needs of the rest of the house."""

from __future__ import annotations

from typing import Protocol

from tocsin.model.audit import AuditEntry
from tocsin.model.page import Page, PageRequest
from tocsin.model.people import Allowance, AuditRow, Session, SignInLink, Token, User


class AccessStore(Protocol):
    """People and their keys; each change writes its audit entry in the same transaction. Raises StoreError."""

    async def users(self) -> tuple[User, ...]: ...

    async def user_by_name(self, name: str) -> User | None:
        """Names are compared without regard to case."""
        ...

    async def user(self, user_id: int) -> User | None: ...

    async def add_user(self, user: User, entry: AuditEntry) -> User:
        """Raises ConflictError when the name is taken."""
        ...

    async def replace_user(self, user: User, entry: AuditEntry) -> User:
        """A changed password, role or `enabled` ends the user's sessions and link.

        Raises NotFoundError; ConflictError where no enabled admin would be left.
        """
        ...

    async def add_session(self, session: Session, entry: AuditEntry) -> None: ...

    async def session(self, digest: str) -> Session | None: ...

    async def end_session(self, digest: str, entry: AuditEntry) -> None:
        """Nothing happens, and nothing is audited, where there is none."""
        ...

    async def add_link(self, link: SignInLink) -> None:
        """In place of the user's older one."""
        ...

    async def redeem_link(self, digest: str, at_ms: int) -> SignInLink | None:
        """The link, once and only before it expires; it is gone afterwards."""
        ...

    async def tokens(self) -> tuple[Token, ...]: ...

    async def token(self, digest: str) -> Token | None: ...

    async def add_token(self, token: Token, entry: AuditEntry) -> Token: ...

    async def touch_token(self, token_id: int, at_ms: int) -> None:
        """Remember when it was last used."""
        ...

    async def hold_token(self, token_id: int, allowance: Allowance, entry: AuditEntry) -> Token:
        """Raises NotFoundError."""
        ...

    async def delete_token(self, token_id: int, entry: AuditEntry) -> None:
        """Raises NotFoundError."""
        ...

    async def remove_expired(self, at_ms: int) -> None:
        """Forget expired sessions, links and tokens."""
        ...

    async def record(self, entry: AuditEntry) -> None:
        """An entry of its own, for what changes no row: a refused sign-in."""
        ...

    async def audit(self, page: PageRequest) -> Page[AuditRow]:
        """Newest first."""
        ...
