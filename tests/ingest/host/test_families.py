from __future__ import annotations

from collections.abc import Iterable

from tocsin.ingest.host.disk import Disk
from tocsin.ingest.host.load import Load
from tocsin.ingest.host.memory import Memory, Paging
from tocsin.ingest.host.network import Network
from tocsin.ingest.host.process import Processes
from tocsin.ingest.host.rates import Rates
from tocsin.ingest.host.reading import Reading, any_of
from tocsin.ingest.host.sensors import Sensors
from tocsin.ingest.host.uptime import Uptime
from tocsin.ingest.settings import HostSettings

NOTHING = any_of(())


def values(readings: Iterable[Reading], name: str) -> dict[str, float]:
    """By the tags' values, joined."""
    return {" ".join(text for _, text in one.tags): one.value for one in readings if one.name == name}


def test_memory_in_use_is_what_is_not_available() -> None:
    readings = list(
        Memory(lambda: {"total": 1_000, "available": 250, "free": 100, "cached": 200, "buffers": 50}).read(0)
    )
    assert values(readings, "system.memory.usage") == {"": 75.0}
    assert values(readings, "system.memory.limit") == {"": 1_000}


def test_the_states_of_memory_add_up_to_all_of_it() -> None:
    readings = list(
        Memory(lambda: {"total": 1_000, "available": 250, "free": 100, "cached": 200, "buffers": 50}).read(0)
    )
    states = values(readings, "system.memory.bytes")
    assert states == {"free": 100, "cached": 200, "buffers": 50, "used": 650}


def test_swap_has_a_percentage_only_where_there_is_swap() -> None:
    some = {"total": 200, "used": 50, "free": 150, "sin": 1, "sout": 2}
    assert values(Paging(lambda: some).read(0), "system.swap.usage") == {"": 25.0}
    none = dict.fromkeys(some, 0)
    assert values(Paging(lambda: none).read(0), "system.swap.usage") == {}
    assert values(Paging(lambda: none).read(0), "system.paging.usage") == {"used": 0, "free": 0}


def test_load_has_three_spans() -> None:
    assert [(one.name[-3:], one.value) for one in Load(lambda: (1.0, 2.0, 3.0)).read(0)] == [
        (".1m", 1.0),
        (".5m", 2.0),
        ("15m", 3.0),
    ]


def disk_figures(read: float, write: float, busy_ms: float = 0.0) -> dict[str, float]:
    return {
        "read_bytes": read,
        "write_bytes": write,
        "read_count": 1,
        "write_count": 2,
        "read_time": 1_500,
        "write_time": 0,
        "busy_time": busy_ms,
    }


def test_disks_have_totals_at_once_and_rates_from_the_second_read() -> None:
    answers = iter([{"sda": disk_figures(1_000, 0)}, {"sda": disk_figures(6_000, 500, 2_500)}])
    disk = Disk(lambda: next(answers), lambda: None, NOTHING)
    first = list(disk.read(0.0))
    assert values(first, "system.disk.io") == {"sda read": 1_000, "sda write": 0}
    assert values(first, "system.disk.operation_time") == {"sda read": 1.5, "sda write": 0}
    assert values(first, "system.disk.rate") == {}
    second = list(disk.read(5.0))
    assert values(second, "system.disk.rate") == {"sda read": 1_000.0, "sda write": 100.0}
    assert values(second, "system.disk.busy") == {"sda": 50.0}


def test_a_disk_is_never_busier_than_always() -> None:
    answers = iter([{"sda": disk_figures(0, 0, 0)}, {"sda": disk_figures(0, 0, 5_100)}])
    disk = Disk(lambda: next(answers), lambda: None, NOTHING)
    list(disk.read(0.0))
    assert values(disk.read(5.0), "system.disk.busy") == {"sda": 100.0}


def test_partitions_and_ignored_disks_are_left_out() -> None:
    figures = {name: disk_figures(0, 0) for name in ("sda", "sda1", "loop0", "nvme0n1", "nvme0n1p1", "dm-0")}
    whole = frozenset({"sda", "loop0", "nvme0n1", "dm-0"})
    disk = Disk(lambda: figures, lambda: whole, any_of(HostSettings().disks_ignored))
    assert {dict(one.tags)["device"] for one in disk.read(0.0)} == {"sda", "nvme0n1"}


def interface(received: float, sent: float) -> dict[str, float]:
    zeros = dict.fromkeys(("packets_recv", "packets_sent", "dropin", "dropout", "errin", "errout"), 0.0)
    return {"bytes_recv": received, "bytes_sent": sent} | zeros


def test_interfaces_have_totals_at_once_and_rates_from_the_second_read() -> None:
    answers = iter([{"eth0": interface(0, 100)}, {"eth0": interface(5_000, 350)}])
    network = Network(lambda: next(answers), NOTHING)
    first = list(network.read(10.0))
    assert values(first, "system.network.io") == {"receive eth0": 0, "transmit eth0": 100}
    assert values(first, "system.network.errors") == {"receive eth0": 0, "transmit eth0": 0}
    second = values(network.read(12.5), "system.network.rate")
    assert second == {"receive eth0": 2_000.0, "transmit eth0": 100.0}


def test_interfaces_of_containers_are_left_out_and_real_ones_are_not() -> None:
    names = ("lo", "veth1a2b", "docker0", "br-91f", "eth0", "enp3s0", "wlan0", "wg0", "tun0", "bond0", "br0")
    network = Network(lambda: {name: interface(0, 0) for name in names}, any_of(HostSettings().interfaces_ignored))
    seen = {dict(one.tags)["interface"] for one in network.read(0.0)}
    assert seen == {"eth0", "enp3s0", "wlan0", "wg0", "tun0", "bond0", "br0"}


def test_a_counter_that_was_reset_has_no_rate_until_the_next_round() -> None:
    rates: Rates[str] = Rates()
    steps = [rates.step({"a": count}, at_s) for at_s, count in enumerate((100.0, 200.0, 5.0, 15.0), start=1)]
    assert steps == [{}, {"a": 100.0}, {}, {"a": 10.0}]


def test_a_counter_that_comes_back_has_no_rate_over_its_absence() -> None:
    rates: Rates[str] = Rates()
    steps = [rates.step(counters, at_s) for at_s, counters in enumerate(({"a": 1.0}, {}, {"a": 9.0}), start=1)]
    assert steps == [{}, {}, {}]


def test_two_reads_in_one_instant_have_no_rate() -> None:
    rates: Rates[str] = Rates()
    rates.step({"a": 1.0}, 5.0)
    assert rates.step({"a": 2.0}, 5.0) == {}


def test_processes_are_counted_by_state_and_states_without_any_are_zero() -> None:
    states = ["running", "sleeping", "idle", "disk-sleep", "zombie", "stopped", "tracing-stop", "what"]
    assert values(Processes(lambda: states).read(0), "system.process.count") == {
        "running": 1,
        "sleeping": 3,
        "blocked": 1,
        "stopped": 2,
        "defunct": 1,
    }


def test_sensors_of_one_chip_stay_apart() -> None:
    temperatures = {"nvme": [("Composite", 40.0), ("Composite", 41.0)], "acpitz": [("", 30.0), ("", 31.0)]}
    readings = list(Sensors(lambda: temperatures, lambda: {"fan": [("cpu", 900.0)]}).read(0))
    assert values(readings, "hw.temperature") == {
        "nvme Composite": 40.0,
        "nvme Composite 2": 41.0,
        "acpitz sensor 1": 30.0,
        "acpitz sensor 2": 31.0,
    }
    assert values(readings, "hw.fan.speed") == {"fan cpu": 900.0}


def test_uptime_is_in_seconds() -> None:
    assert [one.value for one in Uptime(lambda: 12.345).read(0)] == [12.35]


def test_no_pattern_fits_nothing_and_a_pattern_fits_whole_names() -> None:
    assert not any_of(())("lo")
    assert not any_of(("lo",))("lo0")
    assert any_of(("a?", "lo"))("lo")
