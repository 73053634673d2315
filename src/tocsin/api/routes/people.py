"""People and tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from fastapi import Path

from tocsin.access.policy import Permission
from tocsin.api.deps import Caller, Wired, require
from tocsin.api.description import family
from tocsin.api.paging import AskedPage, page_of
from tocsin.api.shapes import people as shapes
from tocsin.api.shapes import tokens
from tocsin.model.duration import Duration
from tocsin.model.errors import UserError
from tocsin.model.labels import Labels
from tocsin.model.matcher import Matcher, parse_matcher
from tocsin.model.people import Allowance

router = family("people")

Id = Annotated[int, Path(ge=1, le=2**63 - 1)]
Reader = require(Permission.PEOPLE_MANAGE)
Admin = Annotated[Caller, require(Permission.PEOPLE_MANAGE)]


@router.get("/api/users", dependencies=[Reader])
async def list_users(wired: Wired, asked: AskedPage) -> shapes.UserList:
    """Everybody who can sign in."""
    page = page_of(await wired.people.users(), lambda user: user.id, asked)
    return shapes.UserList(items=[shapes.User.of(user) for user in page.items], next=page.next)


@router.post("/api/users", status_code=201)
async def create_user(body: shapes.NewUser, wired: Wired, caller: Admin) -> shapes.User:
    """A new user."""
    return shapes.User.of(await wired.people.add_user(body.name, body.password, body.role, caller.actor))


@router.patch("/api/users/{user_id}")
async def change_user(user_id: Id, body: shapes.UserChange, wired: Wired, caller: Admin) -> shapes.User:
    """Change a user's role or password, or shut them out. Their sessions end."""
    user = await wired.people.change_user(
        user_id, caller.actor, role=body.role, password=body.password, enabled=body.enabled
    )
    return shapes.User.of(user)


@router.get("/api/tokens", dependencies=[Reader])
async def list_tokens(wired: Wired, asked: AskedPage) -> tokens.TokenList:
    """All tokens, without their secrets."""
    page = page_of(await wired.people.tokens(), lambda token: token.id, asked)
    return tokens.TokenList(items=[tokens.Token.of(token) for token in page.items], next=page.next)


@router.post("/api/tokens", status_code=201)
async def create_token(body: tokens.NewToken, wired: Wired, caller: Admin) -> tokens.MadeToken:
    """A new token; its text is shown this once."""
    expires_in = None if body.expires_in is None else _expires_in(body.expires_in)
    allowance = Allowance(Labels.of(body.labels), body.rate, body.series_max, _matchers(body.reads))
    token, text = await wired.people.create_token(body.name, body.role, expires_in, caller.actor, allowance)
    return tokens.MadeToken.with_text(token, text)


@router.patch("/api/tokens/{token_id}")
async def change_token(token_id: Id, body: tokens.TokenChange, wired: Wired, caller: Admin) -> tokens.Token:
    """Change what a token is held to, from now on: what it may write, or the matchers of what it reads."""
    changes: dict[str, Any] = {field: getattr(body, field) for field in body.model_fields_set}
    if "labels" in changes:
        changes["labels"] = Labels.of(body.labels or {})
    if "reads" in changes:
        changes["reads"] = _matchers(body.reads or ())
    return tokens.Token.of(await wired.people.hold_token(token_id, lambda held: replace(held, **changes), caller.actor))


@router.delete("/api/tokens/{token_id}", status_code=204)
async def delete_token(token_id: Id, wired: Wired, caller: Admin) -> None:
    """Revoke a token; what uses it is refused from now on."""
    await wired.people.delete_token(token_id, caller.actor)


def _matchers(texts: Sequence[str]) -> tuple[Matcher, ...]:
    try:
        return tuple(map(parse_matcher, texts))
    except UserError as error:
        raise UserError(str(error), field="reads") from error


def _expires_in(text: float | str) -> Duration:
    try:
        return Duration.parse(text)
    except UserError as error:
        raise UserError(str(error), field="expires_in") from error
