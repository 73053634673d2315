from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.support.ruling import INTERVAL_MS, RuleHouse, a_group, a_record, an_alert_rule

from tocsin.model.alert import AlertState, Reason
from tocsin.model.errors import StoreError
from tocsin.model.labels import Labels
from tocsin.model.rule import Condition, Rule, Severity
from tocsin.rules.status import Health

UP_A, UP_B = Labels.metric("up", {"host": "a"}), Labels.metric("up", {"host": "b"})
SAVED = Rule(id=7, name="Down", metric_name="", condition=Condition.ABOVE, threshold=0.0, expr="up == 0")


@pytest.fixture
async def house() -> RuleHouse:
    made = RuleHouse()
    await made.start()
    return made


async def test_every_series_of_the_result_is_an_alert(house: RuleHouse) -> None:
    await house.runner.take([a_group(an_alert_rule())])
    assert await house.tick((UP_A, 0.0), (UP_B, 1.0)) == [("inactive", "firing")]
    (alert,) = house.state.rows.values()
    assert alert.labels == Labels.of(alertname="Down", host="a", severity="critical")
    assert (alert.severity, alert.expr, alert.value, alert.rule_id) == (Severity.CRITICAL, "up == 0", 0.0, None)
    assert alert.notify_at_ms == alert.fired_at_ms > 0


async def test_an_alert_is_pending_for_its_duration_and_resolves_when_its_series_is_gone(house: RuleHouse) -> None:
    await house.runner.take([a_group(an_alert_rule(for_ms=2 * INTERVAL_MS))])
    assert await house.tick((UP_A, 0.0)) == [("inactive", "pending")]
    assert await house.tick((UP_A, 0.0)) == []
    assert await house.tick((UP_A, 0.0)) == [("pending", "firing")]
    assert await house.tick((UP_A, 1.0)) == [("firing", "resolved")]
    (alert,) = house.state.rows.values()
    assert (alert.state, alert.reason) == (AlertState.RESOLVED, Reason.CLEARED)
    assert await house.tick((UP_A, 1.0)) == []


async def test_alerts_are_series_while_they_are_open(house: RuleHouse) -> None:
    await house.runner.take([a_group(an_alert_rule(for_ms=INTERVAL_MS))])
    await house.tick((UP_A, 0.0))
    pending = 'ALERTS{alertname="Down", alertstate="pending", host="a", severity="critical"}'
    assert await house.values("ALERTS") == {pending: 1.0}
    since = house.state.rows[1].since_ms
    assert list((await house.values("ALERTS_FOR_STATE")).values()) == [since // 1000]
    await house.tick((UP_A, 0.0))
    assert list(await house.values("ALERTS")) == [pending.replace("pending", "firing")]
    await house.tick((UP_A, 1.0))
    assert await house.values("ALERTS") == {}
    assert await house.values("ALERTS_FOR_STATE") == {}


async def test_rules_of_a_group_see_what_those_before_them_recorded(house: RuleHouse) -> None:
    rules = (
        a_record("host:down", "sum(1 - up)"),
        a_record("host:double", "host:down * 2"),
        an_alert_rule("host:double > 1", "Many"),
    )
    await house.runner.take([a_group(*rules)])
    assert await house.tick((UP_A, 0.0), (UP_B, 1.0)) == [("inactive", "firing")]
    assert await house.values("host:double") == {"host:double": 2.0}


async def test_rules_that_do_not_depend_on_one_another_are_read_in_one_go(house: RuleHouse) -> None:
    await house.runner.take([a_group(*(a_record(f"n:{number}", f"sum(up) + {number}") for number in range(50)))])
    await house.tick((UP_A, 1.0))
    assert house.source.reads == 1
    assert len(await house.values('{__name__=~"n:.+"}')) == 50


async def test_a_recorded_series_that_is_not_there_any_more_ends(house: RuleHouse) -> None:
    await house.runner.take([a_group(a_record("host:up", "up == 1"))])
    await house.tick((UP_A, 1.0), (UP_B, 1.0))
    assert len(await house.values("host:up")) == 2
    await house.tick((UP_A, 1.0), (UP_B, 0.0))
    assert await house.values("host:up") == {'host:up{host="a"}': 1.0}


async def test_a_query_that_fails_changes_no_state_and_is_told(house: RuleHouse) -> None:
    await house.runner.take([a_group(an_alert_rule(), a_record("x", "up * on() up"))])
    await house.tick((UP_A, 0.0), (UP_B, 1.0))
    assert [rule.last.health for rule in house.group().rules] == [Health.OK, Health.ERROR]
    house.source.away = True
    assert await house.tick((UP_A, 1.0)) == []
    (alert,) = house.state.rows.values()
    assert alert.state is AlertState.FIRING
    assert house.group().rules[0].last.error == "the sample store is away"
    house.source.away = False
    assert await house.tick((UP_A, 1.0)) == [("firing", "resolved")]
    assert house.group().rules[0].last.health is Health.OK


async def test_alerts_that_cannot_be_saved_are_found_again_at_the_next_evaluation(house: RuleHouse) -> None:
    await house.runner.take([a_group(an_alert_rule())])
    house.trouble.times = 1
    assert await house.tick((UP_A, 0.0)) == []
    assert house.state.rows == {}
    assert await house.tick((UP_A, 0.0)) == [("inactive", "firing")]


async def test_a_save_whose_answer_was_lost_makes_no_second_alert(house: RuleHouse) -> None:
    await house.runner.take([a_group(an_alert_rule())])

    def lose() -> None:
        house.state.after_commit = lambda: None
        raise StoreError("the connection broke")

    house.state.after_commit = lose
    await house.tick((UP_A, 0.0))
    await house.tick((UP_A, 0.0))
    assert [row.state for row in house.state.rows.values()] == [AlertState.FIRING]


async def test_a_pending_alert_keeps_its_start_over_a_restart(house: RuleHouse) -> None:
    group = a_group(an_alert_rule(for_ms=3 * INTERVAL_MS))
    await house.runner.take([group])
    await house.tick((UP_A, 0.0))
    await house.tick((UP_A, 0.0))
    await house.start()
    await house.runner.take([group])
    await house.tick((UP_A, 0.0))
    assert await house.tick((UP_A, 0.0)) == [("pending", "firing")]


async def test_a_firing_alert_is_not_resolved_by_the_silence_after_a_start(house: RuleHouse) -> None:
    group = a_group(an_alert_rule())
    await house.runner.take([group])
    await house.tick((UP_A, 0.0))
    house.clock.advance(3_600_000)
    await house.start()
    await house.runner.take([group])
    assert await house.tick() == []
    assert await house.tick((UP_A, 0.0)) == []
    house.clock.advance(120_000)
    assert await house.tick((UP_A, 1.0)) == [("firing", "resolved")]


async def test_keep_firing_for_is_counted_over_a_restart(house: RuleHouse) -> None:
    group = a_group(an_alert_rule(keep_ms=4 * INTERVAL_MS))
    await house.runner.take([group])
    await house.tick((UP_A, 0.0))
    assert await house.tick((UP_A, 1.0)) == [("firing", "firing")]  # saved, so that the time is not lost
    await house.start()
    await house.runner.take([group])
    house.clock.advance(120_000)
    assert await house.tick((UP_A, 1.0)) == [("firing", "resolved")]


async def test_a_rule_that_is_taken_out_closes_its_alerts_and_ends_its_series(house: RuleHouse) -> None:
    await house.runner.take([a_group(an_alert_rule(), a_record("host:up", "up"))])
    await house.tick((UP_A, 0.0))
    house.told()
    await house.runner.take([])
    (change,) = house.sink.take()
    assert (change.alert.state, change.alert.reason) == (AlertState.RESOLVED, Reason.RULE_DELETED)
    house.clock.advance(1)
    assert await house.values('{__name__=~"ALERTS|host:up"}') == {}


async def test_a_rule_whose_expression_changes_keeps_the_alerts_that_still_hold(house: RuleHouse) -> None:
    await house.runner.take([a_group(an_alert_rule())])
    await house.tick((UP_A, 0.0))
    await house.runner.take([a_group(an_alert_rule("up < 1"))])
    assert await house.tick((UP_A, 0.0)) == [("firing", "firing")]
    (alert,) = house.state.rows.values()
    assert alert.expr == "up < 1"


async def test_alerts_of_a_broken_file_stay_open_over_a_restart(house: RuleHouse) -> None:
    await house.runner.take([a_group(an_alert_rule())])
    await house.tick((UP_A, 0.0))
    await house.start()
    await house.runner.take([], keeping=["rules.yml"])
    assert [row.state for row in house.state.rows.values()] == [AlertState.FIRING]
    await house.runner.take([a_group(an_alert_rule())])
    assert house.group().rules[0].alerts[0].state is AlertState.FIRING
    await house.start()
    await house.runner.take([])
    assert [row.reason for row in house.state.rows.values()] == [Reason.RULE_DELETED]


async def test_saved_rules_are_a_group_of_their_own(house: RuleHouse) -> None:
    await house.runner.judge([SAVED, replace(SAVED, id=8, expr="", metric_name="up")])
    await house.tick((UP_A, 0.0))
    assert house.runner.summary() == {7: (0, 1)}
    assert house.group("rules").file == ""
    await house.runner.judge([replace(SAVED, enabled=False)])
    (alert,) = house.state.rows.values()
    assert (alert.rule_id, alert.state, alert.reason) == (7, AlertState.RESOLVED, Reason.RULE_DISABLED)


async def test_a_group_that_is_still_busy_misses_its_next_moment_and_delays_no_other(house: RuleHouse) -> None:
    slow, quick = a_group(a_record("slow", "up"), name="slow"), a_group(a_record("quick", "up"), name="quick")
    await house.runner.take([slow, quick])
    run = house.runner._groups["rules.yml", "slow"]
    await run.lock.acquire()
    house.clock.advance(INTERVAL_MS)
    looking = asyncio.create_task(house.runner.look(house.now_ms))
    for _ in range(3):
        house.clock.advance(INTERVAL_MS)
        house.runner._start_due(house.now_ms)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    for _ in range(20):
        await asyncio.sleep(0)
    assert house.group("slow").missed >= 2
    assert house.group("slow").evaluations == 0
    assert house.group("quick").evaluations >= 1
    run.lock.release()
    await looking
    await house.runner.look(house.now_ms)
    assert house.group("slow").evaluations == 1


async def test_moments_that_were_slept_through_are_counted_and_not_made_up_for(house: RuleHouse) -> None:
    await house.runner.take([a_group(a_record("x", "up"))])
    house.clock.advance(10 * INTERVAL_MS)
    await house.runner.look(house.now_ms)
    status = house.group()
    assert (status.evaluations, status.missed) == (1, 9)


async def test_a_clock_that_is_set_back_stops_no_group(house: RuleHouse) -> None:
    await house.runner.take([a_group(a_record("x", "up"))])
    await house.tick()
    house.clock.jump(-3_600_000)
    house.runner._start_due(house.now_ms)
    await house.tick()
    assert house.group().evaluations == 2


async def test_a_group_asks_as_far_back_as_its_offset_says(house: RuleHouse) -> None:
    group = replace(a_group(a_record("x", "up")), query_offset_ms=60_000)
    await house.runner.take([group])
    await house.push((UP_A, 1.0))
    house.clock.advance(INTERVAL_MS)
    await house.tick()
    assert await house.values("x") == {}
    house.clock.advance(60_000)
    await house.tick((UP_A, 2.0))
    assert list((await house.values("x")).values()) == [1.0]


async def test_a_storm_of_series_is_saved_whole_and_told_in_pieces(house: RuleHouse) -> None:
    await house.runner.take([a_group(an_alert_rule())])
    storm = [(Labels.metric("up", {"host": str(number)}), 0.0) for number in range(1_200)]
    told = await house.tick(*storm)
    assert told == [("inactive", "firing")] * 1_200
    assert len(house.state.saves) == 1
    assert len(await house.values("ALERTS")) == 1_200
    over = await house.tick(*((labels, 1.0) for labels, _ in storm))
    assert over == [("firing", "resolved")] * 1_200
