"""Values as decimals, m / 10^e, that give back exactly the floats that came.

Most readings are written with few digits, and the differences of their integers pack into a quarter of what those of
their floats take. Up to 2^53 and 10^22 both m and 10^e are exact floats, and a division is correctly rounded, so the
quotient is the float nearest to the decimal: the one that the sender parsed. Every row is checked none the less.
What is no such decimal (most full-precision floats, -0.0, infinities, NaN with its payload) keeps its bits in m,
and e is BITS. The same in SQL is `schema.VALUE`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tocsin.model.duration import DAY_MS
from tocsin.model.series import FloatArray, IdArray, SampleBatch, TimeArray
from tocsin.store.samples.native import Columns
from tocsin.store.samples.order import in_order

ExponentArray: TypeAlias = npt.NDArray[np.int8]
BoolArray: TypeAlias = npt.NDArray[np.bool_]

EXPONENT_MAX = 18
"""10^18 is the largest power of ten in an Int64."""
BITS = 19
"""Stands above every exponent: a series whose values fit no one exponent keeps them all so."""

M_MAX = 2**53
"""Up to here every whole number is a float."""

_SLOTS = 1 << 22
_BLOCK = 1 << 14
"""Rows at once, so that the columns of a step stay in the processor's cache: a third of the time."""
_POWERS = 10.0 ** np.arange(BITS + 1)


def _slots() -> ExponentArray:
    return np.zeros(_SLOTS, np.int8)


@dataclass(slots=True)
class Exponents:
    """The exponent of each series: the largest that one of its values needed today. One thread's alone.

    An exponent that changed from row to row would break the differences of the integers. They are kept by the low
    bits of the id, which is a hash: series that share a slot share the larger exponent, which costs bytes and is
    never wrong. With each day they are learnt anew, so that one odd value does not count for ever.
    """

    _largest: ExponentArray = field(default_factory=_slots)
    _day: int = 0

    def encode(self, batch: SampleBatch, at_ms: int) -> Columns:
        """The rows of schema.ROWS in the order of the table; `at_ms` is now."""
        if at_ms // DAY_MS != self._day:
            self._largest, self._day = _slots(), at_ms // DAY_MS
        rows = in_order(batch)
        m, e = self.scale(rows.ids, rows.values)
        return {"id": rows.ids, "t": rows.times, "m": m, "e": e}

    def scale(self, ids: IdArray, values: FloatArray) -> tuple[TimeArray, ExponentArray]:
        """m int64[n] and e int8[n] of values float64[n], row for row."""
        slots = (ids & np.uint64(_SLOTS - 1)).view(np.int64)
        e = self._largest[slots]
        m, exact = scaled(values, e)
        while len(odd := np.flatnonzero(~exact & (e != BITS) & np.isfinite(values) & (values != 0))):
            need = needed(values[odd])
            need[need <= e[odd]] = BITS  # with the digits of its series it would be beyond 2^53
            np.maximum.at(self._largest, slots[odd], need)
            rows = np.flatnonzero(self._largest[slots] != e)
            e[rows] = self._largest[slots[rows]]
            m[rows], exact[rows] = scaled(values[rows], e[rows])
        rows = np.flatnonzero(~exact)
        m[rows], e[rows] = values[rows].view(np.int64), BITS
        return m, e


def scaled(values: FloatArray, e: ExponentArray) -> tuple[TimeArray, BoolArray]:
    """The nearest m for each value's exponent, and whether m / 10^e is the value to the bit."""
    m, exact = np.empty(len(values), np.int64), np.empty(len(values), np.bool_)
    with np.errstate(over="ignore", invalid="ignore"):
        for at in range(0, len(values), _BLOCK):
            some = slice(at, at + _BLOCK)
            exponents, powers = e[some], _POWERS[e[some]]
            m[some] = np.rint(values[some] * powers)
            same = (m[some] / powers).view(np.int64) == values[some].view(np.int64)
            # a whole number beyond 2^53 is as good as a smaller one; digits beyond it are noise that only takes room
            exact[some] = same & ((np.abs(m[some]) <= M_MAX) | (exponents == 0)) & (exponents != BITS)
    return m, exact


def needed(values: FloatArray) -> ExponentArray:
    """The smallest exponent with which each value comes back, BITS where none does."""
    found = np.full(len(values), BITS, np.int8)
    left = np.arange(len(values))
    for exponent in range(EXPONENT_MAX + 1):
        if not len(left):
            break
        _, exact = scaled(values[left], np.full(len(left), exponent, np.int8))
        found[left[exact]] = exponent
        left = left[~exact]
    return found


def values_of(m: TimeArray, e: ExponentArray) -> FloatArray:
    """float64[n], bit for bit what was scaled."""
    return np.where(e == BITS, m.view(np.float64), m / _POWERS[e])


def pack_samples(rows: Columns) -> Columns:
    """schema.ROWS of whole series with columns id, t and v."""
    return Exponents().encode(SampleBatch(rows["id"], rows["t"], rows["v"]), 0)


def pack_buckets(rows: Columns) -> Columns:
    """schema.BUCKET_ROWS of whole series with columns id, t, low, high, total, n, first_t, first_v, last_t, last_v.

    The total is a sum of floats and so a little off; as a decimal it is nearer to what was meant.
    """
    four = [rows[name] for name in ("low", "high", "first_v", "last_v")]
    starts = np.flatnonzero(np.concatenate(([True], rows["id"][1:] != rows["id"][:-1])))
    of_series = np.maximum.reduceat(np.maximum.reduce([needed(values) for values in four]), starts)
    e = np.repeat(of_series, np.diff(np.append(starts, len(rows["id"]))))
    with np.errstate(over="ignore", invalid="ignore"):
        exact = np.abs(rows["total"]) * _POWERS[e] < M_MAX
    for values in four:
        exact &= scaled(values, e)[1]
    e[~exact] = BITS
    packed = {name: rows[name] for name in ("id", "t", "n", "first_t", "last_t")} | {"e": e}
    for name, values in zip(("low_m", "high_m", "first_m", "last_m", "total_m"), [*four, rows["total"]], strict=True):
        packed[name] = np.where(exact, scaled(values, e)[0], values.view(np.int64))
    return packed
