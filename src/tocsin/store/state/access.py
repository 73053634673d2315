"""AccessStore: users, sessions, sign-in links, tokens, and reading the audit log."""

from __future__ import annotations

import sqlalchemy as sa

from tocsin.model.audit import AuditEntry
from tocsin.model.errors import ConflictError, NotFoundError
from tocsin.model.page import Page, PageRequest
from tocsin.model.people import Allowance, AuditRow, Role, Session, SignInLink, Token, User
from tocsin.store.state.audit import write_audit
from tocsin.store.state.codec import (
    allowance_values,
    audit_of,
    link_of,
    session_of,
    session_values,
    token_of,
    token_values,
    user_of,
    user_values,
)
from tocsin.store.state.engine import Database
from tocsin.store.state.pages import read_page
from tocsin.store.state.schema import audit, sessions, sign_in_links, tokens, users


class Access:
    """Implements access.ports.AccessStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def users(self) -> tuple[User, ...]:
        query = sa.select(users).order_by(users.c.id)
        return await self._database.read(lambda connection: tuple(map(user_of, connection.execute(query))))

    async def user_by_name(self, name: str) -> User | None:
        return await self._user(users.c.folded == name.casefold())

    async def user(self, user_id: int) -> User | None:
        return await self._user(users.c.id == user_id)

    async def _user(self, which: sa.ColumnElement[bool]) -> User | None:
        row = await self._database.read(lambda connection: connection.execute(sa.select(users).where(which)).first())
        return None if row is None else user_of(row)

    async def add_user(self, user: User, entry: AuditEntry) -> User:
        def work(connection: sa.Connection) -> User:
            taken = sa.select(users.c.id).where(users.c.folded == user.name.casefold())
            if connection.execute(taken).first() is not None:
                raise ConflictError(f"There is a user {user.name} already.", field="name")
            row = connection.execute(sa.insert(users).values(user_values(user)).returning(users)).one()
            write_audit(connection, [entry])
            return user_of(row)

        return await self._database.write(work)

    async def replace_user(self, user: User, entry: AuditEntry) -> User:
        def work(connection: sa.Connection) -> User:
            # Every admin's row is locked, so that two changes at once cannot each rely on the other's admin.
            admin = sa.and_(users.c.role == Role.ADMIN.value, users.c.enabled)
            locked = sa.select(users).where(sa.or_(users.c.id == user.id, admin)).order_by(users.c.id)
            rows = {row.id: row for row in connection.execute(locked.with_for_update())}
            if user.id not in rows:
                raise NotFoundError(f"There is no user {user.id}.")
            before = user_of(rows.pop(user.id))
            if _is_admin(before) and not _is_admin(user) and not rows:
                raise ConflictError(f"{before.name} is the only admin; make somebody else one first.")
            connection.execute(sa.update(users).where(users.c.id == user.id).values(user_values(user)))
            if _keys(before) != _keys(user):
                connection.execute(sa.delete(sessions).where(sessions.c.user_id == user.id))
                connection.execute(sa.delete(sign_in_links).where(sign_in_links.c.user_id == user.id))
            write_audit(connection, [entry])
            return user

        return await self._database.write(work)

    async def add_session(self, session: Session, entry: AuditEntry) -> None:
        def work(connection: sa.Connection) -> None:
            connection.execute(sa.insert(sessions).values(session_values(session)))
            write_audit(connection, [entry])

        await self._database.write(work)

    async def session(self, digest: str) -> Session | None:
        query = sa.select(sessions).where(sessions.c.digest == digest)
        row = await self._database.read(lambda connection: connection.execute(query).first())
        return None if row is None else session_of(row)

    async def end_session(self, digest: str, entry: AuditEntry) -> None:
        def work(connection: sa.Connection) -> None:
            if connection.execute(sa.delete(sessions).where(sessions.c.digest == digest)).rowcount:
                write_audit(connection, [entry])

        await self._database.write(work)

    async def add_link(self, link: SignInLink) -> None:
        def work(connection: sa.Connection) -> None:
            connection.execute(sa.delete(sign_in_links).where(sign_in_links.c.user_id == link.user_id))
            values = {"digest": link.digest, "user_id": link.user_id, "expires_at_ms": link.expires_at_ms}
            connection.execute(sa.insert(sign_in_links).values(values))

        await self._database.write(work)

    async def redeem_link(self, digest: str, at_ms: int) -> SignInLink | None:
        take = (
            sa.delete(sign_in_links)
            .where(sign_in_links.c.digest == digest, sign_in_links.c.expires_at_ms > at_ms)
            .returning(sign_in_links)
        )
        row = await self._database.write(lambda connection: connection.execute(take).first())
        return None if row is None else link_of(row)

    async def tokens(self) -> tuple[Token, ...]:
        query = sa.select(tokens).order_by(tokens.c.id)
        return await self._database.read(lambda connection: tuple(map(token_of, connection.execute(query))))

    async def token(self, digest: str) -> Token | None:
        query = sa.select(tokens).where(tokens.c.digest == digest)
        row = await self._database.read(lambda connection: connection.execute(query).first())
        return None if row is None else token_of(row)

    async def add_token(self, token: Token, entry: AuditEntry) -> Token:
        def work(connection: sa.Connection) -> Token:
            row = connection.execute(sa.insert(tokens).values(token_values(token)).returning(tokens)).one()
            write_audit(connection, [entry])
            return token_of(row)

        return await self._database.write(work)

    async def touch_token(self, token_id: int, at_ms: int) -> None:
        touch = sa.update(tokens).where(tokens.c.id == token_id, tokens.c.last_used_at_ms < at_ms)
        await self._database.write(lambda connection: connection.execute(touch.values(last_used_at_ms=at_ms)))

    async def hold_token(self, token_id: int, allowance: Allowance, entry: AuditEntry) -> Token:
        change = sa.update(tokens).where(tokens.c.id == token_id).values(allowance_values(allowance)).returning(tokens)

        def work(connection: sa.Connection) -> Token:
            row = connection.execute(change).first()
            if row is None:
                raise NotFoundError(f"There is no token {token_id}.")
            write_audit(connection, [entry])
            return token_of(row)

        return await self._database.write(work)

    async def delete_token(self, token_id: int, entry: AuditEntry) -> None:
        def work(connection: sa.Connection) -> None:
            if not connection.execute(sa.delete(tokens).where(tokens.c.id == token_id)).rowcount:
                raise NotFoundError(f"There is no token {token_id}.")
            write_audit(connection, [entry])

        await self._database.write(work)

    async def remove_expired(self, at_ms: int) -> None:
        def work(connection: sa.Connection) -> None:
            for table in (sessions, sign_in_links, tokens):
                connection.execute(sa.delete(table).where(table.c.expires_at_ms <= at_ms))

        await self._database.write(work)

    async def record(self, entry: AuditEntry) -> None:
        await self._database.write(lambda connection: write_audit(connection, [entry]))

    async def audit(self, page: PageRequest) -> Page[AuditRow]:
        keys = (audit.c.id,)
        return await self._database.read(
            lambda connection: read_page(connection, sa.select(audit), keys, page, audit_of)
        )


def _is_admin(user: User) -> bool:
    return user.enabled and user.role is Role.ADMIN


def _keys(user: User) -> tuple[object, ...]:
    """What a session or a link was given on; when it changes, they end."""
    return (user.role, user.password_hash, user.enabled)
