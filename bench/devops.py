"""Machines that report ten CPU metrics each, like the "devops, cpu-only" set of the Time Series Benchmark Suite.

Every figure follows from the seed: two servers that are loaded at different hours hold the same curves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tocsin.model.labels import Labels
from tocsin.model.series import FloatArray, TimeArray

METRICS = ("user", "system", "idle", "nice", "iowait", "irq", "softirq", "steal", "guest", "guest_nice")
INTERVAL_MS = 10_000
SEED = 1
_ZONES = {
    "eu-central-1": "ab",
    "eu-west-1": "abc",
    "us-east-1": "abce",
    "us-west-1": "ab",
    "us-west-2": "abc",
    "sa-east-1": "abc",
    "ap-northeast-1": "ac",
    "ap-southeast-1": "ab",
    "ap-southeast-2": "ab",
}


@dataclass(frozen=True, slots=True)
class Fleet:
    """`hosts` machines over `steps` readings, the last one just before `end_ms`."""

    hosts: int
    steps: int
    end_ms: int

    @property
    def samples(self) -> int:
        return self.hosts * len(METRICS) * self.steps

    @property
    def times(self) -> TimeArray:
        return self.end_ms - (self.steps - np.arange(self.steps, dtype=np.int64)) * INTERVAL_MS

    def labels(self) -> list[Labels]:
        """Machine by machine."""
        chance = np.random.default_rng([SEED, 1])

        def one_of(*values: str) -> str:
            return values[chance.integers(len(values))]

        found: list[Labels] = []
        for number in range(self.hosts):
            region = one_of(*_ZONES)
            tags = {
                "hostname": f"host_{number}",
                "region": region,
                "datacenter": region + one_of(*_ZONES[region]),
                "rack": str(chance.integers(100)),
                "os": one_of("Ubuntu16.10", "Ubuntu16.04LTS", "Ubuntu15.10"),
                "arch": one_of("x64", "x86"),
                "team": one_of("SF", "NYC", "LON", "CHI"),
                "service": str(chance.integers(20)),
                "service_version": str(chance.integers(2)),
                "service_environment": one_of("production", "staging", "test"),
            }
            found += [Labels.metric(f"cpu_usage_{metric}", tags) for metric in METRICS]
        return found

    def readings(self) -> Iterator[FloatArray]:
        """float64[series] a step: walks of normal steps, held within 0 and 100, with two decimals."""
        chance = np.random.default_rng([SEED, 2])
        walk = chance.uniform(0, 100, self.hosts * len(METRICS))
        for _ in range(self.steps):
            walk = np.clip(walk + chance.standard_normal(len(walk)), 0, 100)
            yield np.round(walk, 2)
