"""Places that go wrong, stores with something in them, and what both hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from tests.support.state import AT_MS, a_letter, a_rule, an_alert, an_entry, announced, firing, resolved

from tocsin.model.errors import StoreError
from tocsin.model.people import Role, Token, User
from tocsin.runtime.clock import Clock
from tocsin.runtime.offload import InlineOffload, Offload
from tocsin.store.backup import manifest as manifests
from tocsin.store.backup import rows
from tocsin.store.backup.chunk import Sealer
from tocsin.store.backup.manifest import Manifest
from tocsin.store.backup.place import Entry, Folder, Place
from tocsin.store.backup.write import Circumstances, Progress, Stores, back_up
from tocsin.store.samples.dump import TABLES
from tocsin.store.state.state import State

_secrets = map("secret-{}".format, count())


class Full:
    """A place that has room for so many more pieces."""

    def __init__(self, place: Place, room: int) -> None:
        self._place = place
        self.room = room

    def put(self, name: str, data: bytes) -> None:
        self.room -= 1
        if self.room < 0:
            raise StoreError("There is no space left on the device.")
        self._place.put(name, data)

    def get(self, name: str) -> bytes:
        return self._place.get(name)

    def entries(self, under: str) -> Iterator[Entry]:
        return self._place.entries(under)

    def delete(self, names: Sequence[str]) -> None:
        self._place.delete(names)


class Forgetful(Full):
    """A place that loses a bit of every piece after the first few."""

    def put(self, name: str, data: bytes) -> None:
        self.room -= 1
        self._place.put(name, data if self.room >= 0 else data[:-1] + bytes([data[-1] ^ 1]))


class NoSamples:
    """A sample store that holds nothing."""

    async def flush(self) -> None:
        pass

    async def stored(self, table: str) -> list[Any]:
        assert table in TABLES
        return []

    async def dump(self, piece: Any) -> Any:
        raise AssertionError(piece)


def folder(path: Path) -> Folder:
    path.mkdir(exist_ok=True)
    return Folder(path)


def circumstances(
    clock: Clock, *, sealer: Sealer | None = None, offload: Offload | None = None, share: float = 1.0
) -> Circumstances:
    return Circumstances(clock, lambda: next(_secrets), offload or InlineOffload(), sealer, share)


async def backed_up(
    samples: Any,
    state: State,
    place: Place,
    clock: Clock,
    *,
    sealer: Sealer | None = None,
    progress: Progress | None = None,
) -> Manifest:
    return await back_up(Stores(samples, state), place, circumstances(clock, sealer=sealer), progress or Progress())


async def fill(state: State) -> None:
    """Rules, alerts in several states, letters sent and waiting, people, settings, audit."""
    rule, gone = await state.rules.add_rules([a_rule(), a_rule(name="Gone", threshold=float("inf"))], [an_entry()] * 2)
    await state.rules.delete_rule(gone.id, an_entry("rule.delete"))
    strange = an_alert(rule_name="Ünïcode \u2603", value=float("nan"))
    one, two = await state.alerts.save_changes([firing(an_alert(rule_id=rule.id)), firing(strange)])
    await state.book.announce([announced(one, a_letter(one, "first")), announced(two, a_letter(two, "second"))])
    (sent,) = await state.outbox.claim(AT_MS, 1_000, 1, "here")
    await state.outbox.mark_sent(sent, "250 taken", AT_MS + 1)
    (over,) = await state.alerts.save_changes([resolved(await state.book.alert(one.id))])
    await state.book.acknowledge(two.id, "I see it", an_entry("alert.acknowledge"))
    await state.book.announce([announced(over, a_letter(over, "third"), at_ms=AT_MS + 2)])
    await state.access.add_user(User(0, "Anna", Role.ADMIN, "hash", enabled=True, created_at_ms=AT_MS), an_entry())
    await state.access.add_token(Token(0, "agent", Role.WRITER, "digest", "anna", AT_MS, None, 0), an_entry())
    await state.settings.put("some.list", {"a": [1, 2.5, None, "ü"]}, an_entry())


async def contents(state: State) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table that a backup holds, as the database has it."""

    def read(connection: sa.Connection) -> dict[str, list[tuple[Any, ...]]]:
        found = {}
        for table in rows.tables():
            query = sa.select(*rows.raw(str(table.name), rows.kinds(table)).columns)
            found[str(table.name)] = sorted((tuple(row) for row in connection.execute(query)), key=repr)
        return found

    return await state.snapshot(read)


def newest(place: Place) -> str:
    return manifests.ids(place)[-1]
