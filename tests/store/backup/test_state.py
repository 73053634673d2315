"""The state through a backup: every row, on both databases and from one into the other."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import cramjam
import msgspec
import pytest
import sqlalchemy as sa
from tests.support.backup import NoSamples, backed_up, contents, fill, folder
from tests.support.state import AT_MS, a_rule, an_entry, database_url, open_at, open_kind

from tocsin.model.errors import StoreError, UserError
from tocsin.model.outbox import LetterState
from tocsin.model.page import PageRequest
from tocsin.runtime.clock import FixedClock
from tocsin.runtime.offload import InlineOffload
from tocsin.store.backup.manifest import Chunk, Manifest, Table
from tocsin.store.backup.place import Place
from tocsin.store.backup.restore import put_state
from tocsin.store.backup.write import read
from tocsin.store.sealing import Cipher, KeyRing
from tocsin.store.state.engine import Database
from tocsin.store.state.migrate import HEAD
from tocsin.store.state.state import State, open_state

CLOCK = FixedClock(AT_MS + 1_000)
KINDS = ("sqlite file", "postgresql")


async def put(url: str, place: Place, made: Manifest, cipher: Cipher | None = None) -> None:
    _, packing = read(place, made.id, None)
    database = Database(url, write=InlineOffload(), read=InlineOffload(), cipher=cipher)
    try:
        await database.write(
            lambda connection: put_state(connection, place, made, packing, an_entry("backup.restore"), lambda _: None)
        )
    finally:
        await database.close()


@asynccontextmanager
async def restored(kind: str, tmp_path: Path, place: Place, made: Manifest) -> AsyncIterator[State]:
    there = tmp_path / "restored"
    there.mkdir()
    with database_url(kind, there) as url:
        await put(url, place, made)
        async with open_at(url) as state:
            yield state


@pytest.mark.parametrize("into", KINDS)
@pytest.mark.parametrize("kind", KINDS)
async def test_every_row_comes_back(kind: str, into: str, tmp_path: Path) -> None:
    place = folder(tmp_path / "place")
    async with open_kind(kind, tmp_path) as state:
        await fill(state)
        before = await contents(state)
        made = await backed_up(NoSamples(), state, place, CLOCK)
    async with restored(into, tmp_path, place, made) as state:
        after = await contents(state)
    assert made.revision == HEAD
    assert {table.name: table.rows for table in made.state} == {name: len(rows) for name, rows in before.items()}
    for name in before.keys() - {"outbox", "audit"}:
        assert repr(after[name]) == repr(before[name]), name
    assert len(after["audit"]) == len(before["audit"]) + 1
    assert set(map(repr, before["audit"])) < set(map(repr, after["audit"]))


@pytest.mark.parametrize("kind", KINDS)
async def test_no_id_is_given_twice(kind: str, tmp_path: Path) -> None:
    place = folder(tmp_path / "place")
    async with open_kind(kind, tmp_path) as state:
        await fill(state)  # of its two rules the second, with the larger id, was deleted
        made = await backed_up(NoSamples(), state, place, CLOCK)
    async with restored(kind, tmp_path, place, made) as state:
        (rule,) = await state.rules.add_rules([a_rule(name="New")], [an_entry()])
        assert rule.id == 3


async def test_letters_that_waited_are_not_sent_but_shown_and_can_be_sent_again(tmp_path: Path) -> None:
    place = folder(tmp_path / "place")
    async with open_kind("sqlite file", tmp_path) as state:
        await fill(state)
        before = {letter.key: letter.state for letter in (await state.outbox.letters([], PageRequest())).items}
        made = await backed_up(NoSamples(), state, place, CLOCK)
    assert before == {"first": LetterState.SENT, "second": LetterState.QUEUED, "third": LetterState.QUEUED}
    async with restored("sqlite file", tmp_path, place, made) as state:
        assert await state.outbox.next_attempt_ms() is None
        letters = {letter.key: letter for letter in (await state.outbox.letters([], PageRequest())).items}
        assert letters["first"].state is LetterState.SENT
        for key in ("second", "third"):
            assert letters[key].state is LetterState.DEAD
            assert letters[key].last_error.startswith(f"Not sent: it was still waiting when the backup {made.id}")
        again = await state.outbox.resend(letters["third"].id, AT_MS + 10_000, an_entry())
        assert again.state is LetterState.QUEUED


async def test_a_backup_of_an_older_tocsin_becomes_todays(tmp_path: Path) -> None:
    place = folder(tmp_path / "place")
    async with open_kind("sqlite memory", tmp_path) as state:
        made = await backed_up(NoSamples(), state, place, CLOCK)
    columns = {"id": "int", "name": "text", "metric_name": "text", "condition": "text", "threshold": "float"}
    columns |= {"enabled": "bool", "matchers": "text"}
    content = msgspec.msgpack.encode([[7, "Old", "queue.length", ">", 5.0, True, "[]"]])
    name = hashlib.sha256(content).hexdigest()
    place.put(f"chunks/{name[:2]}/{name}", bytes(cramjam.zstd.compress(content)))
    rules = Table("metric_alert", columns, 1, 9, (Chunk(name, len(content), 0),))
    older = msgspec.structs.replace(made, revision="0001", state=(rules,))
    async with restored("sqlite file", tmp_path, place, older) as state:
        (rule,) = await state.rules.rules()
        assert (rule.id, rule.name, rule.threshold, rule.severity) == (7, "Old", 5.0, "warning")
        assert (await state.backups.page(PageRequest())).items == ()
        (new,) = await state.rules.add_rules([a_rule()], [an_entry()])
        assert new.id == 10


async def test_a_backup_of_a_newer_tocsin_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    place = folder(tmp_path / "place")
    async with open_kind("sqlite file", tmp_path) as state:
        await fill(state)
        made = await backed_up(NoSamples(), state, place, CLOCK)
        before = await contents(state)
        url = f"sqlite:///{tmp_path / 'state.db'}"
        with pytest.raises(UserError, match="9999, which this tocsin does not know"):
            await put(url, place, msgspec.structs.replace(made, revision="9999"))
        assert repr(await contents(state)) == repr(before)


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_there_is_replaced_as_a_whole_or_not_at_all(kind: str, tmp_path: Path) -> None:
    place = folder(tmp_path / "place")
    async with open_kind("sqlite memory", tmp_path) as state:
        await fill(state)
        made = await backed_up(NoSamples(), state, place, CLOCK)
    with database_url(kind, tmp_path) as url:
        async with open_at(url) as state:
            await state.rules.add_rules([a_rule(name="Here before")], [an_entry()])
        broken = tuple(replace_last(table) if table.name == "users" else table for table in made.state)
        with pytest.raises(StoreError, match="is missing"):
            await put(url, place, msgspec.structs.replace(made, state=broken))
        async with open_at(url) as state:
            assert [rule.name for rule in await state.rules.rules()] == ["Here before"]
        await put(url, place, made)
        async with open_at(url) as state:
            assert [rule.name for rule in await state.rules.rules()] == ["High CPU Usage"]


def replace_last(table: Table) -> Table:
    (chunk,) = table.chunks
    return msgspec.structs.replace(table, chunks=(msgspec.structs.replace(chunk, name="0" * 64),))


async def test_sealed_columns_are_sealed_again_with_the_key_of_where_they_go(tmp_path: Path) -> None:
    place = folder(tmp_path / "place")
    one, other = Cipher(KeyRing.fresh()), Cipher(KeyRing.fresh())
    write = read_ = InlineOffload()
    state = await open_state(f"sqlite:///{tmp_path}/one.db", write=write, read=read_, cipher=one)
    await fill(state)
    before = await contents(state)
    made = await backed_up(NoSamples(), state, place, CLOCK)
    await state.close()
    for cipher, name in ((other, "other"), (None, "plain")):
        url = f"sqlite:///{tmp_path}/{name}.db"
        (tmp_path / f"{name}.db").touch()
        await put(url, place, made, cipher)
        state = await open_state(url, write=write, read=read_, cipher=cipher)
        assert repr((await contents(state))["alert"]) == repr(before["alert"])
        await state.close()
        engine = sa.create_engine(url)
        with engine.connect() as connection:
            texts = connection.execute(sa.text("SELECT labels FROM alert")).scalars().all()
        engine.dispose()
        assert [("web" in text) for text in texts] == [cipher is None] * len(texts)


async def test_nobody_is_signed_in_again(tmp_path: Path) -> None:
    place = folder(tmp_path / "place")
    async with open_kind("sqlite memory", tmp_path) as state:
        made = await backed_up(NoSamples(), state, place, CLOCK)
    assert {"sessions", "sign_in_links"}.isdisjoint(table.name for table in made.state)
