from __future__ import annotations

from structlog.testing import capture_logs

from tocsin.ingest.refusals import SAID_EVERY_S, Refusals
from tocsin.ingest.rows import Refusal, Rejection
from tocsin.runtime.clock import FixedClock
from tocsin.runtime.telemetry import Telemetry

OLD = Rejection(0, "Too old.", Refusal.PAST_RETENTION)
BAD = Rejection(1, "Not a number.", Refusal.MALFORMED)


def test_the_log_says_once_a_minute_how_many_were_refused_since_it_did_so_last() -> None:
    clock = FixedClock()
    refusals = Refusals(clock, Telemetry())
    with capture_logs() as logs:
        refusals.note("influx", [OLD, BAD, OLD])
        refusals.note("influx", [BAD] * 5)
        refusals.note("csv", [BAD])
        clock.advance(int(SAID_EVERY_S * 1_000))
        refusals.note("influx", [OLD])
    told = [(line["source"], line["refused"], line["kinds"], line["example"]) for line in logs]
    assert told == [
        ("influx", 3, "past retention 2, malformed 1", "Too old."),
        ("csv", 1, "malformed 1", "Not a number."),
        ("influx", 6, "malformed 5, past retention 1", "Too old."),
    ]


def test_every_refusal_is_counted_by_its_source_and_kind() -> None:
    telemetry = Telemetry()
    refusals = Refusals(FixedClock(), telemetry)
    refusals.note("influx", [OLD, BAD, OLD])
    refusals.note("influx", [OLD])
    refusals.note("csv", [])

    def counted(source: str, reason: str) -> float | None:
        labels = {"source": source, "reason": reason}
        return telemetry.registry.get_sample_value("tocsin_samples_rejected_total", labels)

    assert counted("influx", "past retention") == 3
    assert counted("influx", "malformed") == 1
    assert counted("csv", "malformed") is None
