from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from tocsin.runtime.memory import forget_code, give_back_large_blocks

linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone says what is mapped")


def resident_kb(kind: str) -> int:
    found = re.search(rf"{kind}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1])


@linux
def test_code_that_was_forgotten_runs_again() -> None:
    before = np.linalg.det(np.eye(50) * 2)
    assert forget_code("_multiarray_umath") > 1_000_000
    assert np.linalg.det(np.eye(50) * 2) == before


@linux
def test_nothing_is_forgotten_of_a_library_that_is_not_loaded() -> None:
    assert forget_code("no such library") == 0


@linux
def test_large_blocks_are_given_back() -> None:
    give_back_large_blocks()
    before = resident_kb("RssAnon")
    blocks = [np.ones(1 << 20) for _ in range(8)]
    assert resident_kb("RssAnon") - before > 60_000
    blocks.clear()
    assert resident_kb("RssAnon") - before < 10_000
