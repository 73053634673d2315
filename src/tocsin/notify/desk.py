"""The outbox as a person sees it."""

from __future__ import annotations

from collections.abc import Sequence

from tocsin.model.audit import Actor, AuditEntry
from tocsin.model.outbox import Letter, LetterState
from tocsin.model.page import Page, PageRequest
from tocsin.notify.ports import Bell, Outbox
from tocsin.notify.settings import DeliverySettings
from tocsin.runtime.clock import Clock


class OutboxDesk:
    """Shows letters, and sends dead ones again. Raises StoreError where the database is away."""

    def __init__(self, outbox: Outbox, clock: Clock, bell: Bell, settings: DeliverySettings) -> None:
        self._outbox = outbox
        self._clock = clock
        self._bell = bell
        self._settings = settings

    async def letters(self, states: Sequence[LetterState], page: PageRequest) -> Page[Letter]:
        """Newest first; every state where none is named."""
        return await self._outbox.letters(states or tuple(LetterState), page)

    async def resend(self, letter_id: int, actor: Actor) -> Letter:
        """Queue a dead letter again and have it tried at once. Raises NotFoundError, ConflictError."""
        now_ms = self._clock.now_ms()
        entry = AuditEntry(
            now_ms,
            actor,
            "letter.resend",
            f"letter {letter_id}",
            {"state": LetterState.DEAD.value},
            {"state": LetterState.QUEUED.value},
        )
        letter = await self._outbox.resend(letter_id, now_ms + self._settings.resend_for, entry)
        self._bell.ring()
        return letter
