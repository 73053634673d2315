"""The Python API: thin, synchronous, thread-safe faces of the engine that the server runs.

All objects of one data directory in a process share one engine, which lives on an event loop of its own.
"""

from __future__ import annotations

import asyncio
import atexit
import math
import os
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import msgspec

from tocsin.api.trend import read_trend
from tocsin.app.config import load_settings
from tocsin.app.wiring import Engine, open_engine
from tocsin.app.world import real_world
from tocsin.ingest.appender import Appender
from tocsin.ingest.wire.json_push import parse
from tocsin.model.alert import Change
from tocsin.model.duration import DAY_MS
from tocsin.model.errors import UserError
from tocsin.model.labels import METRIC_NAME
from tocsin.model.matcher import Matcher, MatchOp, equals
from tocsin.model.retention import Lengths
from tocsin.model.rule import Condition, Severity
from tocsin.notify.message import render_alert_email
from tocsin.rules.arrival import Arrival
from tocsin.rules.book import RuleBook
from tocsin.rules.defaults import SYSTEM_HEALTH_ALERTS
from tocsin.runtime.clock import Clock
from tocsin.runtime.log import get_log
from tocsin.runtime.offload import InlineOffload

log = get_log("python")

__all__ = [
    "SYSTEM_HEALTH_ALERTS",
    "AlertConfigManager",
    "AlertNotifier",
    "MetricAnalyzer",
    "MetricStorage",
    "StoredMetric",
    "close",
]
T = TypeVar("T")


STAMPS_MAX = 10_000
"""Series whose last time is remembered."""
AHEAD_MAX_MS = 100
"""A program that stores more than a sample a millisecond is slowed down when it is so far ahead of the clock."""


@dataclass(frozen=True, slots=True)
class StoredMetric:
    """A sample that is stored; `timestamp` is UTC."""

    name: str
    value: float
    tags: Mapping[str, str]
    timestamp: datetime


class _Loop:
    """An engine on a thread of its own, opened by the first who needs it and closed when the program ends."""

    _open: ClassVar[dict[Path, _Loop]] = {}
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._stack = AsyncExitStack()
        self.stamps = Stamps()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tocsin", daemon=True)
        self._thread.start()
        try:
            self.engine: Engine = self.call(self._enter())
        except BaseException:
            self._stop()
            raise

    @classmethod
    def of(cls, data_dir: str | os.PathLike[str] | None) -> _Loop:
        path = Path(data_dir or os.environ.get("TOCSIN_DATA_DIR", "data")).resolve()
        with cls._lock:
            if path not in cls._open:
                cls._open[path] = cls(path)
            return cls._open[path]

    @classmethod
    def close_all(cls) -> None:
        with cls._lock:
            for one in cls._open.values():
                one.close()
            cls._open.clear()

    def close(self) -> None:
        self.call(self._stack.aclose())
        self._stop()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it on the engine's loop and wait; from any thread but that loop's own."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _enter(self) -> Engine:
        settings = load_settings(None, os.environ)
        return await self._stack.enter_async_context(open_engine(settings, self._data_dir, real_world()))

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class MetricStorage:
    """Stores samples durably, without the server. Thread-safe; `data_dir` is `./data` unless told.

    Samples past `retention_days` are never returned; after `cleanup_threshold` further samples they are
    also removed from the disk.
    """

    def __init__(
        self,
        retention_days: float = 7,
        cleanup_threshold: int = 1000,
        *,
        data_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        if retention_days <= 0:
            raise UserError("retention_days must be more than 0.", field="retention_days")
        if cleanup_threshold < 1:
            raise UserError("cleanup_threshold must be at least 1.", field="cleanup_threshold")
        self._loop = _Loop.of(data_dir)
        self._cleanup_threshold = cleanup_threshold
        self._since_cleanup = 0
        self._lock = threading.Lock()
        samples = self._loop.engine.samples
        # Roll-ups outlive their samples on a server; here nothing past the retention is ever returned.
        kept_ms = round(retention_days * DAY_MS)
        samples.cuts.defaults = Lengths(kept_ms, kept_ms, kept_ms)

    def store_metric(self, name: str, value: float, tags: Mapping[str, str] | None = None) -> StoredMetric:
        """The stored sample, durable when this returns. Raises UserError, StoreError; then nothing is stored."""
        try:
            stored = self._loop.call(_store(self._loop.engine, self._loop.stamps, name, value, dict(tags or {})))
        except Exception as error:
            log.warning("a metric was not stored", metric=name, reason=str(error))
            raise
        with self._lock:
            self._since_cleanup += 1
            due = self._since_cleanup >= self._cleanup_threshold
            if due:
                self._since_cleanup = 0
        if due:
            self.cleanup()
        return stored

    def cleanup(self) -> int:
        """Remove samples past their retention; how many stored ones went."""
        engine = self._loop.engine
        return self._loop.call(_clean_up(engine))


class MetricAnalyzer:
    """Says where a metric is going."""

    def __init__(self, storage: MetricStorage | None = None) -> None:
        self._storage = storage or MetricStorage()

    def calculate_trend(
        self, metric_name: str, hours: float = 24, tags: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """`trend` is `up`, `down`, `flat` or `no_data`; `avg`, `min` and `max` are 0 when there is no data."""
        loop = self._storage._loop  # noqa: SLF001 - the two faces are one
        return loop.call(_trend(loop.engine, loop.stamps, metric_name, hours, tags or {}))


class AlertConfigManager:
    """The rules, as a program sets them up."""

    def __init__(self, *, data_dir: str | os.PathLike[str] | None = None) -> None:
        self._loop = _Loop.of(data_dir)

    def setup_default_alerts(self) -> list[str]:
        """Add the default alerts for metrics that no rule watches; the names of those that were added."""
        return self._loop.call(_setup_defaults(self._loop.engine))


class AlertNotifier:
    """How an alert is written to people."""

    SEVERITY_LEVELS: ClassVar[dict[str, dict[str, Any]]] = {
        severity.value: {"color": severity.colour, "interval": severity.repeat_ms // 1_000} for severity in Severity
    }

    @staticmethod
    def format_alert_email(alert: Any, condition: Any = None) -> tuple[str, str]:
        """(subject, HTML) of the mail about an alert that fires.

        Each may be a mapping, an object with attributes, or a value of `tocsin.model`; between them they
        say `name`, `metric_name`, `severity`, `condition` (or `operator`), `threshold`, `value` (or
        `current_value`) and `triggered_at` (a datetime, UTC where it has no zone, or epoch seconds). What
        `alert` says wins. Raises UserError that names what neither says.
        """
        mail = render_alert_email(**_mail_values(alert, condition))
        return mail.subject, mail.html


class Stamps:
    """Gives each call a time of its own: two samples of a series in one millisecond would be one sample."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, frozenset[tuple[str, str]]], int] = {}
        self.newest_ms = 0

    async def next_ms(self, name: str, tags: Mapping[str, str], clock: Clock) -> int:
        """The time now, or the millisecond after the series' last one; waits rather than run far ahead."""
        series = (name, frozenset(tags.items()))
        at_ms = max(clock.now_ms(), self._last.get(series, 0) + 1)
        if series not in self._last and len(self._last) >= STAMPS_MAX:
            self._last.clear()
        self._last[series] = at_ms
        self.newest_ms = max(self.newest_ms, at_ms)
        ahead_ms = at_ms - clock.now_ms()
        if ahead_ms > AHEAD_MAX_MS:
            await asyncio.sleep(ahead_ms / 1_000)
        return at_ms


async def _store(engine: Engine, stamps: Stamps, name: str, value: float, tags: Mapping[str, str]) -> StoredMetric:
    appender = Appender(
        engine.samples,
        engine.samples,
        engine.samples,
        (),
        clock=engine.world.clock,
        telemetry=engine.telemetry,
        settings=engine.settings.ingest,
        kept=engine.samples.cuts,
    )
    number = float(value)
    said = number if math.isfinite(number) else str(number)
    at_ms = await stamps.next_ms(name, tags, engine.world.clock)
    body = msgspec.json.encode({"name": name, "value": said, "tags": tags})
    rows, refused = parse(body, at_ms, engine.settings.ingest)
    appended = await appender.append(rows, "python", refused)
    if appended.rejected:
        raise UserError(appended.rejected[0].reason)
    return StoredMetric(name, number, tags, datetime.fromtimestamp(at_ms / 1_000, UTC))


async def _clean_up(engine: Engine) -> int:
    """What is past for every series, and a round of what is past its policy."""
    at_ms = engine.world.clock.now_ms()
    return await engine.samples.clean_up(at_ms) + (await engine.samples.enforce(at_ms)).samples


async def _trend(engine: Engine, stamps: Stamps, name: str, hours: float, tags: Mapping[str, str]) -> dict[str, Any]:
    if not hours > 0:
        raise UserError("hours must be more than 0.", field="hours")
    at_ms = max(engine.world.clock.now_ms(), stamps.newest_ms)
    matchers = (Matcher(METRIC_NAME, MatchOp.EQUAL, name), *equals(tags))
    found = await read_trend(engine.samples, matchers, hours, at_ms, InlineOffload())
    said = asdict(found.trend)
    return {"trend": str(said.pop("direction")), **said, "series": found.series}


async def _setup_defaults(engine: Engine) -> list[str]:
    samples, state, clock = engine.samples, engine.state, engine.world.clock
    arrival = Arrival(
        state.alerts, samples, _Nobody(), clock=clock, telemetry=engine.telemetry, settings=engine.settings.rules
    )
    rules = RuleBook(state.rules, arrival, clock)
    await rules.load()
    return [rule.name for rule in await rules.setup_default_alerts()]


class _Nobody:
    """An alert sink for a program that sets up rules and evaluates none."""

    def alerts_changed(self, changes: Sequence[Change]) -> None:
        pass


def _mail_values(*sources: Any) -> dict[str, Any]:
    severity = _said("severity", sources, "severity", default=Severity.WARNING)
    operator = _said("condition", sources, "condition", "operator", wanted=_is_condition)
    return {
        "name": str(_said("name", sources, "name", "rule_name", "alert_name")),
        "metric": str(_said("metric_name", sources, "metric_name", "metric")),
        "severity": Severity(str(severity).lower()),
        "operator": Condition(str(operator)),
        "threshold": float(_said("threshold", sources, "threshold")),
        "value": float(_said("value", sources, "current_value", "value")),
        "triggered_at_ms": _epoch_ms(_said("triggered_at", sources, "triggered_at", "fired_at_ms", "timestamp")),
    }


def _said(
    what: str, sources: Sequence[Any], *names: str, default: Any = None, wanted: Callable[[Any], bool] | None = None
) -> Any:
    """What the first source that knows one of the names says."""
    for source in sources:
        for name in names:
            value = source.get(name) if isinstance(source, Mapping) else getattr(source, name, None)
            if value is not None and (wanted is None or wanted(value)):
                return value
    if isinstance(default, Severity):
        return default
    raise UserError(f"Neither the alert nor its condition says {what}.", field=what)


def _is_condition(value: Any) -> bool:
    return str(value) in {one.value for one in Condition}


def _epoch_ms(value: Any) -> int:
    if isinstance(value, datetime):
        zoned = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        return round(zoned.timestamp() * 1_000)
    number = float(value)
    return round(number if number > 1e11 else number * 1_000)


def close() -> None:
    """Close every engine of this process; the next use opens them again. Called when the program ends."""
    _Loop.close_all()


atexit.register(close)
