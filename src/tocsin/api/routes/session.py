"""Signing in and out, and who one is."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request, Response

from tocsin.access.gate import SignedIn
from tocsin.api.deps import COOKIE, Caller, Wired, check_origin, require, wiring_of
from tocsin.api.description import family
from tocsin.api.shapes import people as shapes

router = family("session")

AnyCaller = Annotated[Caller, require()]


async def _own_page(request: Request) -> None:
    check_origin(request)


OwnPage = Depends(_own_page)


@router.post("/api/session", dependencies=[OwnPage])
async def sign_in(body: shapes.SignIn, request: Request, response: Response, wired: Wired) -> shapes.SignedIn:
    """Sign in with a password; the answer sets the cookie."""
    address = wiring_of(request).origins.address(request)
    return _signed(request, response, await wired.gate.sign_in(body.username, body.password, address))


@router.post("/api/session/link", dependencies=[OwnPage])
async def sign_in_by_link(
    body: shapes.SignInLink, request: Request, response: Response, wired: Wired
) -> shapes.SignedIn:
    """Sign in with a one-time link; set a password afterwards."""
    address = wiring_of(request).origins.address(request)
    return _signed(request, response, await wired.gate.redeem_link(body.link, address))


@router.get("/api/session")
async def read_session(caller: AnyCaller) -> shapes.Session:
    """Who the caller is and what they may do."""
    principal = caller.principal
    return shapes.Session(
        name=principal.name,
        role=principal.role,
        kind=principal.kind.value,
        permissions=sorted(principal.permissions),
        has_password=principal.has_password,
    )


@router.put("/api/session/password", status_code=204)
async def set_password(
    body: shapes.NewPassword, request: Request, response: Response, caller: AnyCaller, wired: Wired
) -> None:
    """Set or change the own password. All sessions end; the answer's cookie begins a new one."""
    signed = await wired.people.set_own_password(caller.principal, body.password, body.current, caller.actor)
    _set_cookie(request, response, signed)


@router.delete("/api/session", status_code=204)
async def sign_out(request: Request, response: Response, wired: Wired, caller: AnyCaller) -> None:
    """Sign out."""
    await wired.gate.sign_out(request.cookies.get(COOKIE, ""), caller.actor)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")


def _signed(request: Request, response: Response, signed: SignedIn) -> shapes.SignedIn:
    _set_cookie(request, response, signed)
    return shapes.SignedIn(name=signed.user.name, role=signed.user.role)


def _set_cookie(request: Request, response: Response, signed: SignedIn) -> None:
    """The cookie is out of reach of scripts and of every other site; it ends when the session does."""
    response.set_cookie(
        COOKIE,
        signed.cookie,
        max_age=signed.max_age_s,
        secure=wiring_of(request).origins.secure(request),
        httponly=True,
        samesite="strict",
    )
