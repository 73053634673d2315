"""tocsin watches machines, keeps their metrics, and wakes the right person when something is wrong.

The names below are the Python API, for programs that embed it. They are loaded when they are first used, so
that `import tocsin` stays cheap.
"""

from typing import TYPE_CHECKING, Any

from tocsin.version import __version__

__all__ = [
    "SYSTEM_HEALTH_ALERTS",
    "AlertConfigManager",
    "AlertNotifier",
    "MetricAnalyzer",
    "MetricStorage",
    "StoredMetric",
    "__version__",
]

if TYPE_CHECKING:
    from tocsin.app.embedded import (
        SYSTEM_HEALTH_ALERTS,
        AlertConfigManager,
        AlertNotifier,
        MetricAnalyzer,
        MetricStorage,
        StoredMetric,
    )


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tocsin.app import embedded  # noqa: PLC0415 - loaded when it is first used, see above

    return getattr(embedded, name)
