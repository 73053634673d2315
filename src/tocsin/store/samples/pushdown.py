"""Window functions inside the engine, for reads of so many samples that they are better not fetched.

Only those that come to the same numbers there (measured against `promql/windows`: to a few units in the last place) and
are faster: about twice as fast as reading the samples and reducing them here. Sums, averages and slopes are not among
them, as the engine adds without compensation. Source: ClickHouse docs, aggregate functions timeSeries…ToGrid.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tocsin.model.errors import TocsinError
from tocsin.model.series import STALE, FloatArray, IdArray
from tocsin.promql.ports import Ask
from tocsin.promql.values import BoolArray
from tocsin.store.samples.decimal import BITS
from tocsin.store.samples.engine import IDS, Connection
from tocsin.store.samples.native import Columns, Shape

FUNCTIONS = {
    "rate": "timeSeriesRateToGrid",
    "increase": "timeSeriesIncreaseToGrid",
    "delta": "timeSeriesDeltaToGrid",
    "irate": "timeSeriesInstantRateToGrid",
    "idelta": "timeSeriesInstantDeltaToGrid",
    "last_over_time": "timeSeriesLastToGrid",
    "changes": "timeSeriesChangesToGrid",
    "resets": "timeSeriesResetsToGrid",
    "count_over_time": "timeSeriesCountToGrid",
}
SAMPLES_MIN = 2_000_000
"""Fewer are read as fast as they are computed on."""
SLICE_SAMPLES = 4_000_000
"""So many are computed on at once: a hundred megabytes or two in the engine."""
LATEST_MS = 7_258_118_400_000
"""The year 2200: the engine's times with milliseconds end in 2299."""

_STALE_BITS = int(np.array(STALE).view(np.int64))
_CELLS = Shape({"id": "UInt64", "v": "Float64", "there": "Int8"})

SETTING = "enable_time_series_aggregate_functions = 1"
_ONE = Shape({"n": "UInt64"})

Read = Callable[[str, Shape, IdArray], Columns]


def supported(connection: Connection) -> bool:
    """Whether this engine has the functions: a server may be older than they are."""
    try:
        rate = "timeSeriesRateToGrid(1, 2, 1, 1)(toUInt32(1), 1.)"
        connection.read(f"select toUInt64(length({rate})) as n settings {SETTING}", _ONE)
    except TocsinError:
        return False
    return True


def fits(ask: Ask) -> bool:
    return ask.function in FUNCTIONS and ask.after_ms >= 0 and ask.grid.end_ms < LATEST_MS and ask.grid.step_ms > 0


def compute(read: Read, ask: Ask, ids: IdArray, after_ms: int, samples: int) -> tuple[FloatArray, BoolArray]:
    """values float64[series, moments] and bool[…] of series with rising ids, from their samples after that moment.

    `samples` is how many there are; some series at a time, as the engine holds the samples of all that it computes on.
    """
    values = np.zeros((len(ids), ask.grid.count))
    present = np.zeros((len(ids), ask.grid.count), np.bool_)
    sql = _statement(ask, max(after_ms, ask.after_ms))
    size = max(1, len(ids) * SLICE_SAMPLES // max(samples, 1))
    for first in range(0, len(ids), size):
        cells = read(sql, _CELLS, ids[first : first + size])
        rows = np.searchsorted(ids, cells["id"][:: ask.grid.count])
        values[rows] = cells["v"].reshape(-1, ask.grid.count)
        present[rows] = cells["there"].reshape(-1, ask.grid.count).astype(np.bool_)
    return values, present


def _statement(ask: Ask, after_ms: int) -> str:
    grid = ask.grid
    start, end = (f"fromUnixTimestamp64Milli({at_ms}, 'UTC')" for at_ms in (grid.start_ms, grid.end_ms))
    # an exact decimal, which no float would be
    step, window = (f"toDecimal64('{ms / 1_000:.3f}', 3)" for ms in (grid.step_ms, ask.range_ms))
    function = FUNCTIONS[ask.function]
    return (
        "select id, tupleElement(cell, 1) as v, tupleElement(cell, 2) as there from ("  # noqa: S608 - integers
        "select id, arrayJoin(arrayMap(x -> (ifNull(x, 0.), toInt8(isNotNull(x))), "
        f"{function}({start}, {end}, {step}, {window})(fromUnixTimestamp64Milli(t, 'UTC'), samples.v))) as cell "
        f"from samples final where id in {IDS} and t > {after_ms} and t <= {grid.end_ms} "
        f"and not (e = {BITS} and m = {_STALE_BITS}) group by id order by id)"
    )
