"""The outbox: what was sent, what waits, and what a person has to look at."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query

from tocsin.access.policy import Permission
from tocsin.api.deps import Caller, Wired, require
from tocsin.api.description import family
from tocsin.api.paging import AskedPage
from tocsin.api.shapes import outbox as shapes
from tocsin.model.outbox import LetterState

router = family("outbox")

Operator = Annotated[Caller, require(Permission.OUTBOX_RESEND)]
States = Annotated[list[LetterState] | None, Query(description="may be repeated; all unless told")]


@router.get("/api/outbox", dependencies=[require(Permission.OUTBOX_READ)])
async def list_letters(
    wired: Wired,
    asked: AskedPage,
    state: States = None,
) -> shapes.LetterList:
    """Letters, the newest first."""
    page = await wired.outbox.letters(tuple(state or LetterState), asked)
    return shapes.LetterList(items=[shapes.Letter.of(letter) for letter in page.items], next=page.next)


@router.post("/api/outbox/{letter_id}/resend")
async def resend_letter(
    letter_id: Annotated[int, Path(ge=1, le=2**63 - 1)], wired: Wired, caller: Operator
) -> shapes.Letter:
    """Queue a dead letter again."""
    return shapes.Letter.of(await wired.outbox.resend(letter_id, caller.actor))
