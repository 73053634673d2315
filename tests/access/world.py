"""Gate and people over a state store in memory, with a clock that stands still and secrets that count."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

from argon2 import PasswordHasher

from tocsin.access.gate import Gate
from tocsin.access.people import People
from tocsin.access.settings import AuthSettings
from tocsin.model.audit import Actor, AuditEntry
from tocsin.model.page import PageRequest
from tocsin.model.people import Role, User
from tocsin.runtime.clock import FixedClock
from tocsin.runtime.offload import InlineOffload
from tocsin.runtime.telemetry import Telemetry
from tocsin.store.state.access import Access
from tocsin.store.state.state import open_state

ADMIN = Actor("root", "192.0.2.1")
ADDRESS = "192.0.2.7"
PASSWORD = "correct horse"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@dataclass
class World:
    store: Access
    clock: FixedClock
    telemetry: Telemetry
    gate: Gate
    people: People

    async def entries(self) -> list[AuditEntry]:
        """Oldest first."""
        return [row.entry for row in reversed((await self.store.audit(PageRequest(limit=1_000))).items)]

    async def actions(self) -> list[str]:
        return [entry.action for entry in await self.entries()]

    async def add(self, name: str = "anna", role: Role = Role.OPERATOR) -> User:
        return await self.people.add_user(name, PASSWORD, role, ADMIN)

    def count(self, outcome: str) -> float:
        return self.telemetry.registry.get_sample_value("tocsin_sign_ins_total", {"outcome": outcome}) or 0.0


def over(store: Access, **settings: Any) -> World:
    """Another process over the same store."""
    clock, telemetry, numbers = FixedClock(), Telemetry(), count()

    def secret() -> str:
        return f"{id(numbers)}-secret-{next(numbers)}"

    gate = Gate(
        store,
        clock=clock,
        secrets=secret,
        hashing=InlineOffload(),
        telemetry=telemetry,
        settings=AuthSettings(**settings),
        hasher=CHEAP,
    )
    return World(store, clock, telemetry, gate, People(store, gate, clock=clock, secrets=secret))


@asynccontextmanager
async def open_world(**settings: Any) -> AsyncIterator[World]:
    state = await open_state("sqlite://", write=InlineOffload(), read=InlineOffload())
    try:
        yield over(state.access, **settings)
    finally:
        await state.close()
