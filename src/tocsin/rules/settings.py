"""What people can set about the judging of samples."""

from __future__ import annotations

from dataclasses import dataclass, field

from tocsin.model.duration import DAY_MS, MINUTE_MS, SECOND_MS, Duration
from tocsin.model.errors import UserError


@dataclass(frozen=True, slots=True)
class RulesSettings:
    """When silence counts, and how often moving values are written down."""

    stale_after: Duration = field(
        default=Duration(5 * MINUTE_MS),
        metadata={
            "doc": "an older sample neither fires nor resolves an alert; "
            "a pending alert whose series is silent for so long is dropped"
        },
    )
    no_data_resolve_after: Duration = field(
        default=Duration(DAY_MS),
        metadata={"doc": "a firing alert whose series is silent for so long resolves with the reason `no data`"},
    )
    value_save_interval: Duration = field(
        default=Duration(MINUTE_MS),
        metadata={"doc": "how often the newest values of open alerts are saved between changes of state"},
    )

    interval: Duration = field(
        default=Duration(15 * SECOND_MS),
        metadata={"doc": "how often rules that are expressions are evaluated, where their group does not say"},
    )
    query_offset: Duration = field(
        default=Duration(0),
        metadata={"doc": "how far back they ask, where their group does not say: for samples that come late"},
    )
    start_grace: Duration = field(
        default=Duration(2 * MINUTE_MS),
        metadata={"doc": "for so long after a start a firing alert is not resolved because its series are missing"},
    )
    concurrency: int = field(
        default=4, metadata={"doc": "groups of rules that are evaluated side by side; people's queries do not count"}
    )
    files: tuple[str, ...] = field(
        default=(),
        metadata={"doc": "rule files in Prometheus' format, as paths or patterns such as `/etc/tocsin/rules/*.yml`"},
    )

    def __post_init__(self) -> None:
        if self.stale_after < SECOND_MS:
            raise UserError("stale_after must be at least 1s.", field="stale_after")
        if self.no_data_resolve_after < self.stale_after:
            raise UserError(
                "no_data_resolve_after must not be shorter than stale_after.", field="no_data_resolve_after"
            )
        if self.value_save_interval < SECOND_MS:
            raise UserError("value_save_interval must be at least 1s.", field="value_save_interval")
        if self.interval < SECOND_MS:
            raise UserError("interval must be at least 1s.", field="interval")
        if self.concurrency < 1:
            raise UserError("concurrency must be at least 1.", field="concurrency")
