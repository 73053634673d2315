"""PolicyStore on every database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.state import AT_MS, KINDS, an_entry, open_kind

from tocsin.model.duration import DAY_MS
from tocsin.model.errors import ConflictError
from tocsin.model.matcher import parse_selector
from tocsin.model.page import PageRequest
from tocsin.model.retention import Policy
from tocsin.store.retention import PolicyStore
from tocsin.store.state.state import State

DEV = Policy(0, "dev", parse_selector('{team="dev",host=~"ü\\"x"}'), 2 * DAY_MS, created_at_ms=AT_MS)
SLO = Policy(0, "slo", parse_selector('{__name__=~"slo.*"}'), None, 5, 2**61, updated_at_ms=AT_MS)


@pytest.fixture(params=KINDS)
async def state(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[State]:
    async with open_kind(request.param, tmp_path) as opened:
        yield opened


async def test_policies_come_back_in_their_order_as_they_were_saved(state: State) -> None:
    store: PolicyStore = state.policies
    assert await store.policies() == ()
    saved = await store.replace((), (SLO, DEV), [an_entry()])
    assert [replace(one, id=0) for one in saved] == [SLO, DEV]
    assert await store.policies() == saved
    assert len((await state.access.audit(PageRequest())).items) == 1


async def test_a_new_order_keeps_ids_and_versions_and_a_change_raises_its_own(state: State) -> None:
    slo, dev = await state.policies.replace((), (SLO, DEV), [])
    turned = await state.policies.replace((slo, dev), (dev, replace(slo, raw_ms=DAY_MS, updated_at_ms=7)), [])
    assert turned == (dev, replace(slo, raw_ms=DAY_MS, version=2, updated_at_ms=7))


async def test_what_is_left_out_is_gone_and_ids_are_not_given_again(state: State) -> None:
    slo, dev = await state.policies.replace((), (SLO, DEV), [])
    (left,) = await state.policies.replace((slo, dev), (slo,), [])
    assert left == slo
    _, new = await state.policies.replace((slo,), (slo, DEV), [])
    assert new.id > dev.id


async def test_a_change_of_a_list_that_is_no_longer_the_saved_one_is_a_conflict(state: State) -> None:
    saved = await state.policies.replace((), (SLO,), [])
    with pytest.raises(ConflictError):
        await state.policies.replace((), (DEV,), [an_entry()])
    assert await state.policies.policies() == saved
    assert (await state.access.audit(PageRequest())).items == ()
