"""RuleStore on every database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.state import KINDS, a_rule, an_alert, an_entry, firing, open_kind

from tocsin.model.alert import HistoryQuery
from tocsin.model.errors import ConflictError, NotFoundError
from tocsin.model.page import PageRequest
from tocsin.model.rule import Condition, Severity
from tocsin.rules.ports import RuleStore
from tocsin.store.state.state import State


@pytest.fixture(params=KINDS)
async def state(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[State]:
    async with open_kind(request.param, tmp_path) as opened:
        yield opened


def test_the_store_fits_the_port(state: State) -> None:
    port: RuleStore = state.rules
    assert port is state.rules


async def test_an_empty_store_has_no_rules(state: State) -> None:
    assert await state.rules.rules() == ()


async def test_rules_come_back_as_they_were_saved_with_ids_in_order(state: State) -> None:
    given = [a_rule(name=f"rule {number}", threshold=number / 3) for number in range(30)]
    saved = await state.rules.add_rules(given, [an_entry()])
    assert [replace(rule, id=0) for rule in saved] == given
    assert [rule.id for rule in saved] == sorted({rule.id for rule in saved})
    assert await state.rules.rules() == saved


@pytest.mark.parametrize("duration_ms", [0, 1, 1_500, 300_000, 365 * 86_400_000 - 1])
async def test_a_duration_is_kept_to_the_millisecond(state: State, duration_ms: int) -> None:
    (saved,) = await state.rules.add_rules([a_rule(duration_ms=duration_ms)], [])
    assert saved.duration_ms == duration_ms


async def test_text_of_every_kind_survives(state: State) -> None:
    rule = a_rule(name="Größe 🔔 '\"\\ %s", description="<b>\r\n{{ x }}</b>", condition=Condition.NOT_EQUAL)
    (saved,) = await state.rules.add_rules([rule], [])
    assert replace(saved, id=0) == rule


async def test_replacing_a_rule_raises_its_version(state: State) -> None:
    (saved,) = await state.rules.add_rules([a_rule()], [])
    changed = await state.rules.replace_rule(replace(saved, severity=Severity.CRITICAL, enabled=False), an_entry())
    assert changed == replace(saved, severity=Severity.CRITICAL, enabled=False, version=2)
    assert await state.rules.rules() == (changed,)


async def test_the_second_of_two_changes_to_one_version_is_a_conflict(state: State) -> None:
    (saved,) = await state.rules.add_rules([a_rule()], [])
    await state.rules.replace_rule(replace(saved, threshold=1.0), an_entry())
    with pytest.raises(ConflictError, match="version 2"):
        await state.rules.replace_rule(replace(saved, threshold=2.0), an_entry())
    assert (await state.rules.rules())[0].threshold == 1.0


async def test_a_rule_that_is_not_there_cannot_be_changed_or_deleted(state: State) -> None:
    with pytest.raises(NotFoundError):
        await state.rules.replace_rule(a_rule(id=7), an_entry())
    with pytest.raises(NotFoundError):
        await state.rules.delete_rule(7, an_entry())


async def test_history_and_alerts_outlive_their_rule(state: State) -> None:
    (rule,) = await state.rules.add_rules([a_rule()], [])
    (alert,) = await state.alerts.save_changes([firing(an_alert(rule_id=rule.id))])
    await state.rules.delete_rule(rule.id, an_entry())
    assert await state.rules.rules() == ()
    (item,) = (await state.book.history(HistoryQuery(), PageRequest())).items
    assert (item.rule_id, item.rule_name, item.alert_id) == (None, "High CPU Usage", alert.id)
    assert (await state.book.alert(alert.id)).rule_id is None


async def test_the_id_of_a_deleted_rule_is_not_given_again(state: State) -> None:
    (first,) = await state.rules.add_rules([a_rule()], [])
    await state.rules.delete_rule(first.id, an_entry())
    (second,) = await state.rules.add_rules([a_rule()], [])
    assert second.id > first.id


async def test_each_change_is_audited_with_it(state: State) -> None:
    (rule,) = await state.rules.add_rules([a_rule()], [an_entry("rule.create")])
    changed = await state.rules.replace_rule(rule, an_entry("rule.change"))
    await state.rules.delete_rule(changed.id, an_entry("rule.delete"))
    rows = (await state.access.audit(PageRequest())).items
    assert [row.entry for row in rows] == [an_entry("rule.delete"), an_entry("rule.change"), an_entry("rule.create")]


async def test_a_refused_change_is_not_audited(state: State) -> None:
    with pytest.raises(NotFoundError):
        await state.rules.delete_rule(7, an_entry())
    assert (await state.access.audit(PageRequest())).items == ()


async def test_a_rule_may_be_an_expression(state: State) -> None:
    rule = a_rule(metric_name="", expr='sum by (job) (rate({"http.requests"}[5m])) > 1')
    (saved,) = await state.rules.add_rules([rule], [])
    assert replace(saved, id=0) == rule
    assert await state.rules.rules() == (saved,)
