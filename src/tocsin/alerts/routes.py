"""Who must hear of an alert."""

from __future__ import annotations

from collections.abc import Iterable

from tocsin.model.alert import Alert
from tocsin.model.outbox import Target


class DefaultRoute:
    """Every alert goes to the same targets: the default receiver."""

    def __init__(self, targets: Iterable[Target]) -> None:
        self._targets = tuple(dict.fromkeys(targets))

    def targets(self, alert: Alert) -> tuple[Target, ...]:  # noqa: ARG002 - the port asks about an alert
        return self._targets
