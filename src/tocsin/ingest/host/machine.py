"""This machine, through psutil: the sources of all readings, and the families made of them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from stat import S_ISDIR

import psutil

from tocsin.ingest.host.cpu import Cpu
from tocsin.ingest.host.disk import Disk
from tocsin.ingest.host.filesystem import FileSystems, Mount, Space
from tocsin.ingest.host.load import Load
from tocsin.ingest.host.memory import Memory, Paging
from tocsin.ingest.host.network import Network
from tocsin.ingest.host.process import Processes
from tocsin.ingest.host.reading import Family, Figures, any_of
from tocsin.ingest.host.sensors import Sensors
from tocsin.ingest.host.uptime import Uptime
from tocsin.ingest.settings import HostSettings
from tocsin.runtime.offload import Offload


def machine_families(settings: HostSettings) -> tuple[Family, ...]:
    """Every family but the file systems, which may hang and so are asked in another way."""
    return (
        Cpu(cpu_times, lambda: psutil.cpu_count() or 1, core_times if settings.per_core else None),
        Load(os.getloadavg),
        Memory(lambda: psutil.virtual_memory()._asdict()),
        Paging(lambda: psutil.swap_memory()._asdict()),
        Disk(disk_counters, whole_disks, any_of(settings.disks_ignored)),
        Network(interface_counters, any_of(settings.interfaces_ignored)),
        Processes(process_states),
        Sensors(temperatures, fans),
        Uptime(uptime_s),
    )


def machine_file_systems(settings: HostSettings, offload: Offload) -> FileSystems:
    """`offload` must bear calls that never return."""
    return FileSystems(mounts, space, any_of(settings.mounts_ignored), offload, settings.mount_timeout.seconds)


def cpu_times() -> Figures:
    return psutil.cpu_times()._asdict()


def core_times() -> Sequence[Figures]:
    return [core._asdict() for core in psutil.cpu_times(percpu=True)]


def disk_counters() -> Mapping[str, Figures]:
    # nowrap=True would keep state in psutil for counters that wrap; our rates see to that themselves.
    return {device: one._asdict() for device, one in psutil.disk_io_counters(perdisk=True, nowrap=False).items()}


def interface_counters() -> Mapping[str, Figures]:
    return {name: one._asdict() for name, one in psutil.net_io_counters(pernic=True, nowrap=False).items()}


def whole_disks() -> frozenset[str] | None:
    """The block devices that are no partitions; None on a system without /sys."""
    try:
        return frozenset(os.listdir("/sys/block"))  # noqa: PTH208 - names are wanted, not paths
    except FileNotFoundError:
        return None


def mounts() -> Sequence[Mount]:
    return [Mount(one.device, one.mountpoint, one.fstype) for one in psutil.disk_partitions(all=True)]


def space(mount: str) -> Space | None:
    """None where the mount point is no directory."""
    if not S_ISDIR(Path(mount).stat().st_mode):
        return None
    found = os.statvfs(mount)
    block = found.f_frsize
    used = (found.f_blocks - found.f_bfree) * block
    return Space(found.f_blocks * block, used, found.f_bavail * block, found.f_files, found.f_ffree)


def process_states() -> Iterator[str]:
    for process in psutil.process_iter():
        try:
            yield process.status()
        except psutil.NoSuchProcess:
            continue  # it ended meanwhile


def uptime_s() -> float:
    """As CLOCK_BOOTTIME has it: time in suspend counts, and a set clock changes nothing."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def temperatures() -> Mapping[str, Sequence[tuple[str, float]]]:
    return {chip: [(one.label, one.current) for one in found] for chip, found in psutil.sensors_temperatures().items()}


def fans() -> Mapping[str, Sequence[tuple[str, float]]]:
    return {chip: [(one.label, float(one.current)) for one in found] for chip, found in psutil.sensors_fans().items()}
