"""What the command line does on the state store itself, whether a server runs or not."""

from __future__ import annotations

import getpass
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tocsin.access.gate import Gate
from tocsin.access.people import People
from tocsin.app.config import Settings, load_settings
from tocsin.app.state import open_state_store
from tocsin.model.audit import Actor
from tocsin.model.duration import Duration
from tocsin.model.errors import NotFoundError, UserError
from tocsin.model.people import Allowance, Role
from tocsin.runtime.chance import new_secret
from tocsin.runtime.clock import SystemClock
from tocsin.runtime.offload import ThreadOffload
from tocsin.runtime.telemetry import Telemetry


async def add_user(config: Path | None, data_dir: Path, name: str, role: str, password: str) -> None:
    """Raises UserError, ConflictError where the name is taken."""
    async with open_people(load_settings(config, os.environ), data_dir) as people:
        await people.add_user(name, password, role_of(role), local_actor())


async def set_password(config: Path | None, data_dir: Path, name: str, password: str) -> None:
    """For whoever is locked out. Raises NotFoundError, UserError."""
    async with open_people(load_settings(config, os.environ), data_dir) as people:
        user = next((user for user in await people.users() if user.name.casefold() == name.casefold()), None)
        if user is None:
            raise NotFoundError(f"There is no user {name!r}.")
        await people.set_password(user.id, password, local_actor())


async def create_token(
    config: Path | None, data_dir: Path, name: str, role: str, expires_in: str | None, allowance: Allowance
) -> str:
    """The token's text."""
    life = None if expires_in is None else Duration.parse(expires_in)
    async with open_people(load_settings(config, os.environ), data_dir) as people:
        _, text = await people.create_token(name, role_of(role), life, local_actor(), allowance)
        return text


@asynccontextmanager
async def open_people(settings: Settings, data_dir: Path) -> AsyncIterator[People]:
    """A running server sees what changes here within seconds."""
    clock = SystemClock()
    hashing = ThreadOffload("hashing", 1)
    try:
        async with open_state_store(settings, data_dir, ThreadOffload) as state:
            gate = Gate(
                state.access,
                clock=clock,
                secrets=new_secret,
                hashing=hashing,
                telemetry=Telemetry(),
                settings=settings.auth,
            )
            yield People(state.access, gate, clock=clock, secrets=new_secret)
    finally:
        hashing.close()


def local_actor() -> Actor:
    """Whoever may read the data directory; the audit log says who that was."""
    try:
        return Actor(f"{getpass.getuser()} (command line)")
    except OSError:  # a user without a name, as in some containers
        return Actor("command line")


def role_of(text: str) -> Role:
    try:
        return Role(text)
    except ValueError:
        raise UserError(f"There is no role {text!r}; there are {', '.join(Role)}.") from None
