from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from tocsin.runtime.memory import forget_code

linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone says what is mapped")


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
    """In a process of its own: it holds for the whole of it."""
    subprocess.run([sys.executable, "-c", GIVING_BACK], check=True)


GIVING_BACK = """
import re
from pathlib import Path
from tocsin.runtime.memory import give_back_large_blocks

def resident_kb():
    return int(re.search(r"RssAnon:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

give_back_large_blocks()
before = resident_kb()
blocks = [b"x" * (8 << 20) for _ in range(8)]
assert resident_kb() - before > 60_000
blocks.clear()
assert resident_kb() - before < 10_000
"""
