"""Figures: medians over runs, and what the operating system says of a process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import psutil


def show(name: str, values: Sequence[float], unit: str, *, digits: int = 1) -> None:
    """One line: the median, and the range where there were several runs."""
    middle = statistics.median(values)
    spread = (
        f"  (min {min(values):,.{digits}f}, max {max(values):,.{digits}f}, n={len(values)})" if len(values) > 1 else ""
    )
    print(f"{name:<46} {middle:>12,.{digits}f} {unit}{spread}", flush=True)


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def resident_mb(pid: int) -> float:
    return psutil.Process(pid).memory_info().rss / 1e6


def cpu_share(pid: int, seconds: float) -> float:
    """Percent of one core that the process used over the next `seconds`."""
    process = psutil.Process(pid)
    before = process.cpu_times()
    began = time.perf_counter()
    time.sleep(seconds)
    after = process.cpu_times()
    used = after.user + after.system - before.user - before.system
    return 100 * used / (time.perf_counter() - began)
