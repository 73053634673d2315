from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.support.state import a_rule, an_entry, database_url, open_at

from tocsin.model.errors import StoreError
from tocsin.store.sealing import Cipher, KeyRing
from tocsin.store.state.columns import SEALED, Sealed, SealedWords
from tocsin.store.state.engine import parse_url
from tocsin.store.state.reseal import ROWS_AT_ONCE, sealed_columns
from tocsin.store.state.state import State

RING = KeyRing.fresh()
OLD, BOTH = Cipher(RING), Cipher(RING.with_new())
NEW = Cipher(KeyRing(BOTH.ring.keys[-1:]))
TEXT = "ask the lynx"


def test_each_sealed_column_is_bound_to_its_own_name() -> None:
    for column in sealed_columns():
        assert isinstance(column.type, Sealed | SealedWords)
        assert column.type.context == str(column)
        assert column is not next(iter(column.table.primary_key))


def files_with(folder: Path, text: bytes) -> list[Path]:
    return [path for path in folder.iterdir() if text in path.read_bytes()]


async def fill(state: State) -> None:
    rules = [a_rule(name=str(number), description=TEXT) for number in range(3)]
    await state.rules.add_rules(rules, [an_entry()])
    await state.settings.put("one", {"text": TEXT}, an_entry())


async def read(state: State) -> tuple[object, list[str]]:
    return await state.settings.get("one"), [rule.description for rule in await state.rules.rules()]


def stored(url: str) -> list[str]:
    engine = sa.create_engine(parse_url(url))
    with engine.connect() as connection:
        selects = [
            sa.select(sa.type_coerce(column, sa.Text())).where(column.is_not(None)) for column in sealed_columns()
        ]
        found = [text for select in selects for text in connection.execute(select).scalars()]
    engine.dispose()
    return found


@pytest.mark.parametrize("kind", ["sqlite file", "postgresql"])
async def test_plain_values_are_sealed_sealed_again_and_made_plain(kind: str, tmp_path: Path) -> None:
    with database_url(kind, tmp_path) as url:
        async with open_at(url) as state:
            await fill(state)
            before = await read(state)
        plain = stored(url)
        seen: list[tuple[str, int]] = []
        async with open_at(url, OLD) as state:
            changed = await state.seal_again(OLD, OLD, lambda *what: seen.append(what))
            assert changed == len(plain)
            assert ("settings.value", 1) in seen
            assert await read(state) == before
            assert await state.seal_again(OLD, OLD) == 0
        assert all(text.startswith(SEALED) for text in stored(url))
        async with open_at(url, BOTH) as state:
            assert await state.seal_again(BOTH, BOTH) == len(plain)
        async with open_at(url, NEW) as state:
            assert await read(state) == before
            assert await state.seal_again(NEW, None) == len(plain)
        assert sorted(stored(url)) == sorted(plain)


async def test_no_older_copy_of_a_row_stays_in_the_files(tmp_path: Path) -> None:
    with database_url("sqlite file", tmp_path) as url:
        async with open_at(url, OLD) as state:
            async with open_at(url) as before:
                await fill(before)
            await state.seal_again(OLD, OLD)
            assert not files_with(tmp_path, TEXT.encode())


async def test_many_rows_are_done_page_by_page(tmp_path: Path) -> None:
    count = ROWS_AT_ONCE + 10
    with database_url("sqlite file", tmp_path) as url:
        async with open_at(url) as state:
            await state.rules.add_rules([a_rule(name=str(number)) for number in range(count)], [])
        async with open_at(url, OLD) as state:
            seen: list[tuple[str, int]] = []
            await state.seal_again(OLD, OLD, lambda *what: seen.append(what))
            of_rules = [done for column, done in seen if column == "metric_alert.matchers"]
            assert of_rules == [ROWS_AT_ONCE, count]
            assert len(await state.rules.rules()) == count
        assert len(stored(url)) == 3 * count


async def test_a_value_of_another_key_ring_stops_it_and_stays(tmp_path: Path) -> None:
    with database_url("sqlite file", tmp_path) as url:
        async with open_at(url, Cipher(KeyRing.fresh())) as state:
            await fill(state)
        before = stored(url)
        async with open_at(url, BOTH) as state:
            with pytest.raises(StoreError, match="cannot be read"):
                await state.seal_again(BOTH, BOTH)
        assert stored(url) == before
