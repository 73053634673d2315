"""How much room there is on a disk, and what is on it for good."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """In bytes; `free` is what a process that is not root may still write."""

    total: int
    free: int


def disk_space(path: Path) -> DiskSpace:
    """Of the file system that holds the path. Raises OSError; blocks where a network disk hangs."""
    found = os.statvfs(path)
    return DiskSpace(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)


def sync(path: Path) -> None:
    """A file's bytes survive a power cut only after this, and so do the names in a folder. Raises OSError; blocks."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
