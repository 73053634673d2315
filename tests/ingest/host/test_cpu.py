from __future__ import annotations

from collections.abc import Iterable

import pytest

from tocsin.ingest.host.cpu import Cpu, busy_share, by_mode, spent_between
from tocsin.ingest.host.reading import Figures, Reading

START = {"user": 100.0, "nice": 0.0, "system": 50.0, "idle": 800.0, "iowait": 50.0, "irq": 1.0, "softirq": 2.0}


def moved(by: Figures, start: Figures = START) -> dict[str, float]:
    return {field: start[field] + by.get(field, 0.0) for field in start}


def read_twice(first: Figures, second: Figures) -> list[Reading]:
    answers = iter([first, second])
    cpu = Cpu(lambda: next(answers), lambda: 2)
    list(cpu.read(0.0))
    return list(cpu.read(5.0))


def value(readings: Iterable[Reading], name: str, **tags: str) -> float:
    [found] = [one.value for one in readings if one.name == name and tags.items() <= dict(one.tags).items()]
    return found


def test_busy_is_all_time_but_idle_and_waiting_for_disks() -> None:
    readings = read_twice(START, moved({"user": 3.0, "system": 1.0, "idle": 5.0, "iowait": 1.0}))
    assert value(readings, "system.cpu.usage") == 40.0


def test_shares_of_the_modes_add_up_to_one() -> None:
    readings = read_twice(START, moved({"user": 3.0, "softirq": 1.0, "idle": 4.0}))
    shares = {dict(one.tags)["mode"]: one.value for one in readings if one.name == "system.cpu.utilization"}
    assert sum(shares.values()) == pytest.approx(1.0)
    assert (shares["user"], shares["interrupt"]) == (0.375, 0.125)


def test_the_first_read_has_counters_but_no_shares() -> None:
    names = {one.name for one in Cpu(lambda: START, lambda: 2).read(0.0)}
    assert names == {"system.cpu.time", "system.cpu.logical.count"}


def test_a_read_in_the_same_instant_has_no_shares() -> None:
    assert "system.cpu.usage" not in {one.name for one in read_twice(START, START)}


def test_guests_are_not_counted_a_second_time() -> None:
    guests = START | {"guest": 90.0, "guest_nice": 5.0}
    assert by_mode(guests) == by_mode(START)


def test_time_that_a_hypervisor_took_counts_as_busy() -> None:
    assert busy_share({"steal": 1.0, "idle": 3.0}) == 0.25


def test_a_counter_that_slips_back_counts_as_unmoved() -> None:
    readings = read_twice(START, moved({"user": 1.0, "idle": 3.0, "iowait": -2.0}))
    assert value(readings, "system.cpu.usage") == 25.0


def test_counters_that_all_fell_give_no_share() -> None:
    assert spent_between({"user": 5.0, "idle": 5.0}, {"user": 1.0, "idle": 1.0}) is None


def test_usage_stays_between_0_and_100() -> None:
    assert value(read_twice(START, moved({"user": 7.0})), "system.cpu.usage") == 100.0
    assert value(read_twice(START, moved({"idle": 7.0})), "system.cpu.usage") == 0.0


def test_single_cores_have_names_of_their_own() -> None:
    answers = iter([[START, START], [moved({"user": 1.0, "idle": 1.0}), moved({"idle": 2.0})]])
    cpu = Cpu(lambda: START, lambda: 2, lambda: next(answers))
    list(cpu.read(0.0))
    readings = list(cpu.read(2.0))
    assert [one.value for one in readings if one.name == "system.cpu.core.usage"] == [50.0, 0.0]
    assert {dict(one.tags).get("cpu") for one in readings if one.name == "system.cpu.time"} == {None}


def test_a_core_that_comes_on_line_starts_all_cores_afresh() -> None:
    answers = iter([[START], [START, START], [moved({"user": 1.0}), moved({"idle": 1.0})]])
    cpu = Cpu(lambda: START, lambda: 2, lambda: next(answers))
    list(cpu.read(0.0))
    assert not [one for one in cpu.read(1.0) if one.name == "system.cpu.core.usage"]
    assert [one.value for one in cpu.read(2.0) if one.name == "system.cpu.core.usage"] == [100.0, 0.0]
