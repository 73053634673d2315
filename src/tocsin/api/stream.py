"""The hub tells browsers what happens as it happens. A slow reader is dropped, never waited for."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec
import numpy as np

from tocsin.api.ports import SeriesLookup
from tocsin.api.reading import Scope
from tocsin.api.shapes import alerts as shapes
from tocsin.model.alert import AlertEvent
from tocsin.model.errors import AccessError, LimitError, QueueFullError, UserError
from tocsin.model.labels import Labels
from tocsin.model.matcher import Matcher, matches_all
from tocsin.model.series import IdArray, SampleBatch
from tocsin.runtime.clock import Clock
from tocsin.runtime.log import get_log
from tocsin.runtime.telemetry import Telemetry

log = get_log("api")

CONNECTIONS_MAX = 1_000
QUEUE_MAX = 256
SUBSCRIPTIONS_MAX = 64
SERIES_MAX = 1_000
GATHER_S = 0.1
RECHECK_S = 30.0

TOO_SLOW = 1013
SIGNED_OUT = 4401

_NEW_SERIES_PER_BATCH = 1_000
_ROWS_WAITING_MAX = 10_000
_NO_IDS: IdArray = np.zeros(0, np.uint64)


@dataclass(frozen=True, slots=True)
class Ending:
    """How the server closes a connection: a WebSocket close code and a reason for the log."""

    code: int
    reason: str


class Connection:
    """One browser: what it may hear, what waits for it, and how it ends."""

    def __init__(self, *, alerts: bool, samples: bool, scope: Scope) -> None:
        self.alerts = alerts
        self.samples = samples
        self.scope = scope
        self.subscriptions: dict[str, Selection] = {}
        self.ending: Ending | None = None
        self._waiting: deque[str] = deque()
        self._changed = asyncio.Event()
        self._ended = asyncio.Event()

    def offer(self, message: str) -> bool:
        """Queue a message; False, and the connection is about to end, where there is no room for it."""
        if self.ending is not None:
            return True
        if len(self._waiting) >= QUEUE_MAX:
            self.end(Ending(TOO_SLOW, "you read too slowly"))
            return False
        self._waiting.append(message)
        self._changed.set()
        return True

    def end(self, ending: Ending) -> None:
        """The first reason stays."""
        if self.ending is None:
            self.ending = ending
            self._waiting.clear()
            self._changed.set()
            self._ended.set()

    async def wait_ended(self) -> None:
        """Returns when the server has a reason to close."""
        await self._ended.wait()

    async def next(self) -> str | None:
        """The next message to send, when there is one; None when the connection has to end."""
        while not self._waiting:
            if self.ending is not None:
                return None
            self._changed.clear()
            await self._changed.wait()
        return self._waiting.popleft()


@dataclass(eq=False, slots=True)
class Selection:
    """Series that somebody watches. Readers who ask for the same share one: rows are encoded once."""

    name: str
    matchers: tuple[Matcher, ...]
    readers: list[tuple[Connection, str]] = field(default_factory=list)
    ids: set[int] = field(default_factory=set)
    rows: list[str] = field(default_factory=list)
    full: bool = False


@dataclass(eq=False, slots=True)
class _Watched:
    """A series in at least one selection, with its labels as JSON."""

    labels: str
    selections: list[Selection]


class Hub:
    """Fits alerts' LiveSink and ingest's SampleObserver.

    Every series id is looked at once, when it first arrives while somebody watches anything; then a batch
    costs two binary searches in sorted arrays. Rows of watched series gather for `gather_s` and leave as one
    message a subscription. Every `recheck_s` a connection's caller is looked at again.
    """

    def __init__(
        self,
        clock: Clock,
        telemetry: Telemetry,
        series: SeriesLookup,
        *,
        gather_s: float = GATHER_S,
        recheck_s: float = RECHECK_S,
    ) -> None:
        self._clock = clock
        self._series = series
        self._gather_s = gather_s
        self.recheck_s = recheck_s
        self._connections: set[Connection] = set()
        self._selections: dict[tuple[str, tuple[Matcher, ...]], Selection] = {}
        self._by_metric: dict[str, list[Selection]] = {}
        self._watched: dict[int, _Watched] = {}
        self._watched_ids = _NO_IDS
        self._known_ids = _NO_IDS
        self._known_by_metric: dict[str, list[int]] = {}
        self._flush_planned = False
        self._open = telemetry.gauge("live_connections", "Browsers and programs connected to /ws.")
        self._dropped = telemetry.counter("live_dropped", "Connections to /ws closed because they read too slowly.")
        self._sent = telemetry.counter("live_messages", "Messages queued for connections to /ws.", ["kind"])

    # connections

    def join(self, *, alerts: bool, samples: bool, scope: Scope = ()) -> Connection:
        """One that hears of the series within the scope. Raises QueueFullError where there are too many already."""
        if len(self._connections) >= CONNECTIONS_MAX:
            raise QueueFullError(f"{CONNECTIONS_MAX} live connections are open, and there is no room for more.")
        connection = Connection(alerts=alerts, samples=samples, scope=scope)
        self._connections.add(connection)
        self._open.set(len(self._connections))
        return connection

    def leave(self, connection: Connection) -> None:
        for own_id in list(connection.subscriptions):
            self.unsubscribe(connection, own_id)
        self._connections.discard(connection)
        self._open.set(len(self._connections))

    def subscribe(self, connection: Connection, own_id: str, name: str, matchers: Iterable[Matcher]) -> None:
        """Live values of the series that fit, under the connection's own id; the same id again replaces.

        Raises UserError, AccessError, LimitError.
        """
        if not connection.samples:
            raise AccessError("You may not read metrics.")
        if not name:
            raise UserError("Name the metric to subscribe to.")
        self.unsubscribe(connection, own_id)
        if len(connection.subscriptions) >= SUBSCRIPTIONS_MAX:
            raise LimitError(f"A connection holds at most {SUBSCRIPTIONS_MAX} subscriptions; drop one first.")
        key = (name, tuple(sorted((*matchers, *connection.scope), key=str)))
        selection = self._selections.get(key) or self._add_selection(*key)
        selection.readers.append((connection, own_id))
        connection.subscriptions[own_id] = selection
        if selection.full:
            self._say_full(selection, connection, own_id)

    def unsubscribe(self, connection: Connection, own_id: str) -> None:
        selection = connection.subscriptions.pop(own_id, None)
        if selection is not None:
            selection.readers.remove((connection, own_id))
            if not selection.readers:
                self._remove_selection(selection)

    def tell(self, connection: Connection, message: Mapping[str, object]) -> None:
        """An answer for one connection alone."""
        self._offer(connection, _json(message), "answer")

    # what happens

    def publish(self, event: AlertEvent) -> None:
        """Tell everybody who may read alerts. Encoded once."""
        labels = event.alert.labels
        listeners = [one for one in self._connections if one.alerts and matches_all(one.scope, labels)]
        if listeners:
            alert = shapes.Alert.of(event.alert).model_dump_json()
            message = f'{{"type":"{event.kind.value}","at":{event.at_ms},"alert":{alert}}}'
            for connection in listeners:
                self._offer(connection, message, "alert")

    async def observe(self, batch: SampleBatch, at_ms: int) -> None:  # noqa: ARG002 - the port gives it
        """Collect the rows of watched series. Costs nothing while nobody watches."""
        if not self._selections:
            return
        self._learn(batch.ids)
        if not len(self._watched_ids):
            return
        at = np.minimum(np.searchsorted(self._watched_ids, batch.ids), len(self._watched_ids) - 1)
        rows = np.flatnonzero(self._watched_ids[at] == batch.ids)
        if not len(rows):
            return
        columns = (batch.ids[rows].tolist(), batch.times[rows].tolist(), batch.values[rows].tolist())
        for series_id, time, value in zip(*columns, strict=True):
            watched = self._watched[series_id]
            shown = repr(value) if math.isfinite(value) else "null"
            row = f'{{"labels":{watched.labels},"time":{time},"value":{shown}}}'
            for selection in watched.selections:
                selection.rows.append(row)
        self._plan_flush()

    def _plan_flush(self) -> None:
        crowded = any(len(selection.rows) > _ROWS_WAITING_MAX for selection in self._selections.values())
        if crowded or self._gather_s == 0:
            self._flush()
        elif not self._flush_planned:
            self._flush_planned = True
            asyncio.get_running_loop().call_later(self._gather_s, self._flush)

    def _flush(self) -> None:
        self._flush_planned = False
        for selection in self._selections.values():
            if selection.rows:
                rows = ",".join(selection.rows)
                selection.rows.clear()
                for connection, own_id in selection.readers:
                    message = f'{{"type":"samples","id":{_json(own_id)},"samples":[{rows}]}}'
                    self._offer(connection, message, "samples")

    def _offer(self, connection: Connection, message: str, kind: str) -> None:
        self._sent.labels(kind).inc()
        if not connection.offer(message):
            self._dropped.inc()
            log.info("a slow live connection is dropped", waiting=QUEUE_MAX)

    # which series are watched

    def _add_selection(self, name: str, matchers: tuple[Matcher, ...]) -> Selection:
        selection = self._selections[(name, matchers)] = Selection(name, matchers)
        self._by_metric.setdefault(name, []).append(selection)
        for series_id in self._known_by_metric.get(name, ()):
            self._watch(selection, series_id, self._labels(series_id))
        self._sort_watched()
        return selection

    def _remove_selection(self, selection: Selection) -> None:
        del self._selections[(selection.name, selection.matchers)]
        self._by_metric[selection.name].remove(selection)
        if not self._by_metric[selection.name]:
            del self._by_metric[selection.name]
        for series_id in selection.ids:
            watched = self._watched[series_id]
            watched.selections.remove(selection)
            if not watched.selections:
                del self._watched[series_id]
        self._sort_watched()
        if not self._selections:
            self._known_ids = _NO_IDS
            self._known_by_metric.clear()

    def _learn(self, ids: IdArray) -> None:
        """Look at series that were not seen before, some thousand a batch, so that no batch holds the loop."""
        if len(self._known_ids):
            at = np.minimum(np.searchsorted(self._known_ids, ids), len(self._known_ids) - 1)
            ids = ids[self._known_ids[at] != ids]
        if not len(ids):
            return
        new = np.unique(ids)[:_NEW_SERIES_PER_BATCH]
        for series_id in new.tolist():
            labels = self._labels(series_id)
            if labels is not None:
                self._known_by_metric.setdefault(labels.name, []).append(series_id)
                for selection in self._by_metric.get(labels.name, ()):
                    self._watch(selection, series_id, labels)
        self._known_ids = np.sort(np.concatenate((self._known_ids, new)))
        self._sort_watched()

    def _watch(self, selection: Selection, series_id: int, labels: Labels | None) -> None:
        if labels is None or selection.full or not matches_all(selection.matchers, labels):
            return
        if len(selection.ids) >= SERIES_MAX:
            selection.full = True
            for connection, own_id in selection.readers:
                self._say_full(selection, connection, own_id)
            return
        selection.ids.add(series_id)
        watched = self._watched.get(series_id)
        if watched is None:
            watched = self._watched[series_id] = _Watched(_json(labels.tags), [])
        watched.selections.append(selection)

    def _say_full(self, selection: Selection, connection: Connection, own_id: str) -> None:
        detail = f"More than {SERIES_MAX} series of {selection.name} fit; the others are left out. Narrow the match."
        self.tell(connection, {"type": "error", "id": own_id, "detail": detail})

    def _sort_watched(self) -> None:
        self._watched_ids = np.sort(np.fromiter(self._watched, np.uint64, len(self._watched)))

    def _labels(self, series_id: int) -> Labels | None:
        try:
            return self._series.labels(series_id)
        except KeyError:
            return None


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
