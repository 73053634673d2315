"""File systems: which are real, how full they are, and how not to hang on a dead one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from tocsin.ingest.host.reading import Failure, Reading, Tags, percent
from tocsin.model.series import MetricInfo
from tocsin.runtime.offload import Offload

# These hold data without being on a block device of this machine.
REMOTE_OR_POOLED = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "glusterfs", "lustre", "9p", "virtiofs", "afs", "zfs"),
        *("fuse.sshfs", "fuse.glusterfs", "fuse.ceph-fuse", "fuse.mergerfs"),
    }
)
# These are always full, and that is no fault.
IMAGES = frozenset({"squashfs", "iso9660", "udf", "erofs", "cramfs", "romfs"})


class Mount(NamedTuple):
    device: str
    mount: str
    fstype: str

    @property
    def tags(self) -> Tags:
        return (("device", self.device), ("fstype", self.fstype), ("mount", self.mount))


class Space(NamedTuple):
    """Bytes and inodes. `free` is what others than root may still use; `inodes` is 0 where they are not counted."""

    total: int
    used: int
    free: int
    inodes: int
    inodes_free: int


class FileSystems:
    """Asks each file system on its own thread, and waits `timeout_s` for all of them together.

    One that does not answer in time (an NFS server that is gone) is reported, and not asked again before
    its call has come back.
    """

    name = "filesystem"
    metrics = (
        MetricInfo("system.disk.usage", "%", help="Space in use, of what others than root may use."),
        MetricInfo("system.filesystem.usage", "By", help="Space by state; the states add up to the limit."),
        MetricInfo("system.filesystem.limit", "By", help="All space."),
        MetricInfo("system.filesystem.inodes.usage", "{inode}", help="Inodes by state."),
    )

    def __init__(
        self,
        mounts: Callable[[], Sequence[Mount]],
        space: Callable[[str], Space | None],
        ignored: Callable[[str], bool],
        offload: Offload,
        timeout_s: float,
    ) -> None:
        """`mounts` must not block. `space` may hang; it gives None for a mount point that is no directory."""
        self._mounts = mounts
        self._space = space
        self._ignored = ignored
        self._offload = offload
        self._timeout_s = timeout_s
        self._asked: dict[str, asyncio.Task[Space | None]] = {}
        self._not_directories: set[str] = set()

    async def read(self) -> tuple[list[Reading], list[Failure]]:
        """Readings, and those that failed or do not answer."""
        mounts = [one for one in self._mounts() if one.mount not in self._not_directories]
        real = real_mounts(mounts, self._ignored)
        self._asked = {mount: task for mount, task in self._asked.items() if not task.done()}
        hanging = {one.mount for one in real} & set(self._asked)
        fresh = [one for one in real if one.mount not in hanging]
        tasks = {one.mount: self._ask(one.mount) for one in fresh}
        self._asked |= tasks
        if tasks:
            await asyncio.wait(tasks.values(), timeout=self._timeout_s)
        readings: list[Reading] = []
        failed: list[Failure] = []
        for one in real:
            task = self._asked[one.mount]
            error = task.exception() if task.done() else TimeoutError("it does not answer")
            if error is not None:
                failed.append(Failure(self.name, str(error), one.mount))
            elif (space := task.result()) is None:
                self._not_directories.add(one.mount)  # a file that a container runtime mounted, such as /etc/hosts
            else:
                readings += _readings(one, space)
        return readings, failed

    def _ask(self, mount: str) -> asyncio.Task[Space | None]:
        task = asyncio.create_task(self._offload.run(self._space, mount))
        # The error of a call that comes back too late is of no interest, but asyncio warns of unread ones.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    async def close(self) -> None:
        """Forget the calls that hang; their threads end with the process."""
        for task in self._asked.values():
            task.cancel()
        await asyncio.gather(*self._asked.values(), return_exceptions=True)


def real_mounts(mounts: Iterable[Mount], ignored: Callable[[str], bool]) -> list[Mount]:
    """Where data is kept: no pseudo file systems, and of several mounts of one device the shortest.

    `/` is kept whatever its type, as in a container it is an overlay. Of mounts on top of one another
    the last is the one that shows.
    """
    showing = {one.mount: one for one in mounts}
    shortest: dict[str, Mount] = {}
    for one in sorted(showing.values(), key=lambda one: (len(one.mount), one.mount)):
        if _is_real(one) and not ignored(one.mount):
            shortest.setdefault(one.device, one)
    return sorted(shortest.values(), key=lambda one: one.mount)


def _is_real(one: Mount) -> bool:
    if one.mount == "/" or one.fstype in REMOTE_OR_POOLED:
        return True
    pseudo = one.fstype == "fuse" or one.fstype.startswith("fuse.")
    return one.device.startswith("/") and one.fstype not in IMAGES and not pseudo


def _readings(one: Mount, space: Space) -> Iterator[Reading]:
    usable = space.used + space.free
    if usable > 0:
        yield Reading("system.disk.usage", percent(space.used / usable), one.tags)
    yield Reading("system.filesystem.limit", space.total, one.tags)
    states = {"used": space.used, "free": space.free, "reserved": space.total - usable}
    for state, amount in states.items():
        yield Reading("system.filesystem.usage", amount, (*one.tags, ("state", state)))
    if space.inodes:
        inodes = {"used": space.inodes - space.inodes_free, "free": space.inodes_free}
        for state, amount in inodes.items():
            yield Reading("system.filesystem.inodes.usage", amount, (*one.tags, ("state", state)))
