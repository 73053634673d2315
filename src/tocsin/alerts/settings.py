"""What people can set about announcing alerts."""

from __future__ import annotations

from dataclasses import dataclass, field

from tocsin.model.duration import DAY_MS, MINUTE_MS, Duration
from tocsin.model.errors import UserError
from tocsin.model.rule import Severity

_SHORTEST_MS = MINUTE_MS


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """How often an alert is announced, and for how long it is worth sending."""

    repeat_critical: Duration = field(
        default=Duration(Severity.CRITICAL.repeat_ms),
        metadata={"doc": "how often an unacknowledged `critical` alert is announced again while it fires; `0s`: never"},
    )
    repeat_warning: Duration = field(
        default=Duration(Severity.WARNING.repeat_ms),
        metadata={"doc": "how often an unacknowledged `warning` alert is announced again while it fires; `0s`: never"},
    )
    repeat_info: Duration = field(
        default=Duration(Severity.INFO.repeat_ms),
        metadata={"doc": "how often an unacknowledged `info` alert is announced again while it fires; `0s`: never"},
    )
    letter_expiry: Duration = field(
        default=Duration(DAY_MS),
        metadata={"doc": "how long a message is tried before it becomes a dead letter"},
    )

    def __post_init__(self) -> None:
        for severity in Severity:
            if 0 < self.repeat_ms(severity) < _SHORTEST_MS:
                name = f"repeat_{severity.value}"
                raise UserError(f"{name} must be at least 1m, or 0s for never.", field=name)
        if self.letter_expiry < _SHORTEST_MS:
            raise UserError("letter_expiry must be at least 1m.", field="letter_expiry")

    def repeat_ms(self, severity: Severity) -> int:
        """0: never again."""
        match severity:
            case Severity.CRITICAL:
                return self.repeat_critical
            case Severity.WARNING:
                return self.repeat_warning
            case Severity.INFO:
                return self.repeat_info
