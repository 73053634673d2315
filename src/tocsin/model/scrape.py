"""Scrape jobs that people have made, as they are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class StoredJob:
    """`config` is one entry of Prometheus' `scrape_configs` as JSON, secrets and all; a job not enabled is paused."""

    id: int
    name: str
    config: Mapping[str, Any] = field(repr=False)
    enabled: bool = True
    version: int = 1
    created_at_ms: int = 0
    updated_at_ms: int = 0
