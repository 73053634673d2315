"""ScrapeJobStore on every database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.state import AT_MS, KINDS, an_entry, open_kind

from tocsin.ingest.ports import ScrapeJobStore
from tocsin.model.errors import ConflictError, NotFoundError
from tocsin.model.page import PageRequest
from tocsin.model.scrape import StoredJob
from tocsin.store.state.state import State

CONFIG = {"job_name": "node", "basic_auth": {"password": "hunter2"}, "static_configs": [{"targets": ["ä:1"]}]}
NODE = StoredJob(0, "node", CONFIG, created_at_ms=AT_MS, updated_at_ms=AT_MS)


@pytest.fixture(params=KINDS)
async def state(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[State]:
    async with open_kind(request.param, tmp_path) as opened:
        yield opened


def test_the_store_fits_the_port(state: State) -> None:
    port: ScrapeJobStore = state.scrape_jobs
    assert port is state.scrape_jobs


async def test_jobs_come_back_as_they_were_saved_by_id(state: State) -> None:
    assert await state.scrape_jobs.jobs() == ()
    first = await state.scrape_jobs.add_job(NODE, an_entry())
    second = await state.scrape_jobs.add_job(replace(NODE, name="app", enabled=False), an_entry())
    assert replace(first, id=0) == NODE
    assert await state.scrape_jobs.jobs() == (first, second)
    assert first.id < second.id


async def test_a_name_is_taken_once(state: State) -> None:
    await state.scrape_jobs.add_job(NODE, an_entry())
    other = await state.scrape_jobs.add_job(replace(NODE, name="app"), an_entry())
    with pytest.raises(ConflictError, match="a scrape job node already"):
        await state.scrape_jobs.add_job(NODE, an_entry())
    with pytest.raises(ConflictError, match="a scrape job node already"):
        await state.scrape_jobs.replace_job(replace(other, name="node"), an_entry())


async def test_a_change_raises_the_version_and_the_second_of_two_is_a_conflict(state: State) -> None:
    saved = await state.scrape_jobs.add_job(NODE, an_entry())
    changed = await state.scrape_jobs.replace_job(replace(saved, enabled=False), an_entry())
    assert changed == replace(saved, enabled=False, version=2)
    with pytest.raises(ConflictError, match="at version 2"):
        await state.scrape_jobs.replace_job(replace(saved, config={}), an_entry())
    assert await state.scrape_jobs.jobs() == (changed,)


async def test_a_job_is_deleted_once(state: State) -> None:
    saved = await state.scrape_jobs.add_job(NODE, an_entry())
    await state.scrape_jobs.delete_job(saved.id, an_entry())
    assert await state.scrape_jobs.jobs() == ()
    with pytest.raises(NotFoundError):
        await state.scrape_jobs.delete_job(saved.id, an_entry())
    with pytest.raises(NotFoundError):
        await state.scrape_jobs.replace_job(saved, an_entry())


async def test_each_change_has_its_audit_row_and_a_refused_one_has_none(state: State) -> None:
    saved = await state.scrape_jobs.add_job(NODE, an_entry("add"))
    await state.scrape_jobs.replace_job(saved, an_entry("change"))
    with pytest.raises(ConflictError):
        await state.scrape_jobs.add_job(NODE, an_entry("refused"))
    await state.scrape_jobs.delete_job(saved.id, an_entry("delete"))
    rows = (await state.access.audit(PageRequest())).items
    assert [row.entry.action for row in rows] == ["delete", "change", "add"]
