"""The template pack `system`: the alerts that every installation begins with."""

from __future__ import annotations

from typing import TypedDict

from tocsin.model.duration import SECOND_MS
from tocsin.model.rule import Condition, Rule, Severity


class HealthAlert(TypedDict):
    """A default alert as people who embed tocsin see it; `duration` is in seconds."""

    name: str
    metric_name: str
    condition: str
    threshold: float
    duration: int
    severity: str


SYSTEM_HEALTH_ALERTS: dict[str, HealthAlert] = {
    "cpu_usage": {
        "name": "High CPU Usage",
        "metric_name": "system.cpu.usage",
        "condition": ">",
        "threshold": 80.0,
        "duration": 300,
        "severity": "warning",
    },
    "memory_usage": {
        "name": "High Memory Usage",
        "metric_name": "system.memory.usage",
        "condition": ">",
        "threshold": 90.0,
        "duration": 300,
        "severity": "warning",
    },
    "disk_space": {
        "name": "Low Disk Space",
        "metric_name": "system.disk.usage",
        "condition": ">",
        "threshold": 85.0,
        "duration": 3600,
        "severity": "warning",
    },
}


def default_rules() -> tuple[Rule, ...]:
    """The pack as rules that are not saved yet."""
    return tuple(
        Rule(
            id=0,
            name=each["name"],
            metric_name=each["metric_name"],
            condition=Condition(each["condition"]),
            threshold=each["threshold"],
            duration_ms=each["duration"] * SECOND_MS,
            severity=Severity(each["severity"]),
            template_key=key,
        )
        for key, each in SYSTEM_HEALTH_ALERTS.items()
    )
