"""Memory that nobody needs goes back to the system, where the system is Linux; elsewhere these do nothing.

Sources: glibc, mallopt(3); Linux, madvise(2).
"""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Iterator
from pathlib import Path

LARGE_BYTES = 1 << 20
"""Blocks as large get pages of their own from the system, and give them back when they are freed. Left to itself glibc
raises this bound to 32 MB, and keeps what it was given."""

KEPT_BYTES = 16 << 20
"""So much stays at hand for the next answer: to be given pages anew took a fifth of the time of large queries."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_MADV_DONTNEED = 4
_CODE = re.compile(r"([0-9a-f]+)-([0-9a-f]+) r-xp \S+ \S+ \S+\s+(\S.*)")


def give_back_large_blocks() -> None:
    """To be called before threads are many: it holds for the whole process."""
    if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt"):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)


def forget_code(library: str) -> int:
    """Unmap the pages of this library's code until they run again; how many bytes may have been affected.

    Starting an engine touches code that never runs afterwards. Only what is executable is forgotten: nobody has
    written to it, so the file gives it back, whereas other pages may hold what the linker put there.
    """
    if sys.platform != "linux":
        return 0
    libc = ctypes.CDLL(None)
    affected = 0
    for start, end in _code_of(library):
        if libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_DONTNEED) == 0:
            affected += end - start
    return affected


def _code_of(library: str) -> Iterator[tuple[int, int]]:
    for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines():
        found = _CODE.fullmatch(line)
        if found is not None and library in Path(found[3]).name:
            yield int(found[1], 16), int(found[2], 16)
