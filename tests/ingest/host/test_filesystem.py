from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import pytest

from tocsin.ingest.host.filesystem import FileSystems, Mount, Space, real_mounts
from tocsin.ingest.host.reading import Reading, any_of
from tocsin.runtime.offload import InlineOffload

P = ParamSpec("P")
T = TypeVar("T")

HALF = Space(total=1_100, used=500, free=500, inodes=10, inodes_free=4)
ROOT = Mount("/dev/sda1", "/", "ext4")
NFS = Mount("nas:/data", "/mnt/nas", "nfs4")
NOTHING = any_of(())


def shown(*mounts: Mount, ignored: Callable[[str], bool] = NOTHING) -> list[str]:
    return [one.mount for one in real_mounts(mounts, ignored)]


@pytest.mark.parametrize(
    "mount",
    [
        Mount("/dev/sdb1", "/data", "xfs"),
        Mount("/dev/nvme0n1p1", "/boot/efi", "vfat"),
        Mount("/dev/sdc1", "/media/usb", "fuseblk"),
        Mount("tank/home", "/home", "zfs"),
        Mount("//server/share", "/mnt/share", "cifs"),
        Mount("me@host:/", "/mnt/host", "fuse.sshfs"),
        NFS,
    ],
)
def test_a_file_system_that_keeps_data_is_read(mount: Mount) -> None:
    assert shown(ROOT, mount) == ["/", mount.mount]


@pytest.mark.parametrize(
    "mount",
    [
        Mount("proc", "/proc", "proc"),
        Mount("tmpfs", "/run", "tmpfs"),
        Mount("udev", "/dev", "devtmpfs"),
        Mount("", "/sys", "sysfs"),
        Mount("overlay", "/var/lib/docker/overlay2/x/merged", "overlay"),
        Mount("/dev/loop3", "/snap/core/1", "squashfs"),
        Mount("/dev/sr0", "/media/cdrom", "iso9660"),
        Mount("/dev/fuse", "/etc/pve", "fuse"),
        Mount("portal", "/run/user/1000/doc", "fuse.portal"),
        Mount("systemd-1", "/mnt/auto", "autofs"),
    ],
)
def test_a_pseudo_file_system_is_not_read(mount: Mount) -> None:
    assert shown(ROOT, mount) == ["/"]


def test_the_root_of_a_container_is_read_though_it_is_an_overlay() -> None:
    assert shown(Mount("overlay", "/", "overlay"), Mount("tmpfs", "/dev/shm", "tmpfs")) == ["/"]


def test_of_several_mounts_of_one_device_the_shortest_is_read() -> None:
    bind = [Mount("/dev/sdb1", f"/{name}", "ext4") for name in ("srv/long/path", "srv", "var/lib/x")]
    assert shown(*bind) == ["/srv"]


def test_of_mounts_on_top_of_one_another_the_last_is_read() -> None:
    assert real_mounts([Mount("rootfs", "/", "rootfs"), ROOT], NOTHING) == [ROOT]


def test_an_ignored_mount_gives_way_to_the_next_of_its_device() -> None:
    mounts = [Mount("/dev/sdb1", "/a", "ext4"), Mount("/dev/sdb1", "/bb", "ext4")]
    assert shown(*mounts, ignored=any_of(["/a"])) == ["/bb"]


def reader(space: Callable[[str], Space | None], *mounts: Mount) -> FileSystems:
    return FileSystems(lambda: mounts, space, NOTHING, InlineOffload(), timeout_s=1.0)


def values(readings: list[Reading], name: str) -> dict[str, float]:
    return {dict(one.tags).get("state", dict(one.tags)["mount"]): one.value for one in readings if one.name == name}


async def test_space_is_told_in_percent_of_what_may_be_used_and_in_bytes() -> None:
    readings, failed = await reader(lambda _: HALF, ROOT).read()
    assert failed == []
    assert values(readings, "system.disk.usage") == {"/": 50.0}
    assert values(readings, "system.filesystem.usage") == {"used": 500, "free": 500, "reserved": 100}
    assert values(readings, "system.filesystem.limit") == {"/": 1_100}
    assert values(readings, "system.filesystem.inodes.usage") == {"used": 6, "free": 4}
    assert readings[0].tags == (("device", "/dev/sda1"), ("fstype", "ext4"), ("mount", "/"))


async def test_a_file_system_without_space_has_no_percentage() -> None:
    readings, _ = await reader(lambda _: Space(0, 0, 0, 0, 0), ROOT).read()
    assert {one.name for one in readings} == {"system.filesystem.limit", "system.filesystem.usage"}


async def test_a_file_system_that_fails_leaves_the_others_alone() -> None:
    def space(mount: str) -> Space:
        if mount == "/":
            return HALF
        raise OSError("stale file handle")

    readings, failed = await reader(space, ROOT, NFS).read()
    assert values(readings, "system.disk.usage") == {"/": 50.0}
    assert [(one.subject, one.why) for one in failed] == [("/mnt/nas", "stale file handle")]


async def test_a_mounted_file_is_no_file_system_and_gives_way_to_a_directory() -> None:
    mounts = [Mount("/dev/sdb1", "/etc/hosts", "ext4"), Mount("/dev/sdb1", "/var/lib/data", "ext4")]
    systems = reader(lambda mount: None if mount == "/etc/hosts" else HALF, *mounts)
    assert await systems.read() == ([], [])
    readings, _ = await systems.read()
    assert values(readings, "system.disk.usage") == {"/var/lib/data": 50.0}


class HangingOffload:
    """Work on one mount point waits until it is let go; time passes at once."""

    def __init__(self, hangs: str) -> None:
        self.hangs = hangs
        self.let_go = asyncio.Event()
        self.asked: list[str] = []

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        self.asked.append(str(args[0]))
        if args[0] == self.hangs:
            await self.let_go.wait()
        return work(*args, **kwargs)

    def close(self) -> None: ...


async def test_a_file_system_that_hangs_is_left_out_and_not_asked_again_while_it_does() -> None:
    offload = HangingOffload("/mnt/nas")
    systems = FileSystems(lambda: [ROOT, NFS], lambda _: HALF, NOTHING, offload, timeout_s=0.0)
    for _ in range(3):
        readings, failed = await systems.read()
        assert values(readings, "system.disk.usage") == {"/": 50.0}
        assert [one.subject for one in failed] == ["/mnt/nas"]
    assert offload.asked.count("/mnt/nas") == 1
    offload.let_go.set()
    await asyncio.sleep(0)
    readings, failed = await systems.read()
    assert (values(readings, "system.disk.usage"), failed) == ({"/": 50.0, "/mnt/nas": 50.0}, [])
    assert offload.asked.count("/mnt/nas") == 2
    await systems.close()


async def test_calls_that_hang_are_forgotten_at_the_end() -> None:
    offload = HangingOffload("/mnt/nas")
    systems = FileSystems(lambda: [NFS], lambda _: HALF, NOTHING, offload, timeout_s=0.0)
    await systems.read()
    await systems.close()
    assert len(asyncio.all_tasks()) == 1
