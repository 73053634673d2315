"""What is known of a metric, in Prometheus' words."""

from __future__ import annotations

from tocsin.ingest.wire.remote_write import UNITS
from tocsin.model.series import MetricInfo

KINDS = frozenset({"counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"})
_WORDS = {code: word for word, code in UNITS.items()}


def described(info: MetricInfo) -> dict[str, str]:
    """`unit` as OpenMetrics writes it where it has a word for ours."""
    return {"type": kind_of(info), "help": info.help, "unit": _WORDS.get(info.unit, info.unit)}


def kind_of(info: MetricInfo) -> str:
    return info.kind if info.kind in KINDS else "unknown"
