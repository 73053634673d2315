"""The hub without a network: who is told what, and who is dropped."""

import json
import math
from typing import Any

import numpy as np
import pytest
from tests.support.state import an_alert

from tocsin.api.stream import QUEUE_MAX, SERIES_MAX, SUBSCRIPTIONS_MAX, TOO_SLOW, Connection, Hub
from tocsin.model.alert import AlertEvent, AlertEventKind
from tocsin.model.errors import AccessError, LimitError, UserError
from tocsin.model.labels import Labels
from tocsin.model.matcher import parse_matcher
from tocsin.model.series import SampleBatch
from tocsin.runtime.clock import FixedClock
from tocsin.runtime.telemetry import Telemetry


class Index:
    """Labels by id, which counts how often it is asked."""

    def __init__(self) -> None:
        self.known: dict[int, Labels] = {}
        self.asked = 0

    def add(self, name: str, **tags: str) -> int:
        labels = Labels.metric(name, tags)
        self.known[labels.series_id()] = labels
        return labels.series_id()

    def labels(self, series_id: int) -> Labels:
        self.asked += 1
        return self.known[series_id]


@pytest.fixture
def index() -> Index:
    return Index()


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


@pytest.fixture
def hub(index: Index, telemetry: Telemetry) -> Hub:
    return Hub(FixedClock(), telemetry, index, gather_s=0)


def batch(*samples: tuple[int, float]) -> SampleBatch:
    ids, values = zip(*samples, strict=True)
    return SampleBatch(np.array(ids, np.uint64), np.full(len(ids), 1_000, np.int64), np.array(values, np.float64))


async def heard(connection: Connection) -> list[Any]:
    """Everything that waits for the connection."""
    connection.offer('"end"')
    messages: list[Any] = []
    while (text := await connection.next()) != '"end"':
        messages.append(json.loads(text or "null"))
    return messages


async def test_an_alert_reaches_everybody_who_may_read_alerts(hub: Hub) -> None:
    one, other = hub.join(alerts=True, samples=True), hub.join(alerts=False, samples=True)
    hub.publish(AlertEvent(AlertEventKind.FIRING, an_alert(id=1), 1_800_000_000_000))
    (message,) = await heard(one)
    assert message["type"] == "alert.firing"
    assert message["at"] == 1_800_000_000_000
    assert message["alert"]["rule_name"] == "High CPU Usage"
    assert message["alert"]["labels"] == {"host": "web"}
    assert await heard(other) == []


async def test_an_alert_beyond_all_numbers_is_still_told(hub: Hub) -> None:
    connection = hub.join(alerts=True, samples=False)
    hub.publish(AlertEvent(AlertEventKind.FIRING, an_alert(id=1, value=math.inf, peak=-math.inf), 0))
    (message,) = await heard(connection)
    assert (message["alert"]["value"], message["alert"]["peak"]) == (None, None)


async def test_live_values_of_the_series_that_fit_are_sent(hub: Hub, index: Index) -> None:
    wanted, other, metric = index.add("cpu", host="a"), index.add("cpu", host="b"), index.add("mem", host="a")
    connection = hub.join(alerts=False, samples=True)
    hub.subscribe(connection, "c1", "cpu", [parse_matcher('host="a"')])
    await hub.observe(batch((other, 1), (wanted, 2.5), (metric, 3), (wanted, 4)), 0)
    assert await heard(connection) == [
        {
            "type": "samples",
            "id": "c1",
            "samples": [
                {"labels": {"host": "a"}, "time": 1_000, "value": 2.5},
                {"labels": {"host": "a"}, "time": 1_000, "value": 4.0},
            ],
        }
    ]


async def test_a_number_that_json_cannot_write_is_null(hub: Hub, index: Index) -> None:
    series = index.add("cpu")
    connection = hub.join(alerts=False, samples=True)
    hub.subscribe(connection, "c1", "cpu", [])
    await hub.observe(batch((series, float("nan")), (series, float("-inf")), (series, 1e300)), 0)
    (message,) = await heard(connection)
    assert [sample["value"] for sample in message["samples"]] == [None, None, 1e300]


async def test_a_series_that_is_already_known_is_found_by_a_later_subscription(hub: Hub, index: Index) -> None:
    series = index.add("cpu")
    first, second = hub.join(alerts=False, samples=True), hub.join(alerts=False, samples=True)
    hub.subscribe(first, "x", "mem", [])
    await hub.observe(batch((series, 1)), 0)
    hub.subscribe(second, "y", "cpu", [])
    await hub.observe(batch((series, 2)), 0)
    assert await heard(first) == []
    assert [message["id"] for message in await heard(second)] == ["y"]


async def test_two_who_ask_for_the_same_both_hear_it(hub: Hub, index: Index) -> None:
    series = index.add("cpu", host="a")
    connections = [hub.join(alerts=False, samples=True) for _ in range(2)]
    for connection in connections:
        hub.subscribe(connection, "c", "cpu", [parse_matcher('host=~"a|b"')])
    await hub.observe(batch((series, 1)), 0)
    hub.leave(connections[0])
    await hub.observe(batch((series, 2)), 0)
    assert len(await heard(connections[0])) == 1
    assert len(await heard(connections[1])) == 2


async def test_after_unsubscribing_nothing_more_comes(hub: Hub, index: Index) -> None:
    series = index.add("cpu")
    connection = hub.join(alerts=False, samples=True)
    hub.subscribe(connection, "c", "cpu", [])
    hub.unsubscribe(connection, "c")
    hub.unsubscribe(connection, "never asked for")
    await hub.observe(batch((series, 1)), 0)
    assert await heard(connection) == []


async def test_the_same_id_again_replaces_the_subscription(hub: Hub, index: Index) -> None:
    cpu, mem = index.add("cpu"), index.add("mem")
    connection = hub.join(alerts=False, samples=True)
    hub.subscribe(connection, "c", "cpu", [])
    hub.subscribe(connection, "c", "mem", [])
    await hub.observe(batch((cpu, 1), (mem, 2)), 0)
    (message,) = await heard(connection)
    assert [sample["value"] for sample in message["samples"]] == [2]


async def test_a_series_is_looked_at_once(hub: Hub, index: Index) -> None:
    ids = [index.add("cpu", core=str(core)) for core in range(100)]
    hub.subscribe(hub.join(alerts=False, samples=True), "c", "mem", [])
    for _ in range(3):
        await hub.observe(batch(*((series, 1.0) for series in ids)), 0)
    assert index.asked == 100


async def test_nothing_is_looked_at_while_nobody_watches(hub: Hub, index: Index) -> None:
    series = index.add("cpu")
    hub.join(alerts=True, samples=True)
    await hub.observe(batch((series, 1)), 0)
    assert index.asked == 0


async def test_a_series_that_is_forgotten_meanwhile_is_passed_over(hub: Hub, index: Index) -> None:
    series = index.add("cpu")
    connection = hub.join(alerts=False, samples=True)
    hub.subscribe(connection, "c", "cpu", [])
    await hub.observe(batch((7, 1), (series, 2)), 0)
    (message,) = await heard(connection)
    assert len(message["samples"]) == 1


async def test_a_subscription_to_very_many_series_is_cut_and_told_so(hub: Hub, index: Index) -> None:
    ids = [index.add("cpu", core=str(core)) for core in range(SERIES_MAX + 5)]
    connection = hub.join(alerts=False, samples=True)
    hub.subscribe(connection, "c", "cpu", [])
    for _ in range(2):  # a batch learns only so many new series
        await hub.observe(batch(*((series, 1.0) for series in ids)), 0)
    *_, error, samples = await heard(connection)
    assert error["type"] == "error"
    assert "Narrow the match" in error["detail"]
    assert len(samples["samples"]) == SERIES_MAX


async def test_a_slow_reader_is_dropped_and_counted(hub: Hub, telemetry: Telemetry) -> None:
    connection = hub.join(alerts=True, samples=False)
    for _ in range(QUEUE_MAX + 10):
        hub.publish(AlertEvent(AlertEventKind.CHANGED, an_alert(id=1), 0))
    assert connection.ending is not None
    assert connection.ending.code == TOO_SLOW
    assert await connection.next() is None
    assert telemetry.registry.get_sample_value("tocsin_live_dropped_total") == 1


async def test_one_slow_reader_does_not_hold_up_another(hub: Hub) -> None:
    slow, quick = hub.join(alerts=True, samples=False), hub.join(alerts=True, samples=False)
    for _ in range(QUEUE_MAX + 1):
        hub.publish(AlertEvent(AlertEventKind.CHANGED, an_alert(id=1), 0))
        assert await quick.next() is not None
    assert slow.ending is not None
    assert quick.ending is None


async def test_subscriptions_are_limited(hub: Hub) -> None:
    connection = hub.join(alerts=False, samples=True)
    for number in range(SUBSCRIPTIONS_MAX):
        hub.subscribe(connection, str(number), f"metric{number}", [])
    with pytest.raises(LimitError, match="64"):
        hub.subscribe(connection, "one more", "metric", [])


async def test_samples_need_their_permission_and_a_name(hub: Hub) -> None:
    with pytest.raises(AccessError):
        hub.subscribe(hub.join(alerts=True, samples=False), "c", "cpu", [])
    with pytest.raises(UserError, match="Name the metric"):
        hub.subscribe(hub.join(alerts=True, samples=True), "c", "", [])


async def test_rows_gather_into_one_message(index: Index, telemetry: Telemetry) -> None:
    hub = Hub(FixedClock(), telemetry, index, gather_s=0.001)
    series = index.add("cpu")
    connection = hub.join(alerts=False, samples=True)
    hub.subscribe(connection, "c", "cpu", [])
    for value in range(3):
        await hub.observe(batch((series, value)), 0)
    text = await connection.next()
    assert [sample["value"] for sample in json.loads(text or "")["samples"]] == [0, 1, 2]
