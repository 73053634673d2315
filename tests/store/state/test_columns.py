from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from tests.support.state import AT_MS, MINUTE_MS, a_letter, a_rule, an_alert, an_entry, announced, firing, open_at

from tocsin.model.errors import UserError
from tocsin.model.page import PageRequest
from tocsin.store.sealing import Cipher, KeyRing, SealError
from tocsin.store.state.columns import SEALED

CIPHER = Cipher(KeyRing.fresh())
SECRET = "correct horse battery staple"


def everything_under(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'state.db'}"


def raw(url: str, sql: str, *values: Any) -> list[Any]:
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    with connection:
        found = connection.execute(sql, values).fetchall()
    connection.close()
    return found


async def test_a_setting_is_sealed_in_the_database_and_plain_for_its_reader(url: str) -> None:
    async with open_at(url, CIPHER) as state:
        await state.settings.put("smtp", {"password": SECRET}, an_entry())
        await state.settings.put("smtp", {"password": SECRET + "!"}, an_entry())
        assert await state.settings.get("smtp") == {"password": SECRET + "!"}
    ((stored,),) = raw(url, "select value from settings where name = 'smtp'")
    assert stored.startswith(SEALED)
    assert "password" not in stored


async def test_what_was_written_before_there_was_a_key_is_read_as_it_is(url: str) -> None:
    async with open_at(url) as state:
        await state.settings.put("plain", SECRET, an_entry())
        added = await state.rules.add_rules([a_rule(description="{a plain text}")], [an_entry()])
    async with open_at(url, CIPHER) as state:
        await state.settings.put("sealed", SECRET, an_entry())
        assert await state.settings.all() == {"plain": SECRET, "sealed": SECRET}
        assert await state.rules.rules() == added


async def test_without_the_key_a_sealed_value_is_refused_in_one_sentence(url: str) -> None:
    async with open_at(url, CIPHER) as state:
        await state.settings.put("one", SECRET, an_entry())
    async with open_at(url) as state:
        with pytest.raises(UserError, match=r"settings\.value is encrypted: set store\.encryption_key_file"):
            await state.settings.get("one")


async def test_a_sealed_value_does_not_open_in_another_column(url: str) -> None:
    async with open_at(url, CIPHER) as state:
        await state.settings.put("one", SECRET, an_entry())
        raw(url, "update settings set value = (select after from audit limit 1)")
        with pytest.raises(SealError, match=r"settings\.value in the state database cannot be read"):
            await state.settings.get("one")


async def test_a_text_that_only_looks_sealed_is_a_text(url: str) -> None:
    async with open_at(url) as state:
        await state.rules.add_rules([a_rule(description=SEALED + "not")], [an_entry()])
        assert (await state.rules.rules())[0].description == "sealed:not"


async def test_two_databases_in_one_process_have_two_ciphers(url: str, tmp_path: Path) -> None:
    async with (
        open_at(url, CIPHER) as one,
        open_at(f"sqlite:///{tmp_path / 'other.db'}", Cipher(KeyRing.fresh())) as two,
    ):
        await one.settings.put("name", "one", an_entry())
        await two.settings.put("name", "two", an_entry())
        assert (await one.settings.get("name"), await two.settings.get("name")) == ("one", "two")


async def test_nothing_that_people_or_servers_wrote_is_plain_in_the_file(url: str, tmp_path: Path) -> None:
    async with open_at(url, CIPHER) as state:
        (rule,) = await state.rules.add_rules([a_rule(description=SECRET)], [an_entry()])
        (alert,) = await state.alerts.save_changes([firing(an_alert(rule_id=rule.id))])
        letter = a_letter(alert, "key", last_error=SECRET, answer=SECRET)
        assert await state.book.announce([announced(alert, letter)]) == (True,)
        await state.book.acknowledge(alert.id, SECRET, an_entry())
        (claimed,) = await state.outbox.claim(AT_MS, MINUTE_MS, 1, "here")
        await state.outbox.mark_sent(claimed, SECRET, AT_MS)
        assert (await state.outbox.letters([], PageRequest())).items[0].answer == SECRET
    stored = everything_under(tmp_path)
    assert SECRET.encode() not in stored
    assert b'"web"' not in stored
