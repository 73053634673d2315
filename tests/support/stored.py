"""Samples as a server has them, read through its own API."""

from __future__ import annotations

from typing import TypeAlias

import httpx

Samples: TypeAlias = dict[tuple[tuple[str, str], ...], dict[int, float]]
"""labels → {the step's start in ms: value}"""


def read(admin: httpx.Client, name: str, start_ms: int, end_ms: int, step_ms: int) -> Samples:
    """With a step so fine that each sample has one of its own: there the least and the most are its value."""
    params: dict[str, str | float] = {
        "name": name,
        "start": start_ms / 1_000,
        "end": end_ms / 1_000,
        "step": f"{step_ms}ms",
    }
    answer = admin.get("/api/metrics/range", params=params).raise_for_status().json()
    found: Samples = {}
    for one in answer["series"]:
        assert one["min"] == one["max"], "two samples in one step"
        kept = {time: value for time, value in zip(answer["times"], one["max"], strict=True) if value is not None}
        if kept:
            found[tuple(sorted(one["labels"].items()))] = kept
    return found
