"""RuleFileStore on every database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.state import AT_MS, KINDS, an_entry, open_kind

from tocsin.model.errors import NotFoundError
from tocsin.model.page import PageRequest
from tocsin.model.rule_group import StoredRuleFile
from tocsin.rules.ports import RuleFileStore
from tocsin.store.state.state import State

FILE = StoredRuleFile("b.yml", "groups: []  # ü\n", "anna", AT_MS)


@pytest.fixture(params=KINDS)
async def state(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[State]:
    async with open_kind(request.param, tmp_path) as opened:
        yield opened


def test_the_store_fits_the_port(state: State) -> None:
    port: RuleFileStore = state.rule_files
    assert port is state.rule_files


async def test_files_come_back_by_name_as_they_were_put(state: State) -> None:
    await state.rule_files.put_file(FILE, an_entry())
    await state.rule_files.put_file(replace(FILE, name="a.yml"), an_entry())
    assert await state.rule_files.files() == (replace(FILE, name="a.yml"), FILE)


async def test_a_file_of_the_same_name_is_replaced_and_each_change_audited(state: State) -> None:
    await state.rule_files.put_file(FILE, an_entry())
    after = replace(FILE, text="groups:\n", updated_by="ben", updated_at_ms=AT_MS + 1)
    await state.rule_files.put_file(after, an_entry())
    assert await state.rule_files.files() == (after,)
    assert len((await state.access.audit(PageRequest())).items) == 2


async def test_a_file_that_is_deleted_is_gone(state: State) -> None:
    await state.rule_files.put_file(FILE, an_entry())
    await state.rule_files.delete_file("b.yml", an_entry())
    assert await state.rule_files.files() == ()
    with pytest.raises(NotFoundError, match=r"There is no rule file b\.yml\."):
        await state.rule_files.delete_file("b.yml", an_entry())
